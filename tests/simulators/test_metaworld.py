"""Meta-World through the adapter, against Meta-World itself, and its scripted policies as demonstrators."""

import jax
import numpy as np
import pytest

from postbc_jax import envs
from postbc_jax.envs.pool import seed

pytest.importorskip('metaworld', reason="Meta-World is an extra: pip install 'postbc_jax[metaworld]'")


def make(task):
    from postbc_jax.simulators import metaworld

    return metaworld.make(task)


def test_an_episode_is_metaworlds_own():
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    env = envs.make('metaworld:push-v3', workers=1, sparse=False)
    assert (env.horizon, env.observation_size, env.action_size) == (500, 39, 4)
    key = jax.random.key_data(jax.random.key(3))
    actions = 1.5 * jax.random.normal(jax.random.key(4), (20, 4))  # some are beyond the bounds of 1
    theirs = ALL_V3_ENVIRONMENTS['push-v3']()
    theirs._partially_observable, theirs._set_task_called = False, True
    del theirs.sawyer_observation_space  # computed for a goal that is hidden
    theirs._freeze_rand_vec, theirs.seeded_rand_vec = False, True
    theirs.seed(seed(np.asarray(key)))
    state, (obs, _) = env.reset(key), theirs.reset()
    np.testing.assert_array_equal(state.obs, obs.astype(np.float32))
    step, rewards = jax.jit(env.step), set()
    for action in actions:
        state = step(state, action)
        obs, reward, *_ = theirs.step(np.clip(np.asarray(action), -1, 1))
        np.testing.assert_array_equal(state.obs, obs.astype(np.float32))
        np.testing.assert_allclose(state.reward, reward, rtol=1e-6)
        rewards.add(reward)
    assert len(rewards) > 10
    np.testing.assert_array_equal(state.obs[36:], theirs._target_pos.astype(np.float32))


def rollout(simulator, start, actions):
    return np.stack([simulator.reset(start), *(simulator.step(action).obs for action in actions)])


@pytest.mark.parametrize('task', ['drawer-open-v3', 'pick-place-v3'])
def test_the_seed_is_the_episode_whatever_was_played_before(task):
    simulator = make(task)
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4)).astype(np.float32)
    first = rollout(simulator, 7, actions)
    other = rollout(simulator, 8, actions)
    simulator.act('scripted')
    np.testing.assert_array_equal(rollout(simulator, 7, actions), first)
    np.testing.assert_array_equal(rollout(make(task), 7, actions), first)
    assert not np.array_equal(first[0, 36:], other[0, 36:])  # another goal


@pytest.mark.parametrize('task', ['reach-v3', 'button-press-v3'])
def test_the_scripted_policy_succeeds(task):
    simulator = make(task)
    simulator.reset(3)
    actions, success = [], False
    while not success and len(actions) < 200:
        actions.append(simulator.act('scripted'))
        success = simulator.step(actions[-1].astype(np.float32)).success
    assert success and len(actions) > 10 and np.max(np.abs(actions)) == 1


def test_success_is_to_be_at_the_goal_and_the_limit_is_the_adapters():
    simulator = make('reach-v3')
    simulator.reset(3)
    still = [simulator.step(np.zeros(4, np.float32)) for _ in range(510)]
    assert not any(step.success or step.truncated or step.terminated for step in still)
    while not (step := simulator.step(simulator.act('scripted').astype(np.float32))).success:
        pass
    hand, goal = step.obs[:3], step.obs[36:]
    # Meta-World's 5 cm are of the finger tips, 4.5 cm below what it observes as the hand.
    assert np.linalg.norm(hand - goal) < 0.1 < np.linalg.norm(still[-1].obs[:3] - goal)


def test_it_demonstrates_on_the_host():
    env = envs.make('metaworld:reach-v3', workers=1, at_once=2, horizon=80)
    demos = envs.record(env, env.operators(), 2, jax.random.key(0), noise=0.1)
    assert demos.operators == ('scripted', 'scripted') and dict(demos.obs_keys)['goal'] == 3
    assert demos.env_args and env.env_args()['env_name'] == 'reach-v3'
    np.testing.assert_array_equal(demos.rewards, demos.dones)
    goals = [np.unique(demos.obs[demos.episode == episode, 36:], axis=0) for episode in range(2)]
    assert [len(goal) for goal in goals] == [1, 1] and not np.array_equal(*goals)


@pytest.mark.parametrize('name', ['rech-v3', 'reach-v2', 'reach-v3-goal-observable', ''])
def test_unknown_tasks_are_refused_in_one_line(name):
    message = f"^metaworld:{name}: Meta-World has no task '{name}'; it has assembly-v3, .*, window-close-v3$"
    with pytest.raises(ValueError, match=message) as refusal:
        envs.make(f'metaworld:{name}', workers=1)
    assert '\n' not in str(refusal.value)
