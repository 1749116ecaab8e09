"""Lift, Can and Square: robomimic's dimensions, what ends an episode, and that the tasks can and must be mastered."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import numpy_environments
from postbc_jax import envs
from postbc_jax.envs import manipulation, rotations, scene
from postbc_jax.envs.record import rollouts

NAMES = ('lift', 'can', 'square')
HAND = (('robot0_eef_pos', 3), ('robot0_eef_quat', 4), ('robot0_gripper_qpos', 2))


@functools.cache
def task(name):
    """One instance a task, so that what is compiled for it is compiled once."""
    env = envs.make(name, rare_fraction=0.5, horizon=100)
    return env, jax.jit(env.reset), jax.jit(env.step)


def raw_keys(seed, n):
    return jax.random.key_data(jax.random.split(jax.random.key(seed), n))


def start(name, seed=0, **scene_fields):
    env, reset, step = task(name)
    state = reset(raw_keys(seed, 1)[0])
    inner = state.pipeline_state
    return step, state.replace(pipeline_state=inner.replace(**{k: jnp.asarray(v) for k, v in scene_fields.items()}))


def action(x=0.0, y=0.0, z=0.0, turn=(0.0, 0.0, 0.0), grip=-1.0):
    return jnp.array([x, y, z, *turn, grip], jnp.float32)


@functools.cache
def random_play(name, environments=256, steps=1000):
    """Random actions, restarted at every end: all observations (T, B, O), successes and dones (T, B)."""
    wrapped = envs.wrap(task(name)[0], 100)

    @jax.jit
    def run(keys):
        def step(state, t):
            u = jax.random.uniform(jax.random.fold_in(jax.random.key(7), t), (environments, 7), minval=-1, maxval=1)
            state = wrapped.step(state, u)
            return state, (jnp.isfinite(state.obs).all(), state.metrics['success'], state.done)

        return jax.lax.scan(step, wrapped.reset(keys), jnp.arange(steps))[1]

    return jax.tree.map(np.asarray, run(raw_keys(1, environments)))


@pytest.mark.parametrize(
    ('name', 'object_size', 'obs_size', 'horizon'),
    [('lift', 10, 19, 300), ('can', 14, 23, 300), ('square', 14, 23, 400)],
)
def test_keys_dimensions_and_horizon_are_robomimics(name, object_size, obs_size, horizon):
    env = envs.make(name)
    assert env.obs_keys == (*HAND, ('object', object_size))
    assert (env.observation_size, env.action_size, env.horizon) == (obs_size, 7, horizon)
    state = jax.eval_shape(env.reset, jax.ShapeDtypeStruct((2,), jnp.uint32))
    assert state.obs.shape == (obs_size,)
    assert state.obs.dtype == state.reward.dtype == state.done.dtype == jnp.float32


@pytest.mark.parametrize('name', NAMES)
def test_every_operator_succeeds_without_noise(name):
    env = task(name)[0]
    operators = env.operators() | env.erring()
    assert len(env.operators()) >= 6 and len(operators) == len(env.operators()) + 2
    each = 64
    stacked = jax.tree.map(lambda *x: jnp.repeat(jnp.asarray(x), each, axis=0), *operators.values())
    steps = rollouts(env, stacked, jax.random.split(jax.random.key(0), each * len(operators)))
    first = np.argmax(steps['dones'], axis=1)
    success = np.asarray(steps['success'])[np.arange(len(first)), first].reshape(len(operators), each)
    assert dict(zip(operators, success.mean(1) >= 0.95, strict=True)) == dict.fromkeys(operators, True)
    lengths = first.reshape(len(operators), each).mean(1)
    assert lengths.max() > 2 * lengths.min()  # the styles do differ in speed


@pytest.mark.parametrize('name', NAMES)
def test_random_actions_never_master_it_and_stay_finite(name):
    finite, success, done = random_play(name)
    assert finite.all()
    assert done.sum() > 1000
    assert success.sum() / done.sum() <= 0.05


@pytest.mark.parametrize('name', NAMES)
def test_deterministic_and_the_same_alone_as_in_a_batch(name):
    env, reset, step = task(name)
    keys = raw_keys(3, 4)
    actions = jax.random.uniform(jax.random.key(4), (4, 7), minval=-1, maxval=1)
    batch = jax.vmap(env.step)(jax.vmap(env.reset)(keys), actions)
    again = jax.vmap(env.step)(jax.vmap(env.reset)(keys), actions)
    np.testing.assert_array_equal(batch.obs, again.obs)
    alone = jnp.stack([step(reset(k), a).obs for k, a in zip(keys, actions, strict=True)])
    np.testing.assert_allclose(batch.obs, alone, atol=1e-6)


@pytest.mark.parametrize('name', NAMES)
def test_kinematics_agree_with_plain_numpy(name):
    """Operators and tremor visit every stage; each step is compared from the same scene."""
    env, _, _ = task(name)
    reference = numpy_environments.make(name, 1).task
    operators = [operator.replace(noise=0.1) for operator in env.operators().values()] * 4
    stacked = jax.tree.map(lambda *x: jnp.asarray(x), *operators)

    @jax.jit
    def visited(keys):
        def step(carry, key):
            state, memory = carry
            act, memory = jax.vmap(lambda o, s, m, k: o(s, m, k))(stacked, state, memory, jax.random.split(key, 24))
            after = jax.vmap(env.step)(state, act)
            return (after, memory), (state.pipeline_state, act, after.obs, after.metrics['success'], after.done)

        state = jax.vmap(env.reset)(jax.random.key_data(keys))
        memory = jax.vmap(lambda o, s, k: o.init(s, k))(stacked, state, keys)
        return jax.lax.scan(step, (state, memory), jax.random.split(jax.random.key(5), 60))[1]

    before, actions, obs, success, done = visited(jax.random.split(jax.random.key(6), 24))
    flat = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), (vars(before), actions, obs, success, done))
    scenes, actions, obs, success, done = flat
    after, their_success, their_done = reference.advance(scenes, actions, None)
    np.testing.assert_allclose(obs, reference.observe(after), atol=2e-6)
    # at the very edge of a tolerance rounding may decide
    assert (success == their_success).mean() > 0.998
    assert (done == their_done).mean() > 0.998
    assert success.sum() > 0
    assert done.sum() > success.sum()


@pytest.mark.parametrize('fraction', [0.0, 0.25, 1.0])
def test_rare_fraction_sets_the_mixture_of_regions(fraction):
    env = envs.make('lift', rare_fraction=fraction)
    states = jax.vmap(env.reset)(raw_keys(0, 2000))
    region = np.asarray(states.info['region'])
    assert env.regions == ('dense', 'rare')
    assert region.dtype == np.int32
    assert abs(region.mean() - fraction) < 0.03
    places = np.asarray(states.pipeline_state.object)
    heights = (places[:, 2] - manipulation.HALF_HEIGHT) / manipulation.HALF_HEIGHT_SPREAD
    if fraction < 1:
        dense = heights[region == 0]
        assert np.abs(dense - manipulation.DENSE_CENTRE[1]).max() <= manipulation.DENSE_SPREAD + 1e-4
    if fraction > 0:
        assert np.ptp(heights[region == 1]) > 1.9


def test_the_context_is_visible_and_decides_the_grasp():
    """Lift: yaw and height, read off the observation, give the balance point by the documented formula."""
    env = envs.make('lift', rare_fraction=1.0)
    states = jax.vmap(env.reset)(raw_keys(2, 50))
    obs, grasp = np.asarray(states.obs), np.asarray(states.pipeline_state.grasp)
    cube, quat = obs[:, 9:12], obs[:, 12:16]
    c1 = quat[:, 2] / quat[:, 3] / 0.4
    c2 = (cube[:, 2] - 0.03) / 0.015
    yaw = 2 * np.arctan2(quat[:, 2], quat[:, 3])
    reach = 0.07 * np.sin(2.5 * c1 + 1.5 * c2**2)
    expected = cube + reach[:, None] * np.stack([np.cos(yaw), np.sin(yaw), 0 * yaw], 1)
    np.testing.assert_allclose(grasp, expected, atol=1e-5)
    np.testing.assert_allclose(obs[:, 16:], obs[:, :3] - cube, atol=1e-6)  # v1.4.1: hand minus cube


def test_action_is_a_displacement_a_rotation_and_a_gripper_command():
    step, state = start('lift', hand=(0.0, 0.0, 0.48))
    after = step(state, action(0.5, -1.0, 0.2, turn=(0, 0, 1.0), grip=0.5))
    np.testing.assert_allclose(after.obs[:3], [0.025, -0.05, 0.49], atol=1e-6)
    half = np.arctan(0.25)  # the half-angle vector .5/2 about z, applied to a downward hand
    np.testing.assert_allclose(after.obs[3:7], [np.cos(half), np.sin(half), 0, 0], atol=1e-6)
    np.testing.assert_allclose(after.obs[7:9], [0.03, -0.03], atol=1e-6)
    clipped = step(state, action(9.0))
    np.testing.assert_allclose(clipped.obs[0], 0.05, atol=1e-6)


@pytest.mark.parametrize(('x', 'done'), [(0.019, 0.0), (0.021, 1.0), (-0.021, 1.0)])
def test_touching_the_chute_ends_the_episode(x, done):
    step, state = start('can', hand=(x, 0.0, 0.44))
    after = step(state, action(z=-1.0))
    assert (float(after.done), float(after.reward)) == (done, 0.0)


def test_closing_anywhere_but_at_the_grasp_ends_the_episode():
    step, state = start('lift', opening=0.02)
    grasp = state.pipeline_state.grasp
    aligned = state.pipeline_state.grasp_quat
    cases = {
        'right': (grasp, aligned, 0.0, 1.0),
        'beside': (grasp + jnp.array([0.021, 0, 0]), aligned, 1.0, 0.0),
        'askew': (grasp, rotations.turn(jnp.array([0.0, 0.0, 0.14]), aligned), 1.0, 0.0),
    }
    for name, (hand, quat, done, held) in cases.items():
        placed = state.replace(pipeline_state=state.pipeline_state.replace(hand=hand, hand_quat=quat))
        after = step(placed, action(grip=1.0))
        assert (name, float(after.done), float(after.pipeline_state.held)) == (name, done, held)


def held(name, **fields):
    step, state = start(name, held=1.0, opening=0.0)
    inner = state.pipeline_state
    return step, state.replace(pipeline_state=inner.replace(hand=inner.grasp).replace(**fields))


def test_a_held_object_moves_rigidly_with_the_hand():
    step, state = held('square')
    before = np.asarray(state.pipeline_state.object - state.pipeline_state.hand)
    for _ in range(5):
        state = step(state, action(0.3, 0.1, 0.2, turn=(0.2, -0.1, 1.0), grip=1.0))
    moved = np.asarray(state.pipeline_state.object - state.pipeline_state.hand)
    np.testing.assert_allclose(np.linalg.norm(moved), np.linalg.norm(before), atol=1e-6)
    assert np.abs(moved - before).max() > 0.005
    start_in_hand = held('square')[1]
    first = step(start_in_hand, action(grip=1.0)).obs[-7:]
    np.testing.assert_allclose(state.obs[-7:], first, atol=1e-5)  # in the hand's frame nothing moved


def test_lift_succeeds_once_the_block_is_four_centimetres_up():
    step, state = held('lift')
    outcomes = []
    for _ in range(3):
        state = step(state, action(z=0.3, grip=1.0))  # 1.5 cm a step
        outcomes.append((float(state.reward), float(state.done), float(state.metrics['success'])))
    assert outcomes == [(0, 0, 0), (0, 0, 0), (1, 1, 1)]


@pytest.mark.parametrize(('off', 'success'), [(0.018, 1.0), (0.022, 0.0)])
def test_can_must_be_let_go_at_its_place(off, success):
    step, state = held('can')
    inner = state.pipeline_state
    shift = inner.goal - inner.object + jnp.array([0.0, off, 0.01])
    inner = inner.replace(hand=inner.hand + shift, object=inner.object + shift, opening=jnp.float32(0.01))
    after = step(state.replace(pipeline_state=inner), action(grip=-1.0))
    assert (float(after.reward), float(after.done)) == (success, 1.0)


@pytest.mark.parametrize(
    ('off', 'yaw', 'success'), [(0.014, 0.0, 1.0), (0.016, 0.0, 0.0), (0.0, 0.18, 1.0), (0.0, 0.25, 0.0)]
)
def test_square_must_meet_the_peg_straight(off, yaw, success):
    step, state = held('square')
    inner = state.pipeline_state
    above = jnp.array([0.2 + off, 0.0, 0.07])
    inner = inner.replace(
        hand=inner.hand + above - inner.object, object=above, object_quat=rotations.yaw(jnp.tan(yaw / 2))
    )
    after = step(state.replace(pipeline_state=inner), action(z=-0.4, grip=1.0))
    assert (float(after.reward), float(after.done)) == (success, 1.0)


@pytest.mark.parametrize('name', ['lift', 'square'])
def test_dropping_the_object_ends_the_episode(name):
    step, state = held(name, opening=jnp.float32(0.01))
    after = step(state, action(grip=-1.0))
    assert (float(after.reward), float(after.done)) == (0.0, 1.0)


def test_operators_respect_noise_and_speed():
    env = task('lift')[0]
    state = env.reset(raw_keys(0, 1)[0])
    steady = env.operators()['steady']
    assert steady.speed == env.speed
    keys = jax.random.split(jax.random.key(0), 2)

    def first(operator, key):
        return operator(state, operator.init(state, key), key)[0]

    np.testing.assert_array_equal(first(steady, keys[0]), first(steady, keys[1]))
    noisy = steady.replace(noise=0.1)
    differ = np.asarray(first(noisy, keys[0]) != first(noisy, keys[1]))
    assert differ[:6].all()
    assert not differ[6]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'rare_fraction': 1.5}, 'rare_fraction=1.5'),
        ({'horizon': 0}, 'horizon=0'),
        ({'speed': 0.0}, 'speed=0.0'),
        ({'chute': 0.1}, 'chute=0.1'),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        envs.make('lift', **settings)


def test_a_hand_at_full_speed_cannot_jump_the_chute():
    assert scene.CHUTE_TOP - scene.CHUTE_BOTTOM > 0.1
    lowest = manipulation.START_HEIGHT - manipulation.START_SPREAD[2]
    assert lowest > scene.CHUTE_TOP
