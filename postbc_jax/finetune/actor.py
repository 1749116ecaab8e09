"""Actors and critics of finetuning: distributions over a frozen policy's initial noise, and the values of states.

Finetuning's learned part: ppo and sac train them, steer plays them. Written for ONE learner and ONE observation.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.training import distribution

from postbc_jax.networks import MLP
from postbc_jax.types import Params

# Variance of the last layer's initial weights relative to LeCun's: the mean starts within about .01 of 0.
_SMALL = 1e-4
# softplus(_UNIT) = 1: the squashed actor's standard deviation starts at 1 before the tanh.
_UNIT = 0.5413


@dataclasses.dataclass(frozen=True)
class ActorConfig:
    """What rebuilds an actor's network.

    Attributes:
      distribution: 'gaussian' (PPO: mean network and state-independent log std, unbounded before the clip to the
        bound) or 'squashed' (SAC: tanh of a Gaussian with mean and std networks).
      noise_size: D, the policy's flat noise: chunk x action.
      bound: b; the noise that reaches the policy lies in [-b, b].
      hidden: widths of the hidden layers.
      activation: a name in networks.ACTIVATIONS.
    """

    distribution: str
    noise_size: int
    bound: float
    hidden: tuple[int, ...]
    activation: str


class Draw(NamedTuple):
    """raw (D,), what the density is over (before tanh or clip); noise (D,) in [-b, b]; log_prob scalar."""

    raw: jax.Array
    noise: jax.Array
    log_prob: jax.Array


def init(config: ActorConfig, key: jax.Array, obs_size: int) -> Params:
    """Parameters of an actor that begins close to w ~ N(0, I)."""
    network = _network(config).init(key, jnp.zeros(obs_size))
    if config.distribution == 'gaussian':
        return {'network': network, 'log_std': jnp.zeros(config.noise_size)}
    return {'network': network}


def parameters(config: ActorConfig, params: Params, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(loc (D,), std (D,)) of the Gaussian before squashing or clipping; obs (O,) normalised."""
    out = _network(config).apply(params['network'], obs)
    if config.distribution == 'gaussian':
        return out, jnp.exp(params['log_std'])
    loc, scale = jnp.split(out, 2)
    return loc, jax.nn.softplus(scale + _UNIT) + 1e-3


def log_prob(config: ActorConfig, loc: jax.Array, std: jax.Array, raw: jax.Array) -> jax.Array:
    """Log density of raw (D,), summed over D.

    The squashed actor's is that of tanh(raw) in [-1, 1]^D, so that its entropy (and a target for it) does not depend
    on the bound; the policy's noise is b tanh(raw).
    """
    if config.distribution == 'gaussian':
        return distribution.NormalDistribution(config.noise_size).log_prob((loc, std), raw)
    gaussian = distribution.NormalDistribution(config.noise_size).log_prob((loc, std), raw)
    return gaussian - jnp.sum(distribution.TanhBijector().forward_log_det_jacobian(raw))


def draw(config: ActorConfig, params: Params, obs: jax.Array, normal: jax.Array) -> Draw:
    """Acts at obs (O,) with the standard normal draw `normal` (D,)."""
    loc, std = parameters(config, params, obs)
    raw = loc + std * normal
    return Draw(raw=raw, noise=to_noise(config, raw), log_prob=log_prob(config, loc, std, raw))


def mode(config: ActorConfig, params: Params, obs: jax.Array) -> jax.Array:
    """The noise (D,) of the Gaussian's mean."""
    return to_noise(config, parameters(config, params, obs)[0])


def to_noise(config: ActorConfig, raw: jax.Array) -> jax.Array:
    """raw -> noise in [-b, b]: clipped or squashed."""
    if config.distribution == 'gaussian':
        return jnp.clip(raw, -config.bound, config.bound)
    return config.bound * jnp.tanh(raw)


def _network(config: ActorConfig) -> MLP:
    outputs = config.noise_size * (1 if config.distribution == 'gaussian' else 2)
    return MLP(config.hidden, outputs, config.activation, out_scale=_SMALL)
