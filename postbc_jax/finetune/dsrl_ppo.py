"""DSRL by PPO: a Gaussian actor chooses the initial noise of a frozen policy. The default finetuner.

One of ppo's ways of acting, on steer(env, policy, bound) (arXiv 2506.15799); gives SteeredPolicies.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env

from postbc_jax.finetune import actor
from postbc_jax.finetune.acting import Act, Acting
from postbc_jax.finetune.ppo import PPOConfig, ppo
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.types import Params, Trainer


def dsrl_ppo(
    make_env: Callable[[Any], Env], config: PPOConfig, initial_critic: Callable[[Any], Params] | None = None
) -> Trainer:
    """The trainer of one finetuned policy; `policy(state, data)` gives a SteeredPolicy that acts by its mode.

    Args:
      make_env: data -> an unbatched brax Env as `steer` makes it: with `policy`, `bound` (of its action), `horizon`
        (decisions) and metrics['success'].
      config: shared by all learners; hidden and activation are the actor's too.
      initial_critic: see ppo.
    """

    def acting(env: Env) -> Acting:
        actor_config = actor.ActorConfig('gaussian', env.action_size, env.bound, config.hidden, config.activation)

        def act(params, obs, normal):
            drawn = actor.draw(actor_config, params, obs, normal)
            return Act(drawn.raw, drawn.raw, drawn.log_prob[None])  # steer clips it

        def log_prob(params, obs, record):
            loc, std = actor.parameters(actor_config, params, obs)
            entropy = jnp.sum(jnp.log(std) + 0.5 * jnp.log(2 * jnp.pi * jnp.e))
            return actor.log_prob(actor_config, loc, std, record)[None], {'entropy': entropy, 'std': std.mean()}

        return Acting(
            draws=actor_config.noise_size,
            clips=np.array([config.clip], np.float32),
            weights=np.ones(1, np.float32),
            init=lambda key, obs: actor.init(actor_config, key, obs.size),
            act=act,
            log_prob=log_prob,
            policy=lambda params: SteeredPolicy(env.policy, params, actor_config, limit=env.limit),
        )

    return ppo(make_env, acting, config, initial_critic)
