"""launch.status: what each point is said to be doing, of what its run has written and what Slurm's queue holds."""

import datetime
import json
import os
import socket
import subprocess
import sys

import pytest

from launch import freeze, status
from launch.report import make_report, read
from launch.slurm import queue
from tests.launch.tiny_runs import ROOT, environment, rows
from tests.launch.written_runs import write_run

HERE = socket.gethostname()


def ago(seconds=0.0):
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)).isoformat()


OLD = ago(status.SILENT_SECONDS + 60)
GONE = 2**22 + 1  # above any process
WAITS, RUNS, ENDS = (
    queue.Job('7_0', state, node) for state, node in (('PENDING', ''), ('RUNNING', 'n'), ('COMPLETING', 'n'))
)
SAID = {'state': 'running', 'stage': 'policies', 'stages': [3, 5], 'chunk': 3, 'chunks': 10, 'metric': {'loss': 0.25}}
SAID |= {'host': 'n', 'pid': 1, 'job': '7_0', 'begun': OLD, 'error': None}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """sweep(count, stage='') freezes a sweep in tmp_path; there is no Slurm."""
    monkeypatch.setenv('PATH', str(tmp_path))

    def make(count, stage=''):
        points = [{'seed': index} for index in range(count)]
        made = freeze.Sweep('e.py', [], stage, points, None, False, 'experiments/e.py')
        (tmp_path / 'sweep.json').write_text(json.dumps(made._asdict()))
        return tmp_path

    return make


def write(directory, done=None, **said):
    directory.mkdir(exist_ok=True)
    if said:
        (directory / 'status.json').write_text(json.dumps(SAID | {'updated': ago()} | said))
    if done:
        (directory / 'done.json').write_text(json.dumps({'stage': done}))


def test_before_anything_has_begun_all_are_pending(sweep):
    found = status.read(sweep(3))
    assert [(point.point, point.state, point.settings) for point in found] == [
        (index, 'pending', {'seed': index}) for index in range(3)
    ]
    assert all(point.stage is point.metric is point.error is None and point.queue == '' for point in found)


@pytest.mark.parametrize(
    ('said', 'job', 'state'),
    [
        ({}, None, 'pending'),
        ({}, WAITS, 'pending'),
        ({}, RUNS, 'running'),
        ({'state': 'running'}, RUNS, 'running'),
        ({'state': 'running'}, ENDS, 'running'),
        ({'state': 'running'}, WAITS, 'preempted'),  # its node went down
        ({'state': 'running'}, None, 'failed'),
        ({'state': 'running', 'job': None}, None, 'running'),  # started by hand on another machine, a moment ago
        ({'state': 'running', 'job': None, 'updated': OLD}, None, 'failed'),
        ({'state': 'running', 'job': None, 'updated': None}, None, 'failed'),
        ({'state': 'running', 'job': None, 'updated': OLD, 'host': HERE, 'pid': os.getpid()}, None, 'running'),
        ({'state': 'running', 'job': None, 'host': HERE, 'pid': GONE}, None, 'failed'),
        ({'state': 'preempted'}, None, 'preempted'),
        ({'state': 'preempted'}, WAITS, 'preempted'),
        ({'state': 'preempted'}, RUNS, 'preempted'),  # it begins again, and has yet to say so
        ({'state': 'failed'}, None, 'failed'),
        ({'state': 'failed'}, ENDS, 'failed'),
        ({'state': 'failed', 'job': '6_0'}, WAITS, 'pending'),  # submitted again
        ({'state': 'failed', 'job': '6_0'}, RUNS, 'running'),
        ({'state': 'done', 'done': 'finetune'}, None, 'done'),
        ({'state': 'done', 'done': 'pretrain'}, None, 'pending'),
        ({'state': 'running', 'done': 'finetune'}, None, 'done'),  # killed as it ended
    ],
)
def test_the_state_of_a_point(sweep, said, job, state):
    workdir = sweep(2)
    write(workdir / 'point_0000', **said)
    found = status.read(workdir, jobs={0: job} if job else {})
    assert [point.state for point in found] == [state, 'pending']
    assert found[0].queue == (job.state if job else '')
    killed = state == 'failed' and said['state'] == 'running'
    assert found[0].last_line.startswith('it ended without a word') == killed


def test_pretraining_alone_is_done_where_it_is_what_was_asked_for(sweep):
    write(sweep(2, stage='pretrain') / 'point_0001', done='pretrain', state='done')
    assert [point.state for point in status.read(sweep(2, stage='pretrain'))] == ['pending', 'done']
    assert [point.state for point in status.read(sweep(2, stage='finetune'))] == ['pending', 'pending']


def test_without_a_queue_the_run_is_believed_until_it_is_silent(sweep):
    workdir = sweep(2)
    write(workdir / 'point_0000', state='running')
    write(workdir / 'point_0001', state='running', updated=OLD)
    assert [point.state for point in status.read(workdir)] == ['running', 'failed']


def test_what_ended_before_it_could_say_anything_is_told_by_its_log(sweep):
    workdir = sweep(2)
    (workdir / 'logs').mkdir()
    (workdir / 'logs' / '7_1.out').write_text('module: command not found\nModuleNotFoundError: no jax\n')
    found = status.read(workdir, jobs={})
    assert [point.state for point in found] == ['pending', 'failed']
    assert found[1].last_line == 'ModuleNotFoundError: no jax'


def test_a_directory_that_nothing_was_frozen_in(tmp_path):
    write(tmp_path / 'point_0002', state='preempted')
    write(tmp_path / 'point_0000', done='finetune')
    assert [(point.point, point.state) for point in status.read(tmp_path)] == [(0, 'done'), (2, 'preempted')]
    with pytest.raises(ValueError, match='none: no such directory'):
        status.read(tmp_path / 'none')


def launched(*flags):
    command = [sys.executable, '-m', 'launch.status', *flags]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)


def test_what_is_printed(sweep):
    workdir = sweep(4)
    write(workdir / 'point_0000', done='finetune', state='done', stage='dsrl_ppo')
    write(workdir / 'point_0001', state='failed', error='Traceback:\n  line\nValueError: no such file\n')
    write(workdir / 'point_0002', state='running', job=None)
    done = launched(f'--workdir={workdir}')
    assert done.stdout.splitlines() == [
        'point  state    stage         done  metric     node',
        '0      done                         loss=0.25  n     seed=0',
        '1      failed   3/5 policies  3/10  loss=0.25  n     ValueError: no such file',
        '2      running  3/5 policies  3/10  loss=0.25  n     seed=2',
        '3      pending                                       seed=3',
        '4 points: 1 done, 1 failed, 1 running, 1 pending',
    ]
    found = json.loads(launched(f'--workdir={workdir}', '--json').stdout)
    assert [point['state'] for point in found] == ['done', 'failed', 'running', 'pending']
    assert found[1]['error'].startswith('Traceback:') and found[2]['metric'] == {'loss': 0.25}
    done = launched(f'--workdir={workdir}/none')
    assert (done.returncode, done.stderr) == (
        1,
        f'error: {workdir}/none: no such directory; give the work directory of a run\n',
    )


def test_the_report_gathers_what_is_there_and_names_the_rest(sweep):
    workdir = sweep(5)
    write_run(workdir / 'point_0001')
    write(workdir / 'point_0001', done='finetune', state='done')
    write(workdir / 'point_0002', state='failed', error='ValueError: no such file')
    write(workdir / 'point_0004', state='failed', error='ValueError: another')
    points, notes = read.read(workdir)
    assert [point.name for point in points] == ['point_0001']
    assert notes == ['2 of 5 points failed: 2,4; the first: ValueError: no such file', '2 of 5 points are pending: 0,3']
    page = make_report(workdir).read_text()
    assert all(note in page for note in notes)
    gathered = rows(workdir)
    assert len(gathered) == len(rows(workdir / 'point_0001')) and {
        (r['point'], r['config.seed']) for r in gathered
    } == {(1, 1)}
