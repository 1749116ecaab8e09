"""Successive halving (Jamieson and Talwalkar, arXiv 1502.07943) of a sweep: which points go on, and how far.

Every point is finetuned for a first budget of chunks; the best 1 / factor of them go on from their checkpoints for
factor times as many, and so on up to config.finetune.chunks. `plan` reads the work directory and decides; whoever runs
points (launch.local --halving=3, a launcher of jobs by being started again) runs what it says and asks again. A
decision reads rows that a longer run does not touch, and stands in DIR/halving.jsonl: a restart decides the same.
"""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from launch import config as settings
from launch.workdir import directory_of
from postbc_jax import metrics

FILE = 'halving.jsonl'


class Plan(NamedTuple):
    """What is to be run next.

    Attributes:
      rung: from 0.
      chunks: config.finetune.chunks of its points.
      left: the indices of those that are in the rung.
      points: of these, those that have not come so far yet; none where all rungs are done.
      decided: the rows of DIR/halving.jsonl, with those that this plan has decided: {'rung', 'chunks', 'points',
        'scores', 'failed', 'kept'}.
    """

    rung: int
    chunks: int
    left: list[int]
    points: list[int]
    decided: list[dict[str, Any]]

    def settings(self, points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The sweep's points with this rung's chunks."""
        return [point | {'finetune.chunks': self.chunks} for point in points]


def budgets(chunks: int, points: int, factor: int) -> list[int]:
    """Chunks of every rung, the last of them `chunks`: as many rungs as both points and chunks can be divided.

    Raises:
      ValueError: factor < 2.
    """
    if factor < 2:
        raise ValueError(f'--halving={factor}: must be at least 2: one in so many goes on')
    rungs = 0
    while factor ** (rungs + 1) <= min(chunks, points):
        rungs += 1
    return [math.ceil(chunks / factor**rung) for rung in range(rungs, -1, -1)]


def plan(
    workdir: Path,
    config: ConfigDict,
    points: Sequence[dict[str, Any]],
    factor: int = 3,
    arm: str = '',
    failed: Collection[int] = (),
) -> Plan:
    """What to run next. Reads alone, and is the same at every call until points have gone on.

    A point's score is its mean success over arms, seeds and finetuners at the rung's last evaluation; of a run of
    several settings, that of its best setting.

    Args:
      workdir: of the sweep.
      config: of the experiment.
      points: folded.
      factor: one in so many goes on, for so many times the chunks.
      arm: 'post_bc' or another kind of arm, whose success alone counts; '' is all arms.
      failed: points that have failed and are not to be waited for; they do not go on.

    Raises:
      ValueError: a sweep or config that cannot be halved; halving.jsonl is of another sweep or factor.
    """
    chunks = _chunks(config, points, arm)
    rungs = budgets(chunks, len(points), factor)
    before = metrics.read(workdir / FILE) if (workdir / FILE).exists() else []
    left, decided = list(range(len(points))), []
    for rung, budget in enumerate(rungs[:-1]):
        if rung < len(before):
            row = before[rung]
            if (row.get('chunks'), row.get('points'), row.get('arm')) != (budget, left, arm):
                raise ValueError(
                    f'{workdir / FILE}: line {rung + 1} was decided for another sweep, --halving, --halving_arm or '
                    'finetune.chunks: use the old ones or another --workdir'
                )
        else:
            missing = _missing(workdir, left, len(points), budget, failed)
            if missing:
                return Plan(rung, budget, left, missing, decided)
            scores = {i: score(workdir, i, len(points), budget, arm) for i in left if i not in failed}
            row = _decision(rung, budget, left, arm, scores, factor)
        decided.append(row)
        left = row['kept']
    missing = _missing(workdir, left, len(points), rungs[-1], failed)
    return Plan(len(rungs) - 1, rungs[-1], left, missing, decided)


def _missing(workdir: Path, left: list[int], points: int, budget: int, failed: Collection[int]) -> list[int]:
    return [i for i in left if i not in failed and not _reached(workdir, i, points, budget)]


def _decision(
    rung: int, budget: int, left: list[int], arm: str, scores: dict[int, float], factor: int
) -> dict[str, Any]:
    """The best 1 / factor of all that were left go on, at least one; of equal ones the first."""
    ranked = sorted(scores, key=lambda i: (-scores[i], i))
    return {
        'rung': rung,
        'chunks': budget,
        'arm': arm,
        'points': left,
        'scores': {str(i): scores[i] for i in scores},
        'failed': [i for i in left if i not in scores],
        'kept': sorted(ranked[: max(1, len(left) // factor)]),
    }


def record(workdir: Path, plan: Plan) -> None:
    """Writes DIR/halving.jsonl, whole or not at all."""
    if plan.decided:
        metrics.write(workdir / FILE, plan.decided)


def _chunks(config: ConfigDict, points: Sequence[dict[str, Any]], arm: str) -> int:
    if len(points) < 2:
        raise ValueError('--halving: the experiment has one point: there is nothing to choose from')
    for index, point in enumerate(points):
        at = settings.at_point(config, point)
        if at.finetune.chunks != config.finetune.chunks:
            raise ValueError(
                f'--halving: point {index} sets finetune.chunks={at.finetune.chunks}, the others '
                f'{config.finetune.chunks}: halving gives points their chunks itself'
            )
        if not settings.algorithms(at):
            raise ValueError('--halving: config.finetune.algorithm=none: nothing is finetuned that could be halved')
        there = list(dict.fromkeys(one.pretrain for each in settings.each(at) for one in settings.arms(each)))
        if arm and arm not in there:
            raise ValueError(f'--halving_arm={arm}: point {index} has {", ".join(there)}')
    return config.finetune.chunks


def _reached(workdir: Path, index: int, points: int, budget: int) -> bool:
    """Whether a point has been finetuned so far: it is done with so many chunks, or was begun with more."""
    directory = directory_of(workdir, index, points)
    if not (directory / 'config.json').exists():
        return False
    begun = json.loads((directory / 'config.json').read_text())['finetune']['chunks']
    file = directory / 'done.json'
    done = file.exists() and json.loads(file.read_text()).get('stage') == 'finetune'
    return begun > budget or (begun == budget and done)


def score(workdir: Path, index: int, points: int, budget: int, arm: str = '') -> float:
    """Mean success of a point after `budget` chunks; of its best setting where it has several.

    Raises:
      ValueError: it has no such arm.
    """
    file = directory_of(workdir, index, points) / 'results.jsonl'
    rates: dict[int, list[float]] = defaultdict(list)
    for row in metrics.read(file):
        if row.get('chunk') == budget and row['pretrain'] == (arm or row['pretrain']):
            for setting in row.get('settings', [0]):
                rates[setting].append(row['success_rate'])
    if not rates:
        raise ValueError(f'{file}: has no success after chunk {budget} of the arm {arm or "any"!r}: see --halving_arm')
    return float(max(np.mean(values) for values in rates.values()))
