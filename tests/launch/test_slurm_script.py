"""The text of a Slurm job, and what bash makes of it with stand-ins for srun, squeue and scontrol."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from launch.slurm.script import MOST_REQUEUES, Job, Resources, indices, render

JOB = Job(Path('/runs/mine'), Path('/home/me'), ('/bin/python', '-m', 'launch.run', '--workdir=/runs/mine'))
STUBS = {
    'srun': 'for option; do shift; case $option in --*) ;; *) exec "$option" "$@";; esac; done',
    'python': 'printf "%s\\0" "$PYTHONPATH" "$PYTHONSAFEPATH" "$LOADED" "$@" > "$FOUND/python"; exit "$STATUS"',
    'squeue': 'echo "$@" > "$FOUND/squeue"; echo "$STATE"',
    'scontrol': 'echo "$@" > "$FOUND/scontrol"',
}
HOSTILE = [
    "it's",
    '"x"',
    'a b',
    '; touch ran',
    '$(touch ran)',
    '`touch ran`',
    'a\ntouch ran\n',
    '\\',
    '*',
    '#x',
    '!',
    '',
]


@pytest.fixture
def bash(tmp_path):
    """bash(script, status=0, state='RUNNING', **environment) -> (its status, {stub: what it was called with})."""
    (tmp_path / 'bin').mkdir()
    for name, text in STUBS.items():
        (tmp_path / 'bin' / name).write_text(f'#!/bin/bash\n{text}\n')
        (tmp_path / 'bin' / name).chmod(0o755)

    def run(script, status=0, state='RUNNING', **environment):
        found, empty = tmp_path / 'found', tmp_path / 'empty'
        for folder in (found, empty):
            folder.mkdir()
        slurm = {'SLURM_ARRAY_JOB_ID': '12', 'SLURM_ARRAY_TASK_ID': '3', 'SLURM_JOB_ID': '15'}
        path = f'{tmp_path}/bin:{os.environ["PATH"]}'
        answers = {'FOUND': str(found), 'STATUS': str(status), 'STATE': state, 'PATH': path, 'LOADED': ''}
        done = subprocess.run(['bash', '-s'], input=script, env=slurm | answers | environment, cwd=empty, text=True)
        assert list(empty.iterdir()) == []  # nothing ran that was not to
        return done.returncode, {file.name: file.read_text() for file in found.iterdir()}

    return run


def directives(script):
    return dict(re.findall(r'^#SBATCH --([\w-]+)(?:="(.*)")?$', script, re.MULTILINE))


def test_the_directives_of_a_job():
    script = render([0, 1, 2, 7], Resources(array_parallelism=4), JOB)
    assert script.startswith('#!/bin/bash\n#SBATCH ')
    assert directives(script) == {
        'job-name': 'mine',
        'array': '0-2,7%4',
        'nodes': '1',
        'ntasks-per-node': '1',
        'signal': 'TERM@120',
        'chdir': '/home/me',
        'output': '/runs/mine/logs/%A_%a.out',
        'open-mode': 'append',
        'requeue': '',
    }
    everything = Resources(2, 2, 4, 8, '32G', '4:00:00', 'long', 'lab', '[a&b]', 60)
    assert (
        directives(render([5], everything, JOB)).items()
        >= {
            'array': '5%2',
            'nodes': '2',
            'ntasks-per-node': '4',
            'gpus-per-node': '4',
            'cpus-per-task': '8',
            'mem': '32G',
            'time': '4:00:00',
            'partition': 'long',
            'account': 'lab',
            'constraint': '[a&b]',
            'signal': 'TERM@60',
        }.items()
    )
    assert 'srun --nodes=2 --ntasks=8 --cpus-per-task=8 --mpi=none ' in render([5], everything, JOB)


def test_paths_in_directives_are_as_sbatch_reads_them():
    job = Job(Path('/a "b" \'c\' 100% $x'), Path('/d e'), JOB.command)
    found = directives(render([0], Resources(), job))
    assert found['output'] == '/a \\"b\\" \'c\' 100%% $x/logs/%A_%a.out' and found['chdir'] == '/d e'
    assert found['job-name'] == 'a \\"b\\" \'c\' 100% $x'


@pytest.mark.parametrize(
    ('points', 'text'), [([0], '0'), ([3, 4], '3-4'), ([9, 0, 2, 1, 5], '0-2,5,9'), (range(200), '0-199')]
)
def test_indices(points, text):
    assert indices(points) == text


@pytest.mark.parametrize('word', HOSTILE)
def test_arguments_reach_python_as_they_are_and_run_nothing(bash, word):
    command = ('python', '-m', 'launch.run', f'--config=/c/{word}.py:{word}', f'--config.task={word}', word)
    workdir = Path('/w', word if word.isprintable() and '\\' not in word else '', 'x')
    status, found = bash(render([3], Resources(), Job(workdir, Path('/'), command)), PYTHONPATH='/before')
    assert status == 0
    assert found == {
        'python': '\0'.join([f'{workdir}/code:/before', '1', '', *command[1:], '--point=3', '']),
    }


@pytest.mark.parametrize(
    ('status', 'state', 'restarts', 'requeued'),
    [
        (0, 'RUNNING', '', False),
        (1, 'RUNNING', '', False),
        (137, 'RUNNING', '', False),
        (75, 'RUNNING', '', True),
        (143, 'RUNNING', '2', True),
        (75, 'COMPLETING', '', False),
        (75, '', '', False),
        (75, 'RUNNING', f'{MOST_REQUEUES - 1}', True),
        (75, 'RUNNING', f'{MOST_REQUEUES}', False),
    ],
)
@pytest.mark.parametrize('setup', ['', 'set -euo pipefail'])
def test_what_was_stopped_and_has_saved_is_requeued(bash, status, state, restarts, requeued, setup):
    job = Job(JOB.workdir, JOB.directory, ('python',), setup)
    environment = {'SLURM_RESTART_COUNT': restarts} if restarts else {}
    ended, found = bash(render([3], Resources(), job), status, state, **environment)
    assert found.get('scontrol') == ('requeue 12_3\n' if requeued else None)
    assert ended == (0 if requeued else status)
    assert '--jobs=12_3 ' in found.get('squeue', '--jobs=12_3 ')


def test_setup_comes_first_and_may_hold_anything(bash):
    setup = 'load() { LOADED="it\'s $1"; export LOADED; }\nload "a  b"  # comment\n'
    _, found = bash(render([3], Resources(), Job(JOB.workdir, JOB.directory, ('python',), setup)))
    assert found['python'].split('\0')[2] == "it's a  b"


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'array_parallelism': -1}, '--array_parallelism=-1: must be at least 0'),
        ({'nodes': 0}, '--nodes=0: must be at least 1'),
        ({'gpus_per_node': -1}, '--gpus_per_node=-1: must be at least 0'),
        ({'partition': 'a\n#SBATCH --uid=0'}, "--partition='a\\n#SBATCH --uid=0': a line of a job holds no"),
        ({'time': '1\r'}, "--time='1\\r': a line"),
    ],
)
def test_resources_that_are_refused(settings, said):
    with pytest.raises(ValueError, match='^' + re.escape(said)):
        Resources(**settings)


@pytest.mark.parametrize(
    ('workdir', 'directory', 'setup', 'said'),
    [
        ('/a\nb', '/', '', r"workdir '/a\\nb': Slurm takes no path"),
        ('/a', '/b\\c', '', 'directory .*: Slurm takes no path'),
        ('/a:b', '/', '', '--workdir=/a:b: .* colon'),
        ('/a', '/', 'module load x\n#SBATCH --qos=high', '--setup: .*#SBATCH .*SBATCH_QOS'),
    ],
)
def test_jobs_that_are_refused(workdir, directory, setup, said):
    with pytest.raises(ValueError, match=f'^{said}'):
        Job(Path(workdir), Path(directory), ('python',), setup)
