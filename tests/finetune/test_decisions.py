"""Decisions: a normalised chunk in, what it does in the environment's units out."""

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.envs.gate import Gate
from postbc_jax.finetune.decisions import Decisions
from postbc_jax.finetune.steer import steer
from tests.finetune.probes import Affine

POLICY = Affine(jnp.float32(0.3))  # chunks of 3 for Gate; obs / 2, action / 4


def test_plays_the_chunk_in_the_environments_units_at_the_environments_observation():
    env, plain = Decisions(Gate(), POLICY), PlayChunks(Gate(), 3)
    state, played = env.reset(jax.random.PRNGKey(1)), plain.reset(jax.random.PRNGKey(1))
    chunk = jnp.array([0.1, -0.05, 0.2])
    for _ in range(2):
        state, played = jax.jit(env.step)(state, chunk), jax.jit(plain.step)(played, 4 * chunk)
        np.testing.assert_array_equal(state.obs, played.obs / 2)
        np.testing.assert_array_equal(state.info['env_obs'], played.obs)
        np.testing.assert_array_equal(state.pipeline_state.y, played.pipeline_state.y)


def test_what_leaves_the_range_is_the_environments_to_clip():
    env = Decisions(Gate(), POLICY)
    start = env.reset(jax.random.PRNGKey(1))
    far, edge = (env.step(start, jnp.full(3, x)).pipeline_state.y for x in (7.0, 0.25))
    assert far == edge


def test_steering_is_deciding_on_what_noise_decodes_to():
    steered, decided = steer(Gate(), POLICY, bound=1.5), Decisions(Gate(), POLICY)
    state = steered.reset(jax.random.PRNGKey(1))
    chunk = POLICY.decode_normalised(state.obs, jnp.array([0.5, 1.5, -1.5]))
    after = steered.step(state, jnp.array([0.5, 4.0, -4.0]))
    jax.tree.map(np.testing.assert_array_equal, after, decided.step(state, chunk))
    assert (decided.action_size, decided.observation_size, decided.horizon) == (3, 4, 7)
