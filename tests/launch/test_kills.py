"""Every stage killed and stopped at 20 random moments: started again, a run ends bit for bit as one left in peace.

Each start is a fork of one process, which has imported what takes long.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from launch import status_file
from tests.launch.tiny_runs import ROOT, assert_same, environment

STAGES = ('demonstrations', 'posterior', 'calibration', 'policies', 'evaluation', 'dsrl_ppo')
MOMENTS = 20
FORKS = """
import json, os, sys, warnings
from launch import local, run

for line in sys.stdin:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # jax and numpy have threads, but nothing has run in them yet
        child = os.fork()
    if child == 0:
        os.dup2(os.open(os.environ['OUTPUT'], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        sys.argv = ['launch', *json.loads(line)]
        run.launch(local.main)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Starter:
    """Starts runs, one at a time."""

    def __init__(self, config, folder):
        self._output = folder / 'output.txt'
        calibrated = ['--config.alpha=auto', '--config.calibration.folds=2', '--config.calibration.members=2']
        self._flags = [f'--config={config}', '--config.seeds=1', *calibrated, f'--compilation_cache={folder / "cache"}']
        variables = environment() | {'OUTPUT': str(self._output)}
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
        self.process = subprocess.Popen([sys.executable, '-c', FORKS], cwd=ROOT, env=variables, **pipes)

    def start(self, directory):
        """The new process's number."""
        self.process.stdin.write(json.dumps([*self._flags, f'--workdir={directory}']) + '\n')
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self):
        """The exit status of what was started last."""
        return int(self.process.stdout.readline())

    def said(self):
        return self._output.read_text()[-2000:]


@pytest.fixture(scope='module')
def starter(tiny, tmp_path_factory):
    made = Starter(tiny, tmp_path_factory.mktemp('kills'))
    yield made
    made.process.kill()
    made.process.communicate()


def reached(directory, stage, pid):
    """Waits until process `pid` is in the stage, past it, or gone."""
    while True:
        status = status_file.read(directory)
        if status.get('pid') == pid and status['stage'] in STAGES[STAGES.index(stage) :]:
            return
        if not os.path.exists(f'/proc/{pid}') or status.get('pid') == pid and status['state'] != 'running':
            return
        time.sleep(0.002)


@pytest.fixture(scope='module')
def undisturbed(starter, tmp_path_factory):
    """(work directory, {stage: (copy of it as the stage began, seconds that the stage took)})."""
    directory, copies = tmp_path_factory.mktemp('undisturbed'), tmp_path_factory.mktemp('copies')
    for run in (copies / 'compiled', directory):  # the first one compiles
        begun, pid = {}, starter.start(run)
        for stage in STAGES:
            reached(run, stage, pid)
            begun[stage] = time.monotonic()
            if run == directory:
                os.kill(pid, signal.SIGSTOP)
                shutil.copytree(run, copies / stage)
                os.kill(pid, signal.SIGCONT)
        assert starter.wait() == 0, starter.said()
        ended = [*list(begun.values())[1:], time.monotonic()]
    seconds = [end - begin for begin, end in zip(begun.values(), ended, strict=True)]
    return directory, {stage: (copies / stage, s) for stage, s in zip(STAGES, seconds, strict=True)}


@pytest.mark.parametrize('stage', STAGES)
def test_killed_and_stopped_at_random_moments(stage, starter, undisturbed, tmp_path):
    whole, stages = undisturbed
    copy, seconds = stages[stage]
    random, ended, run = np.random.default_rng(STAGES.index(stage)), 0, None
    for moment in range(MOMENTS):
        if run is None:
            run = tmp_path / str(moment)
            shutil.copytree(copy, run)
        number = random.choice([signal.SIGKILL, signal.SIGTERM])
        pid = starter.start(run)
        reached(run, stage, pid)
        time.sleep(random.uniform(0, 1.2 * seconds))
        if os.path.exists(f'/proc/{pid}'):
            os.kill(pid, number)
        status = starter.wait()
        assert status in (0, -signal.SIGKILL if number == signal.SIGKILL else 75), starter.said()
        if status == 0:
            assert_same(run, whole)
            ended, run = ended + 1, None
    assert ended < MOMENTS
    if run:
        starter.start(run)
        assert starter.wait() == 0, starter.said()
        assert_same(run, whole)
