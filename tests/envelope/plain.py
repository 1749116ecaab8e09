"""A policy whose chunks are its noise, an envelope that is an interval, and a task of one step: all known by hand."""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State
from flax import struct

from postbc_jax.policies import Policy, PolicyConfig, build
from tests.finetune.probes import Shape


@struct.dataclass
class Identity:
    """A normaliser that changes nothing."""

    def obs(self, obs):
        return obs

    def action(self, chunk):
        return chunk

    def unnormalise_action(self, chunk):
        return chunk

    def action_scale(self):
        return jnp.ones(1)


@struct.dataclass
class Plain:
    """chunk = centre + gain * noise, called like a Policy."""

    centre: jax.Array
    gain: jax.Array
    config: Shape = struct.field(pytree_node=False, default=Shape(2, 1, 1))
    normaliser: Identity = Identity()

    def __call__(self, obs, key):
        return self.decode(obs, jax.random.normal(key, (self.config.chunk, self.config.action_size))), {}

    def decode(self, obs, noise):
        return self.centre + self.gain * noise

    decode_normalised = decode

    def decide(self, obs, noise):
        return self.admit(obs, self.decode(obs, noise))

    def admit(self, obs, chunk):
        return chunk, {}


class Centre(Env):
    """One step, one action: success is |action| < .5."""

    horizon, regions, backend = 1, ('all',), 'none'
    action_size, observation_size = 1, 2

    def reset(self, rng):
        zero = jnp.zeros(())
        return State(zero, jax.random.uniform(rng, (2,)), zero, zero, {'success': zero}, {'region': jnp.int32(0)})

    def step(self, state, action):
        success = (jnp.abs(action[0]) < 0.5).astype(jnp.float32)
        return state.replace(reward=success, done=jnp.ones(()), metrics={'success': success})


def guide():
    """A Gaussian Policy of parameters 0: mean 0 and standard deviation log 2 (and 1e-6) everywhere."""
    config = PolicyConfig(obs_size=2, action_size=1, family='gaussian', chunk=1, hidden=(4,), min_std=1e-6)
    params = jax.tree.map(jnp.zeros_like, build(config).init(jax.random.key(0)))
    return Policy(params, Identity(), config)


@struct.dataclass
class Interval:
    """inside: |chunk| <= width."""

    guide: Policy
    width: jax.Array

    def inside(self, obs, chunk):
        return jnp.abs(chunk).max() <= self.width
