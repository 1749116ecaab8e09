"""How large every arm's noise is, and the numbers that follow from it: in training targets, and in chunks played.

Called by launch.pipeline around pretraining, which writes both to noise.json.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import config as settings
from launch import populations
from launch.arms import Arm
from launch.demonstrations import Learning
from launch.point import Point
from postbc_jax import parallel, policies
from postbc_jax.posterior import calibration, noise

MOST_STATES = 512  # at which played noise is measured: with 16 draws each its rms is then good to about 1%


def steps_of(learning: Learning) -> list[np.ndarray]:
    """The steps (M_s,) of each seed's demonstrations."""
    return [np.flatnonzero(mask) for mask in learning.mask]


def by_context(point: Point, learning: Learning, factors: np.ndarray, at: Sequence[np.ndarray]) -> np.ndarray:
    """Factors (G, M, R, T, A) of the posterior at steps (M_g,), times the alpha of each step's context."""
    if not point.config.contexts:
        return factors
    contexts = settings.contexts(point.config, point.env.obs_keys)
    weight = contexts.alphas()[np.asarray(contexts(learning.demos.obs[populations.padded(at)]))]  # (G, M)
    return factors * weight[..., None, None, None]


def trained(learning: Learning, deviation: jax.Array, seed: int) -> dict[str, Any]:
    """noise.scale of deviations (M, T, A) at the steps of the seed's demonstrations; further rows are ignored."""
    steps = steps_of(learning)[seed]
    found = noise.scale(deviation[: len(steps)], learning.windows, learning.normaliser.action_scale(), steps)
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def at_seed(arm: Arm, learning: Learning, deviation: jax.Array, seed: int, auto: float, rms: float) -> Arm:
    """The arm with the numbers that are the seed's own: alpha where a rule chooses it, sigma of a matched arm.

    Args:
      arm: the arm.
      learning: the point's.
      deviation: (M, T, A), the posterior's at the seed's steps.
      seed: which.
      auto: alpha by held-out demonstrations; nan where no arm asks for it.
      rms: of alpha's noise by the rule 'rms', in action units.

    Raises:
      ValueError: that rms of a posterior without spread.
    """
    if arm.alpha_by:
        alpha = auto
        if arm.alpha_by == 'rms':
            alpha = calibration.of_rms(rms, trained(learning, deviation, seed)['rms'])
        arm = arm._replace(**{'matched_alpha' if arm.matched else 'alpha': alpha})
    if arm.matched:
        arm = arm._replace(sigma=trained(learning, arm.matched_alpha * deviation, seed)['rms_normalised'])
    return arm


def played(point: Point, learning: Learning, labels: list[dict], stack: policies.Policy) -> list[dict[str, float]]:
    """rms_played of every policy of a stack (L, ...): of policies.spread over states of its seed's demonstrations,
    evenly chosen, T and A, in action units; rms_played_normalised, the same in normalised units.

    All arms of a seed are decoded from the same noise.
    """
    seeds = [label['seed'] for label in labels]
    steps = steps_of(learning)
    states = min(MOST_STATES, *map(len, steps))
    chosen = np.stack([of_seed[np.linspace(0, len(of_seed) - 1, states).astype(int)] for of_seed in steps])
    mesh = parallel.mesh(len(labels))
    each = P(parallel.LEARNER)
    measure = parallel.pmap(policies.spread, mesh, (each, each, each), each)
    obs = parallel.shard(learning.windows.obs[chosen[seeds]], mesh, each)
    keys = parallel.learner_keys(point.key('noise'), seeds, mesh)
    deviations = parallel.gather(measure(parallel.shard(stack, mesh, each), obs, keys), len(labels))  # (L, M, T, A)
    scale = np.asarray(learning.normaliser.action_scale())
    return [
        {'rms_played': _rms(deviation * scale), 'rms_played_normalised': _rms(deviation)} for deviation in deviations
    ]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
