"""The layouts of `object` by hand arithmetic, and robomimic's arguments in the terms of robosuite 1.5."""

import numpy as np
import pytest

from postbc_jax.simulators import robosuite_layout as layouts

HALF = np.sqrt(0.5)
PUBLISHED = {
    'env_name': 'PickPlaceCan',
    'env_version': '1.4.1',
    'type': 1,
    'env_kwargs': {
        'has_renderer': False,
        'has_offscreen_renderer': False,
        'ignore_done': True,
        'use_object_obs': True,
        'use_camera_obs': False,
        'control_freq': 20,
        'controller_configs': layouts.ARGUMENTS['controller_configs'],
        'robots': ['Panda'],
        'camera_depths': False,
        'camera_heights': 84,
        'camera_widths': 84,
        'render_gpu_device_id': 0,
        'reward_shaping': False,
    },
}


def seen(name, hand_quat, quat):
    """A hand at (1, 2, 3) and an object at (1.5, 2, 2.75), with parts of 1.5.2 that are none of these."""
    return {
        'robot0_eef_pos': np.array([1.0, 2, 3]),
        'robot0_eef_quat': np.array(hand_quat),
        f'{name}_pos': np.array([1.5, 2, 2.75]),
        f'{name}_quat': np.array(quat),
        f'gripper_to_{name}_pos': np.array([7.0, 8, 9]),
        f'{name}_to_robot0_eef_pos': np.array([4.0, 5, 6]),
        f'{name}_to_robot0_eef_quat': np.array([0.1, 0.2, 0.3, 0.4]),
    }


def test_lifts_gripper_to_cube_is_hand_minus_cube():
    found = layouts.object_of('Lift', '1.4.1', seen('cube', [1.0, 0, 0, 0], [0, 0, HALF, HALF]))
    np.testing.assert_allclose(found, [1.5, 2, 2.75, 0, 0, HALF, HALF, -0.5, 0, 0.25])


@pytest.mark.parametrize(('task', 'name'), [('PickPlaceCan', 'Can'), ('NutAssemblySquare', 'SquareNut')])
def test_what_is_in_the_hands_frame_comes_last(task, name):
    # The hand points down, half a turn about x: y and z change sign. The object is turned a quarter about z.
    found = layouts.object_of(task, '1.4.1', seen(name, [1.0, 0, 0, 0], [0, 0, HALF, HALF]))
    np.testing.assert_allclose(found[:7], [1.5, 2, 2.75, 0, 0, HALF, HALF])
    np.testing.assert_allclose(found[7:10], [0.5, 0, 0.25], atol=1e-12)
    # (-1,0,0,0)(0,0,s,s) = (-s, s, 0, 0): w is 0, so either sign is this rotation.
    np.testing.assert_allclose(found[10:] * np.sign(found[11]), [-HALF, HALF, 0, 0], atol=1e-12)


@pytest.mark.parametrize('sign', [-1, 1])
def test_its_quaternion_has_a_positive_w(sign):
    turned = [0, 0, sign * 0.6, sign * 0.8]
    found = layouts.object_of('PickPlaceCan', '1.4.1', seen('Can', [0, 0, 0, 1.0], turned))
    np.testing.assert_allclose(found[10:], [0, 0, 0.6, 0.8])
    np.testing.assert_allclose(found[3:7], turned)


def test_the_layout_of_1_5_is_the_simulators_own():
    can = layouts.object_of('PickPlaceCan', '1.5.2', seen('Can', [1.0, 0, 0, 0], [0, 0, 0, 1.0]))
    np.testing.assert_allclose(can, [4, 5, 6, 0.1, 0.2, 0.3, 0.4, 1.5, 2, 2.75, 0, 0, 0, 1])
    cube = layouts.object_of('Lift', '1.5.1', seen('cube', [1.0, 0, 0, 0], [0, 0, 0, 1.0]))
    np.testing.assert_allclose(cube[7:], [7, 8, 9])


def test_every_layout_has_every_task_and_the_published_one_is_there():
    assert all(set(layout) == set(layouts.OBJECTS) for layout in layouts.LAYOUTS.values())
    assert layouts.PUBLISHED in layouts.LAYOUTS and set(layouts.SIMULATED) <= set(layouts.LAYOUTS)


def test_a_files_env_args_become_settings_without_displays():
    settings = layouts.from_env_args(PUBLISHED)
    assert settings == {'id': 'PickPlaceCan', 'arguments': layouts.ARGUMENTS, 'layout': '1.4.1'}


def test_the_layout_is_that_of_the_files_version_unless_it_names_one():
    assert layouts.from_env_args(PUBLISHED | {'env_version': '1.5.1'})['layout'] == '1.5.1'
    assert layouts.from_env_args(PUBLISHED | {'env_version': '1.5.2', 'object_layout': '1.4.1'})['layout'] == '1.4.1'
    unsaid = {key: value for key, value in PUBLISHED.items() if key != 'env_version'}
    assert layouts.from_env_args(unsaid)['layout'] == '1.4.1'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'type': 2}, "env_name='PickPlaceCan', type=2: not of robosuite"),
        ({'env_kwargs': None}, 'not of robosuite'),
        (
            {'env_version': '2.0'},
            'env_args of PickPlaceCan: how robosuite 2.0 lays out `object` is unknown',
        ),
    ],
)
def test_env_args_that_cannot_be_simulated_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        layouts.from_env_args(PUBLISHED | change)


def test_a_controller_of_1_4_is_named_as_in_1_5():
    old = {'type': 'OSC_POSE', 'kp': 100, 'damping': 2, 'damping_limits': [0, 5], 'control_delta': True}
    assert layouts.part_controller(old) == {
        'type': 'OSC_POSE',
        'kp': 100,
        'damping_ratio': 2,
        'damping_ratio_limits': [0, 5],
        'input_type': 'delta',
        'input_ref_frame': 'world',
    }
    assert layouts.part_controller(old | {'input_ref_frame': 'base'})['input_ref_frame'] == 'base'


@pytest.mark.parametrize('absolute', [{'control_delta': False}, {'input_type': 'absolute'}])
def test_absolute_actions_are_refused(absolute):
    with pytest.raises(ValueError, match='only deltas'):
        layouts.part_controller({'type': 'OSC_POSE'} | absolute)


def test_arguments_change_robomimics_own_and_unknown_ones_are_refused():
    taken = {'robots', 'horizon', 'camera_names', 'seed'}
    found = layouts.arguments_of('Lift', {'horizon': 50, 'camera_names': 'x', 'seed': 3}, taken, '1.5.2')
    assert found == layouts.ARGUMENTS | {'horizon': 50}
    message = "robosuite:Lift: arguments has 'speed'; robosuite 1.5.2 takes horizon, robots"
    with pytest.raises(ValueError, match=message):
        layouts.arguments_of('Lift', {'speed': 1}, taken, '1.5.2')
