"""Runs a pod's commands: asks for TPUs, waits, sets machines up, runs, and begins again where they were taken away.

Between launch.tpu_pod.commands, which are run, and launch.tpu_pod, the command line.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from launch.tpu_pod import commands
from launch.tpu_pod.commands import Pod

DONE, FAILED, PREEMPTED = 0, 1, 75  # what launch.run says; anything else is a machine that was lost, or killed
_LOST = ('FAILED', 'SUSPENDING', 'SUSPENDED', 'DELETING', 'PREEMPTED', 'TERMINATED', 'STOPPED')
_PATIENCE = 5  # failures of gcloud in a row until it is believed


class Answer(NamedTuple):
    """What a command said: its exit status, and what it printed where that was asked for."""

    status: int
    out: str = ''
    error: str = ''


def call(command: Sequence[str], read: bool = False) -> Answer:
    """Runs a command; its output goes where ours goes, or with `read` comes back.

    Raises:
      ValueError: it is not installed.
    """
    try:
        done = subprocess.run(command, capture_output=read, text=True)
    except FileNotFoundError:
        remedy = {'gcloud': 'install the Google Cloud CLI', 'xpk': 'pip install xpk'}[command[0]]
        raise ValueError(f'{command[0]}: not found: {remedy}') from None
    return Answer(done.returncode, (done.stdout or '').strip(), (done.stderr or '').strip())


def state(pod: Pod, poll: float) -> str:
    """'ACTIVE' where the machines can be used, else the state of the request or of its machines; '' if there are none.

    Raises:
      ValueError: gcloud does not answer.
    """
    for _ in range(_PATIENCE):
        asked = call(commands.describe(pod), read=True)
        if asked.status and 'NOT_FOUND' in asked.error:
            return ''
        if not asked.status and asked.out != 'ACTIVE':
            return asked.out
        machines = asked if asked.status else call(commands.health(pod), read=True)
        if not machines.status:
            return 'ACTIVE' if machines.out == 'READY' else machines.out
        if 'NOT_FOUND' in machines.error:
            return 'TERMINATED'
        time.sleep(poll)
    raise ValueError(f'gcloud: {(machines.error.splitlines() or ["no answer"])[-1]}')


def acquire(pod: Pod, note: Callable[[str], None], poll: float) -> str:
    """Waits until the machines are there, asking for them where nobody has: 'kept', 'new', or 'lost' while waiting.

    Raises:
      ValueError: they cannot be asked for.
    """
    new, said = False, ''
    while (now := state(pod, poll)) != 'ACTIVE':
        if (now in _LOST or not now) and new:
            return 'lost'
        if now in _LOST:
            note(f'{pod.name}: {now}: given back')
            call(commands.delete(pod))
            now = ''
        if not now:
            if call(commands.create(pod)).status:
                raise ValueError(f'{pod.name}: gcloud does not take the request: see above')
            new, now = True, 'asked for'
        if now != said:
            note(f'{pod.name}: {now}')
            said = now
        time.sleep(poll)
    return 'new' if new else 'kept'


def supervise(pod: Pod, script: str, max_restarts: int, note: Callable[[str], None], poll: float = 30.0) -> None:
    """Runs the script on all machines of a pod until it is done.

    It is run again after a preemption (75), and where a machine was lost: any other status but 1, or 1 where the
    machines are not as they were. The machines stay: a failed run is looked into on them.

    Args:
      pod: which.
      script: commands.run's.
      max_restarts: how often it is run again at most.
      note: what has happened, a line each.
      poll: seconds between two looks at a request that waits.

    Raises:
      ValueError: the run failed, or was preempted too often.
    """
    ready = False
    for start in range(1, max_restarts + 2):
        found, status = acquire(pod, note, poll), None
        if found == 'new' or (found == 'kept' and not ready):
            ready = not call(commands.on_workers(pod, commands.prepare(pod))).status
        if found != 'lost' and ready:
            status = call(commands.on_workers(pod, script)).status
        if status == DONE:
            return
        if status == FAILED and state(pod, poll) == 'ACTIVE':
            raise ValueError(f'{pod.name}: the run failed: see above; its machines are kept, --delete gives them back')
        why = {PREEMPTED: 'preempted and saved', None: 'no machines that could be set up'}
        said = why.get(status, f'a machine was lost (exit status {status})')
        note(f'{pod.name}: start {start} of at most {max_restarts + 1}: {said}')
    raise ValueError(f'{pod.name}: not done after {max_restarts + 1} starts: the same command goes on')
