"""The guard: a policy that tests each of its chunks against an envelope and plays another where it lies outside.

Between a policy and the environment, in training and at deployment alike: a GuardedPolicy is what finetuners,
evaluation and export read of a Policy, so that they play guarded without knowing. For ONE learner and ONE observation.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from postbc_jax.data.normaliser import Normaliser
from postbc_jax.envelope.envelope import Envelope, length, moments
from postbc_jax.policies import Policy, PolicyConfig
from postbc_jax.types import Params

MODES = ('project', 'mean', 'safe')


@struct.dataclass
class GuardedPolicy:
    """A policy whose chunks lie in an envelope, or are a safe policy's. Called as the policy is.

    A chunk outside is replaced by
    - project: the nearest one inside, in the envelope's own distance: exactly the point of the ellipsoid on the ray
      from its centre to the chunk;
    - mean: the centre, what the posterior's members do on average;
    - safe: what another policy decodes from noise 0.
    At a strange state the envelope knows little: there the safe policy plays where one is given, in every mode; where
    none is, a chunk outside is projected, which changes it least, and the decision is counted. Numbers that are not
    finite are outside, and strange.

    extras['guard'], of every decision: distance of the chunk that was offered; outside and strange, 1 or 0; context.
    In a context with a bound, noise is clipped to it before it is decoded.

    Attributes:
      policy: the policy.
      envelope: of the same observations, chunks and scaling.
      safe: of the same observations and chunks; None where there is none.
      mode: one of MODES.
    """

    policy: Policy
    envelope: Envelope
    safe: Policy | None = None
    mode: str = struct.field(pytree_node=False, default='project')

    @property
    def params(self) -> Params:
        """The policy's."""
        return self.policy.params

    @property
    def normaliser(self) -> Normaliser:
        """The policy's."""
        return self.policy.normaliser

    @property
    def config(self) -> PolicyConfig:
        """The policy's."""
        return self.policy.config

    def with_steps(self, steps: int) -> 'GuardedPolicy':
        """As Policy's."""
        return self.replace(policy=self.policy.with_steps(steps))

    def __call__(self, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        """obs (O,) -> chunk (T, A), both in the environment's units, and {'noise': (T, A), 'guard': {...}}."""
        noise = jax.random.normal(key, (self.config.chunk, self.config.action_size))
        chunk, said = self.decide(self.normaliser.obs(obs), noise)
        return self.normaliser.unnormalise_action(chunk), {'noise': noise, **said}

    def decode(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        """As Policy's."""
        return self.normaliser.unnormalise_action(self.decode_normalised(self.normaliser.obs(obs), noise))

    def decode_normalised(self, obs: jax.Array, noise: jax.Array) -> jax.Array:
        """As Policy's."""
        return self.decide(obs, noise)[0]

    def decide(self, obs: jax.Array, noise: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        """As Policy's: what is decoded, admitted."""
        bounds = self.envelope.contexts.bounds()
        if bounds is not None:
            bound = jnp.asarray(bounds)[self.envelope.context(obs)]
            noise = jnp.clip(noise, -bound, bound)
        return self.admit(obs, self.policy.decode_normalised(obs, noise))

    def admit(self, obs: jax.Array, chunk: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        """obs (O,), chunk (T, A), normalised -> the chunk (T, A) that is played in its place, and {'guard': {...}}."""
        envelope = self.envelope
        obs = _once_there(obs, chunk)
        context = envelope.context(obs)
        radius, familiar = (jnp.asarray(bound)[context] for bound in (envelope.radius, envelope.familiar))
        mean, std = moments(envelope.guide, obs)
        distance = length(envelope.whitener, (chunk - mean) / std)
        outside, strange = ~(distance <= radius), ~(envelope.strangeness(obs) <= familiar)
        nearest = jnp.where(jnp.isfinite(distance), mean + (chunk - mean) * (radius / distance), mean)
        instead = jnp.where(strange, nearest, mean) if self.mode == 'mean' else nearest
        played = jnp.where(outside, instead, chunk)
        if self.safe is not None:
            known = self.safe.decode(self.normaliser.unnormalise_obs(obs), jnp.zeros_like(chunk))
            known = self.normaliser.action(known)
            played = jnp.where(strange | (outside & (self.mode == 'safe')), known, played)
        said = {'distance': distance, 'outside': outside, 'strange': strange}
        said = {name: value.astype(jnp.float32) for name, value in said.items()}
        return played, {'guard': said | {'context': context}}


def _once_there(obs: jax.Array, chunk: jax.Array) -> jax.Array:
    """obs, when the chunk has been decoded. XLA's CPU runtime would else hand the guard's dozen small operations to
    another thread meanwhile, and waking it costs more than they do; an optimization_barrier does not survive to it."""
    never = jnp.finfo(chunk.dtype).max  # the guard judges such a chunk by another state: it is outside in any
    return jnp.where(chunk.ravel()[-1] == never, 0.0, obs)


def guard(policy: Any, envelope: Envelope, mode: str = 'project', safe: Policy | None = None) -> Any:
    """The policy, guarded: a Policy as a GuardedPolicy; one of finetune's with the Policy that it holds so.

    Args:
      policy: a Policy, or a struct dataclass that holds one as `policy`, at any depth; or a stack of either.
      envelope, safe: of as many learners.
      mode: one of MODES.

    Raises:
      ValueError: unknown mode, no safe policy for it, or sizes that differ.
    """
    if not isinstance(policy, Policy):
        return policy.replace(policy=guard(policy.policy, envelope, mode, safe))
    if mode not in MODES:
        raise ValueError(f'guard: mode={mode!r}: choose one of {", ".join(MODES)}')
    if mode == 'safe' and safe is None:
        raise ValueError("guard: mode='safe': needs a safe policy: give one, or choose project")
    for name, other in (('envelope', envelope.guide), ('safe policy', safe)):
        theirs = other.config if other is not None else policy.config
        for size in ('obs_size', 'action_size', 'chunk'):
            if getattr(theirs, size) != getattr(policy.config, size):
                ours = getattr(policy.config, size)
                raise ValueError(f"guard: the {name}'s {size} is {getattr(theirs, size)}, the policy's {ours}")
    return GuardedPolicy(policy=policy, envelope=envelope, safe=safe, mode=mode)


def unguarded(policy: Any) -> Any:
    """The policy without its guard, as it is saved: what `guard` was given."""
    if isinstance(policy, GuardedPolicy):
        return policy.policy
    return policy if isinstance(policy, Policy) else policy.replace(policy=unguarded(policy.policy))
