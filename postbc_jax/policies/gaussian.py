"""Gaussian policies: a mean and a standard deviation that depend on the observation. The baseline with one mode.

One of the families that pretrain fits; its chain has one transition, so that DPPO on it is plain PPO.
"""

import jax
import jax.numpy as jnp

from postbc_jax import losses, networks
from postbc_jax.policies.config import PolicyConfig
from postbc_jax.types import Family


def gaussian(config: PolicyConfig) -> Family:
    """N(mean(obs), diag std(obs)^2) over chunks: no squashing, and a std for every entry.

    std = min_std + softplus(raw). The loss is the negative log likelihood per entry of the chunk; decode is mean +
    std * noise.
    """
    shape = (config.chunk, config.action_size)
    size = config.chunk * config.action_size
    network = networks.MLP(config.hidden, 2 * size, config.activation, config.layer_norm)

    def init(key):
        return network.init(key, jnp.zeros(config.obs_size))

    def moments(params, obs, dropout=None):
        mean, raw = network.apply(params, obs, dropout).reshape(2, *shape)
        return mean, config.min_std + jax.nn.softplus(raw)

    def loss(params, key, obs, chunk, dropout=None):
        del key
        mean, std = moments(params, obs, dropout)
        metrics = {'squared_error': losses.squared_error(mean, chunk), 'std': std.mean()}
        return losses.gaussian_nll(mean, std, chunk), metrics

    def decode(params, obs, noise):
        mean, std = moments(params, obs)
        return mean + std * noise

    def transition(params, obs, x, index):
        del x, index  # one step, which comes from nothing
        return moments(params, obs)

    return Family(init, loss, decode, transition, 1, shape)
