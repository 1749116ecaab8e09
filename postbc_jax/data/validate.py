"""Refusing demonstrations that would train a wrong policy: one line that names file, demo, key, number and remedy.

Used by every reader and writer of a format, by whoever makes Demos in memory, and against the environment.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from postbc_jax.data.recording import Episode, Recording, split
from postbc_jax.types import Demos

ACTION_BOUND = 1.0  # robomimic's actions lie in [-1, 1]
ACTION_TOLERANCE = 1e-3  # of the bound: room for what was stored in half precision
_KINDS = {1: 'robosuite', 2: 'gymnasium'}  # robomimic's numbers of a type of environment


def validate(demos: Demos, path: str, action_bound: float | None = ACTION_BOUND) -> Demos:
    """Returns the demos as they are, or refuses them.

    Args:
      demos: anything that claims to be Demos.
      path: the file they come from or go to, for the message.
      action_bound: actions must lie in [-action_bound, action_bound] to a relative 1e-3; None: any finite action.

    Raises:
      ValueError: arrays that do not fit together, no or zero-length episodes, values that are NaN or infinite, actions
        out of bounds, names that are missing or not distinct, env_args that are not a JSON object.
    """
    path = str(path)
    arrays = {key: np.asarray(getattr(demos, key)) for key in ('obs', 'actions', 'rewards', 'dones', 'episode')}
    episodes, faults = split(path, arrays, demos.obs_keys, demos.names, demos.operators)
    if not faults:
        faults = content_faults(path, episodes, demos.env_args, action_bound)
    if faults:
        raise ValueError(faults[0])
    return demos


def check_env(demos: Demos, obs_size: int, action_size: int, path: str) -> None:
    """Refuses demos whose dimensions are not the environment's.

    Raises:
      ValueError: the observation's or the action's dimension differs from the environment's.
    """
    obs, actions = demos.obs.shape[-1], demos.actions.shape[-1]
    if obs != obs_size:
        keys = ' + '.join(f'{name} {dimension}' for name, dimension in demos.obs_keys)
        raise ValueError(
            f"{path}: every demo: obs: dimension {obs} ({keys}), but the environment's is {obs_size}: "
            'choose other obs_keys, or the environment in which the demos were recorded'
        )
    if actions != action_size:
        raise ValueError(
            f"{path}: every demo: actions: dimension {actions}, but the environment's is {action_size}: "
            'choose the environment in which the demos were recorded'
        )


def check_origin(recorded: str, env_args: Mapping[str, Any], path: str, other_env: bool = False) -> tuple[str, ...]:
    """Refuses demos of another environment, where both are known by name; versions may differ.

    Args:
      recorded: the demos' env_args, JSON text.
      env_args: those of the environment that the policies will act in.
      path: the file the demos come from, for the messages.
      other_env: whether another environment is meant.

    Returns:
      A line where settings that both name differ, or where the environment is another.

    Raises:
      ValueError: the environment is another, and that is not meant.
    """
    theirs = json.loads(recorded)
    (kind, name), (our_kind, our_name) = map(_environment, (theirs, env_args))
    if not name or not our_name:
        return ()
    if _bare(name) != _bare(our_name) or (kind and our_kind and kind != our_kind):
        was, now = (repr(n) + (f' of {k}' if k else '') for k, n in ((kind, name), (our_kind, our_name)))
        where = f'{path}: recorded in {was}, but the policies would act in {now}'
        if other_env:
            return (f'{where}: as config.allow_other_env has it',)
        prefix = {'brax': ''} | {kind: f'{kind}:' for kind in ('gymnasium', 'metaworld', 'ogbench', 'robosuite')}
        same = f'--config.env={prefix[kind]}{name if kind == "brax" else _bare(name)}' if kind in prefix else 'that one'
        raise ValueError(f'{where}: choose {same}, or --config.allow_other_env=True where the two are known to agree')
    ours, theirs = (args.get('env_kwargs') for args in (json.loads(json.dumps(env_args)), theirs))
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ()
    differ = [key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]]
    differ = sorted(key for key in differ if not re.search('render|camera', key))
    if not differ:
        return ()
    settings = (f'{key}={theirs[key]!r:.60}, not {ours[key]!r:.60}' for key in differ)
    return (f'{path}: recorded with other settings of the environment: {"; ".join(settings)}',)


def _environment(env_args: Mapping[str, Any]) -> tuple[str, str]:
    """(kind, name), '' where it is not said."""
    kind, name = (env_args.get(key) or '' for key in ('type', 'env_name'))
    return _KINDS.get(kind, kind) if isinstance(kind, int | str) else '', name if isinstance(name, str) else ''


def _bare(name: str) -> str:
    """An environment's name without its module or ours for its kind: 'Lift' of 'robosuite:Lift'."""
    return name.rpartition(':')[2]


def checked(recording: Recording, action_bound: float | None = ACTION_BOUND) -> Recording:
    """The recording with the faults of its content added to those of its structure."""
    if recording.faults and not recording.episodes:
        return recording  # the reader has said why there is nothing
    found = content_faults(recording.path, recording.episodes, recording.env_args, action_bound)
    return recording._replace(faults=(*recording.faults, *found))


def content_faults(
    path: str, episodes: Sequence[Episode], env_args: str, action_bound: float | None = ACTION_BOUND
) -> list[str]:
    """Everything wrong with the episodes, a line each; at most one line for a demo's key."""
    faults = []
    if not episodes:
        faults.append(f'{path}: holds 0 demonstrations: record some, or choose another file')
    names = [episode.name for episode in episodes]
    unprintable = [
        name for name in sorted({*names, *(key for e in episodes for key in e.arrays)}) if not name.isprintable()
    ]
    if unprintable:
        return [f'{path}: {name!r}: names a demo or key, but is not printable text: rename it' for name in unprintable]
    faults += [f'{path}: {name}: names {names.count(name)} episodes: give each its own name' for name in _twice(names)]
    try:
        if not isinstance(json.loads(env_args), dict):
            raise ValueError('not an object')
    except ValueError as error:
        faults.append(f'{path}: env_args: not a JSON object ({error}): write {{"env_name": ...}}, or "{{}}"')
    first = {}  # key -> (its dimension, the demo that set it)
    for episode in episodes:
        faults += [f'{path}: {episode.name}: {what}' for what in _episode_faults(episode, first, action_bound)]
    return faults


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []


def _episode_faults(episode: Episode, first: dict[str, tuple[int, str]], bound: float | None) -> Iterable[str]:
    actions = episode.arrays.get('actions')
    steps = len(actions) if actions is not None and actions.ndim else None
    if steps == 0:
        yield 'actions: 0 steps: remove the demo'
        return
    for key, x in episode.arrays.items():
        what = _array_fault(x, 1 if key in ('rewards', 'dones') else 2, steps)
        if not what and x.ndim == 2:
            dimension, other = first.setdefault(key, (x.shape[1], episode.name))
            if x.shape[1] != dimension:
                what = (
                    f'dimension {x.shape[1]}, but {other} has {dimension}: '
                    'keep demos of one environment in a file, or choose a mask or other obs_keys'
                )
        if not what and key == 'actions' and bound is not None:
            what = _bound_fault(x, bound)
        if what:
            yield f'{key}: {what}'


def _array_fault(x: np.ndarray, ndim: int, steps: int | None) -> str:
    if x.dtype.kind not in 'biuf':
        return f'holds {x.dtype}, not numbers: store float32'
    if x.ndim != ndim or 0 in x.shape[1:]:
        return f'shape {x.shape}: must be {"(steps, dimension)" if ndim == 2 else "(steps,)"}'
    if steps is not None and len(x) != steps:
        return f'{len(x)} steps, but actions has {steps}: store one row a step, or remove the demo'
    with np.errstate(over='ignore'):
        bad = ~np.isfinite(x.astype(np.float32))
    if bad.any():
        where = tuple(np.argwhere(bad)[0])
        return f'{_at(where)} is {x[where]} ({bad.sum()} such values): not a finite float32; repair or remove the demo'
    return ''


def _bound_fault(actions: np.ndarray, bound: float) -> str:
    size = np.abs(actions.astype(np.float32))
    outside = size > bound * (1 + ACTION_TOLERANCE)
    if not outside.any():
        return ''
    where = tuple(np.argwhere(outside)[0])
    return (
        f'{_at(where)} is {actions[where]:.6g}, outside [-{bound:g}, {bound:g}] ({outside.sum()} such values, the '
        f'largest {size.max():.6g}): rescale the actions, or set action_bound to the range of the environment'
    )


def _at(where: tuple[int, ...]) -> str:
    return f'step {where[0]}' + (f', dimension {where[1]}' if len(where) > 1 else '')
