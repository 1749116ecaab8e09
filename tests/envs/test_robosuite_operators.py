"""The scripted operators of robosuite's tasks: what they decide, by hand, and that they succeed in the simulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import State
from scipy.spatial.transform import Rotation

from postbc_jax import envs
from postbc_jax.envs import robosuite
from postbc_jax.envs.operators import CLOSE, HOVER, LOWER, OVER, RAISE, REACH, RELEASE, RETREAT
from postbc_jax.simulators import robosuite_layout as layouts

TASKS = tuple(layouts.OBJECTS)
DOWN = Rotation.from_quat([1.0, 0, 0, 0])
KEY = jax.random.key(0)


def seen(hand=(0.0, 0, 1), hand_yaw=0.0, gap=0.08, object=(0.0, 0, 0.83), yaw=0.0):
    """The state of a downward hand and an upright object, yaws in degrees."""
    quats = Rotation.from_euler('z', hand_yaw, degrees=True) * DOWN, Rotation.from_euler('z', yaw, degrees=True)
    parts = (hand, quats[0].as_quat(), (gap / 2, -gap / 2), object, quats[1].as_quat(), np.zeros(7))
    obs = jnp.array(np.concatenate(parts), jnp.float32)
    return State(None, obs, jnp.zeros(()), jnp.zeros(()))


def at(stage):
    return jnp.int32(stage), jnp.int32(0), jnp.float32(1)


def act(operator, state, stage):
    """The action, and the stage it was taken in."""
    action, (stage, _, _) = operator(state, at(stage), KEY)
    return np.asarray(action), int(stage)


@pytest.mark.parametrize('task', TASKS)
def test_there_are_five_styles_of_one_class(task):
    operators = robosuite.operators(task)
    assert tuple(operators) == ('steady', 'brisk', 'careful', 'sideways', 'crossed')
    assert len({jax.tree.structure(operator) for operator in operators.values()}) == 1
    assert len({tuple(jax.tree.leaves(operator)) for operator in operators.values()}) == 5


@pytest.mark.parametrize(
    ('task', 'style', 'yaw', 'turned'),
    [
        ('Lift', 'steady', 30, 30),
        ('Lift', 'steady', 80, -10),  # a cube is the same after a quarter turn
        ('Lift', 'steady', -170, 10),
        ('Lift', 'crossed', 80, 80),
        ('Lift', 'crossed', -170, 10),
        ('NutAssemblySquare', 'steady', 80, 80),  # a handle after half a turn
        ('NutAssemblySquare', 'steady', 120, -60),
        ('NutAssemblySquare', 'crossed', 120, 120),
        ('PickPlaceCan', 'steady', 120, 0),
        ('PickPlaceCan', 'crossed', 120, np.rad2deg(0.8)),
    ],
)
def test_the_hand_takes_the_orientation_that_grasps_and_is_nearest_to_its_own(task, style, yaw, turned):
    scene = robosuite.operators(task)[style]._see(seen(yaw=yaw))
    expected = Rotation.from_euler('z', turned, degrees=True) * DOWN
    assert (expected.inv() * Rotation.from_quat(scene.grasp_quat)).magnitude() < 1e-3


def test_the_nut_is_grasped_by_its_handle_and_reached_from_its_free_end():
    operator = robosuite.operators('NutAssemblySquare')['sideways']
    for yaw in (0.0, 90.0, 130.0, -100.0):
        scene = operator._see(seen(yaw=yaw))
        out = np.array([np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))])
        np.testing.assert_allclose(scene.grasp[:2], 0.054 * out, atol=1e-6)
        way = operator._move(scene)[HOVER - operator.first] - operator._move(scene)[REACH - operator.first]
        np.testing.assert_allclose(way[:2], 0.05 * out, atol=1e-6)


@pytest.mark.parametrize(
    ('yaw', 'turn'), [(100, -10), (80, 10), (170, 10), (-170, -10), (-100, 10), (-80, -10), (10, 80), (-10, -80)]
)
def test_a_nut_is_squared_with_its_handle_never_away_from_the_robot(yaw, turn):
    operator = robosuite.operators('NutAssemblySquare')['steady']
    scene = operator._see(seen(hand_yaw=20.0, yaw=yaw, gap=0.03))
    half = operator._turn(scene, jnp.int32(OVER))
    np.testing.assert_allclose(half, [0, 0, np.sin(np.deg2rad(turn) / 2)], atol=1e-5)


def test_a_hand_that_closed_on_nothing_opens_and_begins_again():
    operator = robosuite.operators('Lift')['steady']
    holding, empty = seen(hand=(0, 0, 0.825), gap=0.042), seen(hand=(0, 0, 0.825), gap=0.004)
    for stage in (RAISE, OVER, LOWER):
        assert act(operator, empty, stage)[1] == HOVER and act(operator, empty, stage)[0][6] == -1
        assert act(operator, holding, stage)[1] >= stage and act(operator, holding, stage)[0][6] == 1
    assert act(operator, empty, RELEASE)[1] == RELEASE


def test_stages_follow_each_other_where_their_targets_are_reached():
    operator = robosuite.operators('PickPlaceCan')['brisk']
    goal = np.array([operator.goal_x, operator.goal_y, operator.carry])
    assert act(operator, seen(hand=(0.2, 0, 1)), HOVER)[1] == HOVER
    assert act(operator, seen(hand=(0, 0, 0.83 + operator.height + 0.07)), HOVER)[1] == REACH
    assert act(operator, seen(hand=(0, 0, 0.83 + operator.height)), REACH)[1] == CLOSE
    assert act(operator, seen(gap=0.08), CLOSE)[1] == CLOSE
    assert act(operator, seen(gap=0.05), CLOSE)[1] == RAISE
    assert act(operator, seen(gap=0.05, object=goal), RAISE)[1] == OVER
    assert act(operator, seen(gap=0.05, object=goal), OVER)[1] == LOWER
    assert act(operator, seen(gap=0.05, object=(*goal[:2], 0.87)), LOWER)[1] == RELEASE
    action, stage = act(operator, seen(gap=0.07), RELEASE)
    assert stage == RETREAT and action[2] == 1 and action[6] == -1


def test_noise_trembles_motion_and_never_the_gripper():
    operator = robosuite.operators('Lift')['steady']
    still = act(operator, seen(), HOVER)[0]
    keys = jax.random.split(KEY, 200)
    loud = jax.vmap(lambda key: operator.replace(noise=0.1)(seen(), at(HOVER), key)[0])(keys)
    np.testing.assert_allclose((loud - still)[:, :6].std(0), 0.1, rtol=0.25)
    assert np.all(loud[:, 6] == -1)


def test_what_they_cannot_see_is_refused():
    with pytest.raises(ValueError, match='robosuite:Stack: no scripted operators; there are some for Lift,'):
        robosuite.operators('Stack')
    with pytest.raises(ValueError, match='not robot0_eef_pos, object in that of 1.4.1: leave obs_keys'):
        robosuite.operators('Lift', (('robot0_eef_pos', 3), ('object', 10)))
    with pytest.raises(ValueError, match='in the layout of 1.4.1, not .* in that of 1.5.2'):
        robosuite.operators('PickPlaceCan', layout='1.5.2')


@pytest.mark.parametrize(
    ('task', 'horizon', 'styles'),
    [('Lift', 60, None), ('PickPlaceCan', 130, ('brisk',)), ('NutAssemblySquare', 200, ('sideways',))],
)
def test_they_succeed_in_the_simulator(task, horizon, styles):
    pytest.importorskip('robosuite', reason='robosuite is an extra: make install-robosuite')
    env = envs.make(f'robosuite:{task}', horizon=horizon, at_once=5, workers=1)
    operators = {name: operator for name, operator in env.operators().items() if styles is None or name in styles}
    demos = envs.record(env, operators, len(operators), jax.random.key(1), noise=0.02, attempts=1)
    assert demos.operators == tuple(operators) and demos.dones.sum() == len(operators)
    assert demos.obs_keys == tuple((key, size) for key, size in env.obs_keys)
    lengths = dict(zip(demos.operators, np.bincount(demos.episode), strict=True))
    if styles is None:
        assert lengths['brisk'] < lengths['steady'] < lengths['careful']
    # The object was brought up: its height, the third number of `object`.
    for episode in range(len(operators)):
        height = demos.obs[demos.episode == episode, 11]
        assert height.max() > height[5] + 0.01
