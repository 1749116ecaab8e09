"""Samplers along a Gaussian path from noise to a chunk, shared by the diffusion and flow families.

A path holds x_t = signal_t * chunk + noise_t * z with z ~ N(0, I). Whatever a network predicts (epsilon or velocity),
it amounts to a prediction of the clean chunk from x_t; a sampler needs no more than that. Steps are even in the
logarithm of signal / noise: a spread of standard deviation s is decided where noise / signal is about s, whatever s is.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Schedule(NamedTuple):
    """A sampler's steps from time t to time s: arrays (n,), noisiest first; compile-time constants.

    Attributes:
      time: t as the network is told it, in [0, 1].
      signal: the path's factor of the chunk at t.
      noise: the path's factor of z at t.
      next_signal: the same at s, where the step ends; 1 at the last.
      next_noise: 0 at the last.
      trend: h / 2h', this step's length in log(signal / noise) over twice that of the step before; 0 at the first step,
        after one that came from signal = 0, and at the last, where h is infinite.
    """

    time: np.ndarray
    signal: np.ndarray
    noise: np.ndarray
    next_signal: np.ndarray
    next_noise: np.ndarray
    trend: np.ndarray


Clean = Callable[[jax.Array, Schedule], jax.Array]  # x_t (T, A) and its step, a Schedule of scalars -> chunk (T, A)


def schedule(time: np.ndarray, signal: np.ndarray, noise: np.ndarray) -> Schedule:
    """The steps between n + 1 points of a path, noisiest first."""
    with np.errstate(divide='ignore'):  # no signal at the first point, no noise at the last
        length = np.diff(np.log(signal) - np.log(noise))
    trend = np.zeros_like(length)
    trend[1:-1] = length[1:-1] / (2 * length[:-2])
    points = time[:-1], signal[:-1], noise[:-1], signal[1:], noise[1:], trend
    return Schedule(*(np.asarray(p, np.float32) for p in points))


def ancestral_noise(steps: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """How p(x_s | x_t, chunk) splits the noise at s: factors (n,) of x_t's own z, and of a fresh draw, its std.

    kept = noise_s r and fresh = noise_s sqrt(1 - r^2), r = signal_t noise_s / (signal_s noise_t). For DDPM's path
    fresh^2 is its posterior variance, beta~ of arXiv 2006.11239, eq. 7 (eta = 1 in DDIM, arXiv 2010.02502, eq. 16).
    """
    ratio = steps.signal * steps.next_noise / (steps.next_signal * steps.noise)
    return steps.next_noise * ratio, steps.next_noise * np.sqrt(1 - np.square(ratio))


def deterministic(clean: Clean, x: jax.Array, steps: Schedule) -> jax.Array:
    """Follows the path's ODE from x (T, A) ~ N(0, I) to a chunk (T, A): x_s = signal_s chunk + noise_s z(x_t).

    DPM-Solver++(2M), arXiv 2211.01095: second order in log(signal / noise) at one evaluation a step, by letting the
    clean chunk go on as it went since the step before. Without that this is DDIM with eta = 0, Euler's method on a
    straight path, which at 8 steps plays over a fifth less than some Gaussian targets' spread on any grid.
    """

    # A scan, not an unrolled loop: as fast (measured) and compiled once, whatever the number of steps.
    def body(carry, step):
        x, before = carry
        chunk = clean(x, step)
        return (_mean(chunk + step.trend * (chunk - before), x, step, step.next_noise), chunk), None

    return jax.lax.scan(body, (x, jnp.zeros_like(x)), steps)[0][0]


def ancestral(clean: Clean, x: jax.Array, steps: Schedule, index: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(mean, std), both (T, A), of step `index` along the same path with fresh noise: x_s ~ N(mean, std^2).

    The std is the path's own, 0 at the last step. First order, for x_s may depend on this x (T, A) alone: a chain of 8
    such steps plays .63 of a Gaussian target's standard deviation, one of 50 plays .92.
    """
    step, kept, fresh = jax.tree.map(lambda values: jnp.asarray(values)[index], (steps, *ancestral_noise(steps)))
    return _mean(clean(x, step), x, step, kept), jnp.broadcast_to(fresh, x.shape)


def _mean(chunk: jax.Array, x: jax.Array, step: Schedule, kept: jax.Array) -> jax.Array:
    """signal_s chunk + kept z, with the z that x_t holds beside the chunk (DDIM's eq. 12, for any Gaussian path)."""
    z = (x - step.signal * chunk) / step.noise  # of the bounded chunk where it is bounded, so that x_s stays on a path
    return step.next_signal * chunk + kept * z
