"""The finetuners by the names that a config calls them by, with its settings, and what one learner begins with.

Between config and finetuning: the only place that knows which trainer wants what.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from brax.envs.base import Env
from flax import struct
from ml_collections import ConfigDict

from launch import config as settings
from launch import curricula
from postbc_jax.envelope.curriculum import NearStarts
from postbc_jax.finetune import controls, critics
from postbc_jax.finetune.controls import Controls
from postbc_jax.finetune.decisions import Decisions
from postbc_jax.finetune.decoding import decode
from postbc_jax.finetune.dppo import DPPOConfig, dppo
from postbc_jax.finetune.dsrl_na import NAConfig, dsrl_na
from postbc_jax.finetune.dsrl_ppo import dsrl_ppo
from postbc_jax.finetune.iql import IQLConfig, iql
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.finetune.sac import SACConfig, sac
from postbc_jax.finetune.steer import limited, steer
from postbc_jax.finetune.transitions import Transitions
from postbc_jax.policies import Policy
from postbc_jax.types import Params, Trainer


@struct.dataclass
class Start:
    """What one learner begins with.

    Attributes:
      policy: pretrained, frozen.
      offline: transitions of its demonstrations; None where none are wanted.
      critics: fitted beforehand, {'q', 'v'}; None where critics begin at random.
      controls: of the chunk that is run; None where nothing changes between chunks.
      starts: raw keys (n, 2) of ordered start states; None where episodes begin anywhere.
    """

    policy: Policy
    offline: Transitions | None = None
    critics: Params | None = None
    controls: Controls | None = None
    starts: jax.Array | None = None


class Finetuner(NamedTuple):
    """How one algorithm finetunes.

    Attributes:
      config: its frozen settings.
      trainer: of a Start (of iql's IQLData for best_of_n), in a bare environment; the flag says whether fitted critics
        are there to begin with.
      steps_per_chunk: iterations, decisions or updates.
      critic_action: what its Q reads, 'chunk' or 'noise'; '' where it has none, or fits its own.
      from_itself: whether its policy before any learning is the pretrained one, played in its way: by the stochastic
        chain, or a Gaussian's mean. That is then where its curve begins.
      meta: what makes its run this run (see checkpoint.Checkpoints).
    """

    config: Any
    trainer: Callable[[Env, bool], Trainer]
    steps_per_chunk: int
    critic_action: str
    from_itself: bool
    meta: dict[str, Any]


def finetuner(config: ConfigDict, name: str) -> Finetuner:
    """The finetuner of that name, one of settings.ALGORITHMS, with the config's settings.

    Raises:
      ValueError: settings that it refuses; names them as the config does.
    """
    make, steps, critic_action = _MAKERS[name]
    with settings.named(config, name, 'finetune'):
        of_algorithm, trainer = make(config)
    meta = settings.describe(of_algorithm) | {'algorithm': name, 'bound': config.finetune.bound}
    from_itself = isinstance(of_algorithm, DPPOConfig)
    return Finetuner(of_algorithm, trainer, config[name][steps], critic_action, from_itself, meta)


def _dsrl_ppo(config: ConfigDict):
    of_algorithm = PPOConfig(**_fields(config, 'dsrl_ppo'))
    steered = _steered(config)
    return of_algorithm, lambda env, warm: dsrl_ppo(steered(env), of_algorithm, _value if warm else None)


def _dppo(config: ConfigDict):
    of_algorithm = DPPOConfig(**_fields(config, 'dppo'))
    return of_algorithm, lambda env, warm: dppo(_decisions(env), of_algorithm, _value if warm else None)


def _ppo(config: ConfigDict):
    """DPPO's chain of length one."""
    fields = _fields(config, 'ppo')
    of_algorithm = DPPOConfig(denoising_steps=0, finetuned_steps=1, clip_base=fields['clip'], **fields)
    return of_algorithm, lambda env, warm: dppo(_decisions(env), of_algorithm, _value if warm else None)


def _dsrl_sac(config: ConfigDict):
    of_algorithm = SACConfig(**_fields(config, 'dsrl_sac'))
    steered = _steered(config)
    return of_algorithm, lambda env, warm: sac(steered(env), of_algorithm, **_off_policy(of_algorithm, warm))


def _dsrl_na(config: ConfigDict):
    of_algorithm = NAConfig(**_fields(config, 'dsrl_na'))
    steered = _steered(config)
    return of_algorithm, lambda env, warm: dsrl_na(
        steered(env),
        of_algorithm,
        lambda start, obs, noise: decode(start.policy, obs, limited(noise, _limit(config, start))),
        **_off_policy(of_algorithm, warm),
    )


def _best_of_n(config: ConfigDict):
    of_algorithm = IQLConfig(**_fields(config, 'best_of_n', leave_out=('rollouts', 'numbers')))
    return of_algorithm, lambda env, warm: iql(lambda data: env, of_algorithm)


# Name -> (config -> settings and trainer), the setting that says how long a chunk is, and what its Q reads.
_MAKERS: dict[str, tuple[Callable, str, str]] = {
    'dsrl_ppo': (_dsrl_ppo, 'iterations_per_chunk', 'chunk'),
    'dsrl_sac': (_dsrl_sac, 'decisions_per_chunk', 'noise'),
    'dsrl_na': (_dsrl_na, 'decisions_per_chunk', 'chunk'),
    'dppo': (_dppo, 'iterations_per_chunk', 'chunk'),
    'ppo': (_ppo, 'iterations_per_chunk', 'chunk'),
    'best_of_n': (_best_of_n, 'steps_per_chunk', ''),
}


def check(config: ConfigDict, horizon: int, stage: str = '') -> None:
    """Refuses finetuners and settings that cannot be run, before anything is trained.

    Args:
      config: one that settings.check has passed.
      horizon: of the environment, in steps.
      stage: of launch.run.

    Raises:
      ValueError: names the setting, its value and what it may be.
    """
    curricula.check(config, stage)
    family, said = config.policy.family, f'config.finetune.algorithm={config.finetune.algorithm!r}'
    for name in settings.algorithms(config):
        found = finetuner(config, name)
        if isinstance(found.config, PPOConfig):
            with settings.named(config, name):
                found.config.group_samples(math.ceil(horizon / config.policy.chunk))
        if name in ('ppo', 'dppo') and not config.init_from and (name == 'ppo') != (family == 'gaussian'):
            raise ValueError(
                f"{said}: ppo finetunes policy.family='gaussian', dppo the chains of 'diffusion' and 'flow', not "
                f'{family!r}'
            )
        if config.warm_start.steps and found.critic_action:
            warm_start(config, found)
        share = getattr(found.config, 'offline_share', 0)
        if share and (config.init_from or stage == 'finetune'):
            raise ValueError(
                f'config.{name}.offline_share={share}: a run that finetunes alone has no demonstrations: choose 0, or '
                'leave --stage and config.init_from out'
            )


def warm_start(config: ConfigDict, finetuner: Finetuner) -> tuple[IQLConfig, int]:
    """The settings of the critics that a finetuner begins with, and in how many chunks they are fitted."""
    with settings.named(config, 'warm_start'):
        fields = settings.fields(config.warm_start, leave_out=('steps',))
        same = critics.warm_start(finetuner.config, config.finetune.bound, finetuner.critic_action)
        return IQLConfig(**same, **fields), settings.chunks(config, 'warm_start')


def _fields(config: ConfigDict, name: str, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a section, with finetune's reward where it names one: else it is the algorithm's own."""
    reward = {'reward': config.finetune.reward} if config.finetune.reward else {}
    return reward | settings.fields(config[name], leave_out)


def _steered(config: ConfigDict) -> Callable[[Env], Callable[[Start], Env]]:
    bound = config.finetune.bound
    return lambda env: lambda start: _begun(steer(env, start.policy, bound, _limit(config, start)), start)


def _limit(config: ConfigDict, start: Start) -> jax.Array | None:
    """Of the noise that is played, within the bound; None where it is the bound."""
    asked = controls.of(start)
    return None if asked is None else config.finetune.bound * asked.bound


def _decisions(env: Env) -> Callable[[Start], Env]:
    return lambda start: _begun(Decisions(env, start.policy), start)


def _begun(env: Env, start: Start) -> Env:
    """The environment with its episodes begun where the learner's curriculum has come to."""
    return env if start.starts is None else NearStarts(env, start.starts, start.controls.starts)


def _value(start: Start) -> Params:
    return start.critics['v']


def _off_policy(of_algorithm: Any, warm: bool) -> dict[str, Callable | None]:
    return {
        'policy_of': lambda start: start.policy,
        'offline': (lambda start: start.offline) if of_algorithm.offline_share else None,
        'initial_critics': (lambda start: start.critics['q']) if warm else None,
    }
