"""Fixtures shared by the tests: code that runs on several devices, or in several processes, in a Python of its own.

The number of CPU devices is fixed when jax starts, so it cannot be changed inside the test's own process.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def _start(code: str, devices: int = 1, **environment: str) -> subprocess.Popen:
    """Starts Python on `code` with so many CPU devices; the library and the test modules can be imported."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'SLURM_'))}
    variables |= {
        'JAX_PLATFORMS': 'cpu',
        'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
        'PYTHONPATH': os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', ''))),
        'PYTHONDONTWRITEBYTECODE': '1',
    }
    command = [sys.executable, '-c', textwrap.dedent(code)]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    return subprocess.Popen(command, env=variables | environment, **pipes)


def _finish(process: subprocess.Popen, seconds: float = 240.0):
    """Waits; returns the JSON of the last line printed (None where nothing was). Fails the test if the code failed."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f'not done after {seconds} s:\n{err[-3000:]}')
    if process.returncode:
        pytest.fail(f'exit status {process.returncode}:\n{out[-1000:]}\n{err[-5000:]}')
    lines = out.strip().splitlines()
    return json.loads(lines[-1]) if lines else None


@pytest.fixture(scope='session')
def start_python():
    """start_python(code, devices=1, **environment) -> Popen."""
    return _start


@pytest.fixture(scope='session')
def finish_python():
    """finish_python(process, seconds=240) -> the JSON of its last line."""
    return _finish


@pytest.fixture(scope='session')
def run_on_devices():
    """run_on_devices(n, code): runs code on n forced CPU devices; returns the JSON that its last line prints, if any.

    Code imports what it likes of the library and the tests (`from tests import test_parallel`), and fails by raising.
    """

    def run(devices: int, code: str):
        return _finish(_start(code, devices))

    return run


@pytest.fixture(scope='session')
def run_in_processes():
    """run_in_processes(count, devices, code): the same in `count` processes of so many devices each, which join
    through parallel.initialize(), called by the code. Returns the list of what each printed last."""

    def run(count: int, devices: int, code: str):
        with socket.socket() as probe:
            probe.bind(('localhost', 0))
            address = f'localhost:{probe.getsockname()[1]}'
        processes = [
            _start(
                code,
                devices,
                JAX_COORDINATOR_ADDRESS=address,
                JAX_NUM_PROCESSES=str(count),
                JAX_PROCESS_ID=str(i),
            )
            for i in range(count)
        ]
        try:
            return [_finish(process) for process in processes]
        finally:
            for process in processes:
                process.kill()

    return run
