"""What the guard will do: its bounds in every context, how often it would speak at demonstrated states, and to whom.

Fourth step of launch.envelope: the envelope that the run kept for its guard, where it did and there are demonstrations
to judge it by, else one that is fitted to the demonstrations here.
"""

import json
from typing import Any, NamedTuple

import jax
import numpy as np

from launch import envelopes
from launch.envelope.reliable import FEWEST, draws
from launch.envelope.subject import Subject
from launch.guarding import FILE
from launch.point import Point
from postbc_jax import checkpoint
from postbc_jax.envelope import conformal
from postbc_jax.envelope.contexts import Contexts
from postbc_jax.envelope.envelope import Envelope

STATES = 256  # at which the policy's own chunks are tested


class Flagged(NamedTuple):
    """The guard's two tests on two kinds of decisions, each number as a share of what is allowed: above 1 is flagged.

    Attributes:
      own: whether the envelope is the run's.
      bounds: a row a context, of launch.envelopes.rows.
      contexts: what tells them apart.
      steps: (n,), demonstrated steps that the envelope, or the part of it that judges them, has not seen.
      chunk, state: (n,), of the demonstrators' own.
      policy_steps: (m,), of the states at which the policy was asked.
      policy_chunk: (m, M), of its draws there.
    """

    own: bool
    bounds: list[dict[str, Any]]
    contexts: Contexts
    steps: np.ndarray
    chunk: np.ndarray
    state: np.ndarray
    policy_steps: np.ndarray
    policy_chunk: np.ndarray


def flag(point: Point, subject: Subject) -> Flagged:
    """Asks the envelope about the demonstrations and about the policy.

    Raises:
      ValueError: there is one demonstration.
      loop.Preempted: the run was asked to stop; its state is saved.
    """
    kept, windows = subject.folder.resolve().parent / envelopes.NAME, subject.learning.windows
    own = kept.is_dir() and (~subject.learnt).sum() >= FEWEST
    if own:
        seed = {'seed': subject.label['seed']}
        envelope = checkpoint.load_policy(kept, seed, Envelope)
        rows = json.loads((kept.parents[1] / FILE).read_text())
        rows = [row for row in rows if seed.items() <= row.items()]
        steps = np.flatnonzero(~subject.learnt[windows.episode])
        obs, chunks = windows.take(steps)
        chunk, state = np.asarray(shares(envelope, obs, chunks[:, None]))[:, 0], np.asarray(strange(envelope, obs))
    else:
        fitted = envelopes.fit(point, subject.learning)
        rows, held = envelopes.rows(fitted, point.config.guard.rate), fitted.held[0]
        envelope, steps = jax.tree.map(lambda x: x[0], fitted.envelopes), held.steps
        chunk, state = held.distance / envelope.radius[held.context], held.strangeness / envelope.familiar[held.context]
    asked = conformal.thinned(np.arange(len(windows.obs)), STATES)
    drawn = draws(subject.policy, subject.learning.normaliser, subject.learning.demos.obs[asked], point.config.seed)
    played = np.asarray(shares(envelope, windows.obs[asked], drawn))
    return Flagged(own, rows, envelope.contexts, steps, chunk, state, asked, played)


@jax.jit
def shares(envelope: Envelope, obs: jax.Array, drawn: jax.Array) -> jax.Array:
    """obs (m, O), drawn (m, M, T, A) -> (m, M), distances over what is allowed at the state."""

    def at(s, chunks):
        return jax.vmap(lambda chunk: envelope.distance(s, chunk))(chunks) / envelope.radius[envelope.context(s)]

    return jax.vmap(at)(obs, drawn)


@jax.jit
def strange(envelope: Envelope, obs: jax.Array) -> jax.Array:
    """obs (n, O) -> (n,), strangeness over what is allowed."""
    return jax.vmap(lambda s: envelope.strangeness(s) / envelope.familiar[envelope.context(s)])(obs)
