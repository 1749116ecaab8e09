"""Diffusion policies: DDPM training by epsilon prediction, decoding in few steps along DDIM's ODE, ancestral chains.

One of the families that pretrain fits. DDPM arXiv 2006.11239, DDIM arXiv 2010.02502, cosine betas arXiv 2102.09672.
Noise level k runs from 0 (a clean chunk) to K (noise): x_k = sqrt(alpha_bar_k) chunk + sqrt(1 - alpha_bar_k) epsilon.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax import losses, networks
from postbc_jax.policies import sampler
from postbc_jax.policies.config import PolicyConfig
from postbc_jax.types import Family

MAX_BETA = 0.999  # the cosine schedule's bound: without it alpha_bar_K = 0, and epsilon says nothing about the chunk
FIRST_LOG_SNR = -2.5  # log(signal / noise) where decoding starts; see schedule


def cosine_alpha_bar(train_steps: int) -> np.ndarray:
    """alpha_bar (K + 1,) of the cosine schedule, from alpha_bar_0 = 1 down (arXiv 2102.09672, eq. 17)."""
    k = np.arange(train_steps + 1) / train_steps
    f = np.square(np.cos((k + 0.008) / 1.008 * np.pi / 2))
    beta = np.minimum(1 - f[1:] / f[:-1], MAX_BETA)
    return np.concatenate([[1.0], np.cumprod(1 - beta)])


def schedule(train_steps: int, inference_steps: int) -> sampler.Schedule:
    """Steps through n of the K noise levels and then to 0: level 1 to FIRST_LOG_SNR, evenly in log(signal / noise).

    The chunk that epsilon implies errs by noise / signal times epsilon's error: 2000 times at level K, 13 times at the
    first level here, where 8% of the chunk is left in x: decoding from N(0, I) pulls its mean by at most .08 of the
    target's standard deviation towards 0. Levels are whole, so close to 1 and for n near K they are the next free ones.

    With a Gaussian target's exact epsilon 8 steps of K = 100 play 1.00 to 1.03 of a standard deviation from .2 to 1,
    .95 of .1, .88 of .06 and .73 of .03, for level 1 still holds noise of .025; of K = 1000, .95 to 1.04 from .03 to 1.
    """
    alpha_bar = cosine_alpha_bar(train_steps)
    log_snr = 0.5 * np.log(alpha_bar[1:] / (1 - alpha_bar[1:]))  # (K,), falling
    wanted = np.linspace(FIRST_LOG_SNR, log_snr[0], inference_steps)[::-1]  # one step begins at the first
    nearest = 1 + np.abs(log_snr - wanted[:, None]).argmin(axis=1)
    place = np.arange(inference_steps)
    levels = np.minimum(np.maximum.accumulate(nearest - place) + place, train_steps - inference_steps + 1 + place)
    levels = np.append(levels[::-1], 0)
    return sampler.schedule(levels / train_steps, np.sqrt(alpha_bar[levels]), np.sqrt(1 - alpha_bar[levels]))


def clean_from_epsilon(epsilon: Callable[[jax.Array, jax.Array], jax.Array], clip: float | None) -> sampler.Clean:
    """The clean chunk that epsilon(x (T, A), time ()) -> (T, A) implies, each entry bounded to [-clip, clip]."""

    def clean(x, step):
        chunk = (x - step.noise * epsilon(x, step.time)) / step.signal
        return chunk if clip is None else jnp.clip(chunk, -clip, clip)

    return clean


def diffusion(config: PolicyConfig) -> Family:
    """A diffusion policy over chunks. Its loss is the mean squared error of epsilon at a uniformly drawn level."""
    shape = (config.chunk, config.action_size)
    network = networks.DenoisingMLP(config.hidden, config.activation, config.layer_norm, config.time_features)
    alpha_bar = cosine_alpha_bar(config.train_steps).astype(np.float32)
    steps = schedule(config.train_steps, config.inference_steps)

    def init(key):
        return network.init(key, jnp.zeros(shape), jnp.zeros(()), jnp.zeros(config.obs_size))

    def clean(params, obs):
        return clean_from_epsilon(lambda x, time: network.apply(params, x, time, obs), config.clip)

    def loss(params, key, obs, chunk, dropout=None):
        level_key, epsilon_key = jax.random.split(key)
        level = jax.random.randint(level_key, (), 1, config.train_steps + 1)
        epsilon = jax.random.normal(epsilon_key, shape)
        kept = jnp.asarray(alpha_bar)[level]
        x = jnp.sqrt(kept) * chunk + jnp.sqrt(1 - kept) * epsilon
        predicted = network.apply(params, x, level / config.train_steps, obs, dropout)
        return losses.squared_error(predicted, epsilon), {}

    def decode(params, obs, noise):
        return sampler.deterministic(clean(params, obs), noise, steps)

    def transition(params, obs, x, index):
        return sampler.ancestral(clean(params, obs), x, steps, index)

    return Family(init, loss, decode, transition, config.inference_steps, shape)
