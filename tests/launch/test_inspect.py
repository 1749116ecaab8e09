"""python -m launch.inspect: what it prints and how it exits."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from postbc_jax.data import robomimic
from postbc_jax.types import Demos

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / 'demos.hdf5')
    demos = Demos(
        obs=np.arange(12, dtype=np.float32).reshape(4, 3),
        actions=np.array([[0.5], [-1], [1], [2]], np.float32),
        rewards=np.zeros(4, np.float32),
        dones=np.zeros(4, np.float32),
        episode=np.array([0, 0, 1, 1], np.int32),
        names=('demo_0', 'demo_1'),
        obs_keys=(('x', 1), ('y', 2)),
    )
    robomimic.save(path, demos, masks={'first': ['demo_0']}, action_bound=2)
    return path


def inspect(*arguments):
    environment = os.environ | {'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, '-m', 'launch.inspect', *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)


def test_a_good_subset(path):
    done = inspect(f'--demos={path}', '--mask=first', '--obs_keys=y,x')
    assert done.returncode == 0, done.stderr
    assert '3 = y 2 + x 1' in done.stdout
    assert done.stdout.splitlines()[-1].endswith('refused: nothing')


def test_a_wrong_file_exits_with_1(path):
    done = inspect(f'--demos={path}')
    assert done.returncode == 1
    assert f'{path}: demo_1: actions: step 1, dimension 0 is 2, outside [-1, 1]' in done.stdout
    assert 'Traceback' not in done.stderr


def test_flags(path):
    assert inspect(f'--demos={path}', '--action_bound=0').returncode == 0
    done = inspect(path)
    assert done.returncode != 0
    assert '--demos' in done.stderr + done.stdout
    assert 'Traceback' not in done.stderr
