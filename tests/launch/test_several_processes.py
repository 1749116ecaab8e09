"""A whole experiment in four processes of two devices each, as on a pod: the files of one process with one device.

They meet in one work directory; each joins the others by JAX_COORDINATOR_ADDRESS.
"""

import os
import re
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from postbc_jax import checkpoint
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy
from tests.launch.tiny_runs import ROOT, environment, finish, rows

PROCESSES, DEVICES = 4, 2
# Few updates, so that rounding (devices sum a gradient in another order) cannot grow into another success.
SMALL = (
    *('--config.posterior.steps=10', '--config.pretrain.steps=20', '--config.finetune.chunks=1'),
    '--config.matched=False',
)
RTOL, ATOL = 1e-3, 1e-4


@pytest.fixture(scope='module')
def runs(tiny, tmp_path_factory):
    """The work directories of one process with one device, and of four with two each."""
    one, four = (tmp_path_factory.mktemp(name) for name in ('one', 'four'))
    finish(_start(tiny, one, {'JAX_NUM_CPU_DEVICES': '1'}))
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        address = f'localhost:{probe.getsockname()[1]}'
    joined = {'JAX_COORDINATOR_ADDRESS': address, 'JAX_NUM_PROCESSES': str(PROCESSES)}
    joined |= {'XLA_FLAGS': f'--xla_force_host_platform_device_count={DEVICES}'}
    processes = [_start(tiny, four, joined | {'JAX_PROCESS_ID': str(i)}) for i in range(PROCESSES)]
    try:
        spoken = [finish(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return one, four, spoken


def _start(tiny, directory, more):
    command = [sys.executable, '-m', 'launch.local', f'--config={tiny}', f'--workdir={directory}']
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    variables = environment() | {'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'} | more  # compiling is what takes time here
    return subprocess.Popen([*command, *SMALL, '--compilation_cache='], cwd=ROOT, env=variables, **pipes)


def test_one_process_speaks(runs):
    _, _, spoken = runs
    lead, *others = [[line for line in out if not _gloos(line)] for out, _ in spoken]
    assert lead[-1].startswith('report: ') and any('[5/5] dsrl_ppo' in line for line in lead)
    assert others == [[]] * (PROCESSES - 1)


def _gloos(line):
    """Whether every word of it is Gloo's: its threads cut into each other's lines."""
    return not re.sub(r'\[Gloo\]|Rank|is|connected|to|peer|ranks|Expected|number|of|\d+|[.:\s]', '', line)


def test_gloos_lines_are_told_from_ours():
    assert _gloos('[Gloo] Rank 0 is connected to 3 peer ranks. Expected number of connected peer ranks is : 3')
    assert _gloos('[Gloo] Rank [Gloo] Rank 0 is connected') and _gloos('1 is connected to 1 peer ranks.')
    assert not _gloos('report: 1 is connected') and not _gloos('[5/5] dsrl_ppo')


def test_the_same_files(runs):
    one, four, _ = runs

    def names(directory):
        found = {path.relative_to(directory) for path in directory.rglob('*') if path.is_file()}
        return {
            str(path)
            for path in found
            if path.suffix in ('.json', '.jsonl', '.html') and 'checkpoints' not in str(path)
        }

    assert names(four) == names(one) > {'done.json', 'noise.json', 'metrics.jsonl', 'results.jsonl', 'coverage.jsonl'}
    assert not [path for path in four.rglob('*') if path.name.endswith('.tmp')]


@pytest.mark.parametrize('name', ['metrics.jsonl', 'results.jsonl', 'coverage.jsonl'])
def test_the_same_rows(runs, name):
    one, four = (rows(directory, name) for directory in runs[:2])
    assert len(one) == len(four) > 0
    for ours, theirs in zip(four, one, strict=True):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            if isinstance(value, float):
                np.testing.assert_allclose(ours[key], value, RTOL, ATOL, err_msg=f'{key} of {theirs}')
            else:
                assert ours[key] == value, (key, theirs)


@pytest.mark.parametrize(('name', 'kind'), [('pretrained', Policy), ('dsrl_ppo', SteeredPolicy)])
def test_the_same_policies(runs, name, kind):
    (one, labels), (four, theirs) = (
        checkpoint.load_policies(directory / 'policies' / name, kind) for directory in runs[:2]
    )
    assert labels == theirs
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, RTOL, ATOL), four, one)
    assert os.path.isdir(runs[1] / 'checkpoints' / 'pretrain')
