"""Configs: reading an experiment's file, applying a point of its sweep, and the frozen settings of every stage.

First in every launcher; checks says which configs can be run.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from brax.envs.base import Env
from ml_collections import ConfigDict

from launch import errors
from launch.arms import RULES, Arm
from postbc_jax import data, envs
from postbc_jax.envelope.contexts import Contexts, resolve
from postbc_jax.envelope.guide import MIN_STD, GuideConfig
from postbc_jax.policies import PolicyConfig
from postbc_jax.posterior.ensemble import EnsembleConfig
from postbc_jax.pretrain import PretrainConfig
from postbc_jax.simulators import robosuite_layout
from postbc_jax.value_dice import ValueDICEConfig

# Finetuners; launch.finetuners makes them. Each has a section of its own in the config.
ALGORITHMS = ('dsrl_ppo', 'dsrl_sac', 'dsrl_na', 'dppo', 'ppo', 'best_of_n')


def arms(config: ConfigDict) -> list[Arm]:
    """bc and its baselines, sigma_bc at each sigma, for each alpha its matched sigma_bc and post_bc, value_dice.

    Raises:
      ValueError: a value that makes no arm.
    """
    for name in ('dropouts', 'weight_decays', 'betas', 'alphas', 'sigmas'):
        values = tuple(config[name])
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f'config.{name}={values}: {value!r} is not a number')
            if not value > 0:
                raise ValueError(f'config.{name}={values}: {value} is not positive; bc is always an arm')
            if values.count(value) > 1:
                raise ValueError(f'config.{name}={values}: {value} is there {values.count(value)} times; an arm each')
    if not max(config.dropouts, default=0) < 1:
        raise ValueError(f'config.dropouts={tuple(config.dropouts)}: a rate lies above 0 and below 1')
    found = [Arm('bc')]
    found += [Arm('bc_dropout', dropout=float(rate)) for rate in config.dropouts]
    found += [Arm('bc_weight_decay', weight_decay=float(decay)) for decay in config.weight_decays]
    found += [Arm('weighted_bc', beta=float(beta)) for beta in config.betas]
    found += [Arm('sigma_bc', sigma=float(sigma)) for sigma in config.sigmas]
    if config.alpha not in ('', *RULES):
        raise ValueError(
            f'config.alpha={config.alpha!r}: {" or ".join(RULES)}, which choose it at each seed; numbers go into '
            'config.alphas'
        )
    unknown = float('nan')
    for alpha, rule in [(float(alpha), '') for alpha in config.alphas] + [(unknown, config.alpha)] * bool(config.alpha):
        if config.matched:
            found.append(Arm('sigma_bc', sigma=unknown, matched_alpha=alpha, alpha_by=rule))
        found.append(Arm('post_bc', alpha=alpha, alpha_by=rule))
    if config.value_dice.steps > 0:
        if config.policy.family != 'gaussian':
            raise ValueError(
                f"config.policy.family={config.policy.family!r}: value_dice learns a 'gaussian' policy: choose it, or "
                'config.value_dice.steps=0'
            )
        found.append(Arm('value_dice'))
    return found


def calibrates(config: ConfigDict) -> bool:
    """Whether held-out demonstrations are asked how much noise they support."""
    return config.calibration.curve or any(one.alpha == 'auto' for one in each(config))


def fits_envelope(config: ConfigDict) -> bool:
    """Whether the envelope of the demonstrations is asked for, by the guard or by the monitor."""
    return bool(config.guard.mode or (config.monitor.on and config.monitor.envelope))


def contexts(config: ConfigDict, obs_keys: Sequence[tuple[str, int]]) -> Contexts:
    """The contexts that config.contexts declares, of an observation of these keys.

    Raises:
      ValueError: one that cannot be.
    """
    try:
        return resolve(config.contexts, obs_keys)
    except ValueError as error:
        raise ValueError(f'config.contexts: {error}') from None


def load_sweep(path: str) -> list[dict[str, Any]]:
    """The points of the experiment in `path` ('FILE.py' or 'FILE.py:arg'): its sweep(), one point where it has none.

    A sweep that takes an argument is given the file's, '' where there is none.

    Raises:
      ValueError: the file is missing, or sweep() is not a list of flat dicts.
    """
    name, _, argument = path.partition(':')
    file = Path(name)
    if not file.is_file():
        raise ValueError(f'--config={path}: there is no file {file}')
    spec = importlib.util.spec_from_file_location(f'experiment_{file.stem}', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    points = [{}]
    if hasattr(module, 'sweep'):
        points = module.sweep(*[argument] * bool(inspect.signature(module.sweep).parameters))
    if not isinstance(points, list) or not points or not all(isinstance(point, dict) for point in points):
        raise ValueError(f'{file}: sweep() must return a non-empty list of dicts, got {points!r:.80}')
    return points


def at_point(config: ConfigDict, point: dict[str, Any]) -> ConfigDict:
    """A copy of the config with a sweep point's values ({'pretrain.steps': 2000}); unknown names are refused.

    A number for a setting that takes several ({'alphas': 0.5}) is a tuple of one.
    """
    config = config.copy_and_resolve_references()
    for name, value in point.items():
        try:
            before = value_of(config, name)
            if value is None and before is not None:
                raise TypeError(f'it takes a {type(before).__name__}')
            if isinstance(before, tuple) and isinstance(value, int | float):
                value = (value,)
            config.update_from_flattened_dict({name: value})
        except (KeyError, TypeError) as error:
            raise ValueError(f'sweep point {point}: {name}={value!r} does not fit the config: {error}') from None
    return config.lock()


def each(config: ConfigDict) -> list[ConfigDict]:
    """The configs of the settings that share a run (config.fold); the config itself where it is of one."""
    if not config.fold:
        return [config]
    return [at_point(config, {'fold': (), **setting}) for setting in config.fold]


def environment(config: ConfigDict) -> Env:
    """The bare environment; configs that ask for the same one share it.

    A simulator with several kinds of observation is asked for config.obs_keys. robosuite's tasks are made as the
    demonstrations' env_args say that they were, but for what config.env_settings sets.

    Raises:
      ValueError: there is no such environment, or it refuses its settings.
    """
    given = {name: value for name, value in config.env_settings.items() if value is not None}
    kind, _, task = config.env.partition(':')
    if config.obs_keys and kind in envs.hosted.INSTALLED_BY:
        given.setdefault('obs_keys', config.obs_keys)
    if config.demos and kind == 'robosuite':
        said = json.loads(data.read(config.demos, obs_keys(config), config.mask or None).env_args)
        if said.get('type') == 1 and said.get('env_name') == task:  # else data.validate.check_origin has its say
            given = {k: v for k, v in robosuite_layout.from_env_args(said).items() if k != 'id'} | given
    try:
        return made(config.env, json.dumps(given, sort_keys=True))
    except ValueError as error:
        said = errors.refusal(error)
        if said is None:
            raise
        said = said.removeprefix(f'env={config.env!r}').lstrip(':, ')
        raise ValueError(f'config.env={config.env!r}: {said}') from error


def obs_keys(config: ConfigDict) -> tuple[str, ...]:
    """The names in config.obs_keys."""
    return tuple(name.strip() for name in config.obs_keys.split(',') if name.strip())


@functools.cache
def made(name: str, settings: str) -> Env:
    """envs.make with the settings as JSON text. made.cache_clear() forgets simulators that have failed."""
    return envs.make(name, **json.loads(settings))


def policy(config: ConfigDict, obs_size: int, action_size: int) -> PolicyConfig:
    with named(config, 'policy'):
        return PolicyConfig(obs_size=obs_size, action_size=action_size, **fields(config.policy))


def ensemble(config: ConfigDict) -> EnsembleConfig:
    with named(config, 'posterior'):
        return EnsembleConfig(**fields(config.posterior, leave_out=('members', 'covariance')))


def pretrain(config: ConfigDict, policy: PolicyConfig) -> PretrainConfig:
    of_stage = fields(config.pretrain, leave_out=('learning_rate', 'weight_decay'))
    with named(config, 'pretrain', 'posterior'):
        return PretrainConfig(
            policy=policy,
            covariance=config.posterior.covariance,
            dropout=any(one.dropouts for one in each(config)),
            **of_stage,
        )


def value_dice(config: ConfigDict, policy: PolicyConfig) -> ValueDICEConfig:
    """Its policies are averaged over steps as pretrain's are."""
    with named(config, 'value_dice', 'pretrain', 'policy'):
        return ValueDICEConfig(
            policy=policy,
            ema_decay=config.pretrain.ema_decay,
            **fields(config.value_dice, leave_out=('steps',)),
        )


def guide(config: ConfigDict, obs_size: int, action_size: int) -> GuideConfig:
    with named(config, 'guard', 'policy'):
        shape = obs_size, action_size, config.policy.chunk, tuple(config.guard.hidden)
        of_guide = PolicyConfig('gaussian', *shape, min_std=MIN_STD)
        return GuideConfig(of_guide, **fields(config.guard, leave_out=('mode', 'rate', 'safe', 'hidden')))


def chunks(config: ConfigDict, stage: str) -> int:
    """Compiled calls of the stage 'posterior', 'pretrain', 'value_dice' or 'warm_start'.

    Raises:
      ValueError: steps_per_chunk does not divide steps.
    """
    steps, size = config[stage].steps, config[stage].steps_per_chunk
    if size < 1 or steps < 1 or steps % size:
        raise ValueError(f'config.{stage}.steps={steps}: must be a positive multiple of steps_per_chunk={size}')
    return steps // size


def algorithms(config: ConfigDict) -> list[str]:
    """The names in config.finetune.algorithm, [] for none.

    Raises:
      ValueError: an unknown name, or one that is there twice.
    """
    asked = config.finetune.algorithm
    names = [name.strip() for name in asked.split(',') if name.strip()]
    if names == ['none']:
        return []
    for name in names:
        if name not in ALGORITHMS:
            raise ValueError(f'config.finetune.algorithm={asked!r}: choose of {", ".join(ALGORITHMS)}; or none')
        if names.count(name) > 1:
            raise ValueError(f'config.finetune.algorithm={asked!r}: {name} is there {names.count(name)} times')
    return names


@contextlib.contextmanager
def named(config: ConfigDict, *sections: str) -> Iterator[None]:
    """Refusals of the library's settings with the names that they have here: 'hidden=(0,): ...' becomes
    'config.posterior.hidden=(0,): ...', where posterior is the first of the sections to have a hidden."""
    try:
        yield
    except ValueError as error:
        found = re.fullmatch(r'(?:\w+\.)?(\w+)(=.*)', str(error))
        section = next((name for name in sections if found and found[1] in config[name]), None)
        if section is None:
            raise
        raise ValueError(f'config.{section}.{found[1]}{found[2]}') from None


def value_of(config: ConfigDict, name: str) -> Any:
    for part in name.split('.'):
        config = config[part]
    return config


def fields(section: ConfigDict, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """A section's settings, without those to be left out."""
    return {name: value for name, value in section.items() if name not in leave_out}


def describe(config: Any) -> dict[str, Any]:
    """A frozen config as plain JSON data."""
    return dataclasses.asdict(config)
