"""Environment steps until a run's success first reaches a target, where some never do; and runs that failed.

The unit is the pretraining seed: its finetuning runs are resampled together. Of launch.evidence's numbers those that
are of single runs.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from launch.arms import Arm
from launch.report.sections import Section, Unit
from postbc_jax import stats
from postbc_jax.stats import Interval

LEVEL = 0.95
_Z = 1.96  # of LEVEL: one run in forty that did not change is called collapsed


class Passage(NamedTuple):
    """First passages of an arm's runs: times (R,) in environment steps, reached (R,), and the index (R,) of each run's
    unit in `units`. A run that never reached the target is censored at its last evaluation."""

    times: np.ndarray
    reached: np.ndarray
    of: np.ndarray
    units: tuple[Unit, ...]

    def weights(self, drawn: np.ndarray) -> np.ndarray:
        """How often each run is there where the units of these indices were drawn."""
        return np.bincount(drawn, minlength=len(self.units))[self.of]


def passage(section: Section, arm: Arm, target: float) -> Passage:
    """Of every run of the arm, on its own evaluations: a passage is known to one of them, and counted at the later."""
    mine = sorted((unit, key) for other, unit, key in section.runs if other == arm)
    units = tuple(sorted({unit for unit, _ in mine}))
    times, reached = [], []
    for unit, key in mine:
        steps, success = section.runs[arm, unit, key]
        first = stats.steps_to_threshold(steps, success[None], target)[0][0]
        reached.append(math.isfinite(first))
        times.append(first if reached[-1] else steps[-1])
    return Passage(np.array(times), np.array(reached), np.array([units.index(unit) for unit, _ in mine]), units)


def followed(section: Section) -> float:
    """The environment steps to which every run of the section is followed: the horizon of restricted means."""
    return min(float(steps[-1]) for steps, _ in section.runs.values())


def steps_to(found: Passage, horizon: float, resamples: int) -> dict[str, Any]:
    """Kaplan-Meier median and restricted mean with bootstrap intervals over units, and the curve itself."""
    n = len(found.units)

    def interval(statistic) -> Interval:
        return stats.bootstrap(lambda drawn: float(statistic(found.weights(drawn[0]))), [n], resamples=resamples)

    at, share = stats.kaplan_meier(found.times, found.reached)
    last = {float(time): float(left) for time, left in zip(at, share, strict=True)}  # after all runs of that time
    return {
        'reached': int(found.reached.sum()),
        'runs': len(found.times),
        'median': interval(lambda w: stats.median_time(found.times, found.reached, w)),
        'restricted_mean': interval(lambda w: stats.restricted_mean(found.times, found.reached, horizon, w)),
        'horizon': horizon,
        'not_yet': {'env_steps': list(last), 'share': list(last.values())},
    }


def steps_ratio(a: Passage, b: Passage, horizon: float, resamples: int) -> Interval | None:
    """Restricted mean of a over that of b, with the bootstrap interval of units that both have, drawn together; None
    where they share none, no run of either gets there, or b needs no steps."""
    shared = sorted(set(a.units) & set(b.units))
    if not any((one.reached & (one.times < horizon)).any() for one in (a, b)):
        return None

    def ratio(drawn: list[np.ndarray]) -> float:
        means = []
        for one in (a, b):
            at = np.array([one.units.index(shared[i]) for i in drawn[0]])
            means.append(float(stats.restricted_mean(one.times, one.reached, horizon, one.weights(at))))
        return means[0] / means[1] if means[1] else math.inf

    if not shared or not math.isfinite(ratio([np.arange(len(shared))])):
        return None
    return stats.bootstrap(ratio, [len(shared)], resamples=resamples)


def failed(before: float, after: float, episodes: int) -> tuple[bool, bool]:
    """Whether a run from success `before` to `after` collapsed, and whether it gained nothing; rates of as many
    episodes each.

    Collapsed: it ends below where it began by more than two such rates of one policy differ by in 19 of 20 cases (a z
    test of two shares, pooled). No gain: it does not end above it; a collapsed run is one of these.
    """
    pooled = (before + after) / 2
    noise = _Z * math.sqrt(2 * pooled * (1 - pooled) / episodes) if episodes else 0.0
    return before - after > noise, after <= before


def failures(section: Section, arm: Arm) -> dict[str, Any]:
    """How many of the arm's runs collapsed and gained nothing, and the shares with Wilson's interval.

    Its trials are units, not runs: the runs of a seed begin with one policy, and count as one.
    """
    found = [
        failed(section.pretrained[arm][unit], float(success[-1]), section.episodes)
        for (other, unit, _), (_, success) in section.runs.items()
        if other == arm and unit in section.pretrained.get(arm, {})
    ]
    units = len({unit for other, unit, _ in section.runs if other == arm})
    counts = [sum(run[rule] for run in found) for rule in (0, 1)]
    return {'runs': len(found)} | {
        name: {'count': count, 'share': stats.wilson(count / len(found) * units, units, LEVEL)}
        for name, count in zip(('collapsed', 'no_gain'), counts, strict=True)
        if found
    }
