"""robomimic HDF5 files: read, and written so that robomimic's own SequenceDataset reads them back.

data/demo_<n>/{actions, rewards, dones, obs/<key>, next_obs/<key>}, attributes num_samples (of a demo), total and
env_args (of data), mask/<name> = names of demos. Ours alone: attributes 'operator' (of a demo), 'obs_keys' (of data).
"""

import json
import re
from collections.abc import Mapping, Sequence

import h5py
import numpy as np

from postbc_jax.atomic import replacing
from postbc_jax.data import hdf5
from postbc_jax.data.recording import Episode, Recording, assemble, listed, one_line
from postbc_jax.data.validate import ACTION_BOUND, checked, validate
from postbc_jax.data.vectors import header
from postbc_jax.types import Demos

# robomimic's low-dimensional configurations, in their order: one arm, and two
ONE_ARM_KEYS = ('robot0_eef_pos', 'robot0_eef_quat', 'robot0_gripper_qpos', 'object')
TWO_ARM_KEYS = (*ONE_ARM_KEYS[:3], 'robot1_eef_pos', 'robot1_eef_quat', 'robot1_gripper_qpos', 'object')
OPERATOR_MASKS = ('better', 'okay', 'worse')  # multi-human files name their groups of operators so
FORMAT = 'robomimic HDF5'


def load(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Demos:
    """Reads demonstrations, in the order of their numbers.

    Args:
      path: the file.
      obs_keys: the low-dimensional keys that make up an observation, in order. Empty: those the file was saved with;
        else robomimic's (end effector, gripper, object) where all are there; else every low-dimensional key, sorted.
      mask: name of the subset under mask/ to read; None reads every demonstration.
      action_bound: actions must lie in [-action_bound, action_bound]; None: any finite action.

    Raises:
      ValueError: anything in the file would train a wrong policy (data/validate.py has the list).
    """
    return assemble(checked(read(path, obs_keys, mask), action_bound))


def read(path: str, obs_keys: Sequence[str] = (), mask: str | None = None) -> Recording:
    """Reads what there is and collects what is wrong with the file's structure; raises nothing for its content."""
    path = str(path)
    try:
        with hdf5.opened(path) as file:
            return _Reader(path, file, obs_keys, mask).recording()
    except hdf5.READ_ERRORS as error:
        return hdf5.unreadable(path, FORMAT, error)


class _Reader:
    """One pass over an open file; methods return what they read and add to faults and notes."""

    def __init__(self, path: str, file: h5py.File, obs_keys: Sequence[str], mask: str | None):
        self.path, self.file, self.chosen, self.mask = path, file, tuple(obs_keys), mask
        self.faults: list[str] = []
        self.notes: list[str] = []

    def recording(self) -> Recording:
        if not isinstance(self.file.get('data'), h5py.Group):
            self.fault(
                f"no group 'data'; the file holds: {listed(hdf5.names(self.file))}: not a robomimic file, convert it"
            )
            return Recording(self.path, FORMAT, faults=tuple(self.faults))
        self.data = self.file['data']
        demos = sorted(hdf5.names(self.data), key=hdf5.number)
        masks = self.masks(demos)
        wanted = self.masked(demos, masks)
        obs_keys, other_keys = self.keys(wanted)
        operators = {demo: name for name in OPERATOR_MASKS for demo in masks.get(name, ())}
        episodes = tuple(self.episode(name, obs_keys, operators.get(name, '')) for name in wanted)
        return Recording(
            path=self.path,
            format=FORMAT,
            episodes=episodes,
            obs_keys=obs_keys,
            other_keys=other_keys,
            masks=masks,
            env_args=self.env_args(),
            faults=tuple(self.faults),
            notes=tuple(self.notes),
        )

    def fault(self, *place: str) -> None:
        self.faults.append(': '.join((self.path, *place)))

    def masks(self, demos: Sequence[str]) -> dict[str, tuple[str, ...]]:
        group = self.file.get('mask')
        masks = {}
        for name in hdf5.names(group) if isinstance(group, h5py.Group) else ():
            names = group.get(name)
            if not isinstance(names, h5py.Dataset):
                continue
            masks[name] = tuple(dict.fromkeys(hdf5.text(n) for n in np.atleast_1d(names[()]).ravel()))
            absent = [n for n in masks[name] if n not in demos]
            if absent and name != self.mask:
                self.notes.append(
                    f'mask {name!r} names {len(absent)} demos that are not there, the first {absent[0]!r}'
                )
        return masks

    def masked(self, demos: Sequence[str], masks: Mapping[str, Sequence[str]]) -> list[str]:
        if self.mask is None:
            return list(demos)
        there = f'the masks of this file: {listed(list(masks))}'
        if self.mask not in masks:
            self.fault(f'mask {self.mask!r}', f'not in the file; {there}')
            return []
        names = masks[self.mask]
        if not names:
            self.fault(f'mask {self.mask!r}', f'names 0 demos: choose another; {there}')
        for name in names:
            if name not in demos:
                self.fault(
                    repr(name), f'named by mask {self.mask!r}, but not among the {len(demos)} demos: mend the mask'
                )
        return sorted((name for name in names if name in demos), key=hdf5.number)

    def keys(self, demos: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
        """The keys to read, and what the others hold. A key of any demo counts, so that one which lacks it is named."""
        groups = [group for group in map(self.obs, demos) if group is not None]
        if not groups:
            return self.chosen, {}
        holds = {key: _shape(group.get(key)) for group in groups[::-1] for key in hdf5.names(group)}
        low = tuple(sorted(set().union(*map(_low_dim, groups))))
        standard = next((keys for keys in (TWO_ARM_KEYS, ONE_ARM_KEYS) if set(keys) <= set(low)), low)
        keys = self.chosen or self.own_keys() or standard
        if not keys:
            there = listed([f'{key} ({what})' for key, what in sorted(holds.items())])
            self.fault('every demo', f'obs: no low-dimensional key; there are: {there}: extract low-dimensional ones')
        return keys, {key: what for key, what in sorted(holds.items()) if key not in keys}

    def own_keys(self) -> tuple[str, ...]:
        try:
            keys = json.loads(hdf5.text(self.data.attrs.get('obs_keys', '[]')))
        except ValueError:
            return ()
        return tuple(keys) if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else ()

    def obs(self, name: str) -> h5py.Group | None:
        demo = self.data.get(name)
        group = demo.get('obs') if isinstance(demo, h5py.Group) else None
        return group if isinstance(group, h5py.Group) else None

    def episode(self, name: str, obs_keys: Sequence[str], operator: str) -> Episode:
        demo, arrays = self.data.get(name), {}
        if not isinstance(demo, h5py.Group):
            self.fault(name, 'not a group: every entry of data must be a demonstration')
            return Episode(name, arrays)
        obs = self.obs(name)
        if obs is None:
            remedy = "extract observations first (robomimic's dataset_states_to_obs.py)"
            self.fault(name, f"no group 'obs'; the demo holds: {listed(hdf5.names(demo))}: {remedy}")
        for key in obs_keys if obs is not None else ():
            node = obs.get(key)
            if not isinstance(node, h5py.Dataset):
                self.fault(
                    name, f'obs: no key {key!r}: choose obs_keys from {listed(_low_dim(obs))}, or remove the demo'
                )
            elif node.ndim > 2:
                what = f'{_shape(node)}: only low-dimensional keys can be read: choose from {listed(_low_dim(obs))}'
                self.fault(name, f'obs/{key}', what)
            else:
                self.array(arrays, name, f'obs/{key}', node)
        for key in ('actions', 'rewards', 'dones'):
            if isinstance(demo.get(key), h5py.Dataset):
                self.array(arrays, name, key, demo[key])
            else:
                self.fault(name, f'no {key}; the demo holds: {listed(hdf5.names(demo))}: write {key} of one row a step')
        self.samples(name, demo, arrays.get('actions'))
        return Episode(name, arrays, hdf5.text(demo.attrs.get('operator', operator)))

    def array(self, arrays: dict[str, np.ndarray], name: str, key: str, dataset: h5py.Dataset) -> None:
        try:
            x = np.asarray(dataset[()])
        except hdf5.READ_ERRORS as error:
            self.fault(name, key, f'cannot be read ({one_line(error)}): copy or download the whole file again')
            return
        arrays[key] = x[:, None] if key.startswith('obs/') and x.ndim == 1 else x

    def samples(self, name: str, demo: h5py.Group, actions: np.ndarray | None) -> None:
        said = demo.attrs.get('num_samples')
        if said is None or actions is None or not actions.ndim or str(said) == str(len(actions)):
            return
        self.fault(
            name, f'num_samples says {one_line(said)}, but actions has {len(actions)} steps: rewrite or remove the demo'
        )

    def env_args(self) -> str:
        if 'env_args' not in self.data.attrs:
            self.notes.append("data has no attribute 'env_args': which environment this is, is not known")
        return hdf5.text(self.data.attrs.get('env_args', '{}'))


def save(
    path: str,
    demos: Demos,
    masks: Mapping[str, Sequence[str]] | None = None,
    action_bound: float | None = ACTION_BOUND,
) -> None:
    """Writes demonstrations as robomimic does; `load(path)` gives them back bit for bit.

    next_obs of the last step repeats its obs, for Demos hold no observation after the last action.

    Args:
      path: the file; replaced only once it is complete.
      demos: named demo_<n>, in the order of their numbers, as robomimic sorts them.
      masks: {name: names of demos}, subsets to write under mask/.
      action_bound: as in `load`.

    Raises:
      ValueError: `load` would refuse the file, names are not in order, or a mask is empty or names an unknown demo.
    """
    path = str(path)
    masks = dict(masks or {})
    validate(demos, path, action_bound)
    _check_names(path, demos, masks)
    arrays = {key: np.asarray(getattr(demos, key), np.float32) for key in ('obs', 'actions', 'rewards', 'dones')}
    bounds = np.searchsorted(np.asarray(demos.episode), np.arange(demos.episodes + 1))
    with replacing(path) as temporary, h5py.File(temporary, 'w') as file:
        data = file.create_group('data')
        data.attrs['total'] = len(arrays['actions'])
        data.attrs['env_args'] = demos.env_args
        data.attrs['obs_keys'] = json.dumps([name for name, _ in demos.obs_keys])
        for i, name in enumerate(demos.names):
            demo = data.create_group(name)
            demo.attrs['num_samples'] = bounds[i + 1] - bounds[i]
            if demos.operators and demos.operators[i]:
                demo.attrs['operator'] = demos.operators[i]
            steps = slice(bounds[i], bounds[i + 1])
            for key in ('actions', 'rewards', 'dones'):
                demo[key] = arrays[key][steps]
            column = 0
            for key, dimension in demos.obs_keys:
                x = arrays['obs'][steps, column : column + dimension]
                demo[f'obs/{key}'] = x
                demo[f'next_obs/{key}'] = np.concatenate([x[1:], x[-1:]])
                column += dimension
        for name, names in masks.items():
            file[f'mask/{name}'] = np.array(names, dtype='S')


def _check_names(path: str, demos: Demos, masks: Mapping[str, Sequence[str]]) -> None:
    last = -1
    for name in demos.names:
        if not re.fullmatch(r'demo_\d+', name) or int(name[5:]) <= last:
            raise ValueError(
                f'{path}: {name!r}: names must be demo_<n> in the order of their numbers, for robomimic sorts by them: '
                "demos.replace(names=tuple(f'demo_{i}' for i in range(demos.episodes)))"
            )
        last = int(name[5:])
    for name in (*(key for key, _ in demos.obs_keys), *masks):
        if not name or '/' in name or name == '.':
            raise ValueError(f"{path}: {name!r}: cannot name an HDF5 entry: rename it, without '/'")
    for name, names in masks.items():
        absent = [n for n in names if n not in demos.names]
        if absent or not names:
            what = f'names {absent[0]!r}, which is not among the demos' if absent else 'names 0 demos'
            raise ValueError(f'{path}: mask {name!r}: {what}: choose from {demos.names[0]} ... {demos.names[-1]}')


def _low_dim(obs: h5py.Group) -> tuple[str, ...]:
    nodes = {key: obs.get(key) for key in sorted(hdf5.names(obs))}
    return tuple(key for key, node in nodes.items() if isinstance(node, h5py.Dataset) and header(node).vector)


def _shape(node) -> str:
    return str(header(node)) if isinstance(node, h5py.Dataset) else 'not a dataset'
