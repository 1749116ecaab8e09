"""Plays a population in a grid of scenarios, and writes what a row says of each.

Below launch.scenarios, which measures policies of a run that is over, and finetuning, which measures on the way.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from brax.envs.base import Env
from jax.sharding import PartitionSpec as P

from postbc_jax import evaluate, parallel
from postbc_jax.envelope import scenarios
from postbc_jax.envelope.scenarios import Scenario

AXES = ('gains', 'biases', 'noises', 'delays')  # arguments of scenarios.grid


def player(
    env: Env, mesh: jax.sharding.Mesh, episodes: int, longest: int
) -> Callable[[Any, jax.Array, Scenario], dict[str, jax.Array]]:
    """(policies (L, ...), keys (L,), scenarios (C,)) -> 'success' and 'region' (L, episodes, C), one program for every
    grid of that size."""
    learner = P(parallel.LEARNER)
    return parallel.pmap(
        lambda policy, key, grid: scenarios.play(env, policy, scaling(policy), key, episodes, grid, longest),
        mesh,
        (learner, learner, P()),
        P(parallel.LEARNER, parallel.DATA),
    )


def scaling(policy: Any) -> Any:
    """The normaliser of a policy of any kind."""
    return policy.normaliser if hasattr(policy, 'normaliser') else scaling(policy.policy)


def rows(
    played: dict[str, jax.Array], grid: Scenario, regions: Sequence[str], columns: Sequence[dict]
) -> list[dict[str, Any]]:
    """One of every learner and scenario: the learner's columns, the scenario's numbers, success_rate, episodes and
    regions {name: rate}."""
    played = parallel.gather(played, len(columns))
    numbers = [
        {name: np.asarray(getattr(grid, name))[c] for name in ('gain', 'bias', 'noise', 'delay')}
        for c in range(len(grid.gain))
    ]
    return [
        label | number | evaluate.success_rates(success[:, c], region[:, c], regions)
        for label, success, region in zip(columns, played['success'], played['region'], strict=True)
        for c, number in enumerate(numbers)
    ]
