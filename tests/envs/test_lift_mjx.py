"""lift_mjx: physics against closed forms and MuJoCo's own C code, what ends an episode, and that it can be mastered.

One compiled step of 48 rows serves all tests; compiling it takes longer than all that is played.
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from postbc_jax import envs
from postbc_jax.envs import gantry

ROWS, EACH = 48, 8
ENV = envs.make('lift_mjx', rare_fraction=0.5)
STEP = jax.jit(jax.vmap(ENV.step))
REST = np.array([0, 0, gantry.RESTING, 1, 0, 0, 0, 0.1, 0.1, 0.2, gantry.OPEN, gantry.OPEN], np.float32)
HOLD = np.array([0, 0, 0, -1], np.float32)


def starts(seed=0):
    return jax.vmap(ENV.reset)(jax.random.key_data(jax.random.split(jax.random.key(seed), ROWS)))


def placed(*poses):
    """A state whose first rows rest at these qpos (12,)."""
    qpos = np.stack([*poses, *[REST] * (ROWS - len(poses))]).astype(np.float32)
    state = starts()
    return state.replace(pipeline_state=jax.vmap(ENV.physics.start)(jnp.asarray(qpos)))


def at(**changes):
    """REST with other cube=(3,), hand=(3,) or fingers=."""
    qpos = REST.copy()
    places = {'cube': slice(3), 'hand': gantry.HAND, 'fingers': gantry.FINGERS}
    for name, value in changes.items():
        qpos[places[name]] = value
    return qpos


def play(state, action, steps):
    for _ in range(steps):
        state = STEP(state, jnp.broadcast_to(jnp.asarray(action, jnp.float32), (ROWS, 4)))
    return state


@pytest.fixture(scope='module')
def lifts():
    """Each of the six operators EACH times: obs, actions, done, success over time (60, 48, ...)."""
    operators = jax.tree.map(lambda *x: jnp.repeat(jnp.asarray(x), EACH, axis=0), *ENV.operators().values())
    keys = jax.random.split(jax.random.key(1), ROWS)
    act = jax.jit(jax.vmap(lambda o, s, m, k: o(s, m, k)))
    state = starts()
    memory, rows = jax.vmap(lambda o, s, k: o.init(s, k))(operators, state, keys), []
    for _ in range(60):
        action, memory = act(operators, state, memory, keys)
        after = STEP(state, action)
        rows.append((state.pipeline_state.qpos, state.obs, action, after.done, after.metrics['success']))
        state = after
    return [np.stack(x) for x in zip(*rows, strict=True)]


def test_every_operator_lifts_without_noise(lifts):
    _, obs, actions, done, success = lifts
    first = done.argmax(0)
    lifted = success[first, np.arange(ROWS)].reshape(-1, EACH)
    assert dict(zip(ENV.operators(), lifted.min(1), strict=True)) == dict.fromkeys(ENV.operators(), 1.0)
    lengths = first.reshape(-1, EACH).mean(1)
    assert lengths.max() > 1.5 * lengths.min()  # the styles do differ in speed
    assert np.isfinite(obs).all() and np.abs(actions).max() <= 1


def test_a_lift_is_the_one_of_mujocos_own_code(lifts):
    """The same actions, played by MuJoCo's C code with its own solver run to the end: the cube takes the same way."""
    qpos, _, actions, done, _ = lifts
    model = mujoco.MjModel.from_xml_string(gantry.MODEL)
    off = []
    for row in range(0, ROWS, EACH):
        data = mujoco.MjData(model)
        data.qpos[:] = qpos[0, row]
        for t in range(done[:, row].argmax()):
            np.testing.assert_allclose(data.qpos[gantry.HAND], qpos[t, row, gantry.HAND], atol=2e-3)
            off.append(np.abs(data.qpos[:3] - qpos[t, row, :3]).max())
            target = data.qpos[gantry.HAND] + ENV.speed * actions[t, row, :3]
            data.ctrl[:3] = np.clip(target, gantry.HAND_LOW, gantry.HAND_HIGH)
            data.ctrl[3:] = gantry.OPEN * (1 - actions[t, row, 3]) / 2
            for _ in range(gantry.STEPS):
                mujoco.mj_step(model, data)
    assert np.median(off) < 1e-5
    assert np.max(off) < 2e-3


def test_random_actions_hardly_ever_lift_and_stay_finite():
    state, random, lifted = starts(2), np.random.default_rng(0), np.zeros(ROWS, bool)
    for _ in range(80):
        near = np.clip((state.obs[:, 9:12] - state.obs[:, :3]) / 0.04, -0.7, 0.7)  # drawn to the cube, to meet it
        action = random.uniform(-1, 1, (ROWS, 4)) + np.pad(near, ((0, 0), (0, 1)))
        state = STEP(state, jnp.asarray(action, jnp.float32))
        lifted |= np.asarray(state.metrics['success']) > 0
        assert np.isfinite(state.obs).all()
        assert np.abs(np.asarray(state.obs[:, 9:12])).max() < 0.3
        np.testing.assert_allclose(np.linalg.norm(state.obs[:, 12:16], axis=1), 1, atol=1e-5)
    assert lifted.mean() <= 0.05


def test_an_untouched_cube_rests_and_a_free_one_falls():
    start = placed(REST, at(cube=(0, 0, 0.9)), at(cube=(0.02, 0, 0.06)))
    after = play(start, HOLD, 5).pipeline_state
    n = 5 * gantry.STEPS
    fallen = 0.9 - 9.81 * gantry.TIME_STEP**2 * n * (n + 1) / 2
    np.testing.assert_allclose(after.qpos[1, :3], [0, 0, fallen], atol=1e-5)
    after = play(start, HOLD, 40).pipeline_state
    for row in (0, 2):  # a dropped one comes to rest too
        np.testing.assert_allclose(after.qpos[row, 2], gantry.RESTING, atol=1e-5)
        np.testing.assert_allclose(after.qvel[row, :6], 0, atol=1e-3)
        np.testing.assert_allclose(after.qpos[row, :2], start.pipeline_state.qpos[row, :2], atol=1e-3)


def test_the_servos_follow_an_action_by_hand():
    action = np.array([1.0, -1.0, 0.1])
    after = play(placed(REST), [*action, 0.2], 1)
    left = ENV.speed * action
    for _ in range(gantry.STEPS):  # 4000 N/m, at most 30 N, and damping that leaves a hand of 1 kg no momentum
        left = left - np.clip(4000 * left, -30, 30) * gantry.TIME_STEP**2 / 1.0
    moved = np.asarray(after.obs[0, :3]) - REST[gantry.HAND]
    np.testing.assert_allclose(moved, ENV.speed * action - left, atol=3e-5)  # the fingers move too, and push back
    rest = play(after, [0, 0, 0, 0.2], 20)
    np.testing.assert_allclose(rest.obs[0, 7:9], [0.016, -0.016], atol=1e-4)  # (1 - .2) / 2 of the opening


def test_a_squeezed_cube_is_held_against_gravity_and_let_go():
    held = play(placed(at(cube=(0, 0.003, gantry.RESTING), hand=(0, 0, 0.02))), [0, 0, 0, 1], 8)
    held = play(held, [0, 0, 1, 1], 2)
    high = play(held, [0, 0, 0, 1], 10)
    assert 0 < held.obs[0, 11] - high.obs[0, 11] < 8e-3 and high.obs[0, 11] > 0.035
    assert abs(high.obs[0, 10] - high.obs[0, 1]) < 1e-3  # the fingers have centred it
    np.testing.assert_allclose(play(high, HOLD, 20).obs[0, 11], gantry.RESTING, atol=2e-3)


def test_what_ends_an_episode():
    cases = {
        'high': (at(cube=(0, 0, 0.08)), 1, 1),  # falls 15 mm in a step and is still more than 4 cm up
        'low': (at(cube=(0, 0, 0.07)), 0, 0),
        'off the table': (at(cube=(0.26, 0, 0.08)), 0, 1),
        'resting': (REST, 0, 0),
        'not finite': (at(cube=(np.nan, 0, 0.02)), 0, 1),
    }
    after = play(placed(*(pose for pose, _, _ in cases.values())), HOLD, 1)
    for row, (name, (_, success, done)) in enumerate(cases.items()):
        found = [float(x[row]) for x in (after.metrics['success'], after.reward, after.done)]
        assert (name, found) == (name, [success, success, done])


def test_physics_that_break_end_the_episode_where_it_was():
    start = play(placed(REST), HOLD, 1)
    after = play(start, [np.nan, 0, 0, 0], 1)
    np.testing.assert_array_equal(after.obs, start.obs)
    assert (after.done == 1).all() and not after.reward.any() and not after.metrics['success'].any()


def test_the_same_key_and_actions_give_the_same_bits(lifts):
    _, obs, actions, *_ = lifts
    state = starts()
    for t in range(30):
        np.testing.assert_array_equal(state.obs, obs[t])
        state = STEP(state, jnp.asarray(actions[t]))


def test_the_observation_is_robomimics_lift():
    env, state = envs.make('lift_mjx'), starts(3)
    assert env.obs_keys == envs.make('lift').obs_keys
    assert (env.observation_size, env.action_size, env.horizon, env.backend) == (19, 4, 80, 'mjx')
    qpos, obs = np.asarray(state.pipeline_state.qpos), np.asarray(state.obs)
    np.testing.assert_array_equal(obs[:, :3], qpos[:, 7:10])
    np.testing.assert_array_equal(obs[:, 3:7], np.tile([1, 0, 0, 0], (ROWS, 1)))
    np.testing.assert_allclose(obs[:, 7:9], np.tile([0.04, -0.04], (ROWS, 1)))
    np.testing.assert_array_equal(obs[:, 9:12], qpos[:, :3])
    np.testing.assert_array_equal(obs[:, 12:16], qpos[:, [4, 5, 6, 3]])  # xyzw
    np.testing.assert_allclose(obs[:, 16:], qpos[:, 7:10] - qpos[:, :3], atol=1e-7)


@pytest.mark.parametrize('fraction', [0.0, 0.25, 1.0])
def test_regions_spread_the_cube(fraction):
    env = envs.make('lift_mjx', rare_fraction=fraction)
    states = jax.vmap(env.reset)(jax.random.key_data(jax.random.split(jax.random.key(0), 2000)))
    region, obs = np.asarray(states.info['region']), np.asarray(states.obs)
    assert abs(region.mean() - fraction) < 0.03 and (env.regions, region.dtype) == (('dense', 'rare'), np.int32)
    for index, (spread, degrees) in enumerate([(0.02, 6), (0.08, 39)]):
        of = obs[region == index]
        if len(of):
            assert 0.95 * spread < np.abs(of[:, 9:11]).max() <= spread
            assert 0.9 * degrees < np.rad2deg(2 * np.arctan2(np.abs(of[:, 14]), of[:, 15])).max() < degrees


def test_operators_take_their_noise_from_the_key():
    state, operator = ENV.reset(jax.random.PRNGKey(0)), ENV.operators()['steady']
    keys = jax.random.split(jax.random.key(0), 2)

    def first(operator, key):
        return np.asarray(operator(state, operator.init(state, key), key)[0])

    np.testing.assert_array_equal(first(operator, keys[0]), first(operator, keys[1]))
    differ = first(operator.replace(noise=0.1), keys[0]) != first(operator.replace(noise=0.1), keys[1])
    np.testing.assert_array_equal(differ, [True, True, True, False])


@pytest.mark.parametrize(
    ('settings', 'message'),
    [({'rare_fraction': -0.1}, 'rare_fraction=-0.1'), ({'horizon': 0}, 'horizon=0'), ({'speed': 0.05}, 'speed=0.05')],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        envs.make('lift_mjx', **settings)


def test_a_population_on_two_devices_plays_as_one_does(run_on_devices):
    """Learners x environments under vmap, vmap and shard_map, restarted at the horizon."""
    code = """
        import json
        import jax, jax.numpy as jnp
        from jax.sharding import PartitionSpec as P
        from postbc_jax import envs, parallel

        env = envs.wrap(envs.make('lift_mjx', horizon=3), 3)

        def learner(key):
            state = env.reset(jax.random.key_data(jax.random.split(key, 2)))
            def step(state, t):
                return env.step(state, jnp.full((2, 4), 0.5)), state.obs
            return jax.lax.scan(step, state, jnp.arange(5))[1]

        mesh = parallel.mesh(2)
        keys = parallel.learner_keys(jax.random.key(0), [0, 1], mesh)
        obs = parallel.gather(parallel.pmap(learner, mesh, (P('learner'),), P('learner'))(keys))
        assert obs.shape == (2, 5, 2, 19), obs.shape
        print(json.dumps([mesh.shape['learner'], obs.tolist()]))
    """
    (devices, two), (device, one) = run_on_devices(2, code), run_on_devices(1, code)
    assert (devices, device) == (2, 1)
    np.testing.assert_allclose(two, one, atol=1e-5)
    starts = np.array(one)[:, [0, 3], :, 9]
    assert len(np.unique(starts)) == starts.size
