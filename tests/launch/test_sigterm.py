"""SIGTERM where the loop is not there to hear it: in a call that takes long, and in several processes."""

import signal
import time

LONG = """
import jax, jax.numpy as jnp
from launch import preemption
from launch.status_file import StatusFile
from pathlib import Path

asked = preemption.Preemption(grace=0.5)
with StatusFile(Path({directory!r})) as status:
    asked.at_last = status.preempted
    status.stage('policies', 3, 5)
    long = jax.jit(lambda x: jax.lax.fori_loop(0, 2**31 - 1, lambda i, x: jnp.sin(x), x))
    jax.block_until_ready(long(jnp.ones(1000)))  # hours
"""


def test_a_call_that_takes_long_is_left_where_it_is(start_python, tmp_path):
    process = start_python(LONG.format(directory=str(tmp_path)))
    file = tmp_path / 'status.json'
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(1.0)  # it is inside the call, or on its way there
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75 and out == ''
    assert err.splitlines() == [
        'stopped where it was, 0.5 s after SIGTERM, before it came to a save; run the same command again to go on from '
        'the last checkpoint'
    ]
    assert '"state": "preempted"' in file.read_text()


SOON = """
from launch import preemption, run
import os, signal, sys, time

run.start()
os.kill(os.getpid(), signal.SIGTERM)
while not preemption.listening().asked:
    time.sleep(0.01)
print('"asked"')
"""


def test_a_process_that_stops_by_itself_does_so_at_once(start_python, finish_python, tmp_path):
    assert finish_python(start_python(_with_flags(SOON))) == 'asked'


def _with_flags(code):
    return "from absl import flags\nflags.FLAGS(['test', '--compilation_cache='])\n".join(
        ['from launch import run\n', code]
    )


SEVERAL = """
import json, os, signal, time
from absl import flags
from launch import preemption, run
from tests import regression as t

flags.FLAGS(['test', '--compilation_cache='])
run.start()
import jax
asked = preemption.listening()

def signalled(chunk, state, values):
    if chunk == 2 and jax.process_index() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
        while not asked.asked:
            time.sleep(0.01)

try:
    t.run({directory!r}, after_chunk=signalled, save_chunks=None, stop=lambda: asked.asked)
except t.loop.Preempted as error:
    print(json.dumps(str(error)))
"""


def test_a_signal_to_one_of_two_processes_stops_both(run_in_processes, tmp_path):
    said = run_in_processes(2, 1, SEVERAL.format(directory=str(tmp_path)))
    assert said == ['fit: stopped and saved after chunk 3 of 4'] * 2


LATE = """
import os, signal
from launch import run

def stopped():
    raise run.loop.Preempted('saved')

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGTERM):  # in the interpreter's last moments
        kill(pid, number)

late = Late()
run.guarded(stopped)
"""


def test_another_signal_at_the_very_end_does_not_change_the_exit_status(start_python):
    process = start_python(LATE)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (75, '', 'saved; run the same command again to go on\n')
