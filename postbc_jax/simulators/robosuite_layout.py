"""What robosuite's versions say differently: how `object` is laid out, and how robomimic's files name arguments.

`object` has equal dimensions in every version, so a policy that learned one layout and meets another fails silently.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

KEYS = ('robot0_eef_pos', 'robot0_eef_quat', 'robot0_gripper_qpos', 'object')  # robomimic's, in its order
HORIZONS = {'Lift': 300, 'PickPlaceCan': 300, 'NutAssemblySquare': 400}  # steps, robomimic's
OBJECTS = {'Lift': 'cube', 'PickPlaceCan': 'Can', 'NutAssemblySquare': 'SquareNut'}
PUBLISHED = '1.4.1'

# version: what `object` concatenates, {} being the object. robomimic's published data are of 1.4.1. In 1.5 the cube's
# gripper_to_cube_pos has the other sign, and the {}_to_robot0_eef halves are of the step before (0 at a reset).
_OLD = {
    'Lift': ('{}_pos', '{}_quat', 'gripper_to_{}_pos'),
    'PickPlaceCan': ('{}_pos', '{}_quat', '{}_to_robot0_eef_pos', '{}_to_robot0_eef_quat'),
    'NutAssemblySquare': ('{}_pos', '{}_quat', '{}_to_robot0_eef_pos', '{}_to_robot0_eef_quat'),
}
_NEW = {
    'Lift': ('{}_pos', '{}_quat', 'gripper_to_{}_pos'),
    'PickPlaceCan': ('{}_to_robot0_eef_pos', '{}_to_robot0_eef_quat', '{}_pos', '{}_quat'),
    'NutAssemblySquare': ('{}_to_robot0_eef_pos', '{}_to_robot0_eef_quat', '{}_pos', '{}_quat'),
}
LAYOUTS = {'1.4.0': _OLD, '1.4.1': _OLD, '1.5.0': _NEW, '1.5.1': _NEW, '1.5.2': _NEW}
SIMULATED = ('1.5.2',)  # versions whose observables `object_of` has been checked against

# robomimic's own arguments, in the terms of its files; what concerns displays and cameras has no meaning here.
ARGUMENTS = {
    'robots': ['Panda'],
    'control_freq': 20,
    'reward_shaping': False,
    'controller_configs': {
        'type': 'OSC_POSE',
        'input_max': 1,
        'input_min': -1,
        'output_max': [0.05, 0.05, 0.05, 0.5, 0.5, 0.5],
        'output_min': [-0.05, -0.05, -0.05, -0.5, -0.5, -0.5],
        'kp': 150,
        'damping': 1,
        'impedance_mode': 'fixed',
        'kp_limits': [0, 300],
        'damping_limits': [0, 10],
        'position_limits': None,
        'orientation_limits': None,
        'uncouple_pos_ori': True,
        'control_delta': True,
        'interpolation': None,
        'ramp_ratio': 0.2,
    },
}
FIXED = {
    'has_renderer': False,
    'has_offscreen_renderer': False,
    'use_camera_obs': False,
    'use_object_obs': True,
    'ignore_done': True,
    'hard_reset': False,
    'renderer': 'mujoco',
    'seed': 0,
}
_CONTROLLER = {'damping': 'damping_ratio', 'damping_limits': 'damping_ratio_limits'}


def object_of(task: str, layout: str, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """`object` as a version lays it out: (10,) for Lift, (14,) for PickPlaceCan and NutAssemblySquare.

    For 1.4 it is built from the poses, which mean the same in every version: metres and unit quaternions xyzw, in the
    world; what is in the hand's frame has the quaternion of w >= 0. For 1.5 the simulator's own parts are taken.

    Args:
      task: a key of OBJECTS.
      layout: a key of LAYOUTS.
      found: 1.5.2's observables by name.
    """
    name = OBJECTS[task]
    parts = [part.format(name) for part in LAYOUTS[layout][task]]
    if LAYOUTS[layout] is _NEW:
        return np.concatenate([found[part] for part in parts])
    pos, quat, hand, hand_quat = (
        found[key] for key in (f'{name}_pos', f'{name}_quat', 'robot0_eef_pos', 'robot0_eef_quat')
    )
    inverse = hand_quat * np.array([-1, -1, -1, 1])
    relative = _multiply(inverse, quat)
    relative *= np.copysign(1 / np.linalg.norm(relative), relative[3])
    built = {
        f'{name}_pos': pos,
        f'{name}_quat': quat,
        f'gripper_to_{name}_pos': hand - pos,
        f'{name}_to_robot0_eef_pos': _rotate(inverse, pos - hand),
        f'{name}_to_robot0_eef_quat': relative,
    }
    return np.concatenate([built[part] for part in parts])


def from_env_args(env_args: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `simulators.robosuite.make` that stand for a robomimic file's `env_args`.

    Raises:
      ValueError: they are not of robosuite, or of a version whose `object` is unknown.
    """
    name, arguments = env_args.get('env_name'), env_args.get('env_kwargs')
    if env_args.get('type') != 1 or not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise ValueError(f'env_args has env_name={name!r}, type={env_args.get("type")!r}: not of robosuite (type 1)')
    arguments = {key: value for key, value in arguments.items() if not _displays(key)}
    version = env_args.get('object_layout') or env_args.get('env_version') or PUBLISHED
    return {'id': name, 'arguments': arguments, 'layout': known_layout(version, f'env_args of {name}')}


def known_layout(version: str, where: str) -> str:
    """The version, if LAYOUTS has it; files that say none are of 1.4.1.

    Raises:
      ValueError: it has not.
    """
    if version not in LAYOUTS:
        raise ValueError(f'{where}: how robosuite {version} lays out `object` is unknown; known: {", ".join(LAYOUTS)}')
    return version


def arguments_of(task: str, arguments: Mapping[str, Any], taken: set[str], version: str) -> dict[str, Any]:
    """ARGUMENTS, changed by `arguments`, without what FIXED and the absent display decide.

    Args:
      task: for the message.
      arguments: robomimic's env_kwargs or some of them.
      taken: names that the task's constructor takes.
      version: of robosuite, for the message.

    Raises:
      ValueError: a name it does not take.
    """
    given = {key: value for key, value in arguments.items() if not _displays(key)}
    for key in given:
        if key not in taken:
            names = ', '.join(sorted(name for name in taken if not _displays(name)))
            raise ValueError(f'robosuite:{task}: arguments has {key!r}; robosuite {version} takes {names}')
    return ARGUMENTS | given


def part_controller(config: dict[str, Any]) -> dict[str, Any]:
    """An arm's controller as 1.5 names its settings; deltas are of the world's axes, as they were in 1.4.

    Raises:
      ValueError: it takes absolute poses, which the bounds of an action would cut.
    """
    config = {_CONTROLLER.get(key, key): value for key, value in config.items()}
    delta = config.pop('control_delta', config.get('input_type', 'delta') == 'delta')
    if not delta:
        raise ValueError('controller_configs takes absolute poses: only deltas (control_delta true) can be simulated')
    return {'input_ref_frame': 'world'} | config | {'input_type': 'delta'}


def _displays(key: str) -> bool:
    return key in FIXED or key.startswith(('camera_', 'render_', 'renderer'))


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(vector, a[3] * b[3] - a[:3] @ b[:3])


def _rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    once = np.cross(q[:3], v)
    return v + 2 * (q[3] * once + np.cross(q[:3], once))
