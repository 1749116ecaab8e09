"""HostEnv on a clockwork simulator: hand-worked numbers, purity, and one callback for the whole batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import State

from postbc_jax import envs
from postbc_jax.envs.host import HostEnv
from postbc_jax.envs.pool import seed
from postbc_jax.envs.wrappers import UNUSED

CLOCKWORK = 'tests.simulators.clockwork'


def clockwork(horizon=None, sparse=True, at_once=4, workers=2, timeout=60.0, **settings):
    return HostEnv('clockwork', CLOCKWORK, settings, None, horizon, sparse, at_once, workers, timeout)


def raw_keys(*shape, seed=0):
    keys = jax.random.split(jax.random.key(seed), int(np.prod(shape)))
    return jax.random.key_data(keys).reshape(*shape, 2)


def test_it_says_what_the_simulator_says():
    env = clockwork()
    assert (env.observation_size, env.action_size, env.horizon) == (4, 2, 20)
    assert env.obs_keys == (('start', 1), ('clock', 3)) and env.env_args()['env_name'] == 'Clockwork'
    assert clockwork(horizon=7).horizon == 7


def test_a_step_is_the_simulators_with_the_action_clipped_to_its_bounds():
    env = clockwork(sparse=False)
    key = raw_keys(1)[0]
    start = env.reset(key)
    first = env.step(start, jnp.array([0.25, -0.5]))
    second = env.step(first, jnp.array([5.0, -5.0]))  # clipped to 1, -2
    number = seed(np.asarray(key)) % 1000
    np.testing.assert_array_equal(start.obs, [number, 0, 0, 0])
    np.testing.assert_array_equal(first.obs, [number, 1, -0.25, 0])
    np.testing.assert_array_equal(second.obs, [number, 2, -1.25, 0])
    assert (second.reward, second.done, second.metrics['success']) == (0.5, 0, 0)


@pytest.mark.parametrize(
    ('settings', 'done', 'success', 'truncated'),
    [
        ({'succeed_at': 2}, 1, 1, 0),
        ({'end_at': 2}, 1, 0, 0),
        ({'cut_at': 2}, 1, 0, 1),
        ({'cut_at': 2, 'end_at': 2}, 1, 0, 0),
        ({}, 0, 0, 0),
    ],
)
def test_how_an_episode_ends(settings, done, success, truncated):
    env = clockwork(workers=1, **settings)
    state = env.reset(raw_keys(1)[0])
    for _ in range(2):
        state = env.step(state, jnp.zeros(2))
    ended = state.done, state.metrics['success'], state.info['truncated']
    assert ended == (done, success, truncated) and state.reward == success
    frozen = env.step(state, jnp.ones(2))
    if done:
        assert jax.tree.all(jax.tree.map(np.array_equal, frozen.replace(reward=state.reward), state))
        assert frozen.reward == 0


def test_a_time_out_and_the_simulators_own_cut_are_both_truncations():
    for settings, horizon in (({}, 3), ({'cut_at': 3}, 10)):
        env = envs.wrap(clockwork(workers=1, **settings), horizon)
        state = env.reset(raw_keys(2))
        for _ in range(3):
            state = env.step(state, jnp.ones((2, 2)))
        np.testing.assert_array_equal(state.done, 1)
        np.testing.assert_array_equal(state.info['truncation'], 1)
        np.testing.assert_array_equal(state.info['final_obs'][:, 1], 3)
        np.testing.assert_array_equal(state.obs[:, 1], 0)  # the next episodes
    env = envs.wrap(clockwork(workers=1, end_at=3), 10)
    state = env.reset(raw_keys(2))
    for _ in range(3):
        state = env.step(state, jnp.ones((2, 2)))
    np.testing.assert_array_equal((state.done, state.info['truncation']), ([1, 1], [0, 0]))


def test_a_chunk_is_its_actions_one_by_one():
    env = clockwork(sparse=False, end_at=6)
    chunked = envs.PlayChunks(env, 4)
    actions = jax.random.normal(jax.random.key(1), (2, 4, 2))
    state = chunked.reset(raw_keys(1)[0])
    one = env.reset(raw_keys(1)[0])
    played, reward = [], []
    for chunk in actions:
        state = chunked.step(state, chunk.ravel())
        played.append(int(state.info['played']))
        reward.append(float(state.reward))
        for action in chunk:
            one = env.step(one, action)
    assert played == [4, 2] and reward == [2.0, 1.0] and state.done == 1
    np.testing.assert_array_equal(state.obs, one.obs)
    np.testing.assert_array_equal(state.pipeline_state.digest, one.pipeline_state.digest)


def unroll(env, keys, actions):
    """actions (steps, ..., A): all states' obs, and the last state."""

    def step(state, action):
        state = env.step(state, action)
        return state, state.obs

    for _ in range(keys.ndim - 1):
        env = type('Batch', (), {'reset': jax.vmap(env.reset), 'step': jax.vmap(env.step)})
    return jax.lax.scan(step, env.reset(keys), actions)


def test_a_batch_is_one_callback_a_step_and_equals_its_rows(monkeypatch):
    env = clockwork(draws=True)
    calls = []
    play = env.pool.play
    monkeypatch.setattr(env.pool, 'play', lambda *a, **k: calls.append(len(a[0])) or play(*a, **k))
    keys, actions = raw_keys(3, 2), jax.random.normal(jax.random.key(1), (5, 3, 2, 2))
    _, obs = jax.jit(functools.partial(unroll, env))(keys, actions)
    assert calls == [6] * 5
    for i in range(3):
        for j in range(2):
            _, alone = unroll(env, keys[i, j], actions[:, i, j])
            np.testing.assert_array_equal(obs[:, i, j], alone)
    assert len(np.unique(obs[..., 3])) == obs[..., 3].size  # every episode draws its own numbers


def test_an_episode_goes_on_from_its_state_in_new_processes():
    keys, actions = raw_keys(5), jax.random.normal(jax.random.key(1), (8, 5, 2))
    _, whole = unroll(clockwork(draws=True), keys, actions)
    state, _ = unroll(clockwork(draws=True), keys, actions[:4])
    other = clockwork(draws=True, workers=1)
    _, rest = jax.lax.scan(lambda s, a: (lambda n: (n, n.obs))(jax.vmap(other.step)(s, a)), state, actions[4:])
    np.testing.assert_array_equal(rest, whole[4:])


def test_two_futures_of_one_start_are_two_episodes():
    env = clockwork()
    start = env.reset(raw_keys(1)[0])
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (3, *x.shape)), start)
    after = jax.vmap(env.step)(many, jnp.array([[0.0, 1], [0, 2], [1, 0]]))
    after = jax.vmap(env.step)(after, jnp.array([[1.0, 1], [1, 1], [1, 1]]))
    np.testing.assert_array_equal(after.obs[:, 2], [3, 4, 3])


def test_an_evaluation_between_leaves_the_training_as_it_was(monkeypatch):
    env = clockwork(workers=1)
    state = jax.vmap(env.reset)(raw_keys(4))
    state = jax.vmap(env.step)(state, jnp.ones((4, 2)))
    for wave in range(3):
        unroll(env, raw_keys(4, seed=wave + 1), jnp.ones((20, 4, 2)))
    sent = []
    ask = env.pool._ask
    monkeypatch.setattr(env.pool, '_ask', lambda r, q: sent.extend(f[2] for f, _ in q.values()) or ask(r, q))
    state = jax.vmap(env.step)(state, jnp.ones((4, 2)))
    assert sent == [False] * 4  # nothing had to be played again
    np.testing.assert_array_equal(state.obs[:, 1], 2)


def test_rows_that_go_on_are_not_reset():
    env = clockwork()
    keys = jnp.stack([raw_keys(1)[0], jnp.asarray(UNUSED)])
    state = jax.vmap(env.reset)(keys)
    np.testing.assert_array_equal(state.obs[:, 0], [seed(np.asarray(keys[0])) % 1000, 0])
    assert len(env.pool.slots.holds) == 1


def test_its_own_operator_acts_with_noise():
    env = clockwork(succeed_at=3)
    operator, still = env.operators().values()
    state = env.step(env.reset(raw_keys(1)[0]), jnp.zeros(2))
    action, _ = operator(state, operator.init(state, jax.random.key(0)), jax.random.key(0))
    np.testing.assert_array_equal(action, [0.25, 1])
    np.testing.assert_array_equal(still(state, (), jax.random.key(0))[0], [0, 0])
    noisy, _ = operator.replace(noise=0.1)(state, (), jax.random.key(0))
    np.testing.assert_allclose(noisy - action, 0.1 * jax.random.normal(jax.random.key(0), (2,)), atol=1e-6)

    demos = envs.record(env, env.operators(), 6, jax.random.key(0))
    assert demos.operators == ('steady', 'still') * 3
    steady = [[0.25, t] for t in (0, 1, 1)]  # record clips to [-1, 1]
    np.testing.assert_array_equal(demos.actions, (steady + [[0, 0]] * 3) * 3)


def test_the_state_is_a_brax_state_of_arrays():
    state = clockwork().reset(raw_keys(1)[0])
    assert isinstance(state, State) and all(isinstance(x, jax.Array) for x in jax.tree.leaves(state))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'horizon': 0}, 'clockwork: horizon=0 must be at least 1'),
        ({'at_once': 0}, 'clockwork: at_once=0 must be at least 1'),
        ({'timeout': 0.0}, 'clockwork: timeout=0.0 must be above 0 seconds'),
        ({'fault': 'refuse'}, 'clockwork: fault=refuse is refused'),
        ({'colour': 'red'}, "clockwork: TypeError: .*unexpected keyword argument 'colour'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        clockwork(**settings)
