"""Fits the behavioural envelope of every seed's demonstrations, and keeps what was held out in doing so.

Called by launch.pipeline where config.guard.mode asks for a guard. Guides on all demonstrations of a seed and on all
but one fold of them are one population; what a fold's guide says of the trajectories that it has not seen sets whitener
and bounds (cross-conformal prediction, Vovk 2015), and the guide of all is the one that is kept.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import calibration, populations
from launch import config as settings
from launch.demonstrations import Learning
from launch.point import Point
from postbc_jax import loop, parallel
from postbc_jax.envelope import conformal, wild
from postbc_jax.envelope.contexts import Contexts
from postbc_jax.envelope.envelope import Envelope, apart, length, moments
from postbc_jax.envelope.guide import GuideData, guide
from postbc_jax.policies import Policy
from postbc_jax.posterior.ensemble import Predictor

NAME = 'envelope'  # of the guides' stage, and of the folder of policies
MOST_STATES = 512  # demonstrated states that are kept of a seed
NONE_LEFT_OUT = -1  # in the place of a fold's number
WILD = 0  # the draws' key, of every run: two envelopes are compared on the same chunks


class Held(NamedTuple):
    """The held-out steps of one seed, n of them, and what is said there by guides that have not seen their trajectory.

    Attributes:
      steps: (n,), indices into the demonstrations' N.
      trajectory: (n,), whose they are.
      obs: (n, O), normalised.
      chunks: (n, T, A), as demonstrated, normalised.
      mean, std: (n, T, A), the guide's.
      context: (n,), in 0, ..., C - 1.
      distance, strangeness: (n,), as Envelope's, by whiteners and states of the other folds.
    """

    steps: np.ndarray
    trajectory: np.ndarray
    obs: np.ndarray
    chunks: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    context: np.ndarray
    distance: np.ndarray
    strangeness: np.ndarray


class Fitted(NamedTuple):
    """Envelopes (S, ...), numpy, and the held-out steps of each seed."""

    envelopes: Envelope
    held: list[Held]


def fit(point: Point, learning: Learning) -> Fitted:
    """The envelopes of S seeds, the rows of learning.mask. A stage that has been trained here, the posterior's and the
    calibration's too, is read from its checkpoint.

    Raises:
      ValueError: a seed has one demonstration, or a context none of their steps.
      loop.Preempted: the run was asked to stop; its state is saved.
    """
    config = point.config
    contexts = settings.contexts(config, point.env.obs_keys)
    folds = calibration.split(point, learning)
    seeds = len(learning.mask)
    guides = _fit_guides(point, learning, folds)
    most = min(MOST_STATES, *(int(mask.sum()) for mask in learning.mask))
    envelopes, held = [], []
    for seed in range(seeds):
        of_seed = [row for row, label in enumerate(folds.labels) if label['seed'] == seed]
        parts = [_held(learning, _learner(guides, seeds + row), folds.steps[row], contexts) for row in of_seed]
        states, scored = thinned(learning, learning.mask[seed], most), []
        for row, part in zip(of_seed, parts, strict=True):
            seen = thinned(learning, folds.learning.mask[row], most)
            others = [other for other in parts if other is not part]
            scored.append(_scored(part, others, seen, conformal.spread(states)))
        held.append(Held(*(np.concatenate(arrays) for arrays in zip(*scored, strict=True))))
        envelopes.append(_envelope(_learner(guides, seed), held[-1], states, contexts, config.guard.rate))
    return Fitted(jax.tree.map(lambda *x: np.stack(x), *envelopes), held)


def rows(fitted: Fitted, rate: float) -> list[dict[str, Any]]:
    """A row for every seed and context, JSON-able: its bounds, of how many held-out decisions and trajectories, the
    rate that was asked for and the smallest that so many decisions support, and the share of wild chunks that it
    catches there (wild.caught)."""
    contexts = fitted.envelopes.contexts
    found = []
    for seed, held in enumerate(fitted.held):
        envelope = jax.tree.map(lambda x, seed=seed: x[seed], fitted.envelopes)
        caught = wild.caught(envelope, held.obs, jax.random.key(WILD))
        for index, (name, of_context) in enumerate(zip(contexts.names, contexts.rates(rate), strict=True)):
            own = held.context == index
            found.append(
                {
                    'seed': seed,
                    'context': name,
                    'rate': of_context,
                    'supported': conformal.supported(int(own.sum())),
                    'radius': float(fitted.envelopes.radius[seed, index]),
                    'familiar': float(fitted.envelopes.familiar[seed, index]),
                    'decisions': int(own.sum()),
                    'trajectories': len(np.unique(held.trajectory[own])),
                    'wild_caught': float(caught[own].mean()),
                }
            )
    return found


def prepare_guides(
    point: Point, learning: Learning, folds: calibration.Folds, members: Predictor
) -> tuple[loop.Stage, jax.Array, GuideData]:
    """The guides' stage, its keys and its data: the guide of each seed, then of each fold's source.

    Args:
      point, learning: the point's.
      folds: of calibration.split.
      members: (S + G, K, ...), the ensembles of these.
    """
    config = settings.guide(point.config, point.env.observation_size, point.env.action_size)
    labels = [{'seed': seed, 'fold': NONE_LEFT_OUT} for seed in range(len(learning.mask))] + folds.labels
    chunks, meta = config.steps // config.steps_per_chunk, settings.describe(config)
    stage = point.stage(NAME, guide(config), labels, chunks, config.steps_per_chunk, meta, mean_over_learners=True)
    mesh = stage.mesh
    each = P(parallel.LEARNER)
    shared = GuideData(
        windows=parallel.shard(learning.windows, mesh),
        normaliser=parallel.shard(learning.normaliser, mesh),
        mask=parallel.shard(np.concatenate([learning.mask, folds.learning.mask]), mesh, each),
        members=parallel.shard(members, mesh, each),
    )
    keys = parallel.learner_keys(point.key('envelope'), [label['seed'] for label in labels], mesh)
    return stage, keys, shared


def _fit_guides(point: Point, learning: Learning, folds: calibration.Folds) -> Policy:
    """(S + G, ...), numpy. Of the seeds' ensembles as many members as the folds' have, or the other way round."""
    config = point.config
    asked = (
        (learning, 'posterior', [{'seed': seed} for seed in range(len(learning.mask))], config.posterior.members),
        (folds.learning, calibration.NAMES[0], folds.labels, config.calibration.members),
    )
    of_seeds, of_folds = (populations.fit_predictors(point, *one) for one in asked)
    number = min(config.posterior.members, config.calibration.members)
    members = jax.tree.map(lambda *x: np.concatenate([part[:, :number] for part in x]), of_seeds, of_folds)
    stage, keys, shared = prepare_guides(point, learning, folds, members)
    outcome = point.run(stage, keys, shared)
    return parallel.gather(stage.trainer.policy(outcome.state, shared), stage.learners)


def thinned(learning: Learning, mask: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the demonstrated states (M, O) that a mask holds."""
    return learning.windows.obs[conformal.thinned(np.flatnonzero(mask), most)]


def _learner(stack: Policy, index: int) -> Policy:
    return jax.tree.map(lambda x: x[index], stack)


_moments = jax.jit(jax.vmap(moments, in_axes=(None, 0)))
_length = jax.jit(jax.vmap(length, in_axes=(None, 0)))
_apart = jax.jit(jax.vmap(apart, in_axes=(None, None, 0)))


def _held(learning: Learning, own: Policy, steps: np.ndarray, contexts: Contexts) -> Held:
    """One fold's steps and its guide there; not scored yet."""
    obs, chunks = (np.asarray(x) for x in learning.windows.take(steps))
    mean, std = (np.asarray(x) for x in _moments(own, obs))
    context = np.asarray(contexts(learning.demos.obs[steps]))
    unknown = np.full(len(steps), np.nan, np.float32)
    return Held(steps, learning.windows.episode[steps], obs, chunks, mean, std, context, unknown, unknown)


def _scored(part: Held, others: Sequence[Held], seen: np.ndarray, spread: np.ndarray) -> Held:
    """The part with its scores, by a whitener of the other parts and the states (M, O) that its guide has seen, in
    units of the spread (O,) that the envelope has: a fold's own, of few trajectories, may be nearly 0."""
    distance = _length(_whitener(others), (part.chunks - part.mean) / part.std)
    strangeness = _apart(seen, spread, part.obs)
    return part._replace(distance=np.asarray(distance), strangeness=np.asarray(strangeness))


def _whitener(parts: Sequence[Held]) -> np.ndarray:
    z = np.concatenate([(part.chunks - part.mean) / part.std for part in parts])
    return conformal.whitener(z.reshape(len(z), -1), z.shape[1])


def _envelope(own: Policy, held: Held, states: np.ndarray, contexts: Contexts, rate: float) -> Envelope:
    rates = contexts.rates(rate)
    return Envelope(
        guide=own,
        whitener=_whitener([held]),
        states=states,
        spread=conformal.spread(states),
        radius=conformal.bounds(held.distance, held.context, rates, contexts.names),
        familiar=conformal.bounds(held.strangeness, held.context, rates, contexts.names),
        contexts=contexts,
    )
