"""Envelopes whose guide is one line: mean obs 0 in every entry of a chunk, and a constant standard deviation."""

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax.data.normaliser import Normaliser
from postbc_jax.envelope.contexts import Contexts
from postbc_jax.envelope.envelope import Envelope
from postbc_jax.policies import Policy, PolicyConfig, build

STD = 0.2
CHUNK, ACTIONS, OBS = 3, 2, 2
NONE = Contexts()


def normaliser(obs: int = OBS, actions: int = ACTIONS) -> Normaliser:
    """Observations are halved, and less 1 in their second entry; actions as they are."""
    centre = np.zeros(obs, np.float32)
    centre[1] = 1
    return Normaliser(centre - 2, centre + 2, -np.ones(actions, np.float32), np.ones(actions, np.float32))


def guide(obs: int = OBS, actions: int = ACTIONS, chunk: int = CHUNK) -> Policy:
    size = chunk * actions
    config = PolicyConfig('gaussian', obs, actions, chunk=chunk, hidden=(2,))
    params = jax.tree.map(jnp.zeros_like, build(config).init(jax.random.key(0)))
    first, last = params['params']['Dense_0'], params['params']['Dense_1']
    first['kernel'] = jnp.zeros((obs, 2)).at[0].set(jnp.array([1.0, -1.0]))  # relu(x) - relu(-x) = x
    last['kernel'] = jnp.array([[1.0] * size + [0.0] * size, [-1.0] * size + [0.0] * size])
    last['bias'] = jnp.array([0.0] * size + [float(np.log(np.expm1(STD - config.min_std)))] * size)
    return Policy(params, normaliser(obs, actions), config)


def envelope(contexts: Contexts = NONE, **values) -> Envelope:
    """Demonstrated states (0, 0) and (1, 0); radius 1 and familiar 1 in every context."""
    one = jnp.ones(len(contexts.names))
    made = Envelope(
        guide=guide(),
        whitener=jnp.eye(CHUNK * ACTIONS),
        states=jnp.array([[0.0, 0.0], [1.0, 0.0]]),
        spread=jnp.array([0.5, 0.25]),
        radius=one,
        familiar=one,
        contexts=contexts,
    )
    return made.replace(**values)
