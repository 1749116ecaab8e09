"""Draws of every arm's actions at demonstrated states, and what was demonstrated there."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from launch.arms import Arm, arm_of
from launch.config import obs_keys
from launch.demonstrations import path_of_run, subsets
from launch.point import key
from launch.report.arms import bc, partner
from postbc_jax import checkpoint, data
from postbc_jax.data import normaliser
from postbc_jax.types import Demos

DRAWS = 4000  # of each arm at each state
STATES = 2  # at every share of the episode, of demonstrations that the seed has seen, and of those it has not
NEIGHBOURS = 8  # nearest states, of as many other episodes
NEAR = 0.1  # action units, in every dimension


class Place(NamedTuple):
    """A demonstrated state.

    Attributes:
      where: of which share of the episode, and whether the seed learnt from its demonstration.
      step: its index in the file's steps.
      demonstrated: (A,), the action there.
      nearby: (NEIGHBOURS, A), those at the nearest states of other episodes, in normalised observations.
      played: {arm: (DRAWS, A)}, first actions of decoded chunks, in the environment's units, not clipped.
    """

    where: str
    step: int
    demonstrated: np.ndarray
    nearby: np.ndarray
    played: dict[Arm, np.ndarray]

    def rows(self, arms: Sequence[Arm]) -> list[dict[str, Any]]:
        """A row an arm: mean distance from the demonstrated action, rms about its own mean, and the share of draws
        near the demonstrated action."""
        rows = []
        for arm in arms:
            apart = self.played[arm] - self.demonstrated
            rows.append(
                {
                    'where': self.where,
                    'step': self.step,
                    'arm': arm.name,
                    'error': float(np.sqrt(np.mean(apart.mean(0) ** 2))),
                    'rms': float(np.sqrt(np.mean(self.played[arm].var(0)))),
                    'near': float((np.abs(apart) < NEAR).all(1).mean()),
                }
            )
        return rows


def measure(workdir: Path, seed: int, alpha: float | None, at: Sequence[float]) -> tuple[list[Arm], list[Place]]:
    """The arms BC, sigma-BC matched and PostBC as far as they are there, and the places.

    Raises:
      ValueError: as make_density.
    """
    if not at or not all(0 <= share <= 1 for share in at):
        raise ValueError(f'--at={",".join(map(str, at))}: give shares of the episode in [0, 1], such as 0.25,0.6')
    if not (workdir / 'config.json').is_file():
        raise ValueError(f'--workdir={workdir}: holds no config.json; give the directory of one point')
    config = ConfigDict(json.loads((workdir / 'config.json').read_text()))
    file = path_of_run(config, workdir)
    demos = data.load(file, obs_keys(config), config.mask or None, config.action_bound or None)
    stack, labels = checkpoint.load_policies(workdir / 'policies' / 'pretrained')
    there = {arm_of(label): index for index, label in enumerate(labels) if label['seed'] == seed}
    if not there:
        raise ValueError(f'--seed={seed}: there are {sorted({label["seed"] for label in labels})}')
    known = [arm for arm in there if arm.pretrain == 'post_bc' and alpha in (None, arm.alpha)]
    if alpha is not None and not known:
        raise ValueError(f'--alpha={alpha:g}: there are {[a.alpha for a in there if a.pretrain == "post_bc"]}')
    shown = (bc(list(there)), *((partner(known[0], list(there)), known[0]) if known else ()))
    arms = [arm for arm in shown if arm is not None]
    policies = {arm: jax.tree.map(lambda x, i=there[arm]: x[i], stack) for arm in arms}
    seen = subsets(config, demos)[seed]
    keys = jax.random.split(key(config, 'noise'), DRAWS)  # the same for all arms
    play = jax.jit(lambda policy, obs: jax.vmap(lambda k: policy(obs, k)[0][0])(keys))
    places = []
    for share in at:
        for learnt in (True, False):
            who = 'learnt from' if learnt else 'not learnt from'
            for step in _steps(demos, seen.astype(bool) == learnt, share):
                places.append(
                    Place(
                        where=f'{100 * share:.0f} % of the episode, {who}',
                        step=int(step),
                        demonstrated=np.asarray(demos.actions[step]),
                        nearby=_nearby(demos, step),
                        played={arm: np.asarray(play(policies[arm], demos.obs[step])) for arm in arms},
                    )
                )
    return arms, places


def _steps(demos: Demos, chosen: np.ndarray, share: float) -> list[int]:
    """The steps at this share of the first STATES episodes whose steps are chosen."""
    episodes = np.unique(demos.episode[chosen])[:STATES]
    within = (np.flatnonzero(demos.episode == episode) for episode in episodes)
    return [int(steps[round(share * (len(steps) - 1))]) for steps in within]


def _nearby(demos: Demos, step: int) -> np.ndarray:
    """The demonstrated actions at the nearest states, one an episode."""
    obs = np.asarray(normaliser.fit(demos).obs(demos.obs))
    apart = np.linalg.norm(obs - obs[step], axis=1)
    nearest: dict[int, int] = {}
    for index in np.argsort(apart, kind='stable'):
        if demos.episode[index] != demos.episode[step]:
            nearest.setdefault(int(demos.episode[index]), int(index))
    return np.asarray(demos.actions[list(nearest.values())[:NEIGHBOURS]])
