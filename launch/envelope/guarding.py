"""What the guard will do: its bounds in every context, how often it would speak at demonstrated states, and to whom.

Fourth step of launch.envelope, on launch.envelopes.fit's envelope and the steps that it held out.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from launch import envelopes
from launch.envelope.reliable import draws
from launch.envelope.subject import Subject
from launch.point import Point
from postbc_jax.envelope import conformal
from postbc_jax.envelope.contexts import Contexts
from postbc_jax.envelope.envelope import Envelope

STATES = 256  # at which the policy's own chunks are tested


class Guarding(NamedTuple):
    """The guard's two tests on two kinds of decisions, each number as a share of what is allowed: above 1 is flagged.

    Attributes:
      bounds: a row a context, of launch.envelopes.rows.
      contexts: what tells them apart.
      steps: (n,), the held-out demonstrated steps.
      chunk, state: (n,), of the demonstrators' own.
      policy_steps: (m,), of the states at which the policy was asked.
      policy_chunk: (m, M), of its draws there.
    """

    bounds: list[dict[str, Any]]
    contexts: Contexts
    steps: np.ndarray
    chunk: np.ndarray
    state: np.ndarray
    policy_steps: np.ndarray
    policy_chunk: np.ndarray


def guard(point: Point, subject: Subject) -> Guarding:
    """Fits the envelope of all the demonstrations and asks it about them and about the policy.

    Raises:
      ValueError: there is one demonstration.
      loop.Preempted: the run was asked to stop; its state is saved.
    """
    fitted = envelopes.fit(point, subject.learning)
    envelope, held = jax.tree.map(lambda x: x[0], fitted.envelopes), fitted.held[0]
    steps = conformal.thinned(np.arange(len(subject.learning.demos.obs)), STATES)
    drawn = draws(subject.policy, subject.learning.normaliser, subject.learning.demos.obs[steps], point.config.seed)
    obs = subject.learning.windows.obs[steps]
    return Guarding(
        bounds=envelopes.rows(fitted, point.config.guard.rate),
        contexts=envelope.contexts,
        steps=held.steps,
        chunk=held.distance / envelope.radius[held.context],
        state=held.strangeness / envelope.familiar[held.context],
        policy_steps=steps,
        policy_chunk=np.asarray(_shares(envelope, obs, drawn)),
    )


@jax.jit
def _shares(envelope: Envelope, obs: jax.Array, drawn: jax.Array) -> jax.Array:
    """obs (m, O), drawn (m, M, T, A) -> (m, M), distances over what is allowed at the state."""

    def at(s, chunks):
        return jax.vmap(lambda chunk: envelope.distance(s, chunk))(chunks) / envelope.radius[envelope.context(s)]

    return jax.vmap(at)(obs, drawn)
