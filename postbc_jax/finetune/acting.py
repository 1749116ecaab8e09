"""What PPO learns to act with: one interface over an actor of a policy's noise and a policy's own denoising steps.

Between ppo, the trainer, and its actors: dsrl_ppo, which chooses noise, and dppo, which denoises.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from postbc_jax.types import Key, Metrics, Params


class Act(NamedTuple):
    """What was done at one observation.

    Attributes:
      action: (D,), what the environment takes.
      record: (R,), what `log_prob` needs in order to find the same act again.
      log_prob: (K',), of the act's K' stochastic steps under the parameters that made it, noisiest first.
    """

    action: jax.Array
    record: jax.Array
    log_prob: jax.Array


class Acting(NamedTuple):
    """Pure functions for ONE observation (O,), normalised; batch with vmap.

    Attributes:
      draws: how many standard normal numbers an act takes.
      clips: (K',), by which the probability ratio of each stochastic step may differ from 1.
      weights: (K',), by which the advantage of a decision counts for each of its steps.
      init: (key, obs) -> params.
      act: (params, obs, normal (draws,)) -> Act.
      log_prob: (params, obs, record) -> ((K',), metrics): the recorded act's under other parameters, and scalars about
        the distribution at obs, among them 'entropy', which can be rewarded, and 'std'.
      policy: params -> what is handed on, called like a Policy.
    """

    draws: int
    clips: np.ndarray
    weights: np.ndarray
    init: Callable[[Key, jax.Array], Params]
    act: Callable[[Params, jax.Array, jax.Array], Act]
    log_prob: Callable[[Params, jax.Array, jax.Array], tuple[jax.Array, Metrics]]
    policy: Callable[[Params], Any]
