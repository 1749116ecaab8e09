"""One arm against another: paired differences, shares, the probability of improvement, and many comparisons at once."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize
from scipy import stats as scipy_stats

from postbc_jax.stats.intervals import Interval, finite, mean_interval, normal_quantile
from postbc_jax.stats.resampling import stratified_bootstrap


def paired_difference(x: ArrayLike, y: ArrayLike, level: float = 0.95, method: str = 't', seed: int = 0) -> Interval:
    """Mean of x - y over pairs: x and y (n,) hold the same seeds in the same order.

    Args:
      x: (n,) values of one arm, one a seed.
      y: (n,) values of the other arm at the same seeds.
      level: confidence level.
      method: 't' (Student's, the right one for few seeds) or 'bootstrap' (percentile, resampling pairs).
      seed: of the bootstrap's resamples.

    Raises:
      ValueError: lengths differ, values are not finite, or the method is unknown.
    """
    x, y = finite('paired_difference x', x, 1), finite('paired_difference y', y, 1)
    if x.shape != y.shape:
        raise ValueError(f'paired_difference: {len(x)} values against {len(y)}; give one value per seed on both sides')
    if method == 't':
        return mean_interval(x - y, level)
    if method == 'bootstrap':
        return stratified_bootstrap(np.mean, (x - y)[:, None], level=level, seed=seed)
    raise ValueError(f"paired_difference: method={method!r}; choose 't' or 'bootstrap'")


def paired_p_value(x: ArrayLike, y: ArrayLike) -> float:
    """Two-sided p of Student's paired test that x - y has mean 0; NaN for one pair, 1 where all are equal.

    Raises:
      ValueError: lengths differ, or values are not finite.
    """
    x, y = finite('paired_p_value x', x, 1), finite('paired_p_value y', y, 1)
    if x.shape != y.shape:
        raise ValueError(f'paired_p_value: {len(x)} values against {len(y)}; give one value per seed on both sides')
    if len(x) == 1:
        return float('nan')
    return 1.0 if (x == y).all() else float(scipy_stats.ttest_rel(x, y).pvalue)


def holm(p_values: ArrayLike) -> np.ndarray:
    """p values (m,) adjusted for their number: below .05 all but 1 in 20 such families hold no false difference.

    The i-th smallest becomes the largest of (m - j) p_j over those up to it, j from 0, at most 1 (Holm, Scandinavian
    Journal of Statistics 6, 1979). Nothing is assumed of how they depend on each other.

    Raises:
      ValueError: not in [0, 1], or none.
    """
    p_values = finite('holm', p_values, 1)
    if p_values.min() < 0 or p_values.max() > 1:
        raise ValueError(f'holm: values from {p_values.min():g} to {p_values.max():g}; p lies in [0, 1]')
    order = np.argsort(p_values, kind='stable')
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate((len(order) - np.arange(len(order))) * p_values[order])
    return np.minimum(adjusted, 1.0)


def share_difference(x: Interval, y: Interval) -> Interval:
    """Difference x - y of two binomial shares from their Wilson intervals: Newcombe's method 10.

    It keeps its width where both shares are 0 or 1 (Statistics in Medicine 17, 1998, 873-890). Pairs are not used,
    which makes it the wider where they agree.
    """
    value = x.value - y.value
    low = value - np.hypot(x.value - x.low, y.high - y.value)
    return Interval(value, float(low), float(value + np.hypot(x.high - x.value, y.value - y.low)))


def probability_of_improvement(
    x: ArrayLike, y: ArrayLike, level: float = 0.95, method: str = 'score', seed: int = 0
) -> Interval:
    """P(X > Y) + P(X = Y) / 2 for a run of x against an independent run of y, averaged over tasks.

    The interval:
      'score': Newcombe's method 5 for the Mann-Whitney statistic (Statistics in Medicine 25, 2006, 559-573): all
        theta with |theta - estimate| <= z sqrt(V(theta)), V from the exponential model of Hanley and McNeil. It
        keeps its width when one arm wins every pair. One task.
      'bootstrap': rliable's stratified bootstrap of seeds; any number of tasks. When one arm wins every pair it is
        the single point 0 or 1, whatever the number of seeds: not to be used with few.

    Args:
      x: (n,) or (n, tasks).
      y: (m,) or (m, tasks), the same tasks in the same order.
      level: confidence level.
      method: 'score' or 'bootstrap'.
      seed: of the bootstrap's resamples.

    Raises:
      ValueError: numbers of tasks differ, 'score' with several tasks, or the method is unknown.
    """
    x, y = (a[:, None] if a.ndim == 1 else a for a in (finite('probability_of_improvement', a) for a in (x, y)))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f'probability_of_improvement: shapes {x.shape} and {y.shape}; give (seeds, tasks), equal tasks'
        )
    if method == 'bootstrap':
        return stratified_bootstrap(_improvement, x, y, level=level, seed=seed)
    if method != 'score':
        raise ValueError(f"probability_of_improvement: method={method!r}; choose 'score' or 'bootstrap'")
    if x.shape[1] != 1:
        raise ValueError(f"probability_of_improvement: {x.shape[1]} tasks with method='score'; use 'bootstrap'")
    value = _improvement(x, y)
    return Interval(value, *_score_bounds(value, len(x), len(y), normal_quantile(level)))


def _improvement(x: np.ndarray, y: np.ndarray) -> float:
    difference = x[:, None] - y[None]  # (n, m, tasks)
    return float(np.mean((np.sign(difference) + 1) / 2))


def _score_bounds(value: float, n: int, m: int, z: float) -> tuple[float, float]:
    """The two theta at which |theta - value| = z sqrt(V(theta)); V vanishes at 0 and 1, so both lie in [0, 1]."""
    aside = 1e-9  # off the root at the estimate itself, which is there when it is 0 or 1
    extra = (n + m) / 2 - 1

    def excess(theta):
        factor = 1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - value) ** 2 - z**2 * theta * (1 - theta) * factor / (n * m)

    low = 0.0 if value == 0 else optimize.brentq(excess, 0, min(value, 1 - aside))
    high = 1.0 if value == 1 else optimize.brentq(excess, max(value, aside), 1)
    return low, high
