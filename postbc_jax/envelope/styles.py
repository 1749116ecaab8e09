"""Operators whose demonstrations as a whole are unlike the others': an error that is made always, or a style.

Beside suspects, which compares an operator's demonstrations with each other. Who is right is not known. Numpy.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from postbc_jax import stats
from postbc_jax.envelope.distances import squared
from postbc_jax.envelope.measures import MOST, Measures
from postbc_jax.envelope.suspects import LEAST, SMALL, Reason, Suspect, outlying

BIAS = 1.0  # predicted spreads by which an operator's mean action must surely differ from the others'
_FARTHEST = 0.9  # quantile of a demonstration's states by which ways are compared: a detour is a part of it


def by_operator(
    measures: Measures,
    operators: Sequence[str],
    unlike: np.ndarray,
    *others: Mapping[str, Sequence[Reason]],
) -> list[Suspect]:
    """Operators whose demonstrations as a whole are unlike the others', worst first: an error made always, or a style.

    Args:
      measures: of E demonstrations; `actions` is replaced by `unlike`, `states` by `elsewhere`.
      operators: E names; nothing is said of ''.
      unlike: (E,), as `Measures.actions`, by what OTHER operators are predicted to do at its states.
      others: of `biases` and `elsewhere`.
    """
    names, unknown = np.array(operators), np.full(len(operators), np.nan)
    measures = measures._replace(actions=unlike, states=unknown)
    found = []
    for name in sorted(set(names) - {''}):
        mine = names == name
        if mine.all():
            continue
        reasons = outlying(_typical(measures, mine), 0, None, 'the others’', _typical(measures, ~mine, whole=True))
        reasons += [reason for said in others for reason in said.get(str(name), [])]
        failed = 1 - measures.success
        if failed[mine].mean() > 2 * failed[~mine].mean() and failed[mine].sum() >= 2:
            said = f'{failed[mine].sum():.0f} of {mine.sum()} end without success.'
            shares = (float(measures.success[chosen].mean()) for chosen in (mine, ~mine))
            reasons.append(Reason('success', *shares, np.inf, said))
        if reasons:
            ranked = tuple(sorted(reasons, key=lambda reason: -reason.z))
            found.append(Suspect(str(name), ranked[0].z, ranked))
    return sorted(found, key=lambda one: -one.score)


def elsewhere(obs: np.ndarray, episode: np.ndarray, operator: np.ndarray) -> dict[str, list[Reason]]:
    """Operators who go where the others do not, compared with how far their own demonstrations are from each other.

    Args:
      obs: (N, O), normalised.
      episode: (N,).
      operator: (N,), names.

    Returns:
      {operator: [reason]}, of those whose ratio of the two distances is above LEAST['states'], with the whole 95%
      interval of its geometric mean over demonstrations.
    """
    every = np.arange(len(obs))[:: -(-len(obs) // MOST)]
    ratios: dict[str, list[float]] = {}
    for demo in range(episode[-1] + 1):
        steps = np.flatnonzero(episode == demo)
        who, away = operator[steps[0]], squared(obs[steps], obs[every])
        alike, own = operator[every] == who, episode[every] == demo
        if not alike.all() and not (own == alike).all():
            farthest = [
                max(np.quantile(np.sqrt(away[:, them].min(axis=1)), _FARTHEST), SMALL['states'])
                for them in (~alike, alike & ~own)
            ]
            ratios.setdefault(str(who), []).append(np.log(farthest[0] / farthest[1]))
    found = {}
    for name, values in ratios.items():
        value, low, _ = np.exp(stats.mean_interval(np.array(values)))
        if low > LEAST['states']:
            said = (
                f'It goes where the others do not: {value:.1f} times as far from their states as from those of its own '
                f'other demonstrations, surely {low:.1f}.'
            )
            found[name] = [Reason('states', float(value), 1.0, float('inf'), said)]
    return found


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


def _typical(measures: Measures, chosen: np.ndarray, whole: bool = False) -> Measures:
    """The chosen demonstrations' measures, or (1,) their medians."""
    return Measures(*(field[chosen] if whole else np.median(field[chosen], keepdims=True) for field in measures))
