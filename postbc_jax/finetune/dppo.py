"""DPPO (arXiv 2409.00588): PPO through a policy's own last denoising steps; on a Gaussian policy, plain PPO.

One of ppo's ways of acting, on Decisions(env, policy); reads pretrained policies, gives ChainPolicies.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from brax.envs.base import Env
from flax import struct

from postbc_jax.finetune import losses
from postbc_jax.finetune.acting import Act, Acting
from postbc_jax.finetune.ppo import ppo
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.policies import Policy, build, chain
from postbc_jax.types import Family, Metrics, Params, Steps, Trainer

LOG_PROBABILITIES = ('mean', 'sum')


@dataclasses.dataclass(frozen=True)
class DPPOConfig(PPOConfig):
    """PPO's settings and the chain's. Defaults are DPPO's on Robomimic, but for the critic, which has no residuals.

    Attributes:
      denoising_steps: K, steps of the whole chain, a number of its own beside the policy's (its code trains with as
        many); 0 keeps the policy's inference_steps. A Gaussian policy has one step, whatever is said here.
      finetuned_steps: K', the last ones, which are learned; those before are played by the pretrained policy. What they
        cannot reach is decided before them: the 11th of 20 steps begins where
        noise / signal is .46 (diffusion of 100 levels) or .14 (flow: give it more of them).
      clip: of the last step's ratio ...
      clip_base: ... and of the noisiest finetuned step's; see losses.clip_schedule.
      denoising_discount: gamma_denoise; weighs a decision's advantage at each step, see losses.denoising_discounts.
      log_probability: a ratio's is the 'mean' over the entries of the chunk (its code's; clips of .01 go with it) or
        their 'sum', the density's own (PPO's).
      min_std: floor of the standard deviation while exploring.
      min_log_prob_std: floor of the standard deviation in log-probabilities.
    """

    name: ClassVar[str] = 'dppo'

    environments: int = 50
    unroll: int = 300
    hidden: tuple[int, ...] = (256, 256, 256)
    activation: str = 'mish'
    learning_rate: float = 1e-4
    critic_learning_rate: float = 1e-3
    epochs: int = 10
    minibatches: int = 2
    groups: int = 10
    discount: float = 0.999
    clip: float = 0.01
    max_gradient_norm: float = 0.0
    target_kl: float = 1.0
    critic_warmup: int = 2
    reward_scaling: bool = True
    denoising_steps: int = 20
    finetuned_steps: int = 10
    clip_base: float = 0.001
    denoising_discount: float = 0.99
    log_probability: str = 'mean'
    min_std: float = 0.1
    min_log_prob_std: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        self._require('denoising_steps', self.denoising_steps >= 0, "must be at least 1, or 0 for the policy's own")
        self._require('finetuned_steps', self.finetuned_steps >= 1, 'must be at least 1')
        self._require('clip_base', 0 < self.clip_base <= self.clip, f'must lie in (0, {self.name}.clip={self.clip}]')
        self._require('denoising_discount', 0 <= self.denoising_discount <= 1, 'must lie in [0, 1]')
        known = self.log_probability in LOG_PROBABILITIES
        self._require('log_probability', known, f'choose one of {", ".join(LOG_PROBABILITIES)}')
        self._require('min_std', self.min_std >= 0, 'must be at least 0')
        self._require('min_log_prob_std', self.min_log_prob_std > 0, 'must be above 0: the last step has no noise')

    def start(self, policy: Policy) -> tuple[Policy, Family]:
        """The policy with K denoising steps, and its family.

        Raises:
          ValueError: more finetuned steps than there are, or more steps than a diffusion policy has noise levels.
        """
        config = policy.config
        if self.denoising_steps and config.family != 'gaussian':
            levels = config.train_steps if config.family == 'diffusion' else self.denoising_steps
            possible = self.denoising_steps <= levels
            self._require('denoising_steps', possible, f'must be at most the {levels} noise levels of the policy')
            policy = policy.with_steps(self.denoising_steps)
        family = build(policy.config)
        what = f'must be at most {family.transitions}, the steps of the {config.family} policy'
        self._require('finetuned_steps', self.finetuned_steps <= family.transitions, what)
        return policy, family


@struct.dataclass
class ChainPolicy:
    """A finetuned policy: a pretrained one whose last denoising steps have other parameters. Called like a Policy.

    It plays the chain without exploration: every step but the last draws its own noise, which a flow's and a diffusion
    policy's last step has none of, and the last gives its mean. Of a Gaussian policy that is its mean.

    Attributes:
      policy: the pretrained policy, with the chain's number of steps in its config.
      params: of the finetuned steps.
      finetuned: K', how many those are.
      stochastic: whether to play it as it explores: every step draws, with at least min_std.
      min_std: the explorer's floor.
    """

    policy: Policy
    params: Params
    finetuned: int = struct.field(pytree_node=False)
    stochastic: bool = struct.field(pytree_node=False, default=False)
    min_std: float = struct.field(pytree_node=False, default=0.0)

    def __call__(self, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """obs (O,) in the environment's units -> (chunk (T, A) in the environment's units, {'noise': (n + 1, T, A)}),
        the draws of the chain, and what is said of the chunk."""
        policy, family = self.policy, build(self.policy.config)
        normal = jax.random.normal(key, (family.transitions + 1, *family.noise_shape))
        normal, floor = (normal, self.min_std) if self.stochastic else (normal.at[-1].set(0), 0.0)
        obs = policy.normaliser.obs(obs)
        chunk, _ = chain.roll(family, policy.params, self.params, self.finetuned, obs, normal, floor)
        chunk, said = policy.admit(obs, chunk)
        return policy.normaliser.unnormalise_action(chunk), {'noise': normal, **said}


def dppo(
    make_env: Callable[[Any], Env], config: DPPOConfig, initial_critic: Callable[[Any], Params] | None = None
) -> Trainer:
    """The trainer of one finetuned policy; `policy(state, data)` gives a ChainPolicy.

    A sample is one decision with all its K' steps. Chunks that leave [-1, 1] are played as they are (the environment
    clips), and log-probabilities are theirs.

    Args:
      make_env: data -> an unbatched brax Env as Decisions makes it: with `policy`, `horizon` (decisions) and
        metrics['success'].
      config: shared by all learners; hidden and activation are the critic's.
      initial_critic: see ppo.

    Raises:
      ValueError: from every function, where the policy does not have the steps that the config asks for.
    """
    return ppo(make_env, lambda env: acting(env.policy, config), config, initial_critic)


def acting(policy: Policy, config: DPPOConfig) -> Acting:
    """How PPO acts by the last K' denoising steps of a policy; the steps before keep the policy's own parameters."""
    policy, family = config.start(policy)
    count, shape = config.finetuned_steps, family.noise_shape
    entries = shape[0] * shape[1]

    def log_probs(steps: Steps) -> jax.Array:
        log_prob = chain.log_prob(steps, config.min_log_prob_std)
        return log_prob / entries if config.log_probability == 'mean' else log_prob

    def act(params: Params, obs: jax.Array, normal: jax.Array) -> Act:
        normal = normal.reshape(family.transitions + 1, *shape)
        chunk, steps = chain.roll(family, policy.params, params, count, obs, normal, config.min_std)
        record = jnp.concatenate([steps.before, steps.after[-1:]])
        return Act(chunk.ravel(), record.ravel(), log_probs(steps))

    def log_prob(params: Params, obs: jax.Array, record: jax.Array) -> tuple[jax.Array, Metrics]:
        points = record.reshape(count + 1, *shape)
        steps = chain.again(family, params, obs, points[:-1], points[1:])
        std = jnp.maximum(steps.std, config.min_log_prob_std)
        entropy = jnp.sum(jnp.log(std) + 0.5 * jnp.log(2 * jnp.pi * jnp.e), axis=(1, 2)).mean()
        return log_probs(steps), {'entropy': entropy, 'std': std.mean()}

    return Acting(
        draws=(family.transitions + 1) * entries,
        clips=losses.clip_schedule(config.clip, config.clip_base, count),
        weights=losses.denoising_discounts(config.denoising_discount, count),
        init=lambda key, obs: policy.params,
        act=act,
        log_prob=log_prob,
        policy=lambda params: ChainPolicy(policy, params, count, min_std=config.min_std),
    )
