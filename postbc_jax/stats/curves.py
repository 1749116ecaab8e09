"""Numbers of learning curves and of repeated attempts: area, first passage, pass@N."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from postbc_jax.stats.intervals import finite


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


def _curves(name: str, env_steps: ArrayLike, success: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    steps, success = finite(name, env_steps, 1), finite(name, success)
    if len(steps) < 2 or (np.diff(steps) <= 0).any() or success.shape[-1:] != steps.shape:
        raise ValueError(f'{name}: steps {steps.shape}, success {success.shape}; give >= 2 increasing steps, (..., P)')
    return steps, success
