"""What makes an envelope of held-out scores: the whitener, the radius, and the demonstrated states that are kept.

Below launch.envelopes, which has the scores. numpy, on the host.
"""

import math

import numpy as np

SHARES = 2  # tests of a decision, of its chunk and of its state: each may flag half of the rate
MIN_MOMENT = 0.01  # an entry's residuals count as at least a tenth of the guide's standard deviation
MIN_SPREAD = 0.1  # of an observation's dimension, normalised: constant ones would make everything strange


def whitener(residuals: np.ndarray, chunk: int) -> np.ndarray:
    """W, lower triangular, with W S W^T = I for S the second moments of standardised residuals, shrunk.

    S = d C d: d the root mean square of each entry, which makes good what the guide says too small or too large, and C
    their correlation, shrunk towards I by D / (D + n / T): chunks that overlap are not n independent ones.

    Args:
      residuals: (n, T*A), (chunk - mean) / std at held-out steps.
      chunk: T.

    Returns:
      float32 (D, D), D = T*A.
    """
    n, size = residuals.shape
    residuals = residuals.astype(np.float64)
    moment = np.maximum(np.mean(residuals**2, axis=0), MIN_MOMENT)
    deviation = np.sqrt(moment)
    scaled = residuals / deviation
    correlation = scaled.T @ scaled / n
    np.fill_diagonal(correlation, 1.0)
    weight = size / (size + n / chunk)
    shrunk = (1 - weight) * correlation + weight * np.eye(size)
    return (np.linalg.inv(np.linalg.cholesky(shrunk)) / deviation).astype(np.float32)


def quantile(scores: np.ndarray, rate: float) -> float:
    """The conformal bound of one test: the ceil((n+1)(1-rate))-th smallest of n scores (Vovk et al., 2005).

    A further score, exchangeable with these, is larger with a chance of at most `rate`. n scores support rates from
    1 / (n + 1) on: below that it is the largest score, whose chance of being passed is 1 / (n + 1).

    Raises:
      ValueError: no scores, or a rate outside (0, 1).
    """
    if not len(scores) or not 0 < rate < 1:
        raise ValueError(f'rate={rate}: must lie between 0 and 1, and {len(scores)} scores be at least one')
    rank = math.ceil((len(scores) + 1) * (1 - rate) - 1e-9)  # (n+1)(1-rate) may lie a rounding above a whole number
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


def bounds(scores: np.ndarray, context: np.ndarray, rates: tuple[float, ...], names: tuple[str, ...]) -> np.ndarray:
    """The bound of one of the SHARES tests in every context, float32 (C,).

    Args:
      scores: (n,), at held-out steps.
      context: (n,), theirs, in 0, ..., C - 1.
      rates: (C,), of decisions that may be flagged, by either test.
      names: C.

    Raises:
      ValueError: a context in which nothing is held out.
    """
    found = []
    for index, (rate, name) in enumerate(zip(rates, names, strict=True)):
        own = scores[context == index]
        if not len(own):
            raise ValueError(f'context {name!r}: no demonstrated step lies in it: widen it, or leave it out')
        found.append(quantile(own, rate / SHARES))
    return np.array(found, np.float32)


def supported(scores: int) -> float:
    """The smallest rate of flagged decisions that so many held-out steps support; with fewer trajectories than
    1 / rate, steps of a trajectory being alike, the rate holds on average over demonstrations, not for each set."""
    return SHARES / (scores + 1)


def thinned(steps: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the steps (n,), evenly chosen."""
    return steps if len(steps) <= most else steps[np.linspace(0, len(steps) - 1, most).astype(int)]


def spread(obs: np.ndarray) -> np.ndarray:
    """The standard deviation of each dimension of states (M, O), at least MIN_SPREAD: (O,)."""
    return np.maximum(obs.std(axis=0), MIN_SPREAD).astype(np.float32)
