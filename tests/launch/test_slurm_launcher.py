"""launch.slurm's command line, with stand-ins for sbatch and squeue: what is written, submitted, refused."""

import json
import subprocess
import sys

import pytest

from experiments import quickstart
from launch import config as settings
from tests.launch.tiny_runs import ROOT, TINY, content, environment

SWEEP = "\n\ndef sweep():\n    return [{'seed': seed, 'policy.hidden': (8, 8)} for seed in range(3)]\n"
SBATCH = 'for script; do :; done; echo "$script" > {here}/submitted; env > {here}/environment; echo "42;cluster"'


@pytest.fixture
def slurm(tmp_path):
    """slurm(*flags, queue=lines of squeue, sbatch=a shell's text) -> the finished process. queue=None: no Slurm."""
    experiment, bin_ = tmp_path / 'tiny.py', tmp_path / 'bin'
    experiment.write_text(TINY + SWEEP)
    bin_.mkdir()

    def run(*flags, queue='', sbatch=SBATCH, config=experiment, **variables):
        if queue is not None:
            for name, text in (('squeue', f'cat <<"END"\n{queue}END'), ('sbatch', sbatch.format(here=tmp_path))):
                (bin_ / name).write_text(f'#!/bin/bash\nPATH=/usr/bin:/bin\n{text}\n')
                (bin_ / name).chmod(0o755)
        command = [sys.executable, '-m', 'launch.slurm', f'--config={config}', f'--workdir={tmp_path}/run', *flags]
        variables = environment() | {'PATH': str(bin_)} | variables
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)

    return run


def test_a_dry_run_needs_no_slurm_and_writes_nothing(slurm, tmp_path):
    done = slurm('--dry_run', '--array_parallelism=2', '--config.subset=3', queue=None)
    assert (done.returncode, done.stderr) == (0, '')
    assert '#SBATCH --array="0-2%2"\n' in done.stdout
    assert f'--config={tmp_path}/run/code/given/tiny.py --workdir={tmp_path}/run --config.subset=3 ' in done.stdout
    assert not (tmp_path / 'run').exists()
    done = slurm(queue=None)
    assert (done.returncode, done.stderr) == (1, 'error: squeue: not found: Slurm is not installed here\n')
    assert not (tmp_path / 'run').exists()


def test_what_is_submitted_and_submitted_again(slurm, tmp_path):
    workdir = tmp_path / 'run'
    done = slurm('--stage=pretrain', SLURM_JOB_ID='7', SLURM_NTASKS='9', SLURM_CONF='x', SBATCH_QOS='high')
    script = f'{workdir}/submit_000.sh'
    assert done.stderr == '' and done.stdout == f'job 42: points 0-2 (3 of 3); code of commit unknown; {script}\n'
    assert (tmp_path / 'submitted').read_text() == f'{script}\n'
    passed = (tmp_path / 'environment').read_text()
    assert 'SBATCH_QOS=high' in passed and 'SLURM_CONF=x' in passed
    assert 'SLURM_NTASKS' not in passed and 'SLURM_JOB_ID' not in passed  # of the shell's own job
    assert ' --stage=pretrain ' in (workdir / 'submit_000.sh').read_text()
    frozen = json.loads((workdir / 'sweep.json').read_text())
    assert frozen['points'][2] == {'seed': 2, 'policy.hidden': [8, 8]} and (workdir / 'code/launch/run.py').is_file()

    (workdir / 'point_0001').mkdir()
    (workdir / 'point_0001' / 'done.json').write_text('{"stage": "pretrain"}')
    others = f'43|2|PENDING||{tmp_path}/other/submit_000.sh\n44|2|PENDING||{workdir}/mine.sh\na second line\n'
    jobs = f'42|0|RUNNING|n1|{script}\n{others}'
    done = slurm('--stage=pretrain', queue=jobs)
    assert done.stdout.startswith('job 42: points 2 (1 of 3); 1 done, 1 in the queue; code of ')
    assert '#SBATCH --array="2"\n' in (workdir / 'submit_001.sh').read_text()
    before = content(workdir)
    done = slurm('--config.subset=2')
    assert (done.returncode, done.stderr.count('\n')) == (1, 1)
    assert done.stderr.startswith(f'error: {workdir}/sweep.json: ') and '--config.subset=2' in done.stderr
    assert content(workdir) == before


def test_what_sbatch_refuses_is_taken_back(slurm, tmp_path):
    done = slurm(sbatch='echo "sbatch: error: a" >&2; echo "sbatch: error: Batch job submission failed: b" >&2; exit 1')
    assert (done.returncode, done.stderr) == (1, 'error: sbatch: Batch job submission failed: b\n')
    assert content(tmp_path / 'run') == {}


@pytest.mark.parametrize(
    ('flag', 'said'),
    [
        ('--config.subset=9', 'point 0 of 3: config.subset=9: only config.record.episodes=6 '),
        ('--nodes=0', '--nodes=0: must be at least 1'),
        ('--setup=none.sh', '--setup=none.sh: cannot be read: '),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(slurm, tmp_path, flag, said):
    done = slurm(flag)
    assert done.returncode == 1 and done.stderr.startswith(f'error: {said}') and done.stderr.count('\n') == 1
    assert not (tmp_path / 'run').exists() and not (tmp_path / 'submitted').exists()


def test_a_finished_point_runs_again_only_for_other_settings(slurm, tmp_path):
    """As where sweep.json was removed, to go on with another."""
    workdir, config = tmp_path / 'run', settings.at_point(quickstart.get_config('smoke'), {})
    workdir.mkdir()
    (workdir / 'config.json').write_text(json.dumps(config.to_dict()))
    (workdir / 'done.json').write_text('{"stage": "finetune"}')
    same = slurm(config='experiments/quickstart.py:smoke')
    assert same.stdout == f'{workdir}: nothing to submit: 1 done of 1 points\n'
    longer = slurm('--config.finetune.chunks=9', config='experiments/quickstart.py:smoke')
    assert longer.stdout.startswith('job 42: points 0 (1 of 1); code of ')
