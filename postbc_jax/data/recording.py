"""What a demonstration file holds, as it was found, before anything is refused or put together.

file -> Recording (data.read) -> Demos (data.load) or a description (data.describe). Readers collect every fault.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from postbc_jax.types import Demos


class Episode(NamedTuple):
    """One demonstration, unchecked.

    Attributes:
      name: its name in the file.
      arrays: what could be read of 'obs/<key>', 'actions', 'rewards', 'dones', each of one row a step.
      operator: who demonstrated; '' where the file does not say.
    """

    name: str
    arrays: dict[str, np.ndarray]
    operator: str = ''


class Recording(NamedTuple):
    """One demonstration file, unchecked.

    Attributes:
      path: the file.
      format: what the file is, in words.
      episodes: the demonstrations, in order.
      obs_keys: the observation keys that make up an observation, in order.
      other_keys: {key: what it holds} of the observation keys that are left out.
      masks: {name: demonstrations}, the file's named subsets.
      env_args: JSON text that describes the environment, as robomimic writes it.
      faults: one line for everything for which the file is refused.
      notes: one line for everything odd for which it is not.
    """

    path: str
    format: str
    episodes: tuple[Episode, ...] = ()
    obs_keys: tuple[str, ...] = ()
    other_keys: dict[str, str] = {}
    masks: dict[str, tuple[str, ...]] = {}
    env_args: str = '{}'
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def listed(names: Sequence[str]) -> str:
    """Names for a message: 'a, b', or '(none)'."""
    return ', '.join(names) or '(none)'


def one_line(thing: object) -> str:
    """Text from elsewhere (a library's message, a value in a file) on a single line."""
    return ' '.join(str(thing).split())


def mask_faults(path: str, mask: str | None) -> list[str]:
    """What is wrong with a mask of a format that has none; at most one line."""
    what = 'files of this format hold no masks: leave it out, or save the demos as robomimic HDF5 with masks'
    return [] if mask is None else [f'{path}: mask {mask!r}: {what}']


def split(
    path: str,
    arrays: dict[str, np.ndarray],
    obs_keys: Sequence[tuple[str, int]],
    names: Sequence[str],
    operators: Sequence[str],
) -> tuple[tuple[Episode, ...], list[str]]:
    """Splits flat arrays into episodes.

    Args:
      path: for messages.
      arrays: 'obs' (N, O), 'actions' (N, A), 'rewards' (N,), 'dones' (N,), 'episode' (N,) of 0, ..., E-1 in order.
      obs_keys: ((name, dimension), ...), whose dimensions should sum to O.
      names: E strings.
      operators: E strings, or none.

    Returns:
      The episodes, and the faults for which nothing could be split (then there are no episodes).
    """
    faults = _flat_faults(path, arrays, obs_keys, names, operators)
    if faults:
        return (), faults
    bounds = np.searchsorted(arrays['episode'], np.arange(len(names) + 1))
    ends = np.cumsum([dimension for _, dimension in obs_keys], dtype=int)
    episodes = []
    for i, name in enumerate(names):
        rows = slice(bounds[i], bounds[i + 1])
        columns = np.split(arrays['obs'][rows], ends[:-1], axis=1)
        obs = {f'obs/{key}': x for (key, _), x in zip(obs_keys, columns, strict=True)}
        rest = {key: arrays[key][rows] for key in ('actions', 'rewards', 'dones')}
        episodes.append(Episode(name, obs | rest, operators[i] if operators else ''))
    return tuple(episodes), []


def _flat_faults(path, arrays, obs_keys, names, operators) -> list[str]:
    faults = []
    rows = arrays['actions'].shape[:1]
    for key, x in arrays.items():
        ndim = 2 if key in ('obs', 'actions') else 1
        if x.ndim != ndim:
            faults.append(f'{path}: {key}: shape {x.shape}: must be {"(N, dimension)" if ndim == 2 else "(N,)"}')
        elif rows and len(x) != rows[0]:
            faults.append(f'{path}: {key}: {len(x)} rows, but actions has {rows[0]}: every array needs one row a step')
    episode = arrays['episode']
    if faults:
        return faults
    if episode.dtype.kind not in 'iu':
        return [f'{path}: episode: holds {episode.dtype}: must be whole numbers, the episode of each step']
    steps = np.flatnonzero(np.diff(episode.astype(np.int64)) < 0)
    if len(steps):
        at = steps[0] + 1
        faults.append(
            f'{path}: episode: step {at} goes back from {episode[at - 1]} to {episode[at]}: store the steps of each '
            'episode together, in the order of their numbers'
        )
    if len(episode) and not 0 <= min(episode) <= max(episode) < len(names):
        worst = min(episode) if min(episode) < 0 else max(episode)
        faults.append(f'{path}: episode: holds {worst}, but there are {len(names)} names: number them from 0')
    if operators and len(operators) != len(names):
        faults.append(f'{path}: operators: {len(operators)} entries for {len(names)} episodes: give one an episode')
    total = sum(dimension for _, dimension in obs_keys)
    if total != arrays['obs'].shape[1]:
        parts = ' + '.join(f'{key} {dimension}' for key, dimension in obs_keys) or 'none'
        faults.append(f'{path}: obs: dimension {arrays["obs"].shape[1]}, but its keys ({parts}) make {total}')
    return faults


def assemble(recording: Recording) -> Demos:
    """Puts a recording together as Demos: float32, flat, on the host.

    Raises:
      ValueError: the recording has faults; the line is its first.
    """
    if recording.faults:
        more = len(recording.faults) - 1
        raise ValueError(
            recording.faults[0] + (f' (and {more} more {"fault" if more == 1 else "faults"})' * bool(more))
        )
    arrays = [episode.arrays for episode in recording.episodes]
    lengths = [len(a['actions']) for a in arrays]

    def flat(key: str) -> np.ndarray:
        return np.concatenate([a[key].astype(np.float32) for a in arrays])

    obs = {key: flat(f'obs/{key}') for key in recording.obs_keys}
    return Demos(
        obs=np.concatenate(list(obs.values()), axis=1),
        actions=flat('actions'),
        rewards=flat('rewards'),
        dones=flat('dones'),
        episode=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        names=tuple(episode.name for episode in recording.episodes),
        operators=tuple(episode.operator for episode in recording.episodes),
        obs_keys=tuple((key, x.shape[1]) for key, x in obs.items()),
        env_args=recording.env_args,
    )
