"""A demonstration file in words and numbers: what there is to learn from, and everything that is wrong with it.

Beside the pipeline: `python -m launch.inspect` prints this before anybody trains. Pure: Recording -> text.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from postbc_jax.data.recording import Recording


def text(recording: Recording) -> str:
    """The whole description: a line a fact, a row an action dimension, then what load refuses the file for, and notes.

    Args:
      recording: from data.read, however broken.
    """
    lines = [f'{recording.path}: {recording.format}']
    if recording.episodes:
        lines += [f'  {name:<13}{fact}' for name, fact in _facts(recording)]
        lines += _actions(recording)
    lines += _numbered('wrong, so that the file is refused', 'nothing', recording.faults)
    if recording.notes:
        lines += _numbered('odd, but read', '', recording.notes)
    return '\n'.join(lines)


def _numbered(title: str, nothing: str, items: Sequence[str]) -> list[str]:
    return [f'  {title}: {len(items) or nothing}', *(f'    {item}' for item in items)]


def _facts(recording: Recording) -> Iterator[tuple[str, str]]:
    lengths = np.array([len(x) for x in _arrays(recording, 'actions', 2)] or [0])
    yield 'environment', _environment(recording.env_args)
    yield 'episodes', f'{len(recording.episodes):,} of {lengths.sum():,} steps'
    low, middle, high = np.percentile(lengths, [0, 50, 100])
    yield 'lengths', f'{low:.0f} to {high:.0f} steps, median {middle:g}, mean {lengths.mean():.1f}'
    dims = {key: _dimensions(recording, f'obs/{key}') for key in recording.obs_keys}
    total = sum(d[0] for d in dims.values()) if all(len(d) == 1 for d in dims.values()) else '?'
    parts = [f'{key} {"/".join(map(str, d)) or "?"}' for key, d in dims.items()]
    yield 'observations', f'{total} = {" + ".join(parts) or "none"}'
    if recording.other_keys:
        yield 'other keys', '; '.join(f'{key} ({what})' for key, what in recording.other_keys.items())
    yield 'rewards', _rewards(recording)
    operators = Counter(episode.operator or '(not said)' for episode in recording.episodes)
    yield 'operators', ', '.join(f'{name} {count}' for name, count in sorted(operators.items()))
    yield 'masks', ', '.join(f'{name} {len(demos)}' for name, demos in recording.masks.items()) or 'none'


def _environment(env_args: str) -> str:
    try:
        args = json.loads(env_args)
    except ValueError:
        args = None
    if not isinstance(args, dict):
        return 'not readable'
    version = args.get('env_version')
    return f'{args.get("env_name", "not said")}' + (f', version {version}' if version else '')


def _rewards(recording: Recording) -> str:
    returns = [float(x.astype(np.float64).sum()) for x in _arrays(recording, 'rewards', 1)]
    rewarded = sum(r > 0 for r in returns)
    ended = sum(bool(len(x)) and bool(x[-1]) for x in _arrays(recording, 'dones', 1))
    span = f', returns {min(returns):g} to {max(returns):g}' if returns else ''
    return f'{rewarded} of {len(recording.episodes)} episodes have a positive return{span}; {ended} end with done'


def _actions(recording: Recording) -> list[str]:
    """A row for every action dimension, over the demos of the commonest dimension."""
    arrays = [x for x in _arrays(recording, 'actions', 2) if len(x)]
    if not arrays:
        return []
    width = Counter(x.shape[1] for x in arrays).most_common(1)[0][0]
    x = np.concatenate([a.astype(np.float64) for a in arrays if a.shape[1] == width])
    lines = [f'  actions      {width}', '    dimension        min        max       mean        std   at its ends']
    for i, column in enumerate(x.T):
        finite = column[np.isfinite(column)]
        if not len(finite):
            lines.append(f'    {i:<9d}  no finite value')
            continue
        low, high = finite.min(), finite.max()
        ends = 'constant' if low == high else f'{np.mean((finite == low) | (finite == high)):.1%}'
        lines.append(f'    {i:<9d}{low:>11.4g}{high:>11.4g}{finite.mean():>11.4g}{finite.std():>11.4g}{ends:>14}')
    return lines


def _arrays(recording: Recording, key: str, ndim: int) -> list[np.ndarray]:
    """The arrays of one key that are numbers of the right number of axes."""
    arrays = [episode.arrays.get(key) for episode in recording.episodes]
    return [x for x in arrays if x is not None and x.ndim == ndim and x.dtype.kind in 'biuf']


def _dimensions(recording: Recording, key: str) -> list[int]:
    return sorted({x.shape[1] for x in _arrays(recording, key, 2)})
