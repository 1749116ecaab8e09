"""Every number of the evidence, as what evidence.json holds: by task and arm, by comparison, and over tasks.

Between the report's sections and the evidence's page, which shows nothing that is not here. Intervals are 95%:
Student's t over seeds for means and paired differences, bootstraps over seeds for IQMs, medians and restricted means,
Wilson's and Newcombe's for shares.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from launch.arms import Arm
from launch.evidence import passage
from launch.evidence.roles import Choice, config_of, roles, roots
from launch.report import compare
from launch.report.arms import bc, family, partner
from launch.report.read import Point
from launch.report.sections import Section, Unit
from postbc_jax import stats
from postbc_jax.stats import Interval

TARGET = 0.8  # success to reach; beside it the mean that BC's runs end with
OUTCOMES = ('finetuned', 'area', 'pretrained')  # a family of comparisons each; the first is the question
Numbers = dict[str, Any]


def measure(
    sections: Sequence[Section],
    points: Sequence[Point],
    choices: dict[str, list[Choice]],
    notes: Sequence[str],
    resamples: int = 2000,
) -> Numbers:
    """What evidence.json holds.

    Args:
      sections: those that were finetuned, one a task.
      points: what was read.
      choices: {task: what development seeds chose}.
      notes: what is missing.
      resamples: of every bootstrap.
    """
    named = [(section, roles(section, config_of(section, points))) for section in sections]
    tasks = [
        {
            'task': section.task,
            'finetuner': section.algorithm,
            'root_seeds': roots(section, points),
            'seeds': len({unit for _, unit, _ in section.runs}),
            'finetuning_seeds': section.finetune_seeds,
            'episodes': section.episodes,
            'followed_to': passage.followed(section),
            'targets': targets(section),
            'chosen_on_development_seeds': [choice._asdict() for choice in choices.get(section.task, [])],
            'arms': [_arm(section, arm, of[arm], resamples) for arm in section.arms if arm in section.curves],
        }
        for section, of in named
    ]
    found = {
        'tasks': tasks,
        'comparisons': _comparisons(named),
        'against': [row for section, of in named for row in _against(section, of, resamples)],
        'over_tasks': _over_tasks(named, resamples),
        'notes': list(notes),
    }
    return json.loads(json.dumps(_plain(found), allow_nan=False))


def targets(section: Section) -> dict[str, float]:
    """{name: success} to reach: .8, and where BC's runs end."""
    base = bc(section.arms)
    ends = {'bc_end': float(section.curves[base].success[:, -1].mean())} if base in section.curves else {}
    return {str(TARGET): TARGET} | ends


def pairs(section: Section) -> list[tuple[Arm, Arm]]:
    """What is compared: every PostBC arm with BC, with its matched arm and with every fixed sigma."""
    base = bc(section.arms)
    return [
        (arm, other)
        for arm in section.arms
        if arm.pretrain == 'post_bc'
        for other in (base, partner(arm, section.arms), *(a for a in section.arms if family(a) == 'fixed'))
        if other is not None
    ]


def _arm(section: Section, arm: Arm, role: str, resamples: int) -> Numbers:
    curves = section.curves[arm]
    mean = [stats.mean_interval(column) for column in curves.success.T]
    return {
        'arm': arm.name,
        'role': role,
        **arm._asdict(),
        'rms': compare.average(section, arm, 'rms'),
        'rms_played': compare.average(section, arm, 'rms_played'),
        'pretrained': compare.mean(section.pretrained.get(arm, {})),
        'pass_at': {
            region: {str(n): compare.mean(units) for n, units in by_arm.get(arm, {}).items()}
            for region, by_arm in section.coverage.items()
        },
        'finetuned': compare.mean(curves.final()),
        'finetuned_iqm': _iqm(section, arm, resamples),
        'finetuned_regions': {
            region: compare.mean(units) for region, units in section.regions['after'].get(arm, {}).items()
        },
        'area': compare.mean(compare.areas(section)[arm]),
        'curve': {
            'env_steps': curves.steps,
            **{name: [getattr(one, name) for one in mean] for name in ('value', 'low', 'high')},
        },
        'steps_to': {
            name: passage.steps_to(passage.passage(section, arm, target), passage.followed(section), resamples)
            for name, target in targets(section).items()
        },
        'failures': passage.failures(section, arm),
    }


def _last(section: Section, arm: Arm) -> dict[Unit, list[float]]:
    """Each unit's runs at their last evaluation."""
    found: dict[Unit, list[float]] = {}
    for (other, unit, _), (_, success) in sorted(section.runs.items(), key=lambda item: item[0][1:]):
        if other == arm:
            found.setdefault(unit, []).append(float(success[-1]))
    return found


def _iqm(section: Section, arm: Arm, resamples: int) -> Interval:
    """Of all runs; a seed is resampled with its finetuning runs."""
    runs = list(_last(section, arm).values())
    return stats.bootstrap(
        lambda drawn: stats.iqm(np.concatenate([runs[i] for i in drawn[0]])), [len(runs)], resamples=resamples
    )


def outcomes(section: Section) -> dict[str, dict[Arm, dict[Unit, float]]]:
    """{name of OUTCOMES: {arm: {unit: value}}}."""
    values = (compare.finals(section), compare.areas(section), section.pretrained)
    return dict(zip(OUTCOMES, values, strict=True))


def _comparisons(named: Sequence[tuple[Section, dict[Arm, str]]]) -> list[Numbers]:
    """Paired differences; p values are adjusted over all tasks and pairs of an outcome."""
    rows = []
    for outcome in OUTCOMES:
        family_ = []
        for section, of in named:
            values = outcomes(section)[outcome]
            for a, b in pairs(section):
                found = compare.paired(a, b, values)
                if found is None:
                    continue
                x, y = ([values[arm][unit] for unit in sorted(values[a].keys() & values[b].keys())] for arm in (a, b))
                row = {'task': section.task, 'outcome': outcome, 'a': a.name, 'b': b.name}
                row |= {'a_role': of[a], 'b_role': of[b], 'a_mean': found.a_mean, 'b_mean': found.b_mean}
                row |= {'difference': found.difference, 'wins': found.wins, 'by_seed': found.by_seed}
                family_.append(row | {'p': stats.paired_p_value(x, y)})
        known = [row for row in family_ if not math.isnan(row['p'])]
        adjusted = stats.holm([row['p'] for row in known]) if known else ()
        for row, p in zip(known, adjusted, strict=True):
            row |= {'p_holm': p, 'comparisons': len(known)}
        rows += family_
    return rows


def _against(section: Section, of: dict[Arm, str], resamples: int) -> list[Numbers]:
    """Steps to a target and failed runs of one arm against another's."""
    rows = []
    horizon = passage.followed(section)
    for a, b in pairs(section):
        if a not in section.curves or b not in section.curves:
            continue
        row: Numbers = {'task': section.task, 'a': a.name, 'b': b.name, 'a_role': of[a], 'b_role': of[b]}
        row['steps_ratio'] = {
            name: passage.steps_ratio(*(passage.passage(section, arm, target) for arm in (a, b)), horizon, resamples)
            for name, target in targets(section).items()
        }
        ours, theirs = passage.failures(section, a), passage.failures(section, b)
        for name in ('collapsed', 'no_gain'):
            if name in ours and name in theirs:
                row[name] = stats.share_difference(ours[name]['share'], theirs[name]['share'])
        rows.append(row | {'improvement': compare.improvement(a, b, compare.finals(section))})
    return rows


def _over_tasks(named: Sequence[tuple[Section, dict[Arm, str]]], resamples: int) -> Numbers:
    """Arms of one role in every task: IQM of their last successes, seeds resampled within tasks, and for every pair of
    `pairs` the mean difference and the probability of improvement over tasks. {} for fewer than two tasks."""
    if len(named) < 2:
        return {}
    columns: dict[str, list[list[list[float]]]] = {}
    for section, of in named:
        for arm, role in of.items():
            if arm in section.curves:
                columns.setdefault(role, []).append(list(_last(section, arm).values()))
    columns = {role: tasks for role, tasks in columns.items() if len(tasks) == len(named)}

    def iqm(tasks: list[list[list[float]]]) -> Interval:
        def of(drawn: list[np.ndarray]) -> float:
            return stats.iqm(np.concatenate([runs[i] for runs, at in zip(tasks, drawn, strict=True) for i in at]))

        return stats.bootstrap(of, [len(runs) for runs in tasks], resamples=resamples)

    together: dict[tuple[str, str], list[tuple[list[float], list[float]]]] = {}
    for section, of in named:
        final = compare.finals(section)
        for a, b in pairs(section):
            shared = sorted(final.get(a, {}).keys() & final.get(b, {}).keys())
            if shared:
                both = tuple([final[arm][unit] for unit in shared] for arm in (a, b))
                together.setdefault((of[a], of[b]), []).append(both)
    return {
        'tasks': [section.task for section, _ in named],
        'finetuned_iqm': {role: iqm(tasks) for role, tasks in columns.items()},
        'finetuned': [
            {'a': a, 'b': b, **_pooled(tasks, resamples)}
            for (a, b), tasks in together.items()
            if len(tasks) == len(named)
        ],
    }


def _pooled(tasks: list[tuple[list[float], list[float]]], resamples: int) -> Numbers:
    """Mean paired difference over tasks; probability of improvement where tasks have equally many seeds."""
    apart = [np.subtract(x, y) for x, y in tasks]
    mean = stats.bootstrap(
        lambda drawn: float(np.mean([d[at].mean() for d, at in zip(apart, drawn, strict=True)])),
        [len(d) for d in apart],
        resamples=resamples,
    )
    improvement = None
    if len({len(d) for d in apart}) == 1:
        x, y = (np.array([task[side] for task in tasks]).T for side in (0, 1))
        improvement = stats.probability_of_improvement(x, y, method='bootstrap')
    return {'difference': mean, 'improvement': improvement}


def _plain(value: Any) -> Any:
    """As JSON: an interval by its names, and null for what is infinite, such as a median that was never reached, or
    not known."""
    if hasattr(value, '_asdict'):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
