"""MuJoCo Playground's environments as tasks of ours: the same physics, success by a metric, and what is refused."""

import importlib.util
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import envs

NAME = 'playground:CartpoleBalance'
UPRIGHT = {'success_metric': 'reward/upright', 'success_threshold': 0.9}
KEY = jax.random.PRNGKey(3)


@pytest.fixture(scope='module')
def registry():
    pytest.importorskip('mujoco_playground', reason="needs MuJoCo Playground: pip install 'postbc_jax[playground]'")
    from mujoco_playground import registry

    return registry


def played(env, actions):
    """Observations, rewards, dones and the metric over time."""

    @jax.jit
    def run(actions):
        def step(state, action):
            after = env.step(state, action)
            return after, (after.obs, after.reward, after.done, after.metrics['reward/upright'])

        return jax.lax.scan(step, env.reset(KEY), actions)

    after, rows = run(jnp.asarray(actions, jnp.float32))
    return after, [np.asarray(row) for row in rows]


def test_plays_as_the_playground_does(registry):
    env = envs.make(NAME, sparse=False, **UPRIGHT)
    theirs = registry.load('CartpoleBalance', config_overrides={'impl': 'jax'})
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 1))
    after, ours = played(env, actions)
    _, expected = played(theirs, actions)
    for mine, yours in zip(ours[:2], expected[:2], strict=True):
        np.testing.assert_allclose(mine, yours, atol=1e-6)
    assert (env.horizon, env.action_size, env.observation_size, env.obs_keys) == (1000, 1, 5, (('obs', 5),))
    assert int(after.info['region']) == 0
    success = expected[3] >= 0.9
    np.testing.assert_array_equal(ours[2], np.maximum(expected[2], success))
    assert success.any()


def test_success_ends_the_episode_and_episodes_restart(registry):
    settings = {'success_metric': 'reward', 'success_threshold': 0.1, 'horizon': 4}
    env = envs.wrap(envs.make(NAME, **settings), 4)
    keys = jax.random.split(jax.random.PRNGKey(0), 2)
    after = jax.jit(env.step)(env.reset(keys), jnp.zeros((2, 1)))
    for value in (after.done, after.reward, after.metrics['success']):
        np.testing.assert_array_equal(value, [1, 1])
    assert (after.obs != after.info['final_obs']).any(axis=1).all()


def test_the_dynamics_have_their_key_replaced(registry):
    env = envs.make(NAME, **UPRIGHT)
    state = env.reset(KEY)
    again = env.reseed(state, jnp.array([5, 6], jnp.uint32))
    np.testing.assert_array_equal(again.info['rng'], [5, 6])
    assert again.replace(info=state.info).obs is state.obs


def test_describes_itself(registry):
    env = envs.make(NAME, below=True, sim_dt=0.005, **UPRIGHT)
    assert env.settings() == UPRIGHT | {'below': True, 'horizon': 1000, 'sparse': True, 'sim_dt': 0.005}
    assert envs.make(env.name, **env.settings()).env_args() == env.env_args()
    assert env.env.playground.n_substeps == 2


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('CartpoleBalance', {}, 'success_metric=NAME and .* its metrics are reward, .*reward/upright'),
        ('CartpoleBalance', {'success_metric': 'up', 'success_threshold': 0}, "'up' is none of its metrics: reward, "),
        ('CartpoleBalance', UPRIGHT | {'horizon': 0}, 'horizon=0'),
        ('CartpoleBalance', UPRIGHT | {'gravity': 0}, 'gravity.*it takes action_repeat, ctrl_dt'),
        ('Cartpole', UPRIGHT, 'playground:Cartpole: no such environment; .* AcrobotSwingup, .* WalkerWalk'),
        ('PandaPickCube', UPRIGHT, 'its assets are not installed: clone github.com/deepmind/mujoco_menagerie'),
        ('Go1Getup', UPRIGHT, 'its assets are not installed'),
    ],
)
def test_refuses_in_one_line_and_downloads_nothing(registry, monkeypatch, tmp_path, name, settings, message):
    from mujoco_playground._src import mjx_env

    def started(*arguments, **_):
        raise AssertionError(f'started {arguments}')

    monkeypatch.setattr(subprocess, 'Popen', started)
    monkeypatch.setattr(mjx_env, 'MENAGERIE_PATH', tmp_path / 'none')
    with pytest.raises(ValueError, match=message) as refused:
        envs.make(f'playground:{name}', **settings)
    assert '\n' not in str(refused.value)


def test_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'postbc_jax\[playground\]'"):
        envs.make(NAME, **UPRIGHT)
