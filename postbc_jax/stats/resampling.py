"""The stratified bootstrap, and the interquartile mean that it is for: many runs, several tasks (arXiv 2108.13264)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats as scipy_stats

from postbc_jax.stats.intervals import Interval, finite


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean of the middle half of all values (arXiv 2108.13264). Below 4 values, the mean."""
    return float(scipy_stats.trim_mean(finite('iqm', scores), 0.25, axis=None))


def bootstrap(
    statistic: Callable[[list[np.ndarray]], float],
    sizes: Sequence[int],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a statistic of units in strata, each resampled with replacement on its own.

    Args:
      statistic: function of a list with the indices (sizes[s],) of the units drawn of each stratum s -> scalar, perhaps
        infinite. What belongs together (a seed's arms and finetuning runs) it takes by one index.
      sizes: number of units of each stratum.
      level: confidence level.
      resamples: number of resamples.
      seed: of the resamples.

    Raises:
      ValueError: no strata, or one without units.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f'bootstrap: strata of {list(sizes)} units: give at least one unit in each')
    rng = np.random.default_rng(seed)
    draws = [statistic([rng.integers(size, size=size) for size in sizes]) for _ in range(resamples)]
    # Between an infinite draw and a finite one there is nothing to interpolate.
    method = 'linear' if np.isfinite(draws).all() else 'inverted_cdf'
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], method=method)
    return Interval(float(statistic([np.arange(size) for size in sizes])), float(low), float(high))


def stratified_bootstrap(
    statistic: Callable[..., float], *scores: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of statistic(*scores), as rliable defines it (arXiv 2108.13264, section 4.1).

    Seeds are resampled with replacement within each task, independently for every task and every array, so each
    resample holds every task as often as the data do. Further axes, such as a seed's finetuning runs, go with it.

    Args:
      statistic: function of arrays shaped as `scores` -> scalar.
      *scores: arrays (seeds, tasks, ...); the number of seeds may differ between arrays.
      level: confidence level.
      resamples: number of bootstrap resamples.
      seed: of the resamples.

    Raises:
      ValueError: an array is not (seeds, tasks, ...) or not finite.
    """
    arrays = [finite('stratified_bootstrap', s) for s in scores]
    for array in arrays:
        if array.ndim < 2:
            raise ValueError(f'stratified_bootstrap: shape {array.shape}; give an array (seeds, tasks, ...)')
    tasks = [array.shape[1] for array in arrays]

    def of(indices: list[np.ndarray]) -> float:
        ends = np.cumsum(tasks)
        drawn = (np.stack(indices[end - n : end], 1) for n, end in zip(tasks, ends, strict=True))
        return statistic(*(a[d, np.arange(a.shape[1])] for a, d in zip(arrays, drawn, strict=True)))

    sizes = [len(array) for array, n in zip(arrays, tasks, strict=True) for _ in range(n)]
    return bootstrap(of, sizes, level, resamples, seed)
