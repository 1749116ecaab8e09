"""The tiny experiment, and a run of it that nothing interrupts, shared by the tests of the launchers.

Every run is a process of its own. They share compiled programs, and nothing else.
"""

import subprocess
import sys

import pytest

from tests.launch.tiny_runs import ROOT, TINY, environment, finish


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """The experiment's file."""
    file = tmp_path_factory.mktemp('experiments') / 'tiny.py'
    file.write_text(TINY)
    return file


@pytest.fixture(scope='session')
def start(tmp_path_factory):
    """start(*arguments, module='launch.local') -> Popen of python -m launch.local."""
    cache = tmp_path_factory.mktemp('cache')

    def popen(*arguments, module='launch.local'):
        command = [sys.executable, '-m', module, *map(str, arguments), f'--compilation_cache={cache}']
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        return subprocess.Popen(command, cwd=ROOT, env=environment(), **pipes)

    return popen


@pytest.fixture(scope='session')
def whole(tiny, start, tmp_path_factory):
    """(work directory, lines of stdout, of stderr) of a run that nothing interrupts."""
    directory = tmp_path_factory.mktemp('whole')
    return directory, *finish(start(f'--config={tiny}', f'--workdir={directory}'))
