"""PlayChunks on an environment that writes down the actions it is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from postbc_jax.envs import PlayChunks, wrap


class Digits(Env):
    """Appends the two digits of an action to a number; ends after `end` actions. Reward is the count of actions."""

    observation_size, action_size, backend, horizon = 2, 2, 'none', 7

    def __init__(self, end):
        self.end = end

    def reset(self, rng):
        obs = jnp.zeros(2)  # the number, the count
        return State(obs, obs, jnp.zeros(()), jnp.zeros(()), {'success': jnp.zeros(())}, {'region': jnp.int32(0)})

    def step(self, state, action):
        number, count = state.pipeline_state
        obs = jnp.stack([100 * number + 10 * action[0] + action[1], count + 1])
        done = (obs[1] >= self.end).astype(jnp.float32)
        return state.replace(pipeline_state=obs, obs=obs, reward=obs[1], done=done, metrics={'success': done})


KEY = jax.random.key_data(jax.random.key(0))


def test_plays_the_actions_in_order_and_sums_the_reward():
    env = PlayChunks(Digits(end=99), 3)
    state = env.step(env.reset(KEY), jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    np.testing.assert_array_equal(state.obs, [123456, 3])
    assert (float(state.reward), float(state.done), int(state.info['played'])) == (1 + 2 + 3, 0, 3)


def test_freezes_at_the_end_within_a_chunk():
    env = PlayChunks(Digits(end=5), 3)
    step = jax.jit(env.step)
    state = step(step(env.reset(KEY), jnp.zeros(6)), jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    np.testing.assert_array_equal(state.obs, [1234, 5])
    assert (float(state.reward), float(state.done), int(state.info['played'])) == (4 + 5, 1, 2)
    assert float(state.metrics['success']) == 1
    after = step(state, jnp.ones(6))
    np.testing.assert_array_equal(after.obs, state.obs)
    assert (float(after.reward), float(after.done), int(after.info['played'])) == (0, 1, 0)


def test_restarts_under_wrap():
    env = wrap(PlayChunks(Digits(end=5), 3), 10)
    state = env.reset(jnp.stack([KEY, KEY]))
    seen = []
    for _ in range(4):
        state = env.step(state, jnp.ones((2, 6)))
        seen.append([float(x[0]) for x in (state.done, state.reward, state.obs[:, 1])])
    assert seen == [[0, 6, 3], [1, 9, 0], [0, 6, 3], [1, 9, 0]]


@pytest.mark.parametrize(('chunk', 'horizon'), [(1, 7), (2, 4), (7, 1), (8, 1)])
def test_sizes(chunk, horizon):
    env = PlayChunks(Digits(end=5), chunk)
    assert (env.action_size, env.horizon, env.observation_size) == (2 * chunk, horizon, 2)


def test_a_chunk_holds_an_action():
    with pytest.raises(ValueError, match='chunk=0'):
        PlayChunks(Digits(end=5), 0)
