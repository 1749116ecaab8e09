"""What is measured of every demonstration, so that unlike ones can be told.

Below suspects, which compares demonstrations, and styles, which compares operators. Pure numbers of arrays. Numpy.
"""

from typing import NamedTuple

import numpy as np

from postbc_jax.envelope.distances import squared
from postbc_jax.types import Demos

MOST = 20_000  # states that others are compared with: evenly fewer of more
_STILL = 0.2  # of the median way that the state makes in a step: less is standing still
_SAME = 1e-3  # rms of normalised states and actions, below which two demonstrations are the same


class Measures(NamedTuple):
    """One number a demonstration, (E,) each; nan where it cannot be known.

    Attributes:
      actions: rms over steps of how far its actions are from what members that never saw it predict, in units of the
        spread that they predict: 1 where they are right about both.
      states: how much farther its states are from the nearest ones of other demonstrations than its first is, mean over
        them, normalised units: a rare start is no error.
      length: steps.
      pauses: share of the steps in which the state hardly moves; see `_way`.
      jerk: rms of the actions' second differences, normalised units.
      success: 1 where a reward was earned, 0 where none, nan where the file has none at all.
      twin: index of the earlier demonstration that it repeats, else -1.
      worst: the step within it whose action is furthest off.
    """

    actions: np.ndarray
    states: np.ndarray
    length: np.ndarray
    pauses: np.ndarray
    jerk: np.ndarray
    success: np.ndarray
    twin: np.ndarray
    worst: np.ndarray


def measure(demos: Demos, obs: np.ndarray, actions: np.ndarray, predicted: np.ndarray, spread: np.ndarray) -> Measures:
    """Measures of E demonstrations of N steps.

    Args:
      demos: as read.
      obs, actions: (N, O) and (N, A), normalised.
      predicted, spread: (N, A), mean and standard deviation of the action by members that never saw the demonstration.
    """
    episode = np.asarray(demos.episode)
    of = [np.flatnonzero(episode == e) for e in range(demos.episodes)]
    off = np.mean(((actions - predicted) / spread) ** 2, axis=1)  # (N,)
    inner = episode[1:] == episode[:-1]
    moved = _way(obs, inner)
    still = (moved < _STILL * np.median(moved[inner])) if inner.any() else np.zeros(len(moved), bool)
    rewards = np.array([np.max(demos.rewards[steps]) for steps in of])
    known = (rewards > 0).any()
    return Measures(
        actions=np.array([np.sqrt(off[steps].mean()) for steps in of]),
        states=_apart(obs, of),
        length=np.array([len(steps) for steps in of], float),
        pauses=np.array([still[steps[:-1]].mean() if len(steps) > 1 else 0.0 for steps in of]),
        jerk=np.array([_jerk(actions[steps]) for steps in of]),
        success=np.where(known, rewards > 0, np.nan).astype(float),
        twin=_twins(obs, actions, of),
        worst=np.array([int(np.argmax(off[steps])) for steps in of]),
    )


def _jerk(actions: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.diff(actions, n=2, axis=0) ** 2))) if len(actions) > 2 else 0.0


def _way(obs: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """How far the state moves in each step, (N - 1,); inner: (N - 1,) bool, whether both its ends are of one episode.

    Each dimension counts by the lag-1 autocorrelation of its steps, at least 0: one that is noise alone jitters as much
    while everything stands still.
    """
    steps = np.diff(obs, axis=0)
    again = inner[1:] & inner[:-1]
    if not again.any():
        return np.linalg.norm(steps, axis=1)
    goes_on = np.mean(steps[1:][again] * steps[:-1][again], axis=0)
    weight = np.maximum(goes_on, 0) / np.maximum(np.mean(np.square(steps[inner]), axis=0), 1e-12)
    return np.sqrt(np.square(steps) @ weight)


def _apart(obs: np.ndarray, of: list[np.ndarray]) -> np.ndarray:
    """Measures.states; nan of a single demonstration."""
    stride = -(-len(obs) // MOST)
    owner, seen = np.repeat(np.arange(len(of)), [len(steps) for steps in of])[::stride], obs[::stride]
    if len(np.unique(owner)) < 2:
        return np.full(len(of), np.nan)
    found = []
    for demo, steps in enumerate(of):
        away = squared(obs[steps], seen)
        away[:, owner == demo] = np.inf
        nearest = np.sqrt(away.min(axis=1))
        found.append(np.maximum(nearest - nearest[0], 0.0).mean())
    return np.array(found)


def _twins(obs: np.ndarray, actions: np.ndarray, of: list[np.ndarray]) -> np.ndarray:
    """The earlier demonstration that each repeats, (E,), -1 for none."""
    rows, found = [np.concatenate([obs[steps], actions[steps]], axis=1) for steps in of], np.full(len(of), -1)
    for demo, mine in enumerate(rows):
        for other in range(demo):
            if len(rows[other]) == len(mine) and np.sqrt(np.mean((rows[other] - mine) ** 2)) < _SAME:
                found[demo] = other
                break
    return found
