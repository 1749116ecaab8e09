"""The points of a sweep in processes of this machine, several at a time: what launch.local does with --processes=N.

Each is python -m launch.run on the frozen code, as under Slurm, with the same files; here they are started and waited
for. SIGTERM is passed on to them.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from launch import preemption
from postbc_jax import cores, loop

_POLL = 0.1  # seconds


class _Running(NamedTuple):
    process: subprocess.Popen
    slot: int
    began: float


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    points: Sequence[int],
    processes: int,
    logs: Path,
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> list[int]:
    """Runs the points, at most so many at a time; returns those that failed.

    Args:
      command: of a process; --point=N and what keeps processes out of each other's way is added.
      environment: of a process.
      points: their numbers.
      processes: at a time. They share the cores that this one may use, and the devices of CUDA_VISIBLE_DEVICES where
        these are at least as many.
      logs: the directory for what they print, point_NNNN.out, to which a later start adds.
      say: is told each line of what goes on.
      stop: asked all the time whether a SIGTERM has come.

    Raises:
      loop.Preempted: SIGTERM came; every process has saved or was ended, and goes on when started again.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, running, failed, preempted = list(points), {}, [], []
    told = False
    try:
        while running or (waiting and not told):
            if stop() and not told:
                told = True
                for one in running.values():
                    one.process.send_signal(signal.SIGTERM)
            free = sorted(set(range(processes)) - {one.slot for one in running.values()})
            for slot in free if not told else ():
                if waiting:
                    point = waiting.pop(0)
                    say(f'point {point}: begins, {len(points) - len(waiting)} of {len(points)}')
                    running[point] = _start(command, environment, point, slot, processes, logs)
            time.sleep(_POLL)
            for point, one in list(running.items()):
                status = one.process.poll()
                if status is None:
                    continue
                del running[point]
                seconds = f'{time.monotonic() - one.began:.0f} s'
                if status == preemption.STATUS:
                    preempted.append(point)
                    say(f'point {point}: stopped and saved ({seconds})')
                elif status:
                    failed.append(point)
                    say(f'point {point}: failed ({seconds}): {_last_line(_log(logs, point))}')
                else:
                    say(f'point {point}: done ({seconds})')
    finally:
        for one in running.values():
            one.process.kill()
            one.process.wait()
    if told or preempted:
        raise loop.Preempted(f'{len(preempted)} points stopped and saved, {len(waiting)} not begun')
    return sorted(failed)


def _start(
    command: Sequence[str], environment: Mapping[str, str], point: int, slot: int, processes: int, logs: Path
) -> _Running:
    environment = dict(environment)
    devices = [name for name in environment.get('CUDA_VISIBLE_DEVICES', '').split(',') if name]
    if len(devices) >= processes:
        environment['CUDA_VISIBLE_DEVICES'] = ','.join(share(devices, slot, processes))
    with open(_log(logs, point), 'ab') as log:
        process = subprocess.Popen(
            [*command, f'--point={point}'], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    if hasattr(os, 'sched_setaffinity'):  # before it has threads
        mine = share(sorted(os.sched_getaffinity(0))[: cores.available()], slot, processes)
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.sched_setaffinity(process.pid, mine)
    return _Running(process, slot, time.monotonic())


def share(things: Sequence, slot: int, slots: int) -> list:
    """What one of so many slots has of things: an equal part, or one that it shares where they are too few."""
    return list(things[slot::slots]) or [things[slot % len(things)]]


def _log(logs: Path, point: int) -> Path:
    return logs / f'point_{point:04d}.out'


def _last_line(log: Path) -> str:
    lines = log.read_text(errors='replace').strip().splitlines()
    return f'{lines[-1] if lines else "it said nothing"}; {log}'
