"""The hand-over: pretrained policies of an earlier run, held against this environment and config, and kept here.

In the place of launch.pipeline's first three stages where only finetuning is asked for. What a work directory takes
over it has of its own from then on: the earlier run's may lie on another machine.
"""

import json
from pathlib import Path

import numpy as np
from brax.envs.base import Env
from ml_collections import ConfigDict

from launch.point import Point
from postbc_jax import checkpoint
from postbc_jax.policies import Policy

_COLUMNS = ('pretrain', 'alpha', 'sigma', 'seed')  # of a label; the evaluation and the report need them
_TOLERANCE = 1e-3  # of actions, as data.validate's


def receive(point: Point) -> tuple[list[dict], Policy]:
    """The labels and policies (L, ...) that were pretrained in this work directory, or in config.init_from.

    From there the policies, noise.json and calibration.json come into this directory, once.

    Raises:
      ValueError: there are none, or they do not fit the environment or the config.
    """
    config, own = point.config, point.directory / 'policies' / 'pretrained'
    point.progress.stage('policies')
    begun = own.is_dir()  # Orbax makes it whole or not at all
    if not begun and not config.init_from:
        raise ValueError(
            f'--stage=finetune: {point.directory} holds no pretrained policies: run --stage=pretrain there first, or '
            'give --config.init_from=DIR'
        )
    source = own if begun else find(config.init_from)
    policies, labels = checkpoint.load_policies(source)
    _, about = checkpoint.read_about(source)
    for note in check(policies, labels, about.get('obs_keys'), point.env, config, str(source)):
        point.progress.note(f'note: {note}')
    if not begun:
        for name in ('noise.json', 'calibration.json'):
            if (source.parent.parent / name).is_file():
                point.write_json(name, json.loads((source.parent.parent / name).read_text()))
        if about.get('settings'):
            point.write_json('settings.json', about['settings'])
        checkpoint.save_policy(own, policies, labels, about)  # last: it says that nothing is left to take over
    point.progress.say(f'{len(labels)} pretrained in {about.get("env") or "an unknown environment"}; {source}')
    return labels, policies


def find(directory: str) -> Path:
    """The folder of pretrained policies that a name stands for: itself, or that of a work directory.

    Raises:
      ValueError: there is none.
    """
    for folder in (Path(directory), Path(directory) / 'policies' / 'pretrained'):
        if (folder / 'arrays').is_dir():
            return folder
    said = f'config.init_from={directory}'
    if any(Path(directory).glob('point_*')):
        raise ValueError(f'{said}: holds the points of a sweep: give one of them, such as {directory}/point_0000')
    if not Path(directory).is_dir():
        raise ValueError(f'{said}: there is no such directory')
    raise ValueError(
        f'{said}: neither a folder of policies nor a work directory that has any: run --stage=pretrain there'
    )


def check(
    policies: Policy, labels: list[dict], obs_keys: list | None, env: Env, config: ConfigDict, source: str
) -> list[str]:
    """Refuses policies that would be shown or would play nonsense; returns what may be meant, a line each.

    Args:
      policies: (L, ...).
      labels: L of them.
      obs_keys: [[name, dimension], ...] of the environment that they were pretrained in; None where nobody said.
      env: the environment that they would act in.
      config: this run's.
      source: where they come from, for the messages.

    Raises:
      ValueError: dimensions, keys, chunk, scaling or labels do not fit.
    """
    theirs, ours = policies.config, ', '.join(f'{name} {size}' for name, size in env.obs_keys)
    known = ', '.join(f'{name} {size}' for name, size in obs_keys or ())
    other = 'choose the environment that they were pretrained for'
    if theirs.obs_size != env.observation_size:
        raise ValueError(
            f'{source}: obs: the policies observe {theirs.obs_size}{f" ({known})" if known else ""}, but '
            f'config.env={config.env} gives {env.observation_size} ({ours}): {other}, or other obs_keys'
        )
    if theirs.action_size != env.action_size:
        raise ValueError(
            f'{source}: actions: the policies play {theirs.action_size}, but config.env={config.env} takes '
            f'{env.action_size}: {other}'
        )
    if theirs.chunk != config.policy.chunk:
        raise ValueError(
            f'config.policy.chunk={config.policy.chunk}: the policies of {source} decide {theirs.chunk} actions at a '
            f'time: give --config.policy.chunk={theirs.chunk}'
        )
    _check_scaling(policies, len(labels), config.action_bound, source)
    for index, label in enumerate(labels):
        missing = [name for name in _COLUMNS if name not in label]
        if missing:
            raise ValueError(f'{source}: label {index} has no {missing[0]!r}: these were not pretrained by launch.run')
    if not known:
        return [f'{source}: does not say which obs_keys it was pretrained with: taken to be {ours}']
    if known == ours:
        return []
    said = f'{source}: obs_keys: the policies observe {known}, but config.env={config.env} observes {ours}'
    if sorted(known.split(', ')) == sorted(ours.split(', ')) or not config.allow_other_env:
        raise ValueError(f'{said}: {other}, or --config.allow_other_env=True where only names differ')
    return [f'{said}: as config.allow_other_env has it']


def _check_scaling(policies: Policy, learners: int, bound: float, source: str) -> None:
    """Refuses a normaliser of other sizes, without numbers, or whose actions are beyond the bound (0: none)."""
    scaling, config = policies.normaliser, policies.config
    for kind, size in (('obs', config.obs_size), ('action', config.action_size)):
        low, high = (np.asarray(getattr(scaling, f'{kind}_{end}')) for end in ('low', 'high'))
        for end, value in (('low', low), ('high', high)):
            if value.shape != (learners, size):
                raise ValueError(
                    f'{source}: normaliser.{kind}_{end}: has shape {value.shape}, but {learners} policies of '
                    f'{kind}_size={size} need {(learners, size)}: pretrain again'
                )
        if not (np.isfinite(low) & np.isfinite(high) & (low <= high)).all():
            raise ValueError(f'{source}: normaliser.{kind}: its ranges are not finite, or upside down: pretrain again')
    reach = np.maximum(np.abs(scaling.action_low), np.abs(scaling.action_high)).max(axis=0)
    if bound and reach.max() > bound + _TOLERANCE:
        raise ValueError(
            f'{source}: normaliser: action dimension {reach.argmax()} reaches {reach.max():g}, beyond '
            f'config.action_bound={bound:g}: give the bound of their demonstrations, or 0 for none'
        )
