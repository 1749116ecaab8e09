"""How often a policy's central ranges hold what was demonstrated where it has not learnt: calibration, by region.

Third step of launch.envelope. Of demonstrations that the policy has not learnt from it is the policy itself that is
asked; where there are none, policies trained as it was, each without a fold of the demonstrations.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from launch import calibration as folding
from launch import fold, populations, scales
from launch.arms import arm_of
from launch.envelope.subject import Subject
from launch.point import Point
from postbc_jax import policies
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.envelope import conformal, reliability
from postbc_jax.envelope.regions import Regions
from postbc_jax.posterior import calibration

NAME = 'reliable'  # of the stages of the policies without a fold
FEWEST = 4  # demonstrations not learnt from, with which the policy itself is asked
_BATCH = 64  # states at a time


class Reliable(NamedTuple):
    """What was found.

    Attributes:
      how: 'unseen' demonstrations were asked about, or 'left out' in turn; '' where nothing could be.
      why: in words, where nothing could be.
      demonstrations: how many were asked about.
      whole: the curve over all states; None where nothing could be asked.
      by_region: a curve a region, None where no such state lies in it.
    """

    how: str
    why: str
    demonstrations: int
    whole: calibration.Curve | None
    by_region: list[calibration.Curve | None]


def rely(point: Point, subject: Subject, regions: Regions) -> Reliable:
    """The curves of the subject's policy."""
    windows, unseen = subject.learning.windows, ~subject.learnt
    if unseen.sum() >= FEWEST:
        steps = conformal.thinned(np.flatnonzero(unseen[windows.episode]), folding.MOST_STEPS)
        drawn = draws(subject.policy, subject.learning.normaliser, subject.learning.demos.obs[steps], point.config.seed)
        if np.ptp(drawn, axis=1).max() == 0:
            why = (
                'the finetuned policy plays one chunk at a state: it has no range that could be too broad or too narrow'
            )
            return Reliable('', why, 0, None, [None] * regions.count)
        return _curves('unseen', subject, regions, steps, drawn)
    if subject.kind != 'Policy':
        why = 'no demonstrations are there that it has not learnt from, and a finetuned policy cannot be trained again'
        return Reliable('', why, 0, None, [None] * regions.count)
    if subject.learning.demos.episodes < 2:
        return Reliable('', 'one demonstration: none can be left out', 0, None, [None] * regions.count)
    return _curves('left out', subject, regions, *_left_out(point, subject))


def draws(policy: Any, normaliser: Normaliser, obs: np.ndarray, seed: int) -> np.ndarray:
    """What whatever plays would play at states (n, O), in the environment's units: (n, DRAWS, T, A), normalised."""
    keys = jax.random.split(jax.random.key(seed), folding.DRAWS)

    def at(s):
        index, state = s
        mine = jax.vmap(lambda key: jax.random.fold_in(key, index))(keys)
        return normaliser.action(jax.vmap(lambda key: policy(state, key)[0])(mine))

    rows = (np.arange(len(obs)), np.asarray(obs, np.float32))
    return np.asarray(jax.jit(lambda x: jax.lax.map(at, x, batch_size=min(_BATCH, len(obs))))(rows))


def _curves(how: str, subject: Subject, regions: Regions, steps: np.ndarray, drawn: np.ndarray) -> Reliable:
    windows = subject.learning.windows
    varies = np.ptp(windows.actions, axis=0) > 0
    base = drawn[..., varies]
    chunks = np.asarray(windows.take(steps)[1])[..., varies]
    held = calibration.HeldOut(chunks, base, np.zeros_like(base), np.ones_like(chunks), windows.episode[steps])
    curves = reliability.by_region(held, regions.index[steps], regions.count)
    return Reliable(how, '', len(np.unique(held.trajectory)), calibration.curve(held, 0.0), curves)


def _left_out(point: Point, subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """The held-out steps of every fold, and the draws there of policies trained as the subject was, without it."""
    learning, arm = subject.learning, arm_of(subject.label)
    arm = arm._replace(**{name: subject.label[name] for name in ('alpha', 'sigma')})  # the seed's own
    folds = folding.split(point, learning)
    own = scales.steps_of(folds.learning)
    members = point.config.calibration.members
    factors = populations.fit_members(point, folds.learning, folding.NAMES[0], folds.labels, members, own)
    recipe = fold.Recipe(
        arm,
        subject.label.get('pretrain.learning_rate', point.config.pretrain.learning_rate),
        arm.weight_decay or subject.label.get('pretrain.weight_decay', point.config.pretrain.weight_decay),
        None,
    )
    population = [(row, recipe) for row in range(len(folds.labels))]
    stack = populations.fit_policies(point, folds.learning, factors, NAME, population, folds.labels)
    found = []
    for row, steps in enumerate(folds.steps):
        policy = jax.tree.map(lambda x, i=row: x[i], stack)
        key = jax.random.fold_in(point.key('calibration'), row)
        found.append(np.asarray(policies.draws(policy, learning.windows.obs[steps], key, folding.DRAWS)))
    return np.concatenate(folds.steps), np.concatenate(found)
