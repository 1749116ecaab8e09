"""Calibration: the weight alpha of the posterior's noise that held-out demonstrations support.

Beside the noise, between the ensemble and pretraining. In the ideal limit PostBC of weight alpha plays BC's
distribution convolved with N(0, alpha^2 cov(s)): a draw of it is a draw of BC plus alpha w, w ~ N(0, cov(s)). So where
BC and the ensemble were fitted without a demonstration, its actions have a rank among such draws; the noise is right
where they lie in the central p of them as often as p says. An entry of an action tells of alpha as far as the noise is
part of its spread, and weighs so. Statistics of arrays alone, in numpy: who fits and draws is above.
"""

from typing import NamedTuple

import numpy as np

from postbc_jax import stats

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # nominal shares of the central intervals
VERDICTS = ('too narrow', 'sound', 'too broad')
_GRID = np.linspace(0, 1, 41) ** 2  # alphas over the largest, closer near 0
_HALVINGS = 12  # of a grid's step: alpha is then good to about 1e-5 of the largest


class HeldOut(NamedTuple):
    """Demonstrated chunks and what the models that had not seen their trajectory draw there. n steps, M draws.

    Attributes:
      chunks: (n, T, A), as demonstrated.
      base: (n, M, T, A), draws of the BC policy.
      noise: (n, M, T, A), draws of the posterior's noise w at weight 1.
      weights: (n, T, A), what each entry weighs: `weights` of the posterior's noise, whatever noise is looked at.
      trajectory: (n,), whose step it is.
    """

    chunks: np.ndarray
    base: np.ndarray
    noise: np.ndarray
    weights: np.ndarray
    trajectory: np.ndarray


class Curve(NamedTuple):
    """How often held-out actions lie in the central intervals of one noise, with 95% intervals over trajectories.

    Attributes:
      coverage: an Interval of arrays (levels,), one a level of LEVELS.
      excess: coverage - level, averaged over LEVELS: above 0 the noise is broader than the data support.
    """

    coverage: stats.Interval
    excess: stats.Interval

    @property
    def verdict(self) -> str:
        return verdict(self.excess)


def verdict(excess: stats.Interval) -> str:
    """One of VERDICTS on an excess: 'sound' where its interval holds 0, or there is none."""
    return VERDICTS[1 + int(excess.low > 0) - int(excess.high < 0)]


def weights(base: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The noise's share of the variance of BC plus noise, entry by entry.

    As entries weigh in the score of a Gaussian likelihood of variance base + alpha^2 noise, at alpha 1: where BC's own
    spread is far the larger, coverage says nothing of alpha. All 1 where the noise is 0 everywhere.

    Args:
      base, noise: (n, M, T, A), as in HeldOut.

    Returns:
      (n, T, A) in [0, 1].
    """
    of_base, of_noise = (np.var(draws, axis=1, dtype=np.float64) for draws in (base, noise))
    share = of_noise / np.maximum(of_base + of_noise, np.finfo(np.float64).tiny)
    return share if share.any() else np.ones_like(share)


class Choice(NamedTuple):
    """The calibrated alpha.

    Attributes:
      alpha: at which the excess is 0.
      low, high: where the upper and the lower end of the excess's 95% interval are 0, cut to [0, the largest]: alphas
        between them are not refused by the data. nan where one trajectory allows no interval.
      found: 'inside'; 'nil' where BC alone covers enough, alpha is 0; 'most' where no alpha does, it is the largest.
    """

    alpha: float
    low: float
    high: float
    found: str


def coverage(x: np.ndarray, draws: np.ndarray, levels: tuple[float, ...] = LEVELS) -> np.ndarray:
    """The chance that each x lies in the central intervals of the distribution that M draws are of.

    With r draws below x its quantile is uniform on [r, r + 1] / (M + 1) (on [r, r + k + 1] / (M + 1) where k draws
    equal it), and the chance is that quantile's, to lie within level / 2 of 1/2. If x and the draws are exchangeable
    the mean over x is the level exactly, for every M. A level above 1 - 2 / (M + 1) is finer than M draws: an x
    beyond all of them still counts there in part.

    Args:
      x: (n, ...).
      draws: (n, M, ...).
      levels: (L,) nominal shares in (0, 1).

    Returns:
      (n, ..., L) in [0, 1].

    Raises:
      ValueError: shapes do not fit, or no draws.
    """
    if draws.ndim != x.ndim + 1 or draws.shape[:1] + draws.shape[2:] != x.shape or not draws.shape[1]:
        raise ValueError(f'x {x.shape}, draws {draws.shape}: must be (n, ...) and (n, M, ...) with M >= 1')
    places = draws.shape[1] + 1
    below = (draws < x[:, None]).sum(axis=1)
    width = (draws == x[:, None]).sum(axis=1) + 1
    start, end = (below / places)[..., None], ((below + width) / places)[..., None]
    half = np.asarray(levels) / 2
    inside = np.minimum(end, 0.5 + half) - np.maximum(start, 0.5 - half)
    return np.maximum(inside, 0) / (end - start)


def curve(held: HeldOut, alpha: float) -> Curve:
    """The reliability curve of BC's draws with alpha times the noise."""
    by_step = _by_step(held, alpha)
    return Curve(_mean(by_step, held), _excess(by_step, held))


def choose(held: HeldOut, most: float) -> Choice:
    """The least alpha in [0, most] at which the mean of coverage over LEVELS is their own mean.

    All alphas see the same draws, so that coverage grows with alpha but for rare crossings of single draws. Solved by
    bisection between the first two points of a grid of 41 between which the excess changes sign.

    Raises:
      ValueError: most is not positive.
    """
    if not most > 0:
        raise ValueError(f'most={most}: must be positive')
    grid = most * _GRID
    excess = [_excess(_by_step(held, alpha), held) for alpha in grid]
    value, *ends = (np.array(part) for part in zip(*excess, strict=True))  # (41,) each
    high, low = (_crossing(grid, end) for end in ends)
    if value[0] >= 0:
        return Choice(0.0, low, high, 'nil')
    if value.max() < 0:
        return Choice(float(most), low, high, 'most')
    first = int(np.argmax(value >= 0))
    below, above = grid[first - 1], grid[first]
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        enough = _excess(_by_step(held, middle), held).value >= 0
        below, above = (below, middle) if enough else (middle, above)
    return Choice(float(above), low, high, 'inside')


def _crossing(grid: np.ndarray, values: np.ndarray) -> float:
    """Where values on the grid first reach 0, linear between its points; the grid's last where they never do."""
    if np.isnan(values).any():
        return np.nan
    if values.max() < 0 or values[0] >= 0:
        return float(grid[0 if values[0] >= 0 else -1])
    i = int(np.argmax(values >= 0))
    return float(np.interp(0.0, values[i - 1 : i + 1], grid[i - 1 : i + 1]))


def of_rms(target: float, rms: float) -> float:
    """The alpha whose noise has the rms `target`, where noise of weight 1 has `rms`, both in action units.

    Raises:
      ValueError: the noise has no size.
    """
    if not rms > 0:
        raise ValueError(f'rms={rms}: no weight makes {target} of noise that is 0')
    return target / rms


def _by_step(held: HeldOut, alpha: float) -> np.ndarray:
    """Coverage (n, levels), the weighted mean over a step's entries; of a step that weighs nothing 0."""
    found = coverage(held.chunks, held.base + np.float32(alpha) * held.noise)
    entries = tuple(range(1, held.chunks.ndim))
    total = held.weights.sum(axis=entries)
    return (found * held.weights[..., None]).sum(axis=entries) / np.where(total > 0, total, 1)[:, None]


def _mean(by_step: np.ndarray, held: HeldOut) -> stats.Interval:
    by_entry = held.weights.sum(axis=tuple(range(1, held.weights.ndim)))
    return stats.clustered_mean(by_step, held.trajectory, weights=by_entry)


def _excess(by_step: np.ndarray, held: HeldOut) -> stats.Interval:
    return stats.Interval(*map(float, _mean((by_step - np.array(LEVELS)).mean(axis=1), held)))
