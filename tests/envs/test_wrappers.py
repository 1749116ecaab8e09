"""FreshReset and wrap: new starts, and the bookkeeping of ends and time-outs, on an environment that counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State
from brax.envs.wrappers.training import AutoResetWrapper, EpisodeWrapper, VmapWrapper

from postbc_jax.envs import wrap


class Walk(Env):
    """Starts at a random place in [0, 1); every action is added; ends where the count of steps meets `end`.

    obs: (place, count). Reward is the action. Region 1 where the start is above one half.
    """

    observation_size, action_size, backend = 2, 1, 'none'

    def __init__(self, end):
        self.end = end

    def reset(self, rng):
        place = jax.random.uniform(rng)
        obs = jnp.stack([place, 0.0])
        region = (place > 0.5).astype(jnp.int32)
        return State(obs, obs, jnp.zeros(()), jnp.zeros(()), {'success': jnp.zeros(())}, {'region': region})

    def step(self, state, action):
        obs = state.pipeline_state + jnp.stack([action[0], 1.0])
        done = (obs[1] >= self.end).astype(jnp.float32)
        return state.replace(pipeline_state=obs, obs=obs, reward=action[0], done=done, metrics={'success': done})


def keys(n, seed=0):
    return jax.random.key_data(jax.random.split(jax.random.key(seed), n))


def play(env, actions, rows=3):
    """Plays actions (T, B, 1): the states before any step and after each, stacked (T+1, B, ...)."""

    @jax.jit
    def run(keys, actions):
        first = env.reset(keys)
        _, later = jax.lax.scan(lambda state, action: (env.step(state, action),) * 2, first, actions)
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later)

    return jax.tree.map(np.asarray, run(keys(rows), jnp.asarray(actions, jnp.float32)))


def test_finished_rows_restart_from_new_starts():
    states = play(wrap(Walk(end=3), 100), np.zeros((30, 3, 1)))
    starts = states.obs[::3, :, 0]  # zero actions: the place is the start throughout an episode
    assert len(np.unique(starts)) == starts.size
    np.testing.assert_array_equal(states.obs[:, :, 1], np.tile([0, 1, 2], 11)[:31, None].repeat(3, 1))
    np.testing.assert_array_equal(states.pipeline_state, states.obs)


def test_braxs_own_wrapper_would_replay_the_first_start():
    """The reason that FreshReset exists; when brax changes, it can go."""
    states = play(AutoResetWrapper(EpisodeWrapper(VmapWrapper(Walk(end=3)), 100, 1)), np.zeros((30, 3, 1)))
    assert len(np.unique(states.obs[::3, :, 0])) == 3


def test_region_follows_the_start():
    states = play(wrap(Walk(end=2), 100), np.zeros((40, 3, 1)))
    np.testing.assert_array_equal(states.info['region'], states.obs[:, :, 0] > 0.5)
    assert 0.2 < states.info['region'].mean() < 0.8


def test_the_ended_episode_keeps_its_reward_metrics_length_and_last_observation():
    actions = np.arange(1.0, 7.0)[:, None, None] * np.ones((6, 3, 1))
    states = play(wrap(Walk(end=3), 100), actions)
    np.testing.assert_array_equal(states.reward[1:, 0], [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(states.done[1:, 0], [0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(states.metrics['success'][1:, 0], [0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(states.info['steps'][1:, 0], [1, 2, 3, 1, 2, 3])
    np.testing.assert_array_equal(states.info['truncation'][1:, 0], 0)
    np.testing.assert_array_equal(states.info['episode_metrics']['sum_reward'][1:, 0], [1, 3, 6, 4, 9, 15])
    np.testing.assert_allclose(states.info['final_obs'][3], states.obs[0] + [6, 3], atol=1e-6)
    np.testing.assert_allclose(states.info['final_obs'][2], states.obs[2], atol=1e-6)


@pytest.mark.parametrize(
    ('end', 'length', 'done', 'truncation'),
    [
        (99, 4, [0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 0, 1]),  # a time-out is not an end
        (4, 4, [0, 0, 0, 1, 0, 0, 0, 1], [0] * 8),  # an end at the very last step is
        (3, 4, [0, 0, 1, 0, 0, 1, 0, 0], [0] * 8),
    ],
)
def test_truncation_marks_time_outs_alone(end, length, done, truncation):
    states = play(wrap(Walk(end=end), length), np.zeros((8, 3, 1)))
    np.testing.assert_array_equal(states.done[1:, 1], done)
    np.testing.assert_array_equal(states.info['truncation'][1:, 1], truncation)
    np.testing.assert_array_equal(states.info['episode_done'][1:, 1], done)


def test_the_nth_start_depends_on_the_key_and_n_alone():
    short, long = (play(wrap(Walk(end=end), 100), np.zeros((4 * end, 3, 1))) for end in (2, 3))
    np.testing.assert_array_equal(short.obs[::2, :, 0], long.obs[::3, :, 0])


def test_an_episode_has_at_least_one_step():
    with pytest.raises(ValueError, match='episode_length=0'):
        wrap(Walk(end=3), 0)
