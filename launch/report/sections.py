"""Sections of the report: one per experiment, task, finetuner and setting, each with its numbers by arm and seed.

Between reading and comparing. A seed is identified by its point too, so that points that differ only in their root
seed are pooled, and nothing is paired that was not run together.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from launch.arms import Arm, arm_of
from launch.report.arms import ordered
from launch.report.read import Point, Row

Unit = tuple[str, int]  # (point, seed)
MANY = 8  # sections; more are told of together


@dataclasses.dataclass(frozen=True)
class Curves:
    """Finetuning curves of one arm: steps (P,), success (U, P) averaged over finetuning seeds, one row a unit."""

    steps: np.ndarray
    units: tuple[Unit, ...]
    success: np.ndarray

    def final(self) -> dict[Unit, float]:
        """Success at the last evaluation."""
        return dict(zip(self.units, self.success[:, -1].tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class Section:
    """What was measured in one setting.

    Attributes:
      title: task and what sets the section apart.
      task: the environment's name.
      setting: {name of a setting: value}, of those in which the sections differ; None where a config has it not.
      points: the names of the points that it was measured in.
      algorithm: the finetuner's name; '' where nothing was finetuned.
      arms: in order.
      noise: {arm: {unit: row of noise.json}}.
      coverage: {region: {arm: {N: {unit: pass@N}}}}.
      starts: {region: smallest number of start states}.
      pretrained: {arm: {unit: success of the untouched policy}}.
      regions: {'before' or 'after': {arm: {region: {unit: success}}}}.
      runs: {(arm, unit, finetuning seed): (2, evaluations)}, the environment steps and the success of one run, from the
        untouched policy on.
      curves: {arm: Curves}, all on the same steps; empty where nothing was finetuned.
      calibration: {arm: {unit: row of calibration.json}}, of the section's arms.
      candidates: of best_of_n, {arm: {N: {unit: success}}}.
      contexts: {'before' or 'after': {arm: {context: what each row says of it}}}.
      watched: {(arm, unit, finetuning seed): rows of monitor.jsonl}; empty where nobody watched.
      scenarios: the same of scenarios.jsonl, during finetuning.
      episodes: fewest episodes behind a success rate.
      finetune_seeds: largest number of finetuning seeds of a unit.
    """

    title: str
    task: str
    setting: dict[str, Any]
    points: tuple[str, ...]
    algorithm: str
    arms: tuple[Arm, ...]
    noise: dict[Arm, dict[Unit, Row]]
    coverage: dict[str, dict[Arm, dict[int, dict[Unit, float]]]]
    starts: dict[str, int]
    pretrained: dict[Arm, dict[Unit, float]]
    regions: dict[str, dict[Arm, dict[str, dict[Unit, float]]]]
    runs: dict[tuple[Arm, Unit, int], np.ndarray]
    curves: dict[Arm, Curves]
    calibration: dict[Arm, dict[Unit, Row]]
    candidates: dict[Arm, dict[int, dict[Unit, float]]]
    contexts: dict[str, dict[Arm, dict[str, list[Row]]]]
    watched: dict[tuple[Arm, Unit, int], list[Row]]
    scenarios: dict[tuple[Arm, Unit, int], list[Row]]
    episodes: int
    finetune_seeds: int


def build(points: list[Point], leave_out: Iterable[str] = ()) -> tuple[list[Section], list[str]]:
    """The sections of a work directory and notes about what is unfinished.

    Args:
      points: what was read.
      leave_out: names of settings in which points of one section may differ.
    """
    groups: dict[tuple[str, ...], list[Point]] = defaultdict(list)
    settings = _differences(points, leave_out)
    for point in points:
        first = (point.results or point.coverage or [{}])[0]
        experiment = str(first.get('experiment') or point.config.get('experiment') or '')
        task = str(first.get('task') or point.config.get('env') or 'task unknown')
        groups[(experiment, task, _title(settings[point.name]))].append(point)
    found, unfinished = [], defaultdict(list)
    several = len(_finetuned(points)) > 1
    for (_, task, setting), members in groups.items():
        for algorithm in sorted(_finetuned(members)) or ['']:
            title = ', '.join(filter(None, [task, setting, algorithm if several else '']))
            section = _section(title, task, settings[members[0].name], algorithm, members)
            if section.arms:
                found.append(section)
                for note in _unfinished(section, members):
                    unfinished[note].append(title)
    return found, [note for text, titles in unfinished.items() for note in _of_many(text, titles)]


def _of_many(text: str, titles: list[str]) -> list[str]:
    """The note of every title, one for many."""
    if len(titles) > MANY:
        return [f'{titles[0]} and {len(titles) - 1} other sections: {text}']
    return [f'{title}: {text}' for title in titles]


def _finetuned(points: list[Point]) -> set[str]:
    return {row['finetune'] for point in points for row in point.results} - {'none'}


def _differences(points: list[Point], leave_out: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What each point's config has that others' of its task have not, but for what makes it a replicate."""
    said = {'seed', 'env', 'experiment', 'finetune.algorithm', 'fold', 'fold_sweep', *leave_out}
    tasks: dict[Any, dict[str, dict[str, Any]]] = defaultdict(dict)
    for point in points:
        tasks[point.config.get('env')][point.name] = flatten_dict(point.config, sep='.')
    found = {}
    for configs in tasks.values():
        keys = sorted({key for config in configs.values() for key in config} - said)
        spread = [key for key in keys if len({json.dumps(config.get(key)) for config in configs.values()}) > 1]
        found |= {name: {key: config.get(key) for key in spread} for name, config in configs.items()}
    return found


def _title(setting: dict[str, Any]) -> str:
    return ', '.join(f'{key}={"unset" if value is None else value}' for key, value in setting.items())


def _section(title: str, task: str, setting: dict[str, Any], algorithm: str, points: list[Point]) -> Section:
    noise, calibration, pretrained, at_zero = _nested(), _nested(), _nested(), _nested()
    coverage, starts = defaultdict(lambda: defaultdict(_nested)), {}
    runs: dict[tuple[Arm, Unit, int], dict[float, Row]] = defaultdict(dict)
    episodes = []
    for point in points:
        for row in point.noise:
            noise[arm_of(row)][(point.name, row['seed'])] = row
        for row in point.calibration:
            calibration[arm_of(row)][(point.name, row['seed'])] = row
        for row in point.coverage:
            coverage[row['region']][arm_of(row)][row['n']][(point.name, row['seed'])] = row['pass_at_n']
            known = starts.get(row['region'], row.get('starts') or 0)
            starts[row['region']] = min(known, row.get('starts') or 0)
        for row in point.results:
            arm, unit = arm_of(row), (point.name, row['seed'])
            if row['finetune'] in ('none', algorithm) and row['env_steps'] == 0:
                chosen = pretrained if row['finetune'] == 'none' else at_zero
                chosen[arm][unit] = row
            if row['finetune'] == algorithm:
                runs[(arm, unit, row.get('finetune_seed') or 0)][row['env_steps']] = row  # the last row counts
            if row['finetune'] in ('none', algorithm):
                episodes.append(row['episodes'])
    for arm, units in at_zero.items():
        for unit, row in units.items():
            pretrained[arm].setdefault(unit, row)
    untouched = [(arm, unit, row) for arm, units in pretrained.items() for unit, row in units.items()]
    series = _series(runs, pretrained)
    last = [(arm, unit, rows[max(rows)]) for (arm, unit, _), rows in runs.items() if max(rows) > 0]
    arms = ordered([*noise, *pretrained, *(arm for arm, _, _ in runs), *(a for c in coverage.values() for a in c)])
    return Section(
        title=title,
        task=task,
        setting=setting,
        points=tuple(point.name for point in points),
        algorithm=algorithm,
        arms=arms,
        noise=noise,
        coverage=coverage,
        starts=starts,
        pretrained={
            arm: {unit: row['success_rate'] for unit, row in units.items()} for arm, units in pretrained.items()
        },
        regions={'before': _by_region(untouched), 'after': _by_region(last)},
        runs=series,
        curves=_curves(series),
        calibration={arm: calibration[arm] for arm in arms if arm in calibration},
        candidates=_candidates(points) if algorithm == 'best_of_n' else {},
        contexts={'before': _by_context(untouched), 'after': _by_context(last)},
        watched=_by_run(points, 'monitor', algorithm),
        scenarios=_by_run(points, 'scenarios', algorithm),
        episodes=min(episodes, default=0),
        finetune_seeds=max((seed for _, _, seed in runs), default=-1) + 1,
    )


def _nested() -> defaultdict:
    return defaultdict(dict)


def _by_region(rows: Iterable[tuple[Arm, Unit, Row]]) -> dict[Arm, dict[str, dict[Unit, float]]]:
    """Success by region; several rows of a unit (its finetuning seeds) are averaged."""
    rates: dict[tuple[Arm, str, Unit], list[float]] = defaultdict(list)
    for arm, unit, row in rows:
        for region, rate in (row.get('regions') or {}).items():
            rates[arm, region, unit].append(rate)
    found: dict[Arm, dict[str, dict[Unit, float]]] = defaultdict(_nested)
    for (arm, region, unit), values in rates.items():
        found[arm][region][unit] = float(np.mean(values))
    return found


def _by_context(rows: Iterable[tuple[Arm, Unit, Row]]) -> dict[Arm, dict[str, list[Row]]]:
    found: dict[Arm, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for arm, _, row in rows:
        for name, said in (row.get('contexts') or {}).items():
            found[arm][name].append(said)
    return found


def _candidates(points: list[Point]) -> dict[Arm, dict[int, dict[Unit, float]]]:
    """Success by the number of candidates, averaged over finetuning seeds."""
    rates: dict[tuple[Arm, int, Unit], list[float]] = defaultdict(list)
    for point in points:
        for row in point.candidates:
            rates[arm_of(row), row['n'], (point.name, row['seed'])].append(row['success_rate'])
    found: dict[Arm, dict[int, dict[Unit, float]]] = defaultdict(_nested)
    for (arm, n, unit), values in rates.items():
        found[arm][n][unit] = float(np.mean(values))
    return found


def _by_run(points: list[Point], field: str, algorithm: str) -> dict[tuple[Arm, Unit, int], list[Row]]:
    """What a field of the points has of every run of a finetuner, in its order."""
    found = defaultdict(list)
    for point in points:
        for row in getattr(point, field):
            if row['finetune'] == algorithm:
                found[arm_of(row), (point.name, row['seed']), row.get('finetune_seed') or 0].append(row)
    return dict(found)


def _series(
    runs: dict[tuple[Arm, Unit, int], dict[float, Row]], pretrained: dict[Arm, dict[Unit, Row]]
) -> dict[tuple[Arm, Unit, int], np.ndarray]:
    """(2, evaluations) of every run that has gone further than its start, which is its policy's where it has none."""
    series = {}
    for (arm, unit, seed), rows in runs.items():
        points = {steps: row['success_rate'] for steps, row in rows.items()}
        if unit in pretrained.get(arm, {}):
            points.setdefault(0, pretrained[arm][unit]['success_rate'])
        if max(points) > 0:
            series[(arm, unit, seed)] = np.array(sorted(points.items()), float).T
    return series


def _curves(series: dict[tuple[Arm, Unit, int], np.ndarray]) -> dict[Arm, Curves]:
    """All runs on the evaluations of the one that is least far; linear between evaluations where theirs differ.

    Runs with one evaluation each after the start (best_of_n, however many its critics had) are taken as they are, at
    their mean step: nothing was measured on the way there that a line could stand for.
    """
    if not series:
        return {}
    grid = min(series.values(), key=lambda xy: (xy[0, -1], xy.shape[1]))[0]
    once = all(xy.shape[1] == 2 for xy in series.values())
    if once:
        grid = np.mean([steps for steps, _ in series.values()], axis=0)
    by_unit: dict[Arm, dict[Unit, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    for (arm, unit, _), (steps, success) in series.items():
        by_unit[arm][unit].append(success if once else np.interp(grid, steps, success))
    return {
        arm: Curves(grid, tuple(sorted(units)), np.stack([np.mean(units[unit], axis=0) for unit in sorted(units)]))
        for arm, units in by_unit.items()
    }


def _unfinished(section: Section, points: list[Point]) -> list[str]:
    notes = []
    if not section.curves:
        asked = {str(flatten_dict(point.config, sep='.').get('finetune.algorithm', '')) for point in points}
        if asked != {'none'}:
            notes.append('no finetuned policy yet: curves and differences after finetuning are left out')
        return notes
    for point in points:
        chunks = flatten_dict(point.config, sep='.').get('finetune.chunks')
        mine = [row for row in point.results if row['finetune'] == section.algorithm]
        # Evaluations, not points of the curve: best_of_n plays nothing between them.
        done = max((row.get('chunk', -1) for row in mine), default=-1)
        done = done if done >= 0 else len(next(iter(section.curves.values())).steps) - 1
        if isinstance(chunks, int) and done < chunks:
            notes.append(f'finetuning has been evaluated {done} of {chunks} times: not finished')
            break
    missing = [arm.name for arm in section.arms if arm not in section.curves]
    if missing:
        notes.append(f'not finetuned: {", ".join(missing)}')
    return notes
