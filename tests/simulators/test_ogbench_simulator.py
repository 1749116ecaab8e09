"""OGBench through the adapter, against OGBench itself, and its oracle as a demonstrator."""

import jax
import numpy as np
import pytest

from postbc_jax import envs
from postbc_jax.envs.pool import seed

REASON = "OGBench is an extra: pip install 'postbc_jax[ogbench]'"
gymnasium = pytest.importorskip('gymnasium', reason=REASON)
pytest.importorskip('dm_control', reason=REASON)
pytest.importorskip('ogbench', reason=REASON)

# Where the cube of cube-single's task 1 starts, to a centimetre, and where it must go: OGBench's cube_env.py.
START, GOAL = np.array([0.425, 0.1, 0.02]), np.array([0.425, -0.1, 0.02])


def make(task):
    from postbc_jax.simulators import ogbench

    return ogbench.make('cube-single-v0', task)


def cube(obs):
    """The cube's position in metres: OGBench shows it centred at (.425, 0, 0) and ten times as large."""
    return obs[..., 19:22] / 10 + np.array([0.425, 0, 0])


def test_an_episode_is_ogbenchs_own():
    env = envs.make('ogbench:cube-single-v0', task=3, workers=1, sparse=False)
    assert (env.horizon, env.obs_keys, env.action_size) == (200, (('obs', 28),), 5)
    key = jax.random.key_data(jax.random.key(3))
    actions = 1.5 * jax.random.normal(jax.random.key(4), (20, 5))  # some are beyond the bounds of 1
    actions = actions.at[:, 2].add(-0.5)  # down, to the table
    step = jax.jit(env.step)
    theirs = gymnasium.make('cube-single-singletask-task3-v0')
    state, (obs, _) = env.reset(key), theirs.reset(seed=seed(np.asarray(key)))
    np.testing.assert_array_equal(state.obs, obs.astype(np.float32))
    for action in actions:
        state = step(state, action)
        obs, reward, *_ = theirs.step(np.clip(np.asarray(action), -1, 1))
        np.testing.assert_array_equal(state.obs, obs.astype(np.float32))
        assert float(state.reward) == reward == -1.0
    name = 'cube-single-singletask-task3-v0'
    assert env.env_args()['env_name'] == name and env.env_args()['type'] == 'ogbench'


def test_success_is_of_the_state_that_a_step_leads_to():
    simulator = make(1)
    seen = [simulator.reset(5)]
    assert np.all(np.abs(cube(seen[0]) - START) <= 0.0101)
    for _ in range(100):
        step = simulator.step(simulator.act('markov').astype(np.float32))
        seen.append(step.obs)
        if step.success:
            break
    distance = np.linalg.norm(cube(np.stack(seen)) - GOAL, axis=-1)
    assert step.terminated and step.reward == 0 and distance[-1] <= 0.04 < distance[:-1].min()


def rollout(simulator, start, actions):
    return np.stack([simulator.reset(start), *(simulator.step(action).obs for action in actions)])


def test_instances_share_their_model_and_nothing_else():
    one, other = make(1), make(1)
    assert one.env.model is other.env.model and one.env.data is not other.env.data
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 15, 5)).astype(np.float32)
    alone = [rollout(one, 7, actions[0]), rollout(one, 8, actions[1])]
    both = [[one.reset(7)], [other.reset(8)]]
    for pair in zip(*actions, strict=True):
        for simulator, action, seen in zip((one, other), pair, both, strict=True):
            simulator.act('markov')
            seen.append(simulator.step(action).obs)
    np.testing.assert_array_equal(both, alone)
    assert not np.array_equal(alone[0][0], alone[1][0])


def test_the_oracle_demonstrates_on_the_host():
    env = envs.make('ogbench:cube-single-v0', task=1, workers=1, at_once=2, horizon=80)
    demos = envs.record(env, env.operators(), 2, jax.random.key(0), noise=0.1)
    assert demos.operators == ('markov', 'markov') and demos.obs_keys == (('obs', 28),)
    np.testing.assert_array_equal(demos.rewards, demos.dones)
    for episode in range(2):
        path = cube(demos.obs[demos.episode == episode])
        assert np.all(np.abs(path[0] - START) <= 0.0101)
        assert np.linalg.norm(path[-1] - GOAL) < 0.08 and path[:, 2].max() > 0.1  # one step before: lifted, and across


def test_other_environments_are_tasks_without_a_demonstrator():
    env = envs.make('ogbench:pointmaze-medium-v0', workers=1)
    assert (env.horizon, env.obs_keys, env.action_size) == (1000, (('obs', 2),), 2)
    assert env.operators() == {} and env.env_args()['env_name'] == 'pointmaze-medium-singletask-task1-v0'


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('cube-single-v1', {}, "'cube-single-v1' is none of the single tasks: antmaze-giant-v0, .*, scene-v0$"),
        ('visual-cube-single-v0', {}, "'visual-cube-single-v0' is none of the single tasks"),
        ('cube-single-v0', {'task': 6}, 'ogbench:cube-single-v0: task=6 must be one of 1 to 5$'),
        ('cube-single-v0', {'goal': 1}, 'goal'),
    ],
)
def test_unknown_environments_tasks_and_settings_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message) as refusal:
        envs.make(f'ogbench:{name}', workers=1, **settings)
    assert '\n' not in str(refusal.value)
