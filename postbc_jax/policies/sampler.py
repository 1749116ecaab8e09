"""Samplers along a Gaussian path from noise to a chunk, shared by the diffusion and flow families.

A path holds x_t = signal_t * chunk + noise_t * z with z ~ N(0, I). Whatever a network predicts (epsilon or velocity),
it amounts to a prediction of the clean chunk from x_t; a sampler needs no more than that.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax import losses
from postbc_jax.types import Steps


class Schedule(NamedTuple):
    """A sampler's steps from time t to time s: arrays (n,), noisiest first; compile-time constants.

    Attributes:
      time: t as the network is told it, in [0, 1].
      signal: the path's factor of the chunk at t.
      noise: the path's factor of z at t.
      next_signal: the same at s, where the step ends; 1 at the last.
      next_noise: 0 at the last.
    """

    time: np.ndarray
    signal: np.ndarray
    noise: np.ndarray
    next_signal: np.ndarray
    next_noise: np.ndarray


Clean = Callable[[jax.Array, Schedule], jax.Array]  # x_t (T, A) and its step, a Schedule of scalars -> chunk (T, A)


def schedule(time: np.ndarray, signal: np.ndarray, noise: np.ndarray) -> Schedule:
    """The steps between n + 1 points of a path, noisiest first."""
    points = time[:-1], signal[:-1], noise[:-1], signal[1:], noise[1:]
    return Schedule(*(np.asarray(p, np.float32) for p in points))


def ancestral_noise(steps: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """How p(x_s | x_t, chunk) splits the noise at s: factors (n,) of x_t's own z, and of a fresh draw, its std.

    kept = noise_s r and fresh = noise_s sqrt(1 - r^2), r = signal_t noise_s / (signal_s noise_t). For DDPM's path
    fresh^2 is its posterior variance, beta~ of arXiv 2006.11239, eq. 7 (eta = 1 in DDIM, arXiv 2010.02502, eq. 16).
    """
    ratio = steps.signal * steps.next_noise / (steps.next_signal * steps.noise)
    return steps.next_noise * ratio, steps.next_noise * np.sqrt(1 - np.square(ratio))


def deterministic(clean: Clean, x: jax.Array, steps: Schedule) -> jax.Array:
    """Follows the path's ODE from x (T, A) ~ N(0, I) to a chunk (T, A): x_s = signal_s chunk(x_t) + noise_s z(x_t).

    DDIM with eta = 0 for DDPM's path; one Euler step along the velocity for a straight one.
    """

    # A scan, not an unrolled loop: as fast (measured) and compiled once, whatever the number of steps.
    def body(x, step):
        return _mean(clean(x, step), x, step, step.next_noise), None

    return jax.lax.scan(body, x, steps)[0]


def ancestral(
    clean: Clean, shape: tuple[int, int], steps: Schedule, min_std: float, key: jax.Array
) -> tuple[jax.Array, Steps]:
    """The same path with fresh noise at every step: x_s ~ N(mean, std^2 I), whose std is at least min_std.

    The mean is that of the sampler without the floor, so that min_std is exploration and nothing else (DPPO, arXiv
    2409.00588, Section 5). The last step adds noise too, and its result is the chunk.

    Returns:
      The chunk (T, A) and its n Steps.
    """
    start_key, step_key = jax.random.split(key)
    kept, fresh = ancestral_noise(steps)
    std = np.maximum(fresh, np.float32(min_std))
    draws = jax.random.normal(step_key, (len(std), *shape))

    def body(x, inputs):
        step, kept, std, draw = inputs
        mean = _mean(clean(x, step), x, step, kept)
        after = mean + std * draw
        log_prob = losses.gaussian_log_prob(after, mean, std)
        return after, Steps(x, after, mean, jnp.broadcast_to(std, shape), log_prob)

    return jax.lax.scan(body, jax.random.normal(start_key, shape), (steps, kept, std, draws))


def _mean(chunk: jax.Array, x: jax.Array, step: Schedule, kept: jax.Array) -> jax.Array:
    """signal_s chunk + kept z, with the z that x_t holds beside the chunk (DDIM's eq. 12, for any Gaussian path)."""
    z = (x - step.signal * chunk) / step.noise  # of the bounded chunk where it is bounded, so that x_s stays on a path
    return step.next_signal * chunk + kept * z
