"""Configs: reading an experiment's file, applying a point of its sweep, and the frozen settings of every stage.

First in every launcher. All checks that need no data are made here, before anything is written.
"""

import dataclasses
import hashlib
import importlib.util
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from postbc_jax.finetune.ppo import PPOConfig, ppo
from postbc_jax.finetune.sac import SACConfig, sac
from postbc_jax.policies import PolicyConfig
from postbc_jax.posterior.ensemble import EnsembleConfig
from postbc_jax.pretrain import PretrainConfig

_AT_LEAST_1 = (
    'seeds',
    'posterior.members',
    'record.episodes',
    'finetune.seeds',
    'finetune.chunks',
    'evaluate.episodes',
    'evaluate.coverage_starts',
    'evaluate.coverage_rollouts',
)
_AT_LEAST_0 = ('action_bound', 'record.noise', 'subset', 'pretrain.weight_decay', 'save_every')


class ArmLabel(NamedTuple):
    """One arm of the comparison as results.jsonl names it.

    Attributes:
      pretrain: bc, sigma_bc or post_bc.
      alpha: the posterior noise's weight; of a matched arm, that of the PostBC arm whose noise rms it takes.
      sigma: standard deviation of isotropic noise in normalised action units; nan until a matched arm's is known.
      matched: whether sigma is taken from a PostBC arm.
    """

    pretrain: str
    alpha: float = 0.0
    sigma: float = 0.0
    matched: bool = False


def arms(config: ConfigDict) -> list[ArmLabel]:
    """bc, then sigma_bc at each sigma, then for each alpha the matched sigma_bc and post_bc itself."""
    for name in ('alphas', 'sigmas'):
        for value in config[name]:
            if not value > 0:
                raise ValueError(f'config.{name} holds {value}: noise scales are positive; bc is always an arm')
    found = [ArmLabel('bc')]
    found += [ArmLabel('sigma_bc', sigma=float(sigma)) for sigma in config.sigmas]
    for alpha in config.alphas:
        if config.matched:
            found.append(ArmLabel('sigma_bc', alpha=float(alpha), sigma=float('nan'), matched=True))
        found.append(ArmLabel('post_bc', alpha=float(alpha)))
    return found


def load_sweep(path: str) -> list[dict[str, Any]]:
    """The points of the experiment in `path` ('FILE.py' or 'FILE.py:arg'): its sweep(), one point where it has none.

    Raises:
      ValueError: the file is missing, or sweep() is not a list of flat dicts.
    """
    file = Path(path.split(':', 1)[0])
    if not file.is_file():
        raise ValueError(f'--config={path}: there is no file {file}')
    spec = importlib.util.spec_from_file_location(f'experiment_{file.stem}', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    points = module.sweep() if hasattr(module, 'sweep') else [{}]
    if not isinstance(points, list) or not points or not all(isinstance(point, dict) for point in points):
        raise ValueError(f'{file}: sweep() must return a non-empty list of dicts, got {points!r:.80}')
    return points


def at_point(config: ConfigDict, point: dict[str, Any]) -> ConfigDict:
    """A copy of the config with a sweep point's values ({'pretrain.steps': 2000}); unknown names are refused."""
    config = config.copy_and_resolve_references()
    for name, value in point.items():
        try:
            config.update_from_flattened_dict({name: value})
        except (KeyError, TypeError) as error:
            raise ValueError(f'sweep point {point}: {name}={value!r} does not fit the config: {error}') from None
    return config.lock()


def fingerprint(config: ConfigDict) -> str:
    """A short name of a config's content, in results and work directories."""
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def policy(config: ConfigDict, obs_size: int, action_size: int) -> PolicyConfig:
    return PolicyConfig(obs_size=obs_size, action_size=action_size, **_fields(config.policy))


def ensemble(config: ConfigDict) -> EnsembleConfig:
    return EnsembleConfig(**_fields(config.posterior, leave_out=('members', 'covariance')))


def pretrain(config: ConfigDict, policy: PolicyConfig) -> PretrainConfig:
    fields = _fields(config.pretrain, leave_out=('learning_rate', 'weight_decay'))
    return PretrainConfig(policy=policy, covariance=config.posterior.covariance, **fields)


def chunks(config: ConfigDict, stage: str) -> int:
    """Compiled calls of the stage 'posterior' or 'pretrain'.

    Raises:
      ValueError: steps_per_chunk does not divide steps.
    """
    steps, size = config[stage].steps, config[stage].steps_per_chunk
    if size < 1 or steps < 1 or steps % size:
        raise ValueError(f'config.{stage}.steps={steps}: must be a positive multiple of steps_per_chunk={size}')
    return steps // size


def finetuner(config: ConfigDict) -> tuple[Callable, PPOConfig | SACConfig, int]:
    """The trainer's maker, its settings, and how many steps (iterations or decisions) one chunk takes.

    Raises:
      ValueError: an unknown config.finetune.algorithm.
    """
    name = config.finetune.algorithm
    reward = {'reward': config.finetune.reward} if config.finetune.reward else {}  # else the algorithm's own
    if name == 'dsrl_ppo':
        return ppo, PPOConfig(**reward, **_fields(config.dsrl_ppo)), config.dsrl_ppo.iterations_per_chunk
    if name == 'dsrl_sac':
        return sac, SACConfig(**reward, **_fields(config.dsrl_sac)), config.dsrl_sac.decisions_per_chunk
    raise ValueError(f'config.finetune.algorithm={name!r}: choose one of dsrl_ppo, dsrl_sac, none')


def arm_name(row: Mapping[str, Any]) -> str:
    """A short name of the arm that a row (of ArmLabel's columns) belongs to, without numbers that differ by seed."""
    if row['matched']:
        return f'sigma_bc matched {row["alpha"]:g}'
    scale = {'bc': '', 'sigma_bc': f' {row["sigma"]:g}', 'post_bc': f' {row["alpha"]:g}'}
    return row['pretrain'] + scale[row['pretrain']]


def check(config: ConfigDict) -> None:
    """Refuses what can be refused before anything is recorded, trained or written.

    Raises:
      ValueError: a value that cannot be run; the message names it.
    """
    arms(config)
    for names, least in ((_AT_LEAST_1, 1), (_AT_LEAST_0, 0)):
        for name in names:
            value = _get(config, name)
            if not value >= least:
                raise ValueError(f'config.{name}={value}: must be at least {least}')
    for name in ('pretrain.learning_rate', 'finetune.bound'):
        value = _get(config, name)
        if not value > 0:
            raise ValueError(f'config.{name}={value}: must be above 0')
    for stage in ('posterior', 'pretrain'):
        chunks(config, stage)
    ensemble(config)
    pretrain(config, policy(config, obs_size=1, action_size=1))
    if config.finetune.algorithm != 'none':
        finetuner(config)


def check_horizon(config: ConfigDict, horizon: int) -> None:
    """Refuses, before anything is trained, what dsrl_ppo would refuse in the last stage.

    Args:
      config: one that `check` has passed.
      horizon: of the environment, in steps.

    Raises:
      ValueError: the minibatches do not divide the samples of a group.
    """
    if config.finetune.algorithm != 'dsrl_ppo':
        return
    ppo = config.dsrl_ppo
    decisions = ppo.unroll or math.ceil(horizon / config.policy.chunk)
    samples = decisions * ppo.environments // ppo.groups
    if samples % ppo.minibatches:
        raise ValueError(
            f'config.dsrl_ppo.minibatches={ppo.minibatches}: must divide the {samples} samples of a group '
            f'({decisions} decisions x {ppo.environments} environments / {ppo.groups} groups)'
        )


def _get(config: ConfigDict, name: str) -> Any:
    for part in name.split('.'):
        config = config[part]
    return config


def _fields(section: ConfigDict, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in leave_out}


def describe(config: Any) -> dict[str, Any]:
    """A frozen config as plain JSON data."""
    return dataclasses.asdict(config)
