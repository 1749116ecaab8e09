"""Decisions by context, before and after finetuning: what the guard flagged, and how the episodes that passed end.

Beside the section's other tables; reads the column 'contexts' of results.jsonl, which runs with a guard or
contexts have.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from launch.arms import Arm
from launch.report.read import Row
from launch.report.words import number

Contexts = Mapping[Arm, Mapping[str, Sequence[Row]]]  # what each row of results says of a context


def numbers(before: Contexts, after: Contexts, arms: Sequence[Arm]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, an arm and context each: shares of all decisions there, success of the episodes with one."""
    header = ['Arm', 'Context', 'Outside', 'Strange', 'Success', 'Outside, finetuned', 'Strange, finetuned']
    header += ['Success, finetuned']
    names = dict.fromkeys(name for part in (before, after) for of_arm in part.values() for name in of_arm)
    rows = []
    for arm in arms:
        for name in names:
            cells = [cell for part in (before, after) for cell in _cells(part.get(arm, {}).get(name, ()))]
            if any(cell != '–' for cell in cells):
                rows.append([arm.name, name, *cells])
    return header, rows


def _cells(said: Sequence[Row]) -> list[str]:
    """Outside, strange (of decisions, pooled) and success (of episodes, pooled)."""
    return [
        _percent(said, 'outside', 'decisions'),
        _percent(said, 'strange', 'decisions'),
        number(_mean(said, 'success_rate', 'episodes')),
    ]


def _percent(said: Sequence[Row], name: str, weight: str) -> str:
    mean = _mean(said, name, weight)
    return '–' if mean is None else f'{number(100 * mean, 1)} %'


def _mean(said: Sequence[Row], name: str, weight: str) -> float | None:
    if not said or name not in said[0]:
        return None
    return float(np.average([row[name] for row in said], weights=[row[weight] for row in said]))
