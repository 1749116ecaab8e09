"""loop/ in processes of its own: real signals in mid-run, and several processes that stop and resume together."""

import signal
import time

import numpy as np
import pytest

from postbc_jax import checkpoint, metrics
from tests.regression import LABELS, files, numbers, run


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """(directory, final state as bytes) of a run that nothing interrupted."""
    directory = tmp_path_factory.mktemp('whole')
    return directory, numbers(run(directory).state)


SCRIPT = """
import signal, time
from tests import regression as t

stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))

def waits(chunk, state, values):
    while chunk == 2 and not stopped:
        time.sleep(0.01)
    return t.evaluate(chunk, state, values)

try:
    t.run({directory!r}, after_chunk=waits, stop=lambda: bool(stopped))
except t.loop.Preempted:
    print('"preempted"')
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_a_real_signal_in_mid_run(whole, tmp_path, start_python, finish_python, number):
    process = start_python(SCRIPT.format(directory=str(tmp_path)))
    _wait_for(tmp_path / 'metrics.jsonl', rows=2 * len(LABELS))  # it is in the hook of chunk 2
    process.send_signal(number)
    if number == signal.SIGTERM:
        assert finish_python(process) == 'preempted'
    else:
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    outcome = run(tmp_path)
    # Stopping is asked for before the hook, so chunk 3 is still run. The save of chunk 1 may be killed or be whole.
    assert outcome.resumed_from in ((3,) if number == signal.SIGTERM else (0, 1))
    assert numbers(outcome.state) == whole[1]
    assert files(tmp_path) == files(whole[0])


def _wait_for(path, rows):
    limit = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b'\n') < rows:
        assert time.monotonic() < limit, f'{path} never had {rows} rows'
        time.sleep(0.01)


IN_PROCESSES = """
import json, sys
from postbc_jax import parallel
parallel.initialize()
from tests import regression as t
from postbc_jax import checkpoint
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.policies import Policy, PolicyConfig
import jax
answers = iter([False, False, jax.process_index() == 1])  # process 1 alone is told to stop, in chunk 2
try:
    t.run({directory!r}, after_chunk=None, save_chunks=None, stop=answers.__next__)
except t.loop.Preempted as error:
    first = str(error)
outcome = t.run({directory!r}, after_chunk=None, save_chunks=None)
params = outcome.state.params
policies = Policy({{'w': params}}, Normaliser(*[params] * 5), PolicyConfig('flow', obs_size=3, action_size=3))
checkpoint.save_policy({directory!r} + '/policies', policies, t.LABELS)
print(json.dumps([first, outcome.resumed_from, t.parallel.gather(params, 3).tolist()]))
"""


def test_two_processes_stop_and_resume_together(whole, tmp_path, run_in_processes):
    """2 x 2 devices: a mesh of 2 learners x 2 parts of their rows; the numbers of one device, to rounding."""
    first, second = run_in_processes(2, 2, IN_PROCESSES.format(directory=str(tmp_path)))
    assert first == second
    assert first[:2] == ['fit: stopped and saved after chunk 2 of 4', 2]
    params = np.frombuffer(bytes.fromhex(whole[1][0]), np.float32).reshape(3, 3)
    np.testing.assert_allclose(first[2], params, rtol=1e-5, atol=1e-6)
    stack, labels = checkpoint.load_policies(tmp_path / 'policies')
    np.testing.assert_array_equal(stack.params['w'], np.float32(first[2]))
    assert labels == LABELS
    ours, theirs = metrics.read(tmp_path / 'metrics.jsonl'), metrics.read(whole[0] / 'metrics.jsonl')
    assert [(row['chunk'], row['learner']) for row in ours] == [(row['chunk'], row['learner']) for row in theirs]
    np.testing.assert_allclose([row['loss'] for row in ours], [row['loss'] for row in theirs], rtol=1e-5)
