"""Gymnasium environments through the adapter, against gymnasium itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import envs
from postbc_jax.envs.pool import seed

gymnasium = pytest.importorskip('gymnasium', reason='gymnasium is an extra: pip install postbc_jax[gymnasium]')

JUDGE = 'tests.simulators.test_gymnasium:upright'


def upright(env, info):
    """Success of the pendulum: within 0.1 rad of the top."""
    return abs(env.state[0]) < 0.1


def pendulum(**settings):
    return envs.make('gymnasium:Pendulum-v1', success=JUDGE, workers=1, **settings)


def test_an_episode_is_gymnasiums_own():
    env = pendulum(sparse=False)
    assert (env.horizon, env.obs_keys, env.action_size) == (200, (('obs', 3),), 1)
    key = jax.random.key_data(jax.random.key(3))
    actions = 3 * jax.random.normal(jax.random.key(4), (30, 1))  # some are beyond the bounds of 2
    state, found = env.reset(key), []
    theirs = gymnasium.make('Pendulum-v1')
    obs, _ = theirs.reset(seed=seed(np.asarray(key)))
    np.testing.assert_array_equal(state.obs, obs)
    for action in actions:
        state = env.step(state, action)
        obs, reward, *_ = theirs.step(np.clip(np.asarray(action), -2, 2))
        found.append(float(state.reward))
        np.testing.assert_array_equal(state.obs, obs)
        np.testing.assert_allclose(state.reward, reward, rtol=1e-6)
    assert len(set(found)) > 20


def test_success_is_the_functions():
    env = pendulum(arguments='{"g": 0.0}')
    assert env.env_args()['env_kwargs'] == {'g': 0.0}

    @jax.jit
    def play(keys):
        def step(state, _):
            after = jax.vmap(env.step)(state, jnp.zeros((64, 1)))
            return after, (after.obs, after.metrics['success'], after.done)

        return jax.lax.scan(step, jax.vmap(env.reset)(keys), length=20)[1]

    obs, success, done = play(jax.random.key_data(jax.random.split(jax.random.key(0), 64)))
    angle = np.arctan2(obs[..., 1], obs[..., 0])
    first = np.abs(angle) < 0.1
    assert 0 < first.any(0).sum() < 64
    np.testing.assert_array_equal(np.maximum.accumulate(first), success)
    np.testing.assert_array_equal(success, done)


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('Nothing-v0', {}, 'Nothing'),
        ('CartPole-v1', {}, r'CartPole-v1: its action is Discrete\(2\), not a vector'),
        ('FrozenLake-v1', {}, r"FrozenLake-v1: observation 'obs' is Discrete\(16\), not a vector"),
        ('Pendulum-v1', {'obs_keys': 'angle'}, "Pendulum-v1: obs_keys has 'angle'; its observation has obs"),
        ('Pendulum-v1', {'success': 'nowhere:f'}, "success='nowhere:f' is not MODULE:FUNCTION"),
        ('Pendulum-v1', {'arguments': '{g: 0}'}, "arguments='{g: 0}' is not JSON"),
        ('Pendulum-v1', {'arguments': '{"wind": 1}'}, 'wind'),
        ('Pendulum-v1', {'chute': 1}, 'chute'),
    ],
)
def test_what_is_not_two_vectors_or_not_there_is_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        envs.make(f'gymnasium:{name}', workers=1, **settings)


def test_an_environment_that_does_not_say_success_is_refused_with_the_remedy():
    env = envs.make('gymnasium:Pendulum-v1', workers=1)
    with pytest.raises(Exception, match='info has no is_success or success.*--config.env_settings.success=MODULE:FUN'):
        jax.block_until_ready(env.step(env.reset(jax.random.key_data(jax.random.key(0))), jnp.zeros(1)))


def test_a_dict_observation_is_its_keys_in_the_order_asked_for():
    pytest.importorskip('gymnasium_robotics', reason='gymnasium-robotics is an extra: postbc_jax[gymnasium]')
    every = envs.make('gymnasium:FetchReach-v4', workers=1)
    assert every.obs_keys == (('achieved_goal', 3), ('desired_goal', 3), ('observation', 10)) and every.horizon == 50
    chosen = envs.make('gymnasium:FetchReach-v4', workers=1, obs_keys='observation,desired_goal')
    key = jax.random.key_data(jax.random.key(0))
    whole, part = every.reset(key).obs, chosen.reset(key).obs
    np.testing.assert_array_equal(part, np.concatenate([whole[6:], whole[3:6]]))


def test_fetch_succeeds_when_the_hand_is_at_the_goal():
    pytest.importorskip('gymnasium_robotics', reason='gymnasium-robotics is an extra: postbc_jax[gymnasium]')
    env = envs.make('gymnasium:FetchReach-v4', workers=1)

    def step(state, _):
        action = jnp.append(jnp.clip(10 * (state.obs[3:6] - state.obs[:3]), -1, 1), 0.0)
        return env.step(state, action), jnp.linalg.norm(state.obs[3:6] - state.obs[:3])

    state, distance = jax.lax.scan(step, env.reset(jax.random.key_data(jax.random.key(0))), length=40)
    assert state.done == 1 and state.metrics['success'] == 1 and state.reward == 0  # done for some steps already
    assert distance[0] > 0.05 > distance[-1]
