"""Time to an event that some runs never see: Kaplan and Meier's curve, its median and its restricted mean.

The event is a run's first evaluation at or above a success rate; a run that never gets there is censored at its last.
Kaplan and Meier, JASA 53 (1958). scipy.stats.ecdf draws the same curve of one sample in milliseconds; here weights make
thousands of resamples one call.
"""

import numpy as np
from numpy.typing import ArrayLike

from postbc_jax.stats.intervals import finite


def kaplan_meier(
    times: ArrayLike, reached: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The share of runs that have not got there yet.

    Args:
      times: (R,) >= 0, when a run got there, or until when it is known not to have.
      reached: (R,) bool, whether it did.
      weights: (..., R) >= 0, how often each run counts, as in a resample; once each where None.

    Returns:
      times (R,), sorted, those that got there before those that did not; and the share (..., R) right after each.

    Raises:
      ValueError: lengths differ, no runs, or a time that is negative or not finite.
    """
    times, reached = finite('kaplan_meier', times, 1), np.asarray(reached, bool)
    weights = np.ones(len(times)) if weights is None else np.asarray(weights, float)
    if reached.shape != times.shape or weights.shape[-1:] != times.shape or times.min() < 0:
        raise ValueError(
            f'kaplan_meier: times {times.shape} from {times.min():g}, reached {reached.shape}, weights '
            f'{weights.shape}: give one of each a run, times of at least 0'
        )
    order = np.lexsort((~reached, times))
    weights = weights[..., order]
    at_risk = np.cumsum(weights[..., ::-1], -1)[..., ::-1]
    lost = np.where(reached[order], weights, 0.0)
    # One factor a run: those of runs at the same time multiply to the one of all of them.
    return times[order], np.cumprod(1 - np.divide(lost, at_risk, out=np.zeros_like(lost), where=at_risk > 0), -1)


def median_time(times: ArrayLike, reached: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """The first time (...,) at which at most half have not got there yet; infinite where that never is.

    Args and Raises: as kaplan_meier.
    """
    at, share = kaplan_meier(times, reached, weights)
    half = share <= 0.5 + 1e-9
    return np.where(half.any(-1), at[half.argmax(-1)], np.inf)


def restricted_mean(
    times: ArrayLike, reached: ArrayLike, horizon: float, weights: ArrayLike | None = None
) -> np.ndarray:
    """The mean time (...,) of the runs, counted as `horizon` where it is longer: the area under the curve up to there.

    Args:
      times, reached, weights: as kaplan_meier.
      horizon: > 0; where runs are followed no longer than that, compare no arms at a longer one.

    Raises:
      ValueError: as kaplan_meier, or a run is censored before the horizon and none is followed to it.
    """
    at, share = kaplan_meier(times, reached, weights)
    if not horizon > 0 or (horizon > at[-1] and not np.asarray(reached, bool).all()):
        raise ValueError(
            f'restricted_mean: horizon={horizon:g}: the last run is followed to {at[-1]:g}: give one within it'
        )
    edges = np.concatenate([[0.0], np.minimum(at, horizon), [horizon]])
    before = np.concatenate([np.ones((*share.shape[:-1], 1)), share], -1)  # the share between two edges
    return np.sum(before * np.diff(edges), -1)
