"""The registry, and brax's own environments as tasks of ours."""

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from postbc_jax import envs


class Count(Env):
    """A brax environment whose metric 'count' counts steps; takes one setting, `by`."""

    observation_size, action_size, backend = 3, 1, 'none'

    def __init__(self, by=1.0):
        self.by = by

    def reset(self, rng):
        zero = jnp.zeros(())
        return State(zero, jnp.zeros(3), zero, zero, {'count': zero})

    def step(self, state, action):
        count = state.pipeline_state + self.by
        return state.replace(pipeline_state=count, reward=-count, metrics={'count': count})


@pytest.fixture(autouse=True, scope='module')
def registered():
    brax.envs.register_environment('count', Count)
    yield
    del brax.envs._envs['count']


KEY = jax.random.key_data(jax.random.key(0))


def outcomes(env, steps=4):
    state, seen = env.reset(KEY), []
    for _ in range(steps):
        state = env.step(state, jnp.zeros(1))
        seen.append((float(state.metrics['success']), float(state.done), float(state.reward)))
    return seen


@pytest.mark.parametrize('name', envs.TASKS)
def test_built_in_tasks_are_made_here_and_by_brax(name):
    env = envs.make(name)
    assert env.name == name
    assert type(brax.envs.get_environment(name)) is type(env)
    assert envs.make(name, **env.settings()).env_args() == env.env_args()
    state = jax.eval_shape(env.reset, jax.ShapeDtypeStruct((2,), jnp.uint32))
    assert state.obs.shape == (env.observation_size,)
    assert state.info['region'].dtype == jnp.int32
    assert 'success' in state.metrics
    assert env.operators()


def test_success_where_a_metric_reaches_its_threshold():
    env = envs.make('brax:count', success_metric='count', success_threshold=3, horizon=50)
    assert outcomes(env) == [(0, 0, 0), (0, 0, 0), (1, 1, 1), (1, 1, 1)]
    assert (env.horizon, env.obs_keys, env.regions) == (50, (('obs', 3),), ('all',))
    assert int(env.reset(KEY).info['region']) == 0


def test_success_below_a_threshold_with_braxs_own_reward():
    settings = {'success_metric': 'count', 'success_threshold': -3.0, 'below': True, 'sparse': False, 'by': -2.0}
    env = envs.make('brax:count', **settings)
    assert outcomes(env, 2) == [(0, 0, 2), (1, 1, 4)]
    assert envs.make(env.name, **env.settings()).env_args() == env.env_args()


def test_a_brax_task_is_vectorised_and_restarted_like_ours():
    env = envs.wrap(envs.make('brax:count', success_metric='count', success_threshold=2), 10)
    state, done = env.reset(jnp.stack([KEY, KEY])), []
    for _ in range(4):
        state = env.step(state, jnp.zeros((2, 1)))
        done.append(float(state.done[0]))
    assert done == [0, 1, 0, 1]


def test_nobody_demonstrates_a_brax_task():
    env = envs.make('brax:count', success_metric='count', success_threshold=2)
    with pytest.raises(ValueError, match='no operators'):
        envs.record(env, env.operators(), 1, jax.random.key(0))


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('lfit', {}, "env='lfit': no such environment; there are gate, lift, can, square, lift_mjx and brax:NAME"),
        ('lift', {'speeed': 1}, 'speeed.* it takes rare_fraction, horizon, speed, chute'),
        ('brax:nothing', {'success_metric': 'a', 'success_threshold': 0}, 'brax has ant'),
        ('brax:count', {}, 'env_settings.success_metric=NAME and .*threshold=NUMBER; its metrics are reward, count'),
        (
            'brax:count',
            {'success_metric': 'height', 'success_threshold': 0},
            "'height' is none of its metrics: reward, count",
        ),
        ('brax:count', {'success_metric': 'count', 'success_threshold': 0, 'to': 1}, 'to'),
        ('brax:count', {'success_metric': 'count', 'success_threshold': 0, 'horizon': 0}, 'horizon=0'),
    ],
)
def test_unknown_names_settings_and_metrics_are_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        envs.make(name, **settings)


def test_reseed_gives_the_same_start_another_future():
    env = envs.make('gate')
    start = env.reset(KEY)
    others = [env.reseed(start, jax.random.key_data(jax.random.key(i))) for i in (1, 1, 2)]
    ends = np.array([env.step(state, jnp.zeros(1)).obs[1] for state in others])
    np.testing.assert_array_equal([state.obs for state in others], [start.obs] * 3)
    assert ends[0] == ends[1] != ends[2]
    lift = envs.make('lift')
    state = lift.reset(KEY)
    assert lift.reseed(state, KEY) is state
