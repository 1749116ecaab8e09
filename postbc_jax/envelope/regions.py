"""Regions of the demonstrated states: the parts in which the envelope is described and calibrated.

Between Demos and the envelope's descriptions. A region of states can be recognised from an observation alone, wherever
the policy acts; a phase, the share of the episode that is over, is known of whole episodes only. Numpy.
"""

from typing import NamedTuple

import numpy as np
from scipy.cluster.vq import kmeans2

from postbc_jax.envelope.distances import squared

_MOST = 20_000  # states that k-means is fitted to: evenly fewer of more
_STARTS = 8  # of k-means, of which the best is kept


class Regions(NamedTuple):
    """R parts of N states, numbered in the order in which episodes come through them.

    Attributes:
      index: (N,) int, the region of each state.
      centres: (R, O), of each region, normalised.
    """

    index: np.ndarray
    centres: np.ndarray

    @property
    def count(self) -> int:
        """R."""
        return len(self.centres)


def progress(episode: np.ndarray) -> np.ndarray:
    """The share of its episode that is over at each step, (N,) in [0, 1]: 0 at the first step, 1 at the last."""
    episode = np.asarray(episode)
    starts, lengths = np.unique(episode, return_index=True, return_counts=True)[1:]
    time = np.arange(len(episode)) - np.repeat(starts, lengths)
    return time / np.maximum(np.repeat(lengths, lengths) - 1, 1)


def by_states(obs: np.ndarray, episode: np.ndarray, count: int, seed: int = 0) -> Regions:
    """k-means of normalised observations (Lloyd, from k-means++ starts; scipy.cluster.vq), fewer where some are empty.

    Args:
      obs: (N, O), normalised.
      episode: (N,), each contiguous.
      count: R, at most.
      seed: of the starts; equal seeds give equal regions.

    Raises:
      ValueError: count < 1, or rows that do not fit.
    """
    obs = np.asarray(obs, float)
    if count < 1 or len(obs) != len(episode) or not len(obs):
        raise ValueError(f'by_states: count={count}, {len(obs)} states, {len(episode)} episodes: give one of each')
    some = obs[:: -(-len(obs) // _MOST)]
    rng = np.random.default_rng(seed)
    starts = [_spread_out(some, count, rng) for _ in range(_STARTS)]
    fits = [kmeans2(some, start, iter=50, minit='matrix', missing='warn')[0] for start in starts]
    centres = min(fits, key=lambda c: np.mean(np.min(squared(some, c), axis=1)))
    return _numbered(episode, nearest(obs, centres), centres)


def by_labels(obs: np.ndarray, episode: np.ndarray, labels: np.ndarray) -> Regions:
    """Regions that are given, such as phases, contexts or an environment's own: labels (N,) int >= 0, gaps allowed."""
    obs, there = np.asarray(obs, float), np.unique(labels)
    centres = np.zeros((there.max() + 1, obs.shape[1]))
    centres[there] = [obs[labels == one].mean(axis=0) for one in there]
    return _numbered(episode, np.asarray(labels), centres)


def nearest(obs: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The region (n,) of each normalised observation (n, O), also of states that nobody demonstrated."""
    return np.argmin(squared(np.asarray(obs, float), centres), axis=1)


def _numbered(episode: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> Regions:
    """Regions in the order of their mean progress; empty ones are left out."""
    over = progress(episode)
    there = np.unique(labels)
    order = there[np.argsort([over[labels == one].mean() for one in there], kind='stable')]
    rank = np.zeros(labels.max() + 1, int)
    rank[order] = np.arange(len(order))
    return Regions(rank[labels], centres[order])


def _spread_out(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++: each centre a point, drawn in proportion to its squared distance from those before it."""
    chosen = points[rng.integers(len(points))][None]
    while len(chosen) < count:
        apart = squared(points, chosen).min(axis=1)
        if apart.sum() <= 0:  # fewer different states than regions
            break
        chosen = np.vstack([chosen, points[rng.choice(len(points), p=apart / apart.sum())]])
    return chosen
