"""Reading a work directory: the rows that can be used, and one line about everything that is missing or broken.

First step of the report. Nothing here fails on a file's content: a run that was cut off still has a report.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from flax.traverse_util import flatten_dict, unflatten_dict

from launch import freeze, status
from launch.arms import PRETRAIN
from launch.slurm.script import indices
from postbc_jax import metrics
from postbc_jax.envelope.monitor_config import STATES

Row = dict[str, Any]


class Point(NamedTuple):
    """One point's files.

    Attributes:
      name: its directory inside the work directory; '' for the work directory itself.
      config: of config.json; {} where there is none.
      results: rows of results.jsonl.
      coverage: rows of coverage.jsonl.
      noise: rows of noise.json.
      candidates: rows of candidates.jsonl, which best_of_n alone writes.
      calibration: rows of calibration.json, which config.alpha and config.calibration ask for.
      monitor: rows of monitor.jsonl, which config.monitor asks for.
      scenarios: rows of scenarios.jsonl, which config.scenarios.every asks for.
      setting: of a run of several settings, the index of the one that this is; None of any other.
    """

    name: str
    config: dict[str, Any]
    results: list[Row]
    coverage: list[Row]
    noise: list[Row]
    candidates: list[Row]
    calibration: list[Row]
    monitor: list[Row]
    scenarios: list[Row]
    setting: int | None = None


_FILES = {
    'config.json': 'the settings cannot be shown',
    'results.jsonl': 'there are no success rates; the evaluation of the pretrained policies writes it',
    'coverage.jsonl': 'pass@N is left out; the evaluation of the pretrained policies writes it',
    'noise.json': 'the noise scale is left out; pretraining writes it',
}
_OPTIONAL = ('candidates.jsonl', 'calibration.json', 'monitor.jsonl', 'scenarios.jsonl', 'settings.json')


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _shares(value: Any) -> bool:
    return isinstance(value, list) and all(map(_share, value))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _state(value: Any) -> bool:
    return value in STATES


def _pretrain(value: Any) -> bool:
    return value in PRETRAIN


# sigma may be null in a row: of a matched arm it is known only once the posterior is.
_ARM: dict[str, Callable[[Any], bool]] = {'pretrain': _pretrain, 'alpha': _number, 'seed': _whole}
_RESULT = _ARM | {'finetune': _text, 'env_steps': _number, 'success_rate': _share, 'episodes': _whole}
_COVERAGE = _ARM | {'region': _text, 'n': _whole, 'pass_at_n': _share}
_NOISE = _ARM | {'rms': _number}
_CURVE = _ARM | {'levels': _shares, 'coverage': _shares, 'excess': _number, 'alpha_auto': _number}
_WATCHED = _ARM | {
    'finetune': _text,
    'chunk': _whole,
    'env_steps': _number,
    'state': _state,
    'did': _texts,
    'shown': _texts,
}
_CANDIDATES = _ARM | {'n': _whole, 'success_rate': _share}


def read(workdir: Path) -> tuple[list[Point], list[str]]:
    """The points of a work directory, itself (a sweep's has no config) and its point_*/, and what is wrong.

    A run of several settings is as many points as settings: what belongs to several is in each of them.
    Where the sweep is frozen there (launch.freeze), one line for every state that points which are not done are in.
    """
    points, notes = [], []
    frozen = freeze.read(workdir)
    if frozen:
        notes += unfinished(status.read(workdir, frozen))
    below = sorted(path for path in workdir.glob('point_*') if path.is_dir())
    if not below or (workdir / 'config.json').is_file():
        points += _point(workdir, '', notes)
    for directory in below:
        if any((directory / name).is_file() for name in _FILES):
            points += _point(directory, directory.name, notes)
        elif not frozen:
            notes.append(f'{directory.name}/: holds none of {", ".join(_FILES)} yet')
    return points, notes


def unfinished(points: list[status.Status]) -> list[str]:
    """'2 of 6 points failed: 1,4; the first: ...', the worst state first."""
    notes = []
    for state in ('failed', 'preempted', 'running', 'pending'):
        those = [point for point in points if point.state == state]
        if those:
            why = f'; the first: {those[0].last_line}' if those[0].last_line else ''
            are = 'failed' if state == 'failed' else f'{"is" if len(those) == 1 else "are"} {state}'
            numbers = indices([point.point for point in those])
            notes.append(f'{len(those)} of {len(points)} points {are}: {numbers}{why}')
    return notes


def _point(directory: Path, name: str, notes: list[str]) -> list[Point]:
    prefix = f'{name}/' if name else ''
    text = {}
    for file, consequence in [*_FILES.items(), *((file, '') for file in _OPTIONAL)]:
        try:
            text[file] = (directory / file).read_text(encoding='utf-8')
        except FileNotFoundError:
            if consequence:
                notes.append(f'{prefix}{file}: missing: {consequence}')
        except (OSError, UnicodeDecodeError) as error:
            notes.append(f'{prefix}{file}: cannot be read: {error}')
    config = _json(text, 'config.json', prefix, notes)
    noise = _json(text, 'noise.json', prefix, notes)
    calibration = _json(text, 'calibration.json', prefix, notes)
    point = Point(
        name=name,
        config=config if isinstance(config, dict) else {},
        results=_usable(_lines(text, 'results.jsonl', prefix, notes), _RESULT, f'{prefix}results.jsonl', notes),
        coverage=_usable(_lines(text, 'coverage.jsonl', prefix, notes), _COVERAGE, f'{prefix}coverage.jsonl', notes),
        noise=_usable(enumerate(noise if isinstance(noise, list) else [], 1), _NOISE, f'{prefix}noise.json', notes),
        candidates=_usable(
            _lines(text, 'candidates.jsonl', prefix, notes), _CANDIDATES, f'{prefix}candidates.jsonl', notes
        ),
        calibration=_usable(
            enumerate(calibration if isinstance(calibration, list) else [], 1),
            _CURVE,
            f'{prefix}calibration.json',
            notes,
        ),
        monitor=_usable(_lines(text, 'monitor.jsonl', prefix, notes), _WATCHED, f'{prefix}monitor.jsonl', notes),
        scenarios=_usable(_lines(text, 'scenarios.jsonl', prefix, notes), _RESULT, f'{prefix}scenarios.jsonl', notes),
    )
    settings = _json(text, 'settings.json', prefix, notes)
    if settings is None:
        return [point]
    if not isinstance(settings, list) or not all(isinstance(setting, dict) for setting in settings):
        notes.append(f'{prefix}settings.json: not a list of settings: those of one run cannot be told apart')
        return [point]
    return [_of_setting(point, index, setting) for index, setting in enumerate(settings)]


def _of_setting(point: Point, index: int, setting: dict[str, Any]) -> Point:
    """What belongs to one of a run's settings, as if it had been run alone."""
    config = flatten_dict(point.config, sep='.', keep_empty_nodes=True) | setting
    mine = {
        field: [row for row in getattr(point, field) if index in (row.get('settings') or ())]
        for field in ('results', 'coverage', 'noise', 'candidates', 'calibration', 'monitor', 'scenarios')
    }
    name = f'{point.name}#{index}'
    return point._replace(name=name, config=unflatten_dict(config, sep='.'), setting=index, **mine)


def _json(text: dict[str, str], file: str, prefix: str, notes: list[str]) -> Any:
    if file not in text:
        return None
    try:
        return json.loads(text[file])
    except ValueError as error:
        notes.append(f'{prefix}{file}: not JSON: {error}')
        return None


def _lines(text: dict[str, str], file: str, prefix: str, notes: list[str]) -> list[tuple[int, Row]]:
    rows = []
    for number, line in enumerate(text.get(file, '').splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append((number, metrics.decode(line, prefix + file, number)))
        except ValueError as error:
            notes.append(f'{error}: left out (cut off?)')
    return rows


def _usable(rows: Any, columns: dict[str, Callable[[Any], bool]], where: str, notes: list[str]) -> list[Row]:
    """The rows that have every column with a value that makes sense; one note about the first that has not."""
    good, bad = [], []
    for number, row in rows:
        wrong = [name for name, fits in columns.items() if not isinstance(row, dict) or not fits(row.get(name))]
        if wrong:
            bad.append((number, wrong[0], row.get(wrong[0]) if isinstance(row, dict) else row))
        else:
            good.append(row)
    if bad:
        number, name, value = bad[0]
        notes.append(f'{where}: {len(bad)} row(s) left out, the first is row {number} ({name}={value!r:.40})')
    return good
