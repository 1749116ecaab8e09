"""Statistics of success rates over seeds, tasks and evaluations, in numpy and scipy alone.

The last step of the pipeline before the report: what a handful of seeds can say about a difference, and what not.

Which interval for what. A success rate of ONE policy is a binomial share: `wilson`. The mean of an arm over seeds is
`mean_interval`, a comparison of two arms `paired_difference`: Student's t over seeds, since a bootstrap of n seeds
underestimates the variance by (n-1)/n and cuts the tails as well (with 3 seeds its 95% interval covers about 74%).
`stratified_bootstrap` is for many runs, several tasks, and statistics without a distribution of their own (the IQM).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special
from scipy import stats as scipy_stats


class Interval(NamedTuple):
    """An estimate and its confidence interval; low and high are NaN where the data allow none."""

    value: float
    low: float
    high: float


def wilson(successes: float, trials: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a binomial share. It speaks of one policy's episodes, not of other seeds.

    Raises:
      ValueError: not 0 <= successes <= trials, or no trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f'wilson: {successes} successes of {trials} trials; give 0 <= successes <= trials, trials >= 1'
        )
    z2 = _normal_quantile(level) ** 2
    share = successes / trials
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * share * (1 - share) / trials + (z2 / (2 * trials)) ** 2) / (1 + z2 / trials)
    return Interval(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of n independent values (n,), with Student's t interval; one value has no interval (NaN bounds).

    The interval of a mean of success rates is not cut to [0, 1]: a bound outside says that n is small.

    Raises:
      ValueError: no values, not one-dimensional, or not finite.
    """
    values = _finite('mean_interval', values, dimensions=1)
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Interval(mean, np.nan, np.nan)
    half = float(scipy_stats.t.ppf(0.5 + level / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def clustered_mean(values: ArrayLike, cluster: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over n rows that depend on each other within a cluster, as the steps of a trajectory do; arrays (...,).

    Student's t with one degree less than clusters, on the cluster-robust variance k/(k-1) sum_c (sum_c - n_c mean)^2 /
    n^2 of k clusters; one cluster has no interval. A bootstrap of 5 clusters covers about 83% where this covers 95%.

    Args:
      values: (n, ...).
      cluster: (n,), whose row it is.
      level: confidence level.

    Raises:
      ValueError: values are not finite, or clusters are not one a row.
    """
    values, (names, index) = _finite('clustered_mean', values), np.unique(np.asarray(cluster), return_inverse=True)
    if index.shape != values.shape[:1]:
        raise ValueError(f'clustered_mean: {len(values)} rows, {index.size} clusters; give every row its cluster')
    n, k, mean = len(values), len(names), values.mean(axis=0)
    if k == 1:
        return Interval(mean, *(np.full_like(mean, np.nan),) * 2)
    apart = np.zeros((k, *values.shape[1:]))
    np.add.at(apart, index, values - mean)
    half = scipy_stats.t.ppf(0.5 + level / 2, k - 1) * np.sqrt(k / (k - 1) * np.square(apart).sum(axis=0)) / n
    return Interval(mean, mean - half, mean + half)


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
    x, y = _finite('paired_difference x', x, 1), _finite('paired_difference y', y, 1)
    if x.shape != y.shape:
        raise ValueError(f'paired_difference: {len(x)} values against {len(y)}; give one value per seed on both sides')
    if method == 't':
        return mean_interval(x - y, level)
    if method == 'bootstrap':
        return stratified_bootstrap(np.mean, (x - y)[:, None], level=level, seed=seed)
    raise ValueError(f"paired_difference: method={method!r}; choose 't' or 'bootstrap'")


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean of the middle half of all values (arXiv 2108.13264). Below 4 values, the mean."""
    return float(scipy_stats.trim_mean(_finite('iqm', scores), 0.25, axis=None))


def stratified_bootstrap(
    statistic: Callable[..., float], *scores: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of statistic(*scores), as rliable defines it (arXiv 2108.13264, section 4.1).

    Seeds are resampled with replacement within each task, independently for every task and every array, so each
    resample holds every task as often as the data do.

    Args:
      statistic: function of arrays shaped as `scores` -> scalar.
      *scores: arrays (seeds, tasks); the number of seeds may differ between arrays.
      level: confidence level.
      resamples: number of bootstrap resamples.
      seed: of the resamples.

    Raises:
      ValueError: an array is not (seeds, tasks) or not finite.
    """
    arrays = [_finite('stratified_bootstrap', s, dimensions=2) for s in scores]
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for i in range(resamples):
        draws[i] = statistic(*(_resample(rng, a) for a in arrays))
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(float(statistic(*arrays)), float(low), float(high))


def _resample(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    """scores (seeds, tasks) with every task's column redrawn with replacement, on its own."""
    return np.take_along_axis(scores, rng.integers(len(scores), size=scores.shape), axis=0)


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
    x, y = (a[:, None] if a.ndim == 1 else a for a in (_finite('probability_of_improvement', a) for a in (x, y)))
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
    return Interval(value, *_score_bounds(value, len(x), len(y), _normal_quantile(level)))


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


def area_under_curve(env_steps: ArrayLike, success: ArrayLike) -> np.ndarray:
    """Mean height of learning curves: the trapezoidal area over env_steps (P,), divided by their range.

    Args:
      env_steps: (P,) strictly increasing, P >= 2.
      success: (..., P).

    Returns:
      (...,), in the unit of `success`.

    Raises:
      ValueError: fewer than two evaluations, steps not increasing, or lengths that differ.
    """
    steps, success = _curves('area_under_curve', env_steps, success)
    return np.trapezoid(success, steps, axis=-1) / (steps[-1] - steps[0])


def steps_to_threshold(env_steps: ArrayLike, success: ArrayLike, threshold: float) -> tuple[np.ndarray, int]:
    """The first evaluation at which each run is at or above the threshold, and how many runs ever were.

    Near a plateau this number is mostly noise: report it beside the count and the area under the curve.

    Args:
      env_steps: (P,) strictly increasing.
      success: (R, P), one row a run.
      threshold: success rate to reach.

    Returns:
      (R,) env steps, infinite for a run that never was; and the count of runs that were.
    """
    steps, success = _curves('steps_to_threshold', env_steps, success)
    above = success >= threshold
    first = np.where(above.any(-1), steps[above.argmax(-1)], np.inf)
    return first, int(above.any(-1).sum())


def pass_at_n(successes: ArrayLike, rollouts: int, attempts: int) -> np.ndarray:
    """Unbiased estimate of the chance that at least one of `attempts` N rollouts succeeds.

    1 - C(n - c, N) / C(n, N) from c successes in n >= N rollouts (arXiv 2107.03374, equation 1).

    Args:
      successes: (...,) integer c of each start state.
      rollouts: n.
      attempts: N.

    Returns:
      (...,) estimates, one a start state.

    Raises:
      ValueError: not 1 <= N <= n, or a count outside 0..n.
    """
    c = np.asarray(successes)
    if not 1 <= attempts <= rollouts:
        raise ValueError(f'pass_at_n: N={attempts} attempts from {rollouts} rollouts; give 1 <= N <= rollouts')
    if c.size and (c.min() < 0 or c.max() > rollouts):
        raise ValueError(
            f'pass_at_n: counts from {c.min()} to {c.max()} of {rollouts} rollouts; give 0 <= c <= rollouts'
        )
    # Fewer than N failures: log C is minus infinity (gammaln has its poles there), and the estimate exactly 1.
    return -np.expm1(_log_choose(rollouts - c, attempts) - _log_choose(rollouts, attempts))


def _log_choose(n: ArrayLike, k: int) -> np.ndarray:
    n = np.asarray(n, float)
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f'level={level}: a confidence level lies between 0 and 1, such as 0.95')
    return float(scipy_stats.norm.ppf(0.5 + level / 2))


def _finite(name: str, values: ArrayLike, dimensions: int | None = None) -> np.ndarray:
    values = np.asarray(values, float)
    if dimensions is not None and values.ndim != dimensions:
        raise ValueError(f'{name}: shape {values.shape}; give an array of {dimensions} dimension(s)')
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f'{name}: {np.sum(~np.isfinite(values))} of {values.size} values not finite; leave such runs out'
        )
    return values


def _curves(name: str, env_steps: ArrayLike, success: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    steps, success = _finite(name, env_steps, 1), _finite(name, success)
    if len(steps) < 2 or (np.diff(steps) <= 0).any() or success.shape[-1:] != steps.shape:
        raise ValueError(f'{name}: steps {steps.shape}, success {success.shape}; give >= 2 increasing steps, (..., P)')
    return steps, success
