"""Which points of a work directory Slurm has in its queue; read by launch.slurm and launch.status."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

_ENDED = ('COMPLETING', 'COMPLETED', 'CANCELLED', 'FAILED', 'TIMEOUT', 'NODE_FAIL', 'OUT_OF_MEMORY')


class Job(NamedTuple):
    """A point's task in the queue.

    Attributes:
      id: '1234_5'.
      state: Slurm's word, 'PENDING'.
      node: '' while it waits.
    """

    id: str
    state: str
    node: str

    @property
    def waits(self) -> bool:
        return not self.node


def jobs(workdir: Path) -> dict[int, Job]:
    """{point: its job} of this user's jobs whose script is one of workdir/submit_*.sh.

    Raises:
      ValueError: there is no Slurm here, or it does not answer.
    """
    found: dict[int, Job] = {}
    for line in call('squeue', '--me', '--noheader', '--array', '--format=%F|%K|%T|%N|%o').splitlines():
        array, index, state, node, script = line.split('|', 4)
        ours = Path(script).parent == workdir.resolve() and re.fullmatch(r'submit_\d+\.sh', Path(script).name)
        if ours and (int(index) not in found or state not in _ENDED):
            found[int(index)] = Job(f'{array}_{index}', state, node)
    return found


def call(*command: str, **settings) -> str:
    """What a command of Slurm prints.

    Raises:
      ValueError: it is not there, or fails; the message is its last line.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)
    except FileNotFoundError:
        raise ValueError(f'{command[0]}: not found: Slurm is not installed here') from None
    except subprocess.TimeoutExpired:
        raise ValueError(f'{command[0]}: no answer in two minutes') from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]
        raise ValueError(f'{command[0]}: {said.removeprefix(f"{command[0]}: ").removeprefix("error: ")}')
    return done.stdout
