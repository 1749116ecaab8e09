"""What the demonstrations do in each region: the range of every action dimension, its modes, and why it varies.

Between the posterior and the document. An ensemble of Gaussian heads that are told who demonstrates, N(mean, variance)
at (state, operator), splits the variance of a demonstrated action by the law of total variance into three:

    between = Var_o mean_k mean_k(s, o)     operators do different things at s: styles
    within  = mean_o mean_k variance_k(s, o)   one operator does not always do the same: noise
    unknown = mean_o Var_k mean_k(s, o)     members, each fitted to its own bootstrap, disagree: too few demonstrations

and over the states of a region the variance of the mean over all is a fourth: the action depends on the state. Numpy.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import find_peaks

QUANTILES = (0.05, 0.5, 0.95)
_GRID = 512  # points of a density
_MOST = 4096  # values of a density: evenly fewer of more
_PROMINENT = 0.1  # of the highest peak: a lower rise is no mode
_FEWEST = 0.05  # of the values: fewer are no mode
_NARROWEST = 0.01  # of the range: the least width of a kernel


class Mode(NamedTuple):
    """A peak of a dimension's density. at: where; share: of the values, between the valleys beside it."""

    at: float
    share: float


class Split(NamedTuple):
    """Variances of the first action at states (..., A), in squared units of what they were given in.

    Attributes:
      mean: of all operators and members.
      between: of operators' means.
      within: an operator's own.
      unknown: of members' means.
    """

    mean: np.ndarray
    between: np.ndarray
    within: np.ndarray
    unknown: np.ndarray


class Parts(NamedTuple):
    """Why the action of a region varies, (R, A) each; their sum is the variance that the ensemble predicts there.

    Attributes:
      state: of Split.mean over the region's states.
      between, within, unknown: the means of Split's.
    """

    state: np.ndarray
    between: np.ndarray
    within: np.ndarray
    unknown: np.ndarray


def ranges(actions: np.ndarray, region: np.ndarray, count: int) -> np.ndarray:
    """The 5, 50 and 95% quantiles of the demonstrated actions (N, A) in each of `count` regions: (3, R, A)."""
    each = [np.quantile(actions[region == one], QUANTILES, axis=0) for one in range(count)]
    return np.stack(each, axis=1)


def modes(values: np.ndarray, independent: int) -> list[Mode]:
    """The peaks of a Gaussian kernel density of one dimension's values, lowest value first; one where they are alike.

    The kernel's width is Silverman's, .9 min(std, IQR / 1.34) n^(-1/5), with n the number of independent values: steps
    of one trajectory depend on each other, and a width by their number would find a mode in every trajectory.

    Args:
      values: (n,).
      independent: demonstrations that they are of.

    Raises:
      ValueError: no values, or independent < 1.
    """
    values = np.asarray(values, float)
    if not len(values) or independent < 1:
        raise ValueError(f'modes: {len(values)} values of {independent} demonstrations: give at least one of each')
    low, high = values.min(), values.max()
    if high == low:
        return [Mode(float(low), 1.0)]
    quartiles = np.subtract(*np.quantile(values, (0.75, 0.25))) / 1.34
    size = min(size for size in (values.std(), quartiles) if size > 0)
    width = max(0.9 * size * independent**-0.2, _NARROWEST * (high - low))
    at = np.linspace(low - 3 * width, high + 3 * width, _GRID)
    some = values[:: -(-len(values) // _MOST)]
    density = np.exp(-0.5 * ((at[:, None] - some) / width) ** 2).mean(axis=1)
    peaks = find_peaks(density, prominence=_PROMINENT * density.max())[0]
    while True:
        valleys = [a + int(np.argmin(density[a:b])) for a, b in zip(peaks[:-1], peaks[1:], strict=True)]
        shares = np.histogram(values, [-np.inf, *at[valleys], np.inf])[0] / len(values)
        if shares.min() >= _FEWEST:
            return [Mode(float(at[peak]), float(share)) for peak, share in zip(peaks, shares, strict=True)]
        peaks = np.delete(peaks, np.argmin(shares))


def split(mean: np.ndarray, variance: np.ndarray, operators: np.ndarray, members: np.ndarray) -> Split:
    """The law of total variance at n states, exactly: the three add up to the variance of the mixture over all.

    Args:
      mean, variance: (K, P, n, A), what member k predicts for operator p.
      operators: (n, P), how much each operator weighs at each state.
      members: (K, n), how much each member weighs: those that never saw the state's demonstration, so that what is
        said about it is what is known without it.

    Raises:
      ValueError: shapes do not fit, or a state whose weights are all 0.
    """
    k, p, n, _ = mean.shape
    if variance.shape != mean.shape or operators.shape != (n, p) or members.shape != (k, n):
        raise ValueError(
            f'split: mean {mean.shape}, variance {variance.shape}, operators {operators.shape}, members '
            f'{members.shape}: must be (K, P, n, A) twice, (n, P) and (K, n)'
        )
    if not (operators.sum(axis=1) > 0).all() or not (members.sum(axis=0) > 0).all():
        raise ValueError('split: a state has no operator or no member of any weight')
    who = (operators / operators.sum(axis=1, keepdims=True)).T[..., None]  # (P, n, 1)
    which = (members / members.sum(axis=0))[:, None, :, None]  # (K, 1, n, 1)
    of_operator = (which * mean).sum(axis=0)  # (P, n, A)
    overall = (who * of_operator).sum(axis=0)  # (n, A)
    return Split(
        mean=overall,
        between=(who * (of_operator - overall) ** 2).sum(axis=0),
        within=(who * (which * variance).sum(axis=0)).sum(axis=0),
        unknown=(who * (which * (mean - of_operator) ** 2).sum(axis=0)).sum(axis=0),
    )


def by_region(found: Split, region: np.ndarray, count: int) -> Parts:
    """Parts (R, A) of a Split (N, A) over the states of each of `count` regions (N,)."""
    inside = [region == one for one in range(count)]
    means = ([part[chosen].mean(axis=0) for chosen in inside] for part in (found.between, found.within, found.unknown))
    return Parts(np.stack([found.mean[chosen].var(axis=0) for chosen in inside]), *map(np.stack, means))
