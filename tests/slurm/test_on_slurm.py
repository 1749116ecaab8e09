"""launch.slurm on a real Slurm: what is submitted, what ends a point too early, and that it ends with the same bits."""

import contextlib
import json
import os
import random
import re
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

from launch import status
from postbc_jax import checkpoint
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy
from tests.launch.tiny_runs import rows

pytestmark = pytest.mark.slurm
FILES = ('results.jsonl', 'metrics.jsonl', 'coverage.jsonl', 'noise.json')
POLICIES = (('pretrained', Policy), ('dsrl_ppo', SteeredPolicy))


def policies(directory):
    return [checkpoint.load_policies(directory / 'policies' / name, kind) for name, kind in POLICIES]


def assert_same_bits(one, other):
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for (ours, labels), (theirs, their_labels) in zip(policies(one), policies(other), strict=True):
        assert labels == their_labels
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def number(printed):
    """The job's, of what launch.slurm prints."""
    return re.match(r'job (\d+): ', printed[0])[1]


def told(cluster, workdir):
    """launch.status --json: {point: object}."""
    out, _ = cluster.launch('launch.status', f'--workdir={workdir}', '--json')
    return {point['point']: point for point in json.loads(out)}


def states(cluster, workdir):
    return [point['state'] for point in told(cluster, workdir).values()]


def processes_of(workdir, point):
    """The numbers of the processes that run a point."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            words = (folder / 'cmdline').read_bytes().decode().split('\0')
        except OSError:
            continue
        if words[1:3] == ['-m', 'launch.run'] and {f'--workdir={workdir}', f'--point={point}'} <= {*words}:
            found.append(int(folder.name))
    return found


def written(directory):
    """Rows of metrics.jsonl."""
    file = directory / 'metrics.jsonl'
    return file.read_bytes().count(b'\n') if file.exists() else 0


def test_an_array_finishes_and_leaves_a_point_that_fails_alone(cluster, undisturbed):
    workdir, said = undisturbed
    assert re.match(r'job \d+: points 0-6 \(7 of 7\); code of commit \w{10}( with edits)?; ', said)
    assert said.rstrip().endswith(f'; {workdir}/submit_000.sh')
    found = told(cluster, workdir)
    assert [point['state'] for point in found.values()] == ['done'] * 6 + ['failed']
    assert re.match(r'pretrain: learner 0 .* is (nan|inf) in steps 1 to 10; ', found[6]['error'])
    assert found[6]['stages'] == [3, 5] and found[6]['job'] == f'{number((said,))}_6'
    assert sorted(path.name for path in (workdir / 'logs').iterdir()) == [
        f'{number((said,))}_{n}.out' for n in range(7)
    ]
    assert [len(rows(workdir / f'point_{n:04d}')) for n in range(6)] == [len(rows(workdir / 'point_0000'))] * 6
    out, _ = cluster.launch('launch.status', f'--workdir={workdir}')
    assert out.splitlines()[-1] == '7 points: 6 done, 1 failed'
    assert list(workdir.parent.iterdir()) == [workdir]  # its name ran nothing


def test_the_report_says_what_is_missing(cluster, undisturbed):
    workdir, _ = undisturbed
    cluster.launch('launch.report', f'--workdir={workdir}')
    assert '1 of 7 points failed: 6; the first: pretrain: learner 0' in (workdir / 'report.html').read_text()
    assert {row['point'] for row in rows(workdir)} >= set(range(6))


def test_disturbed_points_end_with_the_same_bits(cluster, submit, undisturbed, tmp_path):
    """Each at a moment of its own: killed, told to stop, requeued, cancelled; and the node's daemon starts again."""
    draw = random.Random(0)
    job = number(submit('4', tmp_path, '--array_parallelism=2'))
    most = written(undisturbed[0] / 'point_0000')
    moments = draw.sample(range(2, most - most // 8), 4)
    disturb = [
        (0, 1, cluster.restart_slurmd),
        (0, moments.pop(), lambda: cluster.ask('scancel', '--signal=KILL', f'{job}_0.0')),
        (1, moments.pop(), lambda: cluster.ask('scancel', '--signal=TERM', f'{job}_1.0')),
        (2, moments.pop(), lambda: cluster.ask('scontrol', 'requeue', f'{job}_2')),
        (3, moments.pop(), lambda: cluster.ask('scancel', f'{job}_3')),
    ]

    def all_disturbed():
        for point, least, action in list(disturb):
            if written(tmp_path / f'point_{point:04d}') >= least:
                assert not action()
                disturb.remove((point, least, action))
        return not disturb

    cluster.wait(all_disturbed, 'every point disturbed')
    cluster.wait_for_jobs()
    assert states(cluster, tmp_path) == ['failed', 'done', 'done', 'preempted']  # these two are not asked again
    assert told(cluster, tmp_path)[0]['error'].startswith('it ended without a word: killed')
    log = (tmp_path / 'logs' / f'{job}_1.out').read_text()
    assert re.search(r'stopped .*; run the same command again to go on', log) and 'goes on from its checkpoints' in log
    assert 'DUE TO JOB REQUEUE' in (tmp_path / 'logs' / f'{job}_2.out').read_text()
    said, _ = submit('4', tmp_path)
    assert 'points 0,3 (2 of 4); 2 done; ' in said
    cluster.wait_for_jobs()
    assert states(cluster, tmp_path) == ['done'] * 4
    for point in range(4):
        assert_same_bits(tmp_path / f'point_{point:04d}', undisturbed[0] / f'point_{point:04d}')
    said, _ = submit('4', tmp_path)
    assert said == f'{tmp_path}: nothing to submit: 4 done of 4 points\n'


def test_a_time_limit_requeues_a_point_that_has_saved(cluster, submit, undisturbed, tmp_path):
    """The point stands still in pretraining until the signal is there, so that it cannot be done before."""
    job = number(submit('1', tmp_path, '--time=1', '--grace=1'))
    cluster.wait(lambda: written(tmp_path) > 10, 'pretraining')
    (process,) = processes_of(tmp_path, 0)
    os.kill(process, signal.SIGSTOP)
    try:
        cluster.wait(lambda: stands_still(process), 'a process that stands still')
        cluster.wait(lambda: not stands_still(process), 'the signal')  # Slurm sends SIGCONT with it
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
    cluster.wait_for_jobs()
    assert states(cluster, tmp_path) == ['done']
    log = (tmp_path / 'logs' / f'{job}_0.out').read_text()
    assert re.search(r'stopped .*; run the same command again to go on', log)
    assert_same_bits(tmp_path, undisturbed[0] / 'point_0000')


def stands_still(process):
    try:
        return ') T ' in Path(f'/proc/{process}/stat').read_text()
    except FileNotFoundError:
        return False


def test_two_tasks_are_two_processes_of_one_run(cluster, submit, undisturbed, tmp_path):
    submit('1', tmp_path, '--gpus_per_node=2', '--cpus=1')
    cluster.wait(lambda: written(tmp_path), 'the first row')
    assert len(processes_of(tmp_path, 0)) == 2
    cluster.wait_for_jobs()
    assert states(cluster, tmp_path) == ['done']
    one = undisturbed[0] / 'point_0000'
    for (ours, labels), (theirs, their_labels) in zip(policies(tmp_path), policies(one), strict=True):
        assert labels == their_labels
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)


def test_what_sbatch_refuses_is_one_line_and_leaves_nothing(cluster, submit, tmp_path):
    _, err = submit('101', tmp_path, status=1)
    assert err == (
        'error: sbatch: Batch job submission failed: Invalid job array specification: points are numbered from 0, and '
        'numbers must be below MaxArraySize=100 here\n'
    )
    _, err = submit('2', tmp_path, '--partition=none', status=1)
    assert err.startswith('error: sbatch: ') and 'partition' in err and err.count('\n') == 1
    assert list(tmp_path.rglob('*.sh')) == list(tmp_path.glob('code')) == list(tmp_path.glob('*.json')) == []


def test_points_in_the_queue_are_not_submitted_again(cluster, submit, tmp_path):
    cluster.ask('scontrol', 'update', 'PartitionName=all', 'State=DOWN')
    try:
        job = number(submit('3', tmp_path))
        assert [point['queue'] for point in told(cluster, tmp_path).values()] == ['PENDING'] * 3
        cluster.ask('scancel', f'{job}_1')
        said, _ = submit('3', tmp_path)
        assert 'points 1 (1 of 3); 2 in the queue; ' in said and said.endswith('/submit_001.sh\n')
        said, _ = submit('3', tmp_path)
        assert said == f'{tmp_path}: nothing to submit: 3 in the queue of 3 points\n'
    finally:
        cluster.ask('scancel', '--state=PENDING')
        cluster.ask('scontrol', 'update', 'PartitionName=all', 'State=UP')
    cluster.wait_for_jobs()
    assert states(cluster, tmp_path) == [status.STATES[0]] * 3
