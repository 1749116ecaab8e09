"""Demonstrations that look like errors, ranked, each with its reasons in a sentence.

Before training again: what to look at by eye. Pure numbers of arrays; nothing is left out of the data by itself. A
measure is compared with that of the other demonstrations by a robust z-score, .6745 (x - median) / MAD (Iglewicz and
Hoaglin, 1993), which a few wild ones do not move. Numpy.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from postbc_jax import stats
from postbc_jax.envelope.distances import squared
from postbc_jax.types import Demos

SUSPECT = 3.5  # z beyond which a value is an outlier (Iglewicz and Hoaglin)
BIAS = 1.0  # predicted spreads by which an operator's mean action must surely differ from the others'
OWN = 5  # demonstrations of an operator from which on it is compared with itself, so that a style is no error
_MOST = 20_000  # states that others are compared with: evenly fewer of more
_STILL = 0.05  # of the median way that the state makes in a step: less is standing still
_SAME = 1e-3  # rms of normalised states and actions, below which two demonstrations are the same
_LEAST = {'actions': 1.4, 'states': 1.5, 'length': 1.5, 'jerk': 1.5}  # ratios to the usual below which nothing is said
_LEAST_PAUSES = 0.1  # share of the steps above the usual one
_SMALL = {'actions': 1.0, 'states': 0.05, 'jerk': 0.05}  # values below which nothing is said: within what is predicted


class Measures(NamedTuple):
    """One number a demonstration, (E,) each; nan where it cannot be known.

    Attributes:
      actions: rms over steps of how far its actions are from what members that never saw it predict, in units of the
        spread that they predict: 1 where they are right about both.
      states: mean distance of its states to the nearest ones of other demonstrations, normalised units.
      length: steps.
      pauses: share of the steps in which the state hardly moves.
      jerk: rms of the actions' second differences, normalised units.
      success: 1 where a reward was earned, 0 where none, nan where the file has none at all.
      twin: index of the earlier demonstration that it repeats, else -1.
      worst: the step within it whose action is furthest off.
    """

    actions: np.ndarray
    states: np.ndarray
    length: np.ndarray
    pauses: np.ndarray
    jerk: np.ndarray
    success: np.ndarray
    twin: np.ndarray
    worst: np.ndarray


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


def measure(demos: Demos, obs: np.ndarray, actions: np.ndarray, predicted: np.ndarray, spread: np.ndarray) -> Measures:
    """Measures of E demonstrations of N steps.

    Args:
      demos: as read.
      obs, actions: (N, O) and (N, A), normalised.
      predicted, spread: (N, A), mean and standard deviation of the action by members that never saw the demonstration.
    """
    episode = np.asarray(demos.episode)
    of = [np.flatnonzero(episode == e) for e in range(demos.episodes)]
    off = np.mean(((actions - predicted) / spread) ** 2, axis=1)  # (N,)
    moved = np.linalg.norm(np.diff(obs, axis=0), axis=1)
    inner = episode[1:] == episode[:-1]
    still = (moved < _STILL * np.median(moved[inner])) if inner.any() else np.zeros(len(moved), bool)
    rewards = np.array([np.max(demos.rewards[steps]) for steps in of])
    known = (rewards > 0).any()
    return Measures(
        actions=np.array([np.sqrt(off[steps].mean()) for steps in of]),
        states=_apart(obs, of),
        length=np.array([len(steps) for steps in of], float),
        pauses=np.array([still[steps[:-1]].mean() if len(steps) > 1 else 0.0 for steps in of]),
        jerk=np.array([_jerk(actions[steps]) for steps in of]),
        success=np.where(known, rewards > 0, np.nan).astype(float),
        twin=_twins(obs, actions, of),
        worst=np.array([int(np.argmax(off[steps])) for steps in of]),
    )


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
        reasons = _outlying(measures, demo, alike, whose)
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


def biases(
    apart: np.ndarray, episode: np.ndarray, operator: np.ndarray, dimensions: Sequence[str]
) -> dict[str, list[Reason]]:
    """What operators always do otherwise than the others would in the same states, in any action dimension.

    Args:
      apart: (N, A), (action - what the OTHER operators are predicted to do) / the spread that is predicted of them.
      episode: (N,).
      operator: (N,), names.
      dimensions: A names.

    Returns:
      {operator: reasons}, of those whose mean is beyond BIAS with its whole 95% interval (over demonstrations).
    """
    found: dict[str, list[Reason]] = {}
    for name in np.unique(operator):
        mine = operator == name
        value, low, high = stats.clustered_mean(apart[mine], episode[mine])
        surely = np.maximum(low, -high)  # nan of one demonstration, which is above nothing
        for i in np.flatnonzero(surely > BIAS):
            more = 'more' if value[i] > 0 else 'less'
            said = (
                f'In the same states it plays {abs(value[i]):.1f} times the expected spread {more} of {dimensions[i]} '
                f'than the others would, surely {surely[i]:.1f}.'
            )
            found.setdefault(str(name), []).append(Reason('bias', float(value[i]), 0.0, float('inf'), said))
    return found


def by_operator(
    measures: Measures,
    operators: Sequence[str],
    unlike: np.ndarray,
    biased: Mapping[str, Sequence[Reason]] | None = None,
) -> list[Suspect]:
    """Operators whose demonstrations as a whole are unlike the others', worst first: an error made always, or a style.

    Args:
      measures: of E demonstrations; `actions` is replaced by `unlike`.
      operators: E names; nothing is said of ''.
      unlike: (E,), as `Measures.actions`, by what OTHER operators are predicted to do at its states.
      biased: of `biases`.
    """
    names, measures = np.array(operators), measures._replace(actions=unlike)
    found = []
    for name in sorted(set(names) - {''}):
        mine = names == name
        if mine.all():
            continue
        reasons = _outlying(_typical(measures, mine), 0, None, 'the others’', _typical(measures, ~mine, whole=True))
        reasons += (biased or {}).get(str(name), [])
        failed = 1 - measures.success
        if failed[mine].mean() > 2 * failed[~mine].mean() and failed[mine].sum() >= 2:
            said = f'{failed[mine].sum():.0f} of {mine.sum()} end without success.'
            shares = (float(measures.success[chosen].mean()) for chosen in (mine, ~mine))
            reasons.append(Reason('success', *shares, np.inf, said))
        if reasons:
            ranked = tuple(sorted(reasons, key=lambda reason: -reason.z))
            found.append(Suspect(str(name), ranked[0].z, ranked))
    return sorted(found, key=lambda one: -one.score)


def _typical(measures: Measures, chosen: np.ndarray, whole: bool = False) -> Measures:
    """The chosen demonstrations' measures, or (1,) their medians."""
    return Measures(*(field[chosen] if whole else np.median(field[chosen], keepdims=True) for field in measures))


def _outlying(
    measures: Measures, at: int, alike: np.ndarray | None, whose: str, others: Measures | None = None
) -> list[Reason]:
    """Why the demonstration `at` is unlike those that `alike` chooses (or `others`, where that is None)."""
    reasons = []
    for name in ('actions', 'states', 'length', 'jerk', 'pauses'):
        values = getattr(measures, name)
        reference = getattr(others, name) if alike is None else values[alike]
        if np.isnan(values[at]) or np.isnan(reference).any():
            continue
        of = (lambda x: x) if name == 'pauses' else (lambda x: np.log(np.maximum(x, 1e-12)))
        z = float(robust_z(of(values[at : at + 1]), of(reference))[0])
        value, usual = float(values[at]), float(np.median(reference))
        if name == 'pauses':
            apart = value - usual > _LEAST_PAUSES
        else:
            ratio = value / max(usual, 1e-12)
            apart = (ratio > _LEAST[name] and value > _SMALL.get(name, 0)) or (
                name == 'length' and ratio < 1 / _LEAST[name]
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
        'states': f'It goes where others do not: {times} as far from their states as {whose} usually are.',
        'length': f'It takes {value:.0f} steps, where {whose} usually take {usual:.0f}.',
        'pauses': f'It stands still in {100 * value:.0f} % of its steps, where {whose} usually do in '
        f'{100 * usual:.0f} %.',
        'jerk': f'Its actions change direction {times} as abruptly as {whose} usually do.',
    }[name]


def _jerk(actions: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.diff(actions, n=2, axis=0) ** 2))) if len(actions) > 2 else 0.0


def _apart(obs: np.ndarray, of: list[np.ndarray]) -> np.ndarray:
    """Mean over a demonstration's states of the distance to the nearest of another's; nan of a single one."""
    stride = -(-len(obs) // _MOST)
    owner, seen = np.repeat(np.arange(len(of)), [len(steps) for steps in of])[::stride], obs[::stride]
    if len(np.unique(owner)) < 2:
        return np.full(len(of), np.nan)
    found = []
    for demo, steps in enumerate(of):
        away = squared(obs[steps], seen)
        away[:, owner == demo] = np.inf
        found.append(np.sqrt(away.min(axis=1)).mean())
    return np.array(found)


def _twins(obs: np.ndarray, actions: np.ndarray, of: list[np.ndarray]) -> np.ndarray:
    """The earlier demonstration that each repeats, (E,), -1 for none."""
    rows, found = [np.concatenate([obs[steps], actions[steps]], axis=1) for steps in of], np.full(len(of), -1)
    for demo, mine in enumerate(rows):
        for other in range(demo):
            if len(rows[other]) == len(mine) and np.sqrt(np.mean((rows[other] - mine) ** 2)) < _SAME:
                found[demo] = other
                break
    return found
