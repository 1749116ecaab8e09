"""Flat arrays whose episodes end where a flag says so: what D4RL and OGBench files share.

`observations` (N, O), `actions` (N, A), flags (N,) any of which ends an episode, and `rewards` (N,) in some formats.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from postbc_jax.data.recording import Recording, listed, mask_faults, split
from postbc_jax.data.vectors import Header, action_faults, choose

KEY = 'obs'  # the one observation key, named as environments without named observations name it


class Layout(NamedTuple):
    """What a format's arrays mean.

    Attributes:
      format: what the file is, in words.
      ends: the flags any of which ends an episode, and how to mend a file that lacks one.
      terminal: the flag that says where the environment itself ended the episode; '' where none does.
      rewards: whether every file holds rewards; where not, a file without them has rewards of 0.
    """

    format: str
    ends: dict[str, str]
    terminal: str = ''
    rewards: bool = True


def recording(
    path: str,
    layout: Layout,
    headers: Mapping[str, Header],
    get: Callable[[str], np.ndarray],
    obs_keys: Sequence[str] = (),
    mask: str | None = None,
) -> Recording:
    """Cuts the arrays into episodes demo_0, demo_1, ...; what follows the last end is an episode too.

    Args:
      path: the file.
      layout: what its arrays mean.
      headers: of all its arrays.
      get: reads one of them; called for what is needed alone, once the headers are known to be good.
      obs_keys: (), or (KEY,).
      mask: anything but None is refused.
    """
    needed = {'observations': '', 'actions': '', **({'rewards': ''} if layout.rewards else {}), **layout.ends}
    faults = [
        f'{path}: no {key}; the file holds: {listed(sorted(headers))}: {remedy or "write it, one row a step"}'
        for key, remedy in needed.items()
        if key not in headers
    ]
    faults += mask_faults(path, mask)
    if faults:
        return Recording(path, layout.format, faults=tuple(faults))
    read = (*needed, *(key for key in ('rewards',) if key in headers and key not in needed))
    keys, others, faults = choose(path, {KEY: headers['observations']}, obs_keys)
    faults += action_faults(path, 'actions', headers['actions'])
    faults += [fault for key in read for fault in _rows_faults(path, key, headers)]
    if faults:
        return Recording(path, layout.format, other_keys=others, faults=tuple(faults))
    obs, actions = get('observations'), get('actions')
    obs = obs if obs.ndim == 2 else obs[:, None]
    flags = {key: get(key).ravel().astype(bool) for key in layout.ends}
    ended = np.any(list(flags.values()), axis=0)
    zeros, notes = np.zeros(len(actions), np.float32), ['which environment this is, is not known']
    if 'rewards' not in read:
        notes.append('the file holds no rewards: they are 0')
    if len(ended) and not ended[-1]:
        notes.append('the last episode has no end: it is kept as it is')
    episode = np.cumsum(ended) - ended
    arrays = {
        'obs': obs,
        'actions': actions,
        'rewards': get('rewards').ravel() if 'rewards' in read else zeros,
        'dones': flags[layout.terminal] if layout.terminal else zeros,
        'episode': episode,
    }
    names = [f'demo_{i}' for i in range(episode[-1] + 1 if len(episode) else 0)]
    episodes, faults = split(path, arrays, ((KEY, obs.shape[1]),), names, ())
    return Recording(path, layout.format, episodes, keys, others, faults=tuple(faults), notes=tuple(notes))


def _rows_faults(path: str, key: str, headers: Mapping[str, Header]) -> list[str]:
    """At most one line: an array that has not one row a step, or a flag or reward that is not one number a step."""
    steps, shape = headers['actions'].shape[0], headers[key].shape
    if shape[:1] != (steps,):
        rows = f'{shape[0]} rows' if shape else 'one number'
        return [f'{path}: {key}: {rows}, but actions has {steps}: every array needs one row a step']
    if key not in ('observations', 'actions') and not (headers[key].vector and shape in ((steps,), (steps, 1))):
        return [f'{path}: {key}: {headers[key]}: must be one number a step']
    return []
