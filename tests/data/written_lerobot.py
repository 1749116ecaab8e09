"""Writes LeRobot datasets with pyarrow, in the layouts that lerobot publishes: v2.1 and v3.0.

Tests that import this are skipped where pyarrow is not installed.
"""

import json

import numpy as np
import pytest

REASON = 'LeRobot datasets are read and written with pyarrow: pip install postbc_jax[parquet]'
pa = pytest.importorskip('pyarrow', reason=REASON)
parquet = pytest.importorskip('pyarrow.parquet', reason=REASON)

STATE, EFFORT, ACTION = 3, 1, 2
FEATURES = {
    'observation.images.top': {'dtype': 'video', 'shape': [480, 640, 3], 'names': ['height', 'width', 'channels']},
    'observation.state': {'dtype': 'float32', 'shape': [STATE], 'names': None},
    'observation.effort': {'dtype': 'float64', 'shape': [EFFORT], 'names': None},
    'observation.map': {'dtype': 'float32', 'shape': [4, 4], 'names': None},
    'action': {'dtype': 'float32', 'shape': [ACTION], 'names': ['pan', 'lift']},
    'next.reward': {'dtype': 'float32', 'shape': [1], 'names': None},
    'next.done': {'dtype': 'bool', 'shape': [1], 'names': None},
    'next.success': {'dtype': 'bool', 'shape': [1], 'names': None},
    **{key: {'dtype': 'int64', 'shape': [1], 'names': None} for key in ('frame_index', 'episode_index', 'index')},
}


def episodes(lengths, seed=0):
    """Random episodes {index: {column: array}}; the action is a joint angle in degrees, the odd ones succeed."""
    rng, made = np.random.default_rng(seed), {}
    for index, steps in lengths.items():
        last = np.arange(steps) == steps - 1
        made[index] = {
            'observation.state': rng.normal(size=(steps, STATE)).astype(np.float32),
            'observation.effort': rng.normal(size=steps),
            'action': rng.uniform(-90, 90, (steps, ACTION)).astype(np.float32),
            'next.reward': rng.normal(size=steps).astype(np.float32),
            'next.done': last,
            'next.success': last & bool(index % 2),
            'frame_index': np.arange(steps),
            'episode_index': np.full(steps, index),
        }
    return made


def write(root, version, made, files=None, features=FEATURES, lists=False, lengths=None, **info):
    """Writes a dataset.

    Args:
      root: its folder.
      version: 'v2.1', an episode a file; 'v3.0', several.
      made: as from `episodes`.
      files: v3.0: the indices of the episodes of each file; all in one.
      features: what info.json says; only those that an episode has are written.
      lists: whether vectors are lists of any length, or of a fixed one.
      lengths: what meta/episodes says, where it is not the truth.
      **info: changes of info.json.
    """
    files = [[index] for index in made] if version < 'v3' else files or [list(made)]
    for number, indices in enumerate(files):
        name = f'episode_{indices[0]:06d}' if version < 'v3' else f'file-{number:03d}'
        path = root / 'data' / 'chunk-000' / f'{name}.parquet'
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = {key: np.concatenate([made[i][key] for i in indices]) for key in made[indices[0]]}
        parquet.write_table(pa.table({key: _column(x, lists) for key, x in rows.items()}), path)
    lengths = lengths or {index: len(episode['action']) for index, episode in made.items()}
    rows = [{'episode_index': i, 'tasks': ['pick'], 'length': steps} for i, steps in lengths.items()]
    meta = root / 'meta'
    meta.mkdir(exist_ok=True)
    if version < 'v3':
        (meta / 'episodes.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    else:
        (meta / 'episodes' / 'chunk-000').mkdir(parents=True, exist_ok=True)
        places = [row | {'data/chunk_index': 0, 'data/file_index': 0, 'stats/action/max': [1.0]} for row in rows]
        parquet.write_table(pa.Table.from_pylist(places), meta / 'episodes' / 'chunk-000' / 'file-000.parquet')
    settings = {
        'codebase_version': version,
        'robot_type': 'so100',
        'total_episodes': len(made),
        'total_frames': sum(lengths.values()),
        'splits': {'train': f'0:{max(made, default=0) + 1}'},
        'features': features,
    }
    (meta / 'info.json').write_text(json.dumps(settings | info))


def _column(x, lists):
    if x.ndim == 1:
        return pa.array(x)
    flat = pa.array(x.ravel())
    if lists:
        return pa.ListArray.from_arrays(pa.array(np.arange(len(x) + 1, dtype=np.int32) * x.shape[1]), flat)
    return pa.FixedSizeListArray.from_arrays(flat, x.shape[1])
