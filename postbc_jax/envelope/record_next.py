"""What to record next: start states from which one more demonstration is worth most.

After the posterior, before the next session with the robot. The model: at a state the posterior of the demonstrator's
mean action is Gaussian, of variance s^2 / n for the n demonstrations within a kernel's reach, so that one more that
passes within reach k in [0, 1] makes it s^2 / (n + k) (arXiv 2512.16911, App. C, for k = 1). A demonstration begun
where an earlier one began is taken to go the same way. Where one was chosen the next is worth less, so that greedy
choices spread out. Numpy.
"""

from typing import NamedTuple

import numpy as np

from postbc_jax.envelope.distances import squared


class Pick(NamedTuple):
    """A start. path: its index. gain: the share of the mean variance by which it falls. left: what is then left, as a
    share of what there was before any pick."""

    path: int
    gain: float
    left: float


def reach(obs: np.ndarray, owner: np.ndarray) -> float:
    """A kernel's width: the median over states (n, O) of the distance to the nearest state of another path (n,).

    Raises:
      ValueError: there is one path alone.
    """
    if len(np.unique(owner)) < 2:
        raise ValueError('reach: one demonstration has no neighbours: give two or more')
    nearest = [np.sqrt(squared(obs[owner == one], obs[owner != one]).min(axis=1)) for one in np.unique(owner)]
    return float(np.median(np.concatenate(nearest)))


def closeness(states: np.ndarray, paths: np.ndarray, owner: np.ndarray, width: float) -> np.ndarray:
    """(C, n): how near each of C paths comes to each state, exp(-d^2 / 2 width^2) of its nearest point, 1 on it.

    Args:
      states: (n, O), normalised.
      paths: (m, O), the points of all paths.
      owner: (m,), the path of each, 0 to C - 1.
      width: as from `reach`.
    """
    least = np.stack([squared(states, paths[owner == one]).min(axis=1) for one in range(int(owner.max()) + 1)])
    return np.exp(-0.5 * least / max(width, 1e-12) ** 2)


def plan(variance: np.ndarray, demonstrations: np.ndarray, near: np.ndarray, picks: int) -> list[Pick]:
    """The best starts one after the other, each chosen as if those before it had been recorded.

    Args:
      variance: (n,), the posterior's at n states that matter, which weigh alike.
      demonstrations: (n,) > 0, how many demonstrations that variance rests on.
      near: (C, n) in [0, 1], how near a demonstration from each start would come to each state.
      picks: how many starts; one may be chosen again.

    Raises:
      ValueError: shapes do not fit, or no positive variance.
    """
    if variance.shape != demonstrations.shape or near.shape[1:] != variance.shape or not (demonstrations > 0).all():
        raise ValueError(
            f'plan: variance {variance.shape}, demonstrations {demonstrations.shape} (> 0), near {near.shape}: must be '
            '(n,), (n,) and (C, n)'
        )
    if not variance.mean() > 0:
        raise ValueError('plan: nothing is unknown: every variance is 0')
    left, count, found, begun = np.array(variance, float), np.array(demonstrations, float), [], variance.mean()
    for _ in range(picks):
        falls = worth(left, count, near)
        best = int(np.argmax(falls))
        left = left * count / (count + near[best])
        count = count + near[best]
        found.append(Pick(best, float(falls[best]), float(left.mean() / begun)))
    return found


def worth(variance: np.ndarray, demonstrations: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The share (C,) of the mean variance by which it falls with one demonstration from each start, as for `plan`."""
    return (variance * near / (demonstrations + near)).mean(axis=1) / variance.mean()
