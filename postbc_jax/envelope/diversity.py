"""How different demonstrations are from each other, as one number: of how many utterly different ones they are worth.

The Vendi score (Friedman and Dieng, arXiv 2210.02410): exp of the entropy of the eigenvalues of K / E, K_ij the
similarity of demonstrations i and j. E copies of one have 1, E that share nothing have E. Beside record_next. Numpy.
"""

from typing import NamedTuple

import numpy as np

from postbc_jax.envelope.distances import squared

POINTS = 16  # of the way at which two demonstrations are compared


class Change(NamedTuple):
    """The score before and after demonstrations were added, and what each added one brought on average."""

    before: float
    after: float
    each: float


def paths(obs: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """Each demonstration's states at POINTS even shares of its length: obs (N, O), episode (N,) -> (E, POINTS, O)."""
    found = []
    for one in np.unique(episode):
        steps = obs[episode == one]
        at = np.linspace(0, len(steps) - 1, POINTS)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, len(steps) - 1)
        found.append(steps[low] + (at - low)[:, None] * (steps[high] - steps[low]))
    return np.stack(found)


def width(ways: np.ndarray) -> float:
    """The distance at which two demonstrations count as rather different: the median over pairs of (E, POINTS, O)."""
    if len(ways) < 2:
        return 1.0
    return float(np.median(_distances(ways)[np.triu_indices(len(ways), 1)])) or 1.0


def vendi(ways: np.ndarray, size: float) -> float:
    """The score in [1, E] of (E, POINTS, O); similarity exp(-d^2 / 2 size^2) at a distance d, rms over points."""
    similar = np.exp(-0.5 * (_distances(ways) / size) ** 2) / len(ways)
    values = np.linalg.eigvalsh(similar)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def compare(before: np.ndarray, after: np.ndarray) -> Change:
    """What was added, measured by the width of `after`: both (E, POINTS, O), in the same units; `after` holds `before`.

    Raises:
      ValueError: there are not more demonstrations after than before.
    """
    added = len(after) - len(before)
    if added < 1:
        raise ValueError(f'compare: {len(before)} demonstrations before, {len(after)} after: give all of them as after')
    size = width(after)
    scores = vendi(before, size), vendi(after, size)
    return Change(*scores, (scores[1] - scores[0]) / added)


def _distances(ways: np.ndarray) -> np.ndarray:
    """Rms over points of the distance between states, (E, E)."""
    flat = ways.reshape(len(ways), -1)
    return np.sqrt(squared(flat, flat) / ways.shape[1])
