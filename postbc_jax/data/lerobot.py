"""LeRobot datasets v2.0 to v3.0, read with pyarrow, without lerobot: the dataset's root folder.

meta/info.json: {codebase_version, features, splits}. data/chunk-*/*.parquet: a row a frame, one episode a file (v2) or
many (v3). meta/episodes.jsonl (v2) or meta/episodes/chunk-*/*.parquet (v3): every episode's length. No video is read.
"""

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from postbc_jax.data.recording import Episode, Recording, assemble, listed, one_line
from postbc_jax.data.validate import ACTION_BOUND, checked
from postbc_jax.data.vectors import Header, action_faults, choose
from postbc_jax.types import Demos

FORMAT = 'LeRobot Parquet'
VERSIONS = ('v2.0', 'v2.1', 'v3.0')
KEYS = ('observation.state',)
INFO = os.path.join('meta', 'info.json')
# what becomes rewards and dones: the first that is there
_REWARDS, _DONES = ('next.reward', 'next.success'), ('next.done', 'next.success')


def load(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Demos:
    """Reads demonstrations: the episode of index n becomes demo_<n>.

    rewards are next.reward, else next.success, else 0; dones are next.done, else next.success, else 0.

    Args:
      path: the dataset's root folder, which holds meta/info.json.
      obs_keys: the features that make up an observation, in order. Empty: observation.state; where there is none, every
        observation feature that is a vector, in the order of info.json.
      mask: name of a split of info.json; None reads every episode.
      action_bound: actions must lie in [-action_bound, action_bound]; None: any finite action. Joint angles are often
        in degrees.

    Raises:
      ValueError: pyarrow is not installed, or anything in the dataset would train a wrong policy (data/validate.py has
        the list).
    """
    return assemble(checked(read(path, obs_keys, mask), action_bound))


def read(path: str, obs_keys: Sequence[str] = (), mask: str | None = None) -> Recording:
    """Reads what there is and collects what is wrong with the dataset's structure; raises nothing for its content."""
    path = str(path)
    try:
        import pyarrow
    except ImportError:
        what = 'a LeRobot dataset, whose Parquet files are read with pyarrow: pip install postbc_jax[parquet]'
        return Recording(path, FORMAT, faults=(f'{path}: {what}',))
    try:
        with open(os.path.join(path, INFO), encoding='utf-8') as file:
            info = json.load(file)
        return _recording(path, info, obs_keys, mask)
    # a damaged info.json may have a number where a table should be
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, pyarrow.ArrowException) as error:
        what = f'a LeRobot dataset that cannot be read ({one_line(error)}): copy or download the whole folder again'
        return Recording(path, FORMAT, faults=(f'{path}: {what}',))


def _recording(path: str, info: Mapping[str, Any], chosen: Sequence[str], mask: str | None) -> Recording:
    version = info['codebase_version']
    if version not in VERSIONS:
        what = f'codebase_version {version}: {listed(VERSIONS)} are read: convert the dataset with lerobot'
        return Recording(path, FORMAT, faults=(f'{path}: {what}',))
    frames = info.get('total_frames', 0)
    features = {key: Header(feature['dtype'], (frames, *feature['shape'])) for key, feature in info['features'].items()}
    there = {key: found for key, found in features.items() if key.startswith('observation')}
    keys, others, faults = choose(path, there, chosen, KEYS)
    if 'action' in features:
        faults += action_faults(path, 'action', features['action'])
    else:
        faults.append(f'{path}: no action; the features are: {listed(list(features))}: record actions')
    lengths = _lengths(path)
    splits = _splits(info)
    masks = {name: tuple(f'demo_{i}' for i in lengths if i in split) for name, split in splits.items()}
    if mask is not None and not masks.get(mask):
        what = 'names 0 episodes' if mask in masks else 'not a split of the dataset'
        faults.append(f'{path}: mask {mask!r}: {what}: choose from those of {INFO}: {listed(list(masks))}')
    recording = Recording(path, FORMAT, obs_keys=keys, other_keys=others, masks=masks, faults=tuple(faults))
    if faults:
        return recording
    rewards, dones = (next((key for key in choice if key in features), None) for choice in (_REWARDS, _DONES))
    wanted = [i for i in lengths if mask is None or i in splits[mask]]
    names = dict.fromkeys((*keys, 'action', 'episode_index', 'frame_index', *filter(None, (rewards, dones))))
    columns = _columns(path, {key: int(np.prod(features[key].shape[1:])) for key in names})
    places, faults = _places(path, columns['episode_index'][:, 0], columns['frame_index'][:, 0], lengths, wanted)
    zeros = np.zeros((len(columns['action']), 1), np.float32)
    flat = {f'obs/{key}': columns[key] for key in keys} | {
        'actions': columns['action'],
        'rewards': columns.get(rewards, zeros)[:, 0],
        'dones': columns.get(dones, zeros)[:, 0],
    }
    notes = [f'which environment this is, is not known (robot_type: {info.get("robot_type")})']
    notes += [f'no {listed(_REWARDS)}: rewards are 0'] if rewards is None else []
    notes += [f'no {listed(_DONES)}: dones are 0'] if dones is None else []
    return recording._replace(
        episodes=tuple(Episode(f'demo_{i}', {key: x[rows] for key, x in flat.items()}) for i, rows in places.items()),
        faults=tuple(faults),
        notes=tuple(notes),
    )


def _lengths(path: str) -> dict[int, int]:
    """{index: frames} of every episode, by index."""
    files = _files(path, 'meta', 'episodes')
    rows = [row for file in files for row in _table(file, ['episode_index', 'length']).to_pylist()]
    if not files:
        with open(os.path.join(path, 'meta', 'episodes.jsonl'), encoding='utf-8') as file:
            rows = [json.loads(line) for line in file if line.strip()]
    return dict(sorted((int(row['episode_index']), int(row['length'])) for row in rows))


def _splits(info: Mapping[str, Any]) -> dict[str, range]:
    """The episodes of every split; info.json writes them as 'first:last + 1'."""
    found = {name: re.fullmatch(r'(\d+):(\d+)', str(text)) for name, text in info.get('splits', {}).items()}
    return {name: range(int(match[1]), int(match[2])) for name, match in found.items() if match}


def _files(path: str, *folder: str) -> list[str]:
    """The Parquet files of a folder of chunks, in the order of their numbers."""
    names = glob.glob(os.path.join('*', '*.parquet'), root_dir=os.path.join(path, *folder))
    names.sort(key=lambda name: [int(digits) for digits in re.findall(r'\d+', name)])
    return [os.path.join(path, *folder, name) for name in names]


def _columns(path: str, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Columns of all data files as (rows, size)."""
    parts = {key: [] for key in sizes}
    for name in _files(path, 'data'):
        table = _table(name, list(sizes))
        for key, size in sizes.items():
            parts[key].append(_numbers(f'{name}: {key}', table[key], size))
    return {key: np.concatenate(part or [np.empty((0, sizes[key]))]) for key, part in parts.items()}


def _table(name: str, columns: list[str]) -> Any:
    """Columns of a file as a pyarrow.Table; no other is read."""
    from pyarrow import parquet

    with parquet.ParquetFile(name) as file:
        there = file.schema_arrow.names
        absent = [key for key in columns if key not in there]
        if absent:
            raise ValueError(f'{name}: no column {absent[0]!r}; the columns are: {listed(there)}')
        return file.read(columns=columns)


def _numbers(where: str, column: Any, size: int) -> np.ndarray:
    """A column of numbers or of lists of numbers as (rows, size)."""
    from pyarrow import compute, types

    x = column.combine_chunks()
    held = np.ones(len(x), int)
    if types.is_list(x.type) or types.is_large_list(x.type) or types.is_fixed_size_list(x.type):
        held = compute.fill_null(compute.list_value_length(x), 0).to_numpy(zero_copy_only=False)
        x = x.flatten()
    wrong = np.flatnonzero(held != size)
    if len(wrong):
        raise ValueError(f'{where}: row {wrong[0]} holds {held[wrong[0]]} numbers, but {INFO} says {size}')
    return x.to_numpy(zero_copy_only=False).reshape(-1, size)


def _places(
    path: str, episode: np.ndarray, frame: np.ndarray, lengths: Mapping[int, int], wanted: Sequence[int]
) -> tuple[dict[int, slice], list[str]]:
    """The rows of every wanted episode, and what is wrong with them."""
    remedy = 'copy or download the whole folder again'
    back = np.flatnonzero(np.diff(episode) < 0)
    if len(back):
        what = f'follows demo_{episode[back[0]]}: rows out of order: {remedy}'
        return {}, [f'{path}: demo_{episode[back[0] + 1]}: {what}']
    unknown = sorted(set(episode.tolist()) - set(lengths))
    faults = [f'{path}: demo_{i}: in the data, but not in meta/episodes: {remedy}' for i in unknown]
    places = {}
    for i in wanted:
        first, stop = np.searchsorted(episode, (i, i + 1))
        gap = np.flatnonzero(frame[first:stop] != np.arange(stop - first))
        if stop - first != lengths[i]:
            faults.append(f'{path}: demo_{i}: {stop - first} frames, but meta/episodes says {lengths[i]}: {remedy}')
        elif len(gap):
            what = f'step {gap[0]} is {frame[first + gap[0]]}: frames missing or out of order: {remedy}'
            faults.append(f'{path}: demo_{i}: frame_index: {what}')
        else:
            places[i] = slice(first, stop)
    return places, faults
