"""Minari datasets in HDF5, read without minari: the dataset's folder, or the main_data.hdf5 in it.

data/main_data.hdf5: episode_<n>/{observations (T + 1 rows), actions, rewards, terminations (T rows)}; a dict
observation is a group, a tuple the group of _index_0, _index_1, ...; data/metadata.json: the environment. infos are not
read.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from postbc_jax.data import hdf5
from postbc_jax.data.recording import Episode, Recording, assemble, listed, mask_faults
from postbc_jax.data.validate import ACTION_BOUND, checked
from postbc_jax.data.vectors import Header, action_faults, choose, header
from postbc_jax.types import Demos

FORMAT = 'Minari HDF5'
EPISODE = re.compile(r'episode_(\d+)')  # the entries of such a file
KEY = 'obs'  # the key of an observation without keys, named as the simulators name it


def load(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Demos:
    """Reads demonstrations: episode_<n> becomes demo_<n>, in the order of the numbers.

    The observation after an episode's last action is left out; dones are the terminations, so that an episode which was
    truncated ends with 0.

    Args:
      path: the dataset's folder, or its HDF5 file.
      obs_keys: the keys that make up an observation, in order, nested ones joined with '/'; an observation without keys
        is 'obs'. Empty: every key that is a vector, sorted as gymnasium sorts the keys of an observation.
      mask: Minari datasets hold none; anything but None is refused.
      action_bound: actions must lie in [-action_bound, action_bound]; None: any finite action.

    Raises:
      ValueError: anything in the dataset would train a wrong policy (data/validate.py has the list).
    """
    return assemble(checked(read(path, obs_keys, mask), action_bound))


def read(path: str, obs_keys: Sequence[str] = (), mask: str | None = None) -> Recording:
    """Reads what there is and collects what is wrong with the file's structure; raises nothing for its content."""
    path = str(path)
    folder, metadata = path if os.path.isdir(path) else os.path.dirname(path), {}
    with contextlib.suppress(OSError, ValueError), open(_find(folder, 'metadata.json'), encoding='utf-8') as file:
        metadata = json.load(file)
    form = metadata.get('data_format', 'hdf5') if isinstance(metadata, dict) else 'hdf5'
    if form != 'hdf5':
        what = f"data_format {form!r}: create the dataset again with data_format='hdf5'"
        return Recording(path, FORMAT, faults=(f'{path}: {what}',))
    try:
        with hdf5.opened(_find(folder, 'main_data.hdf5') if os.path.isdir(path) else path) as file:
            found = _recording(path, file, obs_keys)
    except hdf5.READ_ERRORS as error:
        return hdf5.unreadable(path, FORMAT, error)
    env_args = _env_args(metadata)
    notes = () if env_args != '{}' else ('metadata.json does not say which environment this is',)
    return found._replace(faults=(*mask_faults(path, mask), *found.faults), env_args=env_args, notes=notes)


def is_dataset(folder: str) -> bool:
    """Whether a folder holds a Minari dataset."""
    return any(os.path.isfile(_find(folder, name)) for name in ('main_data.hdf5', 'metadata.json'))


def _find(folder: str, name: str) -> str:
    paths = [os.path.join(folder, place, name) for place in ('', 'data')]
    return next(filter(os.path.isfile, paths), paths[-1])


def _env_args(metadata: Any) -> str:
    """What gymnasium.make needs, in robomimic's words; '{}' where the dataset does not say."""
    try:
        spec = json.loads(metadata['env_spec'])
        name, settings = spec['id'], spec.get('kwargs') or {}
    except (KeyError, TypeError, ValueError, AttributeError):
        return '{}'
    return json.dumps({'env_name': f'gymnasium:{name}', 'type': 'gymnasium', 'env_kwargs': settings})


def _recording(path: str, file: h5py.File, chosen: Sequence[str]) -> Recording:
    groups = {}
    for name in sorted(filter(EPISODE.fullmatch, hdf5.names(file)), key=hdf5.number):
        groups[f'demo_{EPISODE.fullmatch(name)[1]}'] = file.get(name)
    there, actions = {}, None  # of the first episode that has them
    for group in groups.values():
        for key, node in _observations(group):
            there.setdefault(key, _header(node))
        node = group.get('actions') if isinstance(group, h5py.Group) else None
        actions = actions or (header(node) if isinstance(node, h5py.Dataset) else None)
    keys, others, faults = choose(path, there, chosen) if there else (tuple(chosen), {}, [])
    faults += action_faults(path, 'actions', actions) if actions else []
    if faults:
        return Recording(path, FORMAT, other_keys=others, faults=tuple(faults))
    episodes = tuple(_episode(path, name, group, keys, faults) for name, group in groups.items())
    return Recording(path, FORMAT, episodes, keys, others, faults=tuple(faults))


def _episode(path: str, name: str, group: Any, keys: Sequence[str], faults: list[str]) -> Episode:
    """Reads an episode; what is wrong with it is added to the faults."""
    obs, arrays = dict(_observations(group)), {}
    nodes = {f'obs/{key}': obs.get(key) for key in keys} if keys else {'observations': None}
    for key in ('actions', 'rewards', 'terminations'):
        nodes[key] = group.get(key) if isinstance(group, h5py.Group) else None
    for key, node in nodes.items():
        if isinstance(node, h5py.Dataset) and node.ndim:
            arrays[key] = node[()]
        else:
            held = listed(hdf5.names(group)) if isinstance(group, h5py.Group) else 'nothing'
            faults.append(f'{path}: {name}: no {key}; the episode holds: {held}: record it again or remove it')
    if 'terminations' in arrays:
        arrays['dones'] = arrays.pop('terminations')
    for key in [key for key in arrays if key.startswith('obs/')]:
        x, steps = arrays[key], len(arrays.get('actions', arrays[key][1:]))
        if len(x) != steps + 1:
            what = f'{len(x)} rows, but with {steps} actions there must be {steps + 1}: record it again or remove it'
            faults.append(f'{path}: {name}: {key}: {what}')
        arrays[key] = (x if x.ndim > 1 else x[:, None])[:steps]
    return Episode(name, arrays)


def _observations(group: Any, name: str = 'observations', key: str = '') -> Iterator[tuple[str, h5py.Dataset]]:
    """The datasets of an episode's observation, by their joined names."""
    node = group.get(name) if isinstance(group, h5py.Group) else None
    if isinstance(node, h5py.Group):
        for entry in sorted(hdf5.names(node)):
            yield from _observations(node, entry, f'{key}/{entry}' if key else entry)
    elif isinstance(node, h5py.Dataset):
        yield key or KEY, node


def _header(node: h5py.Dataset) -> Header:
    """An image is stored as the bytes of a JPEG file; where those are equally long, they would pass for a vector."""
    start = node[:1, :2].tobytes() if node.dtype == np.uint8 and node.ndim == 2 else b''
    if start == b'\xff\xd8' or h5py.check_vlen_dtype(node.dtype) == np.uint8:
        return Header('JPEG', node.shape)
    return header(node)
