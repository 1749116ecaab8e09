"""What has become of every point of a sweep, from its work directory and, where there is one, Slurm's queue.

`python -m launch.status` prints it; launch.slurm and launch.report ask. Reads alone: it works at any time, anywhere.
"""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from launch import freeze, workdir
from launch.slurm import queue

STATES = ('pending', 'running', 'preempted', 'failed', 'done')
SILENT_SECONDS = 600.0  # after which a run that cannot be asked is taken for dead


class Status(NamedTuple):
    """One point.

    Attributes:
      point: its number.
      state: of STATES. A preempted one has saved, or was killed, and goes on from there.
      settings: the point's.
      directory: where it lies.
      stage: 'pretrain'; None before the first.
      stages: [3, 5], the third of five.
      chunk, chunks: of the stage.
      metric: the last, {'success_rate': 0.4}.
      host, job, begun, updated: of the last run.
      queue: Slurm's word for its job; '' where it has none.
      error: of a failed one, with its traceback.
    """

    point: int
    state: str
    settings: dict[str, Any]
    directory: str
    stage: str | None = None
    stages: list[int] | None = None
    chunk: int | None = None
    chunks: int | None = None
    metric: dict[str, float] | None = None
    host: str | None = None
    job: str | None = None
    begun: str | None = None
    updated: str | None = None
    queue: str = ''
    error: str | None = None

    @property
    def last_line(self) -> str:
        """Of the error; '' where there is none."""
        return ((self.error or '').strip().splitlines() or [''])[-1].strip()


_SAID = ('stage', 'stages', 'chunk', 'chunks', 'metric', 'host', 'job', 'begun', 'updated')


def read(
    directory: Path, sweep: freeze.Sweep | None = None, jobs: Mapping[int, queue.Job] | None = None
) -> list[Status]:
    """The status of every point.

    Args:
      directory: the work directory.
      sweep: the sweep; default: what is frozen there, and where nothing is, the points that have begun.
      jobs: of the queue; default: it is asked, where there is one.

    Raises:
      ValueError: there is no such directory, or its sweep.json is none.
    """
    if sweep is None and not directory.is_dir():
        raise ValueError(f'{directory}: no such directory; give the work directory of a run')
    sweep = sweep or freeze.read(directory)
    if jobs is None:
        with contextlib.suppress(ValueError):
            jobs = queue.jobs(directory)
    if sweep:
        count = len(sweep.points)
        places = {index: workdir.directory_of(directory, index, count) for index in range(count)}
    else:
        names = sorted(path for path in directory.glob('point_*') if path.name[6:].isdigit())
        places = {int(path.name[6:]): path for path in names} or {0: directory}
    stage, points = (sweep.stage, sweep.points) if sweep else ('', {index: {} for index in places})
    return [_status(directory, place, index, points[index], stage, jobs) for index, place in places.items()]


def _status(
    whole: Path, place: Path, index: int, settings: dict, stage: str, jobs: Mapping[int, queue.Job] | None
) -> Status:
    said, job = _said(place), (jobs or {}).get(index)
    log = _log(whole, index)
    state, error = _state(place, said, job, jobs is not None, stage, log)
    known = {name: said.get(name) for name in _SAID}
    if job and not job.waits:
        known |= {'host': job.node, 'job': job.id}
    queued = {'queue': job.state} if job else {}
    return Status(index, state, settings, str(place), **known, **queued, error=error)


def _state(
    place: Path, said: dict[str, Any], job: queue.Job | None, asked: bool, stage: str, log: Path | None
) -> tuple[str, str | None]:
    """(state, error). The queue knows better than status.json, which a killed process leaves as it was."""
    written, runs = said.get('state'), job is not None and not job.waits
    if workdir.finished(place, stage):
        return 'done', None
    if written == 'failed' and (job is None or (runs and said.get('job') == job.id)):
        return 'failed', said.get('error')
    if written == 'preempted':
        return 'preempted', None
    if written == 'running' and not runs:
        if job:
            return 'preempted', None  # it went down with its node, and waits for another
        if asked and said.get('job') or not _alive(said):
            return 'failed', f'it ended without a word: killed, perhaps for its memory{f"; see {log}" if log else ""}'
    if runs or (written == 'running' and job is None):
        return 'running', None
    if job is None and log and not said:
        return 'failed', _tail(log)
    return 'pending', None


def _said(place: Path) -> dict[str, Any]:
    """status.json; {} where there is none that can be read."""
    try:
        said = json.loads((place / 'status.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _alive(said: dict[str, Any]) -> bool:
    """Whether the process that wrote it still runs, as far as can be told from here."""
    if said.get('host') == socket.gethostname() and isinstance(said.get('pid'), int):
        try:
            os.kill(said['pid'], 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            pass
        return True
    try:
        age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(said.get('updated') or '')
    except (TypeError, ValueError):
        return False
    return age.total_seconds() < SILENT_SECONDS


def _log(directory: Path, index: int) -> Path | None:
    """The newest log of a point's jobs."""
    logs = [path for path in (directory / 'logs').glob(f'*_{index}.out')]
    return max(logs, key=lambda path: path.stat().st_mtime, default=None)


def _tail(log: Path) -> str:
    """A log's last kilobytes: it may be long."""
    with open(log, 'rb') as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        text = file.read().decode(errors='replace').strip()
    return text or f'it ended before it had begun; {log} is empty'
