"""Flow policies: rectified flow from noise to chunks, decoded in few steps by a second-order solver.

One of the families that pretrain fits. Rectified flow arXiv 2209.03003. Time runs from 0 (noise) to 1 (a chunk):
x_t = t chunk + (1 - t) z, whose velocity is chunk - z.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax import losses, networks
from postbc_jax.policies import sampler
from postbc_jax.policies.config import PolicyConfig
from postbc_jax.types import Family

LOG_SNR = -2.0, 6.0  # log(t / (1 - t)) of the steps between; e^-6 is a tenth of the smallest spread worth playing, .03


def schedule(inference_steps: int) -> sampler.Schedule:
    """n steps from t = 0 to 1; the times between are the middles of n - 1 equal parts of LOG_SNR.

    With a Gaussian target's exact velocity, of any standard deviation in [.03, 1], 8 steps play .966 to 1.028 of it, 6
    play .88 to .98, 16 1.00 to 1.02. Uniform times, 8 Euler steps, play .20 of .03, .54 of .1 and .83 of .5.
    """
    middles = np.linspace(*LOG_SNR, 2 * inference_steps - 1)[1::2]
    time = np.concatenate([[0.0], 1 / (1 + np.exp(-middles)), [1.0]])
    return sampler.schedule(time, time, 1 - time)


def clean_from_velocity(velocity: Callable[[jax.Array, jax.Array], jax.Array]) -> sampler.Clean:
    """The clean chunk x + (1 - t) v that velocity(x (T, A), time ()) -> (T, A) points at."""
    return lambda x, step: x + step.noise * velocity(x, step.time)


def flow(config: PolicyConfig) -> Family:
    """A flow policy over chunks. Its loss is the mean squared error of the velocity at a uniformly drawn time.

    A transition replaces as much of the noise as the path's own posterior p(x_s | x_t, chunk) does
    (sampler.ancestral_noise), so that the chain's marginals are the flow's own, up to the step size: for straight paths
    what ancestral sampling is for DDPM (compare Flow-GRPO's SDE, arXiv 2505.05470).
    """
    shape = (config.chunk, config.action_size)
    network = networks.DenoisingMLP(config.hidden, config.activation, config.layer_norm, config.time_features)
    steps = schedule(config.inference_steps)

    def init(key):
        return network.init(key, jnp.zeros(shape), jnp.zeros(()), jnp.zeros(config.obs_size))

    def clean(params, obs):
        return clean_from_velocity(lambda x, time: network.apply(params, x, time, obs))

    def loss(params, key, obs, chunk, dropout=None):
        time_key, noise_key = jax.random.split(key)
        time = jax.random.uniform(time_key)
        z = jax.random.normal(noise_key, shape)
        velocity = network.apply(params, time * chunk + (1 - time) * z, time, obs, dropout)
        return losses.squared_error(velocity, chunk - z), {}

    def decode(params, obs, noise):
        return sampler.deterministic(clean(params, obs), noise, steps)

    def transition(params, obs, x, index):
        return sampler.ancestral(clean(params, obs), x, steps, index)

    return Family(init, loss, decode, transition, config.inference_steps, shape)
