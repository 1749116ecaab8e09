"""Demonstrations that look like errors, ranked, each with its reasons in a sentence.

Before training again: what to look at by eye. Nothing is left out of the data by itself. A measure is compared with
that of the other demonstrations by a robust z-score, .6745 (x - median) / MAD (Iglewicz and Hoaglin, 1993), which a few
wild ones do not move. Numpy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from postbc_jax.envelope.measures import Measures

SUSPECT = 3.5  # z beyond which a value is an outlier (Iglewicz and Hoaglin)
OWN = 5  # demonstrations of an operator from which on it is compared with itself, so that a style is no error
LEAST = {'actions': 1.4, 'states': 1.5, 'length': 1.5, 'jerk': 1.5}  # ratios to the usual below which nothing is said
_LEAST_PAUSES = 0.1  # share of the steps above the usual one
SMALL = {'actions': 1.0, 'states': 0.05, 'jerk': 0.05}  # values below which nothing is said: within what is predicted


class Reason(NamedTuple):
    """measure: a field of Measures. value, usual: of it. z: robust; inf where none is needed. sentence: in words."""

    measure: str
    value: float
    usual: float
    z: float
    sentence: str


class Suspect(NamedTuple):
    """demo: index of the demonstration, or name of the operator. score: the largest z. reasons: largest z first."""

    demo: int | str
    score: float
    reasons: tuple[Reason, ...]


def robust_z(values: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """.6745 (x - median) / MAD of values (n,), about those of a reference (m,), itself where None.

    Where more than half of the reference are the same MAD is 0, and 1.2533 times the mean absolute deviation takes its
    place (as Iglewicz and Hoaglin do); where all are the same every other value is infinitely far.
    """
    reference = values if reference is None else reference
    middle = np.median(reference)
    apart = np.abs(reference - middle)
    scale = np.median(apart) / 0.6745 or 1.2533 * apart.mean()
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(values == middle, 0.0, (values - middle) / scale)


def rank(measures: Measures, operators: Sequence[str] = (), names: Sequence[str] = ()) -> list[Suspect]:
    """The suspect demonstrations, worst first.

    Each is compared with its operator's others, where there are OWN of these, else with all: what an operator always
    does is a style, which `by_operator` judges.

    Args:
      measures: of E demonstrations.
      operators: E names; () or '' where unknown.
      names: the demonstrations', E; () numbers them.
    """
    who = np.array(operators or [''] * len(measures.length))
    found = []
    for demo in range(len(who)):
        mine = who == who[demo]
        alike = mine if who[demo] and mine.sum() >= OWN else np.ones(len(who), bool)
        whose = f'{who[demo]}’s' if alike is mine else 'all'
        reasons = outlying(measures, demo, alike, whose)
        if measures.success[demo] == 0:
            share = np.mean(measures.success)
            said = f'It ends without success, which {100 * share:.0f} % of the demonstrations have.'
            reasons.append(Reason('success', 0.0, float(share), np.inf, said))
        if measures.twin[demo] >= 0:
            twin = names[measures.twin[demo]] if len(names) else f'demonstration {measures.twin[demo]}'
            said = f'It repeats {twin} step for step.'
            reasons.append(Reason('twin', float(measures.twin[demo]), -1.0, np.inf, said))
        if reasons:
            ranked = tuple(sorted(reasons, key=lambda reason: -reason.z))
            found.append(Suspect(demo, ranked[0].z, ranked))
    return sorted(found, key=lambda one: (-one.score, -len(one.reasons), one.demo))


def outlying(
    measures: Measures, at: int, alike: np.ndarray | None, whose: str, others: Measures | None = None
) -> list[Reason]:
    """Why the demonstration `at` is unlike those that `alike` chooses (or `others`, where that is None)."""
    reasons = []
    for name in ('actions', 'states', 'length', 'jerk', 'pauses'):
        values = getattr(measures, name)
        reference = getattr(others, name) if alike is None else values[alike]
        if np.isnan(values[at]) or np.isnan(reference).any():
            continue
        least = SMALL['states'] if name == 'states' else 1e-12  # whose values are mostly 0
        of = (lambda x: x) if name == 'pauses' else (lambda x, least=least: np.log(np.maximum(x, least)))
        z = float(robust_z(of(values[at : at + 1]), of(reference))[0])
        value, usual = float(values[at]), float(np.median(reference))
        if name == 'pauses':
            apart = value - usual > _LEAST_PAUSES
        else:
            ratio = value / max(usual, least)
            apart = (ratio > LEAST[name] and value > SMALL.get(name, 0)) or (
                name == 'length' and ratio < 1 / LEAST[name]
            )
        if apart and (abs(z) if name == 'length' else z) > SUSPECT:
            where = f', most at step {measures.worst[at]}' if name == 'actions' and alike is not None else ''
            reasons.append(Reason(name, value, usual, abs(z), _sentence(name, value, usual, whose, where)))
    return reasons


def _sentence(name: str, value: float, usual: float, whose: str, where: str) -> str:
    times = f'{value / max(usual, 1e-12):.1f} times'
    return {
        'actions': f'Its actions are {times} as far from what the other demonstrations suggest as {whose} usually '
        f'are{where}.',
        'states': f'It goes where others do not: on its way {100 * value:.0f} % of half a range farther from their '
        f'states than where it begins, {whose} usually {100 * usual:.0f} %.',
        'length': f'It takes {value:.0f} steps, where {whose} usually take {usual:.0f}.',
        'pauses': f'It stands still in {100 * value:.0f} % of its steps, where {whose} usually do in '
        f'{100 * usual:.0f} %.',
        'jerk': f'Its actions change direction {times} as abruptly as {whose} usually do.',
    }[name]
