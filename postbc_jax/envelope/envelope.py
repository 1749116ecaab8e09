"""The envelope: at a state, the chunks that the posterior supports; and how far a state is from the demonstrated ones.

Between the posterior and whoever plays a policy: launch.envelopes fits it, the guard and the monitor read it. For ONE
learner and ONE observation, normalised as the policies normalise (batch with vmap, stacks of envelopes too).
"""

import jax
import jax.numpy as jnp
from flax import struct

from postbc_jax.data.normaliser import FLOOR
from postbc_jax.envelope.contexts import Contexts
from postbc_jax.policies import Policy, build


@struct.dataclass
class Envelope:
    """An ellipsoid of chunks at every state, and a neighbourhood of the demonstrated states.

    A guide, not the K members of the posterior: which would cost more at every decision than the decode that it judges.

    Attributes:
      guide: of the 'gaussian' family, fitted to demonstrated chunks and posterior noise of weight 1: its mean and
        standard deviation at a state are the centre and the spread of what the posterior supports.
      whitener: (T*A, T*A), lower triangular; see conformal.whitener. The entries of a chunk go together, and a distance
        that does not know it misses jerks.
      states: (M, O), demonstrated states, normalised.
      spread: (O,), the standard deviation of each of their dimensions, floored.
      radius: (C,), the largest distance allowed in each context.
      familiar: (C,), the largest strangeness.
      contexts: from observations to 0, ..., C - 1.
    """

    guide: Policy
    whitener: jax.Array
    states: jax.Array
    spread: jax.Array
    radius: jax.Array
    familiar: jax.Array
    contexts: Contexts = struct.field(pytree_node=False, default=Contexts())

    def distance(self, obs: jax.Array, chunk: jax.Array) -> jax.Array:
        """obs (O,), chunk (T, A) -> (): Mahalanobis distance from the centre over sqrt(T*A).

        1 is the root mean square of held-out demonstrated chunks.
        """
        mean, std = moments(self.guide, obs)
        return length(self.whitener, (chunk - mean) / std)

    def strangeness(self, obs: jax.Array) -> jax.Array:
        """obs (O,) -> (): distance to the nearest demonstrated state, each dimension in units of its standard deviation
        over the demonstrations, root mean square over dimensions."""
        return apart(self.states, self.spread, obs)

    def context(self, obs: jax.Array) -> jax.Array:
        """obs (O,) -> int32 ()."""
        return self.contexts(self.guide.normaliser.unnormalise_obs(obs))

    def inside(self, obs: jax.Array, chunk: jax.Array) -> jax.Array:
        """obs (O,), chunk (T, A) -> bool (): whether chunk and state are both within what is allowed in the context.
        What is not finite is not."""
        index = self.context(obs)
        near = self.distance(obs, chunk) <= jnp.asarray(self.radius)[index]
        return near & (self.strangeness(obs) <= jnp.asarray(self.familiar)[index])


def moments(guide: Policy, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """obs (O,) -> mean (T, A), std (T, A), normalised.

    std is at least the Normaliser's FLOOR in action units: less is jitter, also in a dimension whose demonstrations
    span less than that and which the normaliser blows up.
    """
    family = build(guide.config)
    mean, std = family.transition(guide.params, obs, jnp.zeros(family.noise_shape), 0)
    return mean, jnp.maximum(std, FLOOR / guide.normaliser.action_scale())


def length(whitener: jax.Array, z: jax.Array) -> jax.Array:
    """whitener (D, D), z (T, A) with T*A = D -> (): root mean square of the whitened entries."""
    white = jnp.matmul(whitener, z.ravel(), precision='highest')  # fewer bits would move chunks over the radius
    return jnp.sqrt(jnp.mean(jnp.square(white)))


def apart(states: jax.Array, spread: jax.Array, obs: jax.Array) -> jax.Array:
    """states (M, O), spread (O,), obs (O,) -> (): root mean square over dimensions of the nearest state's departure.

    As |s|^2 - 2 s.x + |x|^2, a matrix product for a batch of observations.
    """
    seen, x = states / spread, obs / spread
    square = jnp.sum(jnp.square(seen), axis=1) - 2 * jnp.matmul(seen, x, precision='highest')
    nearest = jnp.min(square) + jnp.sum(jnp.square(x))
    return jnp.sqrt(jnp.maximum(nearest, 0.0) / x.size)
