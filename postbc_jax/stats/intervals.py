"""Intervals of one number: a binomial share, a mean over seeds. The rest of stats stands on these."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
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
    z2 = normal_quantile(level) ** 2
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
    values = finite('mean_interval', values, dimensions=1)
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Interval(mean, np.nan, np.nan)
    half = float(scipy_stats.t.ppf(0.5 + level / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def clustered_mean(
    values: ArrayLike, cluster: ArrayLike, level: float = 0.95, weights: ArrayLike | None = None
) -> Interval:
    """Mean over n rows that depend on each other within a cluster, as the steps of a trajectory do; arrays (...,).

    Student's t with one degree less than clusters, on the cluster-robust variance k/(k-1) sum_c (sum_c - n_c mean)^2 /
    n^2 of k clusters; one cluster has no interval. A bootstrap of 5 clusters covers about 83% where this covers 95%.
    With weights sum_c, n_c and n are sums of w v and of w: the mean is a ratio estimator.

    Args:
      values: (n, ...).
      cluster: (n,), whose row it is.
      level: confidence level.
      weights: (n,), none negative; None weighs all alike.

    Raises:
      ValueError: values or weights are not finite, clusters or weights are not one a row, or weights sum to 0.
    """
    values, (names, index) = finite('clustered_mean', values), np.unique(np.asarray(cluster), return_inverse=True)
    if index.shape != values.shape[:1]:
        raise ValueError(f'clustered_mean: {len(values)} rows, {index.size} clusters; give every row its cluster')
    weights = np.ones(len(values)) if weights is None else finite('clustered_mean', weights)
    if weights.shape != index.shape or weights.min() < 0 or not weights.sum() > 0:
        raise ValueError(
            f'clustered_mean: weights {weights.shape} for {len(values)} rows, from {weights.min():g}; give one of at '
            'least 0 a row, not all 0'
        )
    weights = weights.reshape(-1, *(1,) * (values.ndim - 1))
    n, k = weights.sum(), len(names)
    mean = (weights * values).sum(axis=0) / n
    if k == 1:
        return Interval(mean, *(np.full_like(mean, np.nan),) * 2)
    apart = np.zeros((k, *values.shape[1:]))
    np.add.at(apart, index, weights * (values - mean))
    half = scipy_stats.t.ppf(0.5 + level / 2, k - 1) * np.sqrt(k / (k - 1) * np.square(apart).sum(axis=0)) / n
    return Interval(mean, mean - half, mean + half)


def quantile_interval(values: ArrayLike, quantile: float, level: float = 0.95) -> Interval:
    """A quantile of n independent values (n,), between two of them: right for any distribution, ties included.

    The number of values up to the true quantile is Bin(n, quantile), at least so with ties: order statistics bound it.
    The estimate is a value too, the ceil(n quantile)-th; where n is too small for a bound, that bound is NaN.

    Raises:
      ValueError: no values, not one-dimensional, not finite, or a quantile outside (0, 1).
    """
    values = np.sort(finite('quantile_interval', values, dimensions=1))
    if not 0 < quantile < 1:
        raise ValueError(f'quantile_interval: quantile={quantile}; give one between 0 and 1, such as 0.05')
    n, tail = len(values), 0.5 - level / 2
    low, high = (int(scipy_stats.binom.ppf(p, n, quantile)) for p in (tail, 1 - tail))  # the low-th and high+1-th value
    return Interval(
        float(np.quantile(values, quantile, method='inverted_cdf')),
        float(values[low - 1]) if low else np.nan,
        float(values[high]) if high < n else np.nan,
    )


def normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f'level={level}: a confidence level lies between 0 and 1, such as 0.95')
    return float(scipy_stats.norm.ppf(0.5 + level / 2))


def finite(name: str, values: ArrayLike, dimensions: int | None = None) -> np.ndarray:
    values = np.asarray(values, float)
    if dimensions is not None and values.ndim != dimensions:
        raise ValueError(f'{name}: shape {values.shape}; give an array of {dimensions} dimension(s)')
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f'{name}: {np.sum(~np.isfinite(values))} of {values.size} values not finite; leave such runs out'
        )
    return values
