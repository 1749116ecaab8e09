"""Flat npz files, for demonstrations that come from anywhere: written by numpy.savez, read without pickle.

Arrays of N steps of E episodes: obs (N, O), actions (N, A), rewards (N,), dones (N,), episode (N,) whole numbers, the
steps of each episode together. Optional: names (E,) and operators (E,) text, then episode counts from 0; obs_keys (k,)
text with obs_dims (k,) whole numbers, which split obs into keys; env_args () JSON text.
"""

import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from postbc_jax.atomic import replacing
from postbc_jax.data.recording import Recording, assemble, listed, mask_faults, one_line, split
from postbc_jax.data.validate import ACTION_BOUND, checked, validate
from postbc_jax.data.vectors import Header, choose
from postbc_jax.types import Demos

ARRAYS = ('obs', 'actions', 'rewards', 'dones', 'episode')
FORMAT = 'npz'
# what numpy and zipfile raise on damaged files; MemoryError where a size is damaged
READ_ERRORS = (OSError, ValueError, EOFError, RuntimeError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)


def load(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Demos:
    """Reads demonstrations.

    Args:
      path: the file.
      obs_keys: which of the file's obs_keys make up an observation, in order. Empty: all of them.
      mask: npz files hold none; anything but None is refused.
      action_bound: actions must lie in [-action_bound, action_bound]; None: any finite action.

    Raises:
      ValueError: anything in the file would train a wrong policy (data/validate.py has the list).
    """
    return assemble(checked(read(path, obs_keys, mask), action_bound))


def read(path: str, obs_keys: Sequence[str] = (), mask: str | None = None) -> Recording:
    """Reads what there is and collects what is wrong with the file's structure; raises nothing for its content."""
    path = str(path)
    recording = Recording(path, FORMAT)
    if mask is not None:
        return recording._replace(faults=tuple(mask_faults(path, mask)))
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays, faults = _arrays(path, file)
    except READ_ERRORS as error:
        return unreadable(path, FORMAT, error)
    absent = [key for key in ARRAYS if key not in arrays]
    if absent:
        if not faults:
            there = listed(sorted(key if key.isprintable() else repr(key) for key in arrays))
            faults = [f'{path}: no {key}; the file holds: {there}: write {listed(ARRAYS)}' for key in absent]
        return recording._replace(faults=tuple(faults))
    keys = _obs_keys(arrays)
    names = _names(arrays)
    flat = {key: arrays[key] for key in ARRAYS}
    episodes, found = split(path, flat, keys, names, _strings(arrays.get('operators')))
    faults += found
    there = {key: Header(flat['obs'].dtype.name, (*flat['obs'].shape[:1], size)) for key, size in keys}
    chosen, others, wrong = choose(path, there, obs_keys)
    faults += wrong
    episodes = tuple(e._replace(arrays={k: x for k, x in e.arrays.items() if _wanted(k, chosen)}) for e in episodes)
    return recording._replace(
        episodes=episodes,
        obs_keys=chosen,
        other_keys=others,
        env_args=str(arrays.get('env_args', '{}')),
        faults=tuple(faults),
    )


def unreadable(path: str, form: str, error: Exception) -> Recording:
    """The recording of a file on which numpy or zipfile raised one of READ_ERRORS."""
    what = f'a zip file that cannot be opened as npz ({one_line(error)}): copy or write the whole file again'
    return Recording(path, form, faults=(f'{path}: {what}',))


def save(path: str, demos: Demos, action_bound: float | None = ACTION_BOUND) -> None:
    """Writes demonstrations; `load(path)` gives them back bit for bit.

    Args:
      path: the file; replaced only once it is complete.
      demos: the demonstrations.
      action_bound: as in `load`.

    Raises:
      ValueError: `load` would refuse the file.
    """
    path = str(path)
    validate(demos, path, action_bound)
    arrays = {key: np.asarray(getattr(demos, key), np.float32) for key in ARRAYS if key != 'episode'}
    with replacing(path) as temporary, open(temporary, 'wb') as file:
        np.savez(
            file,
            **arrays,
            episode=np.asarray(demos.episode, np.int32),
            names=np.array(demos.names, np.str_),
            operators=np.array(demos.operators or ('',) * demos.episodes, np.str_),
            obs_keys=np.array([name for name, _ in demos.obs_keys], np.str_),
            obs_dims=np.array([dimension for _, dimension in demos.obs_keys], np.int32),
            env_args=np.array(demos.env_args),
        )


def _arrays(path: str, file) -> tuple[dict[str, np.ndarray], list[str]]:
    arrays, faults = {}, []
    for key in file.files:
        try:
            arrays[key] = np.asarray(file[key])
        except READ_ERRORS as error:
            remedy = 'write numbers or text, not objects' if 'pickle' in str(error) else 'write the whole file again'
            name = key if key.isprintable() else repr(key)
            faults.append(f'{path}: {name}: cannot be read ({one_line(error)}): {remedy}')
    return arrays, faults


def _obs_keys(arrays: dict[str, np.ndarray]) -> tuple[tuple[str, int], ...]:
    if 'obs_keys' in arrays and 'obs_dims' in arrays:
        dims = np.atleast_1d(arrays['obs_dims'])
        return tuple(zip(_strings(arrays['obs_keys']), (int(d) for d in dims), strict=False))
    return (('obs', arrays['obs'].shape[1] if arrays['obs'].ndim == 2 else 0),)


def _names(arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The file's names; without them demo_<number>, and `episode` is made to count from 0."""
    if 'names' in arrays:
        return _strings(arrays['names'])
    episode = arrays['episode']
    if episode.dtype.kind not in 'iu' or episode.ndim != 1:
        return ()
    numbers, arrays['episode'] = np.unique(episode, return_inverse=True)
    return tuple(f'demo_{number}' for number in numbers)


def _strings(array: np.ndarray | None) -> tuple[str, ...]:
    return () if array is None else tuple(str(text) for text in np.atleast_1d(array).tolist())


def _wanted(key: str, chosen: Sequence[str]) -> bool:
    return not key.startswith('obs/') or key.removeprefix('obs/') in chosen
