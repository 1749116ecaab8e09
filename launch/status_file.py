"""status.json of one point: where its run is, or how it ended, for those who look from outside while it goes on.

Written by launch.run, read by launch.status. A process that is killed leaves 'running' behind: the reader finds out.
"""

import contextlib
import datetime
import fcntl
import json
import os
import socket
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from launch import errors
from postbc_jax import atomic, loop

NAME = 'status.json'
EVERY = 5.0  # seconds between two writings while a stage goes on


class StatusFile:
    """DIR/status.json, replaced whole each time; the first process alone writes. A context: its end says how it ended.

    Its keys: state ('running', 'preempted', 'failed' or 'done'), stage and stages ([3, 5] is the third of five), chunk
    and chunks of that stage, metric ({name: value}, the last that was measured), host, pid, job (of Slurm, else null),
    begun and updated (ISO 8601, UTC) and error (text, else null). A run that begins no stage, because it is refused or
    there is nothing left to do, leaves the file of a finished one as it is.
    """

    def __init__(self, directory: Path):
        self._file, self._written = directory / NAME, 0.0
        self._status: dict[str, Any] = {
            'state': 'running',
            'stage': '',
            'stages': [0, 0],
            'chunk': 0,
            'chunks': 0,
            'metric': None,
            'host': socket.gethostname(),
            'pid': os.getpid(),
            'job': job(),
            'begun': _now(),
            'updated': _now(),
            'error': None,
        }

    def __enter__(self) -> 'StatusFile':
        return self

    def __exit__(self, kind, error, trace) -> None:
        if not self._status['stage'] and read(self._file.parent).get('state') == 'done':
            return
        if error is None:
            self._end('done')
        elif isinstance(error, loop.Preempted):
            self._end('preempted')
        elif isinstance(error, Exception):
            self._end('failed', errors.refusal(error) or ''.join(traceback.format_exception(error)).rstrip())
        else:
            self._end('preempted', f'{kind.__name__}: {error}')

    def stage(self, name: str, number: int, of: int) -> None:
        """A stage begins."""
        self._status.update(stage=name, stages=[number, of], chunk=0, chunks=0)
        self._write()

    def chunk(self, done: int, chunks: int, numbers: dict[str, float]) -> None:
        """So many chunks of the stage are done; written where the last writing is old enough."""
        metric = {name: float(numbers[name]) for name in ('loss', 'success') if name in numbers}
        self._status.update(chunk=done, chunks=chunks, metric=metric or self._status['metric'])
        if time.monotonic() - self._written >= EVERY:
            self._write()

    def _end(self, state: str, error: str | None = None) -> None:
        self._status.update(state=state, error=error)
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        if jax.process_index() == 0:
            self._status['updated'] = _now()
            atomic.write(self._file, json.dumps(self._status, indent=1) + '\n')


def read(directory: Path) -> dict[str, Any]:
    """DIR/status.json; {} where none can be read."""
    try:
        return json.loads((directory / NAME).read_text())
    except (OSError, ValueError):
        return {}


def job() -> str | None:
    """Slurm's name for this job, as squeue prints it: '1234_5' for a task of an array; None outside Slurm."""
    array, task = os.environ.get('SLURM_ARRAY_JOB_ID'), os.environ.get('SLURM_ARRAY_TASK_ID')
    return f'{array}_{task}' if array and task else os.environ.get('SLURM_JOB_ID')


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Holds DIR/lock, so that a point never runs twice at once; the lock ends with its process, however it ends.

    The first process of several holds it for all. File systems that know no locks are taken as they are.

    Raises:
      ValueError: another process holds it.
    """
    if jax.process_index():
        yield
        return
    with open(directory / 'lock', 'a') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f'{directory}: another process is running this point: {_holder(directory)}') from None
        except OSError:
            pass
        yield


def _holder(directory: Path) -> str:
    status = read(directory)
    who = f'process {status["pid"]} on {status["host"]}; ' if status.get('state') == 'running' else ''
    return f'{who}wait for it, or stop it'


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
