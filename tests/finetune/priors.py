"""A frozen policy whose actions are its noise, N(0, 1), and what IQL must then find on the probe environments."""

import jax
import numpy as np
from flax import struct
from scipy import integrate, optimize, stats

from postbc_jax.data.normaliser import Normaliser
from tests.finetune import probes
from tests.finetune.probes import Shape


@struct.dataclass
class Prior:
    """Plays its noise; `kind` is the probe that it acts in."""

    kind: jax.Array
    normaliser: Normaliser
    config: Shape = struct.field(pytree_node=False, default=Shape(2, 1, 1))

    def __call__(self, obs, key):
        noise = jax.random.normal(key, (1, 1))
        return noise, {'noise': noise}


def identity(obs_size: int, action_size: int) -> Normaliser:
    """A normaliser that changes nothing."""
    sizes = (obs_size, -1), (obs_size, 1), (action_size, -1), (action_size, 1)
    return Normaliser(*(np.full(n, x, np.float32) for n, x in sizes))


def priors(kinds: np.ndarray) -> Prior:
    """A population: one for each kind of probe."""
    normaliser = jax.tree.map(lambda x: np.stack([x] * len(kinds)), identity(2, 1))
    return Prior(np.asarray(kinds, np.int32), normaliser)


def expectile(reward, tau: float) -> float:
    """The tau-expectile of reward(a), a ~ N(0, 1): where tau E[(r - v)+] = (1 - tau) E[(v - r)+]."""

    def balance(v):
        def weighted(a):
            error = reward(a) - v
            return (tau if error > 0 else 1 - tau) * error * stats.norm.pdf(a)

        return integrate.quad(weighted, -8, 8, limit=200)[0]

    return optimize.brentq(balance, -20, 20)


def known(kind: int, tau: float) -> list[tuple[list[float], float]]:
    """(observation, its value) of a probe whose actions are N(0, 1); see probes.Probe."""
    peaks = {side: expectile(lambda a, side=side: -((a - probes.BEST * side) ** 2), tau) for side in (-1.0, 1.0)}
    return {
        probes.CONSTANT: [([0.0, 1.0], 1.0), ([0.0, -1.0], 1.0)],
        probes.TWO_STEPS: [([0.0, 1.0], probes.DISCOUNT), ([1.0, 1.0], 1.0)],
        probes.OBSERVED: [([0.0, 1.0], 1.0), ([0.0, -1.0], -1.0)],
        probes.ACTION: [([0.0, 1.0], peaks[1.0]), ([0.0, -1.0], peaks[1.0])],
        probes.ACTION_AT_OBSERVATION: [([0.0, 1.0], peaks[1.0]), ([0.0, -1.0], peaks[-1.0])],
        probes.TIME_OUT: [([0.0, 1.0], 1 / (1 - probes.DISCOUNT))],
    }[kind]
