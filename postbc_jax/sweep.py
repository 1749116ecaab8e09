"""Sweeps: the points of an experiment as a list of flat dicts, {'pretrain.learning_rate': 1e-4, 'policy.chunk': 4}.

The vocabulary of Google's `hyper` (init2winit, XManager), in plain Python. An experiment's sweep() returns what these
return; the launchers check every point and say how they are run. Random search is draws put side by side:

    zipit(loguniform('pretrain.learning_rate', 1e-4, 1e-2, count=50), uniform('alphas', 0.25, 2.0, count=50))
"""

import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Sweep = list[dict[str, Any]]


def sweep(name: str, values: Iterable[Any]) -> Sweep:
    """One point for each value of a setting.

    Raises:
      ValueError: no values, or a text in the place of several.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f'sweep({name!r}, {values!r}): give a list of values')
    values = list(values)
    if not values:
        raise ValueError(f'sweep({name!r}, []): give at least one value')
    return [{_checked(name): value} for value in values]


def product(*sweeps: Sweep) -> Sweep:
    """Every combination: the last sweep varies fastest.

    Raises:
      ValueError: a setting is in two of them.
    """
    _refuse_twice('product', sweeps)
    return [_merged(points) for points in itertools.product(*_given('product', sweeps))]


def zipit(*sweeps: Sweep) -> Sweep:
    """The first points of all together, the second ones, and so on.

    Raises:
      ValueError: they are not equally long, or a setting is in two of them.
    """
    lengths = [len(points) for points in _given('zipit', sweeps)]
    if len(set(lengths)) > 1:
        raise ValueError(f'zipit: sweeps of {", ".join(map(str, lengths))} points: give equally many in each')
    _refuse_twice('zipit', sweeps)
    return [_merged(points) for points in zip(*sweeps, strict=True)]


def chainit(*sweeps: Sweep) -> Sweep:
    """One sweep after the other."""
    return [dict(point) for points in _given('chainit', sweeps) for point in points]


def uniform(name: str, low: float, high: float, count: int, seed: int = 0) -> Sweep:
    """`count` draws of a setting, uniform over [low, high], to four digits. Each name has random numbers of its own.

    Raises:
      ValueError: not low < high, or no draws.
    """
    _check_range('uniform', name, low, high)
    return _drawn('uniform', name, count, seed, lambda draw: _rounded(draw.uniform(low, high), low, high))


def loguniform(name: str, low: float, high: float, count: int, seed: int = 0) -> Sweep:
    """As uniform, but uniform in the logarithm.

    Raises:
      ValueError: not 0 < low < high, or no draws.
    """
    _check_range('loguniform', name, low, high)
    if not low > 0:
        raise ValueError(f'loguniform({name!r}, {low}, {high}): low must be above 0')
    log_low, log_high = math.log(low), math.log(high)
    return _drawn(
        'loguniform', name, count, seed, lambda draw: _rounded(math.exp(draw.uniform(log_low, log_high)), low, high)
    )


def choice(name: str, values: Sequence[Any], count: int, seed: int = 0) -> Sweep:
    """`count` draws of a setting from values, with replacement.

    Raises:
      ValueError: no values, or no draws.
    """
    points = sweep(name, values)
    return _drawn('choice', name, count, seed, lambda draw: draw.choice(points)[name])


def _drawn(kind: str, name: str, count: int, seed: int, value: Callable[[random.Random], Any]) -> Sweep:
    if not isinstance(count, int) or count < 1:
        raise ValueError(f'{kind}({name!r}): count={count!r}: must be a whole number, at least 1')
    draw = random.Random(f'{seed} {_checked(name)}')  # a text seeds it the same on every machine
    return [{name: value(draw)} for _ in range(count)]


def _rounded(value: float, low: float, high: float) -> float:
    return min(max(float(f'{value:.4g}'), low), high)


def _check_range(kind: str, name: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f'{kind}({name!r}, {low}, {high}): low must be below high')


def _checked(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f'{name!r}: a setting is a name, such as "pretrain.learning_rate"')
    return name


def _given(kind: str, sweeps: Sequence[Sweep]) -> Sequence[Sweep]:
    if not sweeps:
        raise ValueError(f'{kind}(): give at least one sweep')
    for points in sweeps:
        if not isinstance(points, list) or not points or not all(isinstance(point, dict) for point in points):
            raise ValueError(f'{kind}: {points!r:.80} is no sweep: give non-empty lists of dicts')
    return sweeps


def _refuse_twice(kind: str, sweeps: Sequence[Sweep]) -> None:
    seen: set[str] = set()
    for points in _given(kind, sweeps):
        names = {name for point in points for name in point}
        for name in sorted(names & seen):
            raise ValueError(f'{kind}: {name!r} is in two sweeps: which value would hold?')
        seen |= names


def _merged(points: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for point in points for name, value in point.items()}
