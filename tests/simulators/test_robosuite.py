"""robosuite's tasks as simulators: against robosuite itself, the poses of its physics, and themselves played again."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from postbc_jax.simulators import robosuite as simulators
from postbc_jax.simulators import robosuite_layout as layouts

pytest.importorskip('robosuite', reason='robosuite is an extra: make install-robosuite')

TASKS = {'Lift': 10, 'PickPlaceCan': 14, 'NutAssemblySquare': 14}


@pytest.fixture(scope='module')
def made():
    return {task: simulators.make(task) for task in TASKS}


def actions(steps, seed=0):
    """Random ones that go down, so that things are touched."""
    drawn = np.random.default_rng(seed).uniform(-1, 1, (steps, 7)) - [0, 0, 0.4, 0, 0, 0, 0]
    return np.clip(drawn, -1, 1).astype(np.float32)


def play(simulator, seed, played):
    first = simulator.reset(seed)
    return np.stack([first, *(simulator.step(action).obs for action in played)])


def joints(env):
    return np.concatenate([env.sim.data.qpos, env.sim.data.qvel])


@pytest.mark.parametrize('task', TASKS)
def test_the_spec_is_robomimics(made, task):
    spec = made[task].spec
    assert spec.obs_keys == tuple(zip(layouts.KEYS, (3, 4, 2, TASKS[task]), strict=True))
    assert spec.action_low == (-1.0,) * 7 and spec.action_high == (1.0,) * 7
    assert spec.horizon == {'Lift': 300, 'PickPlaceCan': 300, 'NutAssemblySquare': 400}[task]
    said = json.loads(json.dumps(spec.env_args))
    assert (said['env_name'], said['env_version'], said['type']) == (task, '1.5.2', 1)
    assert said['env_kwargs']['controller_configs']['type'] == 'OSC_POSE'
    assert layouts.from_env_args(said) == {'id': task, 'arguments': layouts.ARGUMENTS, 'layout': '1.4.1'}


@pytest.mark.parametrize('task', TASKS)
def test_equal_seeds_and_actions_give_equal_episodes_whatever_was_played_before(made, task):
    one, other = made[task], simulators.make(task)
    played = actions(25)
    first = play(one, 5, played)
    at = joints(one.env)
    play(other, 9, actions(11, seed=1))  # ends elsewhere, in the middle of everything
    np.testing.assert_array_equal(play(other, 5, played), first)
    np.testing.assert_array_equal(joints(other.env), at)
    np.testing.assert_array_equal(play(one, 5, played), first)
    assert first.dtype == np.float32


@pytest.mark.parametrize('task', TASKS)
def test_a_seed_decides_where_the_hand_and_the_object_start(made, task):
    starts = np.stack([made[task].reset(seed) for seed in range(8)])
    assert len(np.unique(starts[:, 0])) == len(np.unique(starts[:, 9])) == 8
    assert np.ptp(starts[:, 9:11], axis=0).max() > 0.02


def test_the_physics_is_robosuites_own_without_what_only_a_camera_sees(made):
    ours = made['PickPlaceCan']
    robosuite = simulators._robosuite()
    theirs = robosuite.make('PickPlaceCan', robots='Panda', **layouts.FIXED)
    theirs.rng.bit_generator.state = np.random.default_rng(3).bit_generator.state
    theirs.reset()
    ours.reset(3)
    for action in actions(20):
        observed, *_ = theirs.step(action.astype(np.float64))
        found = ours.step(action)
    # Deltas along the world's axes, as in 1.4, and along the base's, as its own controller has them, are the same ones.
    np.testing.assert_allclose(joints(ours.env), joints(theirs), atol=1e-9)
    np.testing.assert_allclose(found.obs[:3], observed['robot0_eef_pos'], atol=1e-7)
    sizes = [env.sim.model._model.nbuffer for env in (ours.env, theirs)]
    assert sizes[0] < sizes[1] / 10


@pytest.mark.parametrize('task', TASKS)
def test_object_is_laid_out_as_in_1_4_from_the_poses_of_the_simulation(made, task):
    simulator = made[task]
    found = play(simulator, 2, actions(6))[-1]
    # Observations are of the positions that the last of a step's 25 substeps began with.
    data, model = simulator.env.sim.data, simulator.env.sim.model
    body = model.body_name2id({'Lift': 'cube_main', 'PickPlaceCan': 'Can_main'}.get(task, 'SquareNut_main'))
    hand = model.body_name2id('robot0_right_hand')
    site = data.site_xpos[model.site_name2id('gripper0_right_grip_site')]
    turn, hand_turn = (Rotation.from_matrix(data.body_xmat[i].reshape(3, 3)) for i in (body, hand))
    position = data.body_xpos[body]
    np.testing.assert_allclose(found[:3], site, atol=1e-6)
    assert (hand_turn.inv() * Rotation.from_quat(found[3:7])).magnitude() < 1e-6
    np.testing.assert_allclose(found[9:12], position, atol=1e-6)
    assert (turn.inv() * Rotation.from_quat(found[12:16])).magnitude() < 1e-6
    if task == 'Lift':
        np.testing.assert_allclose(found[16:], site - position, atol=1e-6)
        assert found[18] > 0.05  # the hand is above the cube
        return
    np.testing.assert_allclose(found[16:19], hand_turn.inv().apply(position - site), atol=1e-6)
    assert ((hand_turn.inv() * turn).inv() * Rotation.from_quat(found[19:])).magnitude() < 1e-6
    assert found[18] > 0.05  # the hand points down at it


def test_the_layout_of_1_5_is_the_simulators_own_vector():
    simulator = simulators.make('PickPlaceCan', obs_keys=['object-state', 'object'], layout='1.5.2')
    found = play(simulator, 2, actions(3))
    np.testing.assert_array_equal(found[:, :14], found[:, 14:])
    assert np.all(found[0, :7] == 0)  # robosuite computes the hand's half before the object's


@pytest.mark.parametrize(('height', 'success'), [(0.85, False), (0.855, True)])
def test_lift_succeeds_where_the_cube_is_4_cm_above_the_table(made, height, success):
    simulator = made['Lift']
    simulator.reset(0)
    simulator.env.sim.data.set_joint_qpos('cube_joint0', [0.15, 0.1, height, 1, 0, 0, 0])
    step = simulator.step(np.zeros(7, np.float32))  # in whose 50 ms it falls by 1.2 cm; the table is at 0.8 m
    assert (step.success, step.reward) == (success, float(success))
    assert not step.terminated and not step.truncated


@pytest.mark.parametrize('axis', range(3))
def test_an_action_moves_the_hand_along_the_worlds_axes(made, axis):
    simulator = made['Lift']
    start = simulator.reset(1)[:3]
    for _ in range(5):
        action = np.zeros(7, np.float32)
        action[axis] = 0.5
        found = simulator.step(action).obs[:3]
    moved = found - start
    assert moved[axis] > 0.02 and np.abs(np.delete(moved, axis)).max() < moved[axis] / 2


def test_a_files_controller_is_obeyed():
    published = {'env_name': 'Lift', 'env_version': '1.4.1', 'type': 1, 'env_kwargs': dict(layouts.ARGUMENTS)}
    soft = layouts.ARGUMENTS['controller_configs'] | {'kp': 40, 'damping': 1.5}
    softer = published | {'env_kwargs': layouts.ARGUMENTS | {'controller_configs': soft, 'control_freq': 10}}
    own, same, other = (
        simulators.make('Lift'),
        simulators.make(**layouts.from_env_args(published)),
        simulators.make(**layouts.from_env_args(softer)),
    )
    played = actions(5)
    np.testing.assert_array_equal(play(own, 4, played), play(same, 4, played))
    controller = other.env.robots[0].part_controllers['right']
    np.testing.assert_allclose(controller.kp, 40)
    np.testing.assert_allclose(controller.kd, 2 * np.sqrt(40) * 1.5)
    assert other.env.control_freq == 10
    assert np.abs(play(other, 4, played) - play(own, 4, played)).max() > 0.01


def test_other_tasks_and_observables_by_name():
    simulator = simulators.make('Stack', obs_keys=['robot0_eef_pos', 'cubeA_pos'])
    assert simulator.spec.obs_keys == (('robot0_eef_pos', 3), ('cubeA_pos', 3))
    assert simulator.spec.horizon is None and simulator.reset(0).shape == (6,)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'id': 'Juggle'}, 'robosuite:Juggle: robosuite 1.5.2 has no such task; there are Lift,'),
        ({'id': 'Stack'}, 'the layout of `object` is known for Lift, PickPlaceCan, NutAssemblySquare alone'),
        ({'id': 'Lift', 'arguments': {'speed': 2}}, "arguments has 'speed'; robosuite 1.5.2 takes base_types"),
        ({'id': 'Lift', 'arguments': {'robots': ['R2D2']}}, r"robots=\['R2D2'\]: there are"),
        ({'id': 'Lift', 'layout': '1.3'}, 'robosuite:Lift, layout: how robosuite 1.3 lays out'),
        ({'id': 'Lift', 'obs_keys': ['cube']}, "obs_keys has 'cube'; its observables are robot0_joint_pos"),
        (
            {'id': 'Lift', 'arguments': {'controller_configs': {'type': 'OSC_POSE', 'control_delta': False}}},
            'only deltas',
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(settings, message):
    with pytest.raises(ValueError, match=message) as refusal:
        simulators.make(**settings)
    assert '\n' not in str(refusal.value)


def test_a_robosuite_that_was_not_checked_is_refused(monkeypatch):
    monkeypatch.setattr(layouts, 'SIMULATED', ('1.9.0',))
    with pytest.raises(ValueError, match='robosuite 1.5.2 is installed.*known: 1.9.0: make install-robosuite'):
        simulators.make('Lift')


def test_nothing_is_printed(start_python):
    process = start_python("from postbc_jax.simulators import robosuite; robosuite.make('Lift').reset(0)")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, '', '')
