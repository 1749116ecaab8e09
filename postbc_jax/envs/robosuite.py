"""Scripted operators of robosuite's Lift, PickPlaceCan and NutAssemblySquare: see envs.operators for the contract.

One servo with different numbers, as in the kinematic tasks. It sees the observation alone: hand, fingers, and the
object's pose at the head of `object`, as robomimic's published data have them. OSC_POSE brings the hand about a third
of the way to its goal in a step, hence gains above 1.

| name     | pace | approach                                   | yaw of the hand    | carries         | hesitates |
|----------|------|--------------------------------------------|--------------------|-----------------|-----------|
| steady   | .7   | stops 6 cm straight above the grasp        | nearest 0          | up, then across | -         |
| brisk    | 1    | higher gain; stops 4 cm straight above     | nearest 0          | both at once    | -         |
| careful  | .6   | lower gain; stops 8 cm above, grasps lower | nearest 0          | up, then across | 1 step    |
| sideways | .8   | from 5 cm beside the object and 3 cm above | nearest 0          | up, then across | -         |
| crossed  | .9   | stops 6 cm straight above                  | nearest 46 degrees | both at once    | -         |

The can is tall: all stop 3 cm higher there.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from brax.envs.base import State
from flax import struct

from postbc_jax.envs import rotations
from postbc_jax.envs.operators import CLOSE, HOVER, LOWER, OVER, RAISE, RELEASE, RETREAT, Servo
from postbc_jax.envs.scene import Scene
from postbc_jax.simulators import robosuite_layout as layouts


@struct.dataclass
class RobosuiteOperator(Servo):
    """Picks an object up and brings it to a goal. A hand that closed on nothing, or lost the object, begins again.

    Attributes:
      hover: metres above the grasp at which the hand stops before reaching.
      side: metres beside the grasp at which it does: along its own x, which points between the fingers, to the side
        where the object is not.
      lean: rad, of the orientations that grasp alike, the one whose yaw is nearest to this is taken.
      swing: 1 to move sideways while raising, 0 to raise first.
      reach, height: metres from the object's centre to the grasp, along the object's x and up.
      width: metres between fingers that hold it.
      folds: how many orientations grasp alike in a full turn; 0 for all.
      clearance: metres to stop higher than `hover`, above a tall object.
      carry: metres, the height of the object's centre on its way.
      goal_x, goal_y, goal_z: metres, where its centre is brought.
      squared: 1 to bring it there with its edges along the world's axes, 0 in any orientation.
      precision: metres, how closely it is brought above the goal before it is lowered.
      descent: metres it is asked to go down in a step, at most.
    """

    first: ClassVar[int] = HOVER
    last: ClassVar[int] = RETREAT

    pace: float = 0.7
    gain: float = 1.5
    hover: float = 0.06
    side: float = 0.0
    lean: float = 0.0
    swing: int = 0
    reach: float = 0.0
    height: float = 0.0
    width: float = 0.04
    folds: float = 0.0
    clearance: float = 0.0
    carry: float = 1.0
    goal_x: float = 0.0
    goal_y: float = 0.0
    goal_z: float = 1.0
    squared: int = 0
    precision: float = 0.01
    descent: float = 0.02

    def _see(self, state: State) -> Scene:
        hand, hand_quat, fingers, object, object_quat = jnp.split(state.obs[:16], [3, 7, 9, 12])
        gap = fingers[0] - fingers[1]
        grasp = object + rotations.rotate(object_quat, jnp.array([1.0, 0.0, 0.0])) * self.reach
        turned = jnp.where(self.folds > 0, _nearest(_yaw(object_quat) - self.lean, self.folds), 0.0)
        return Scene(
            hand=hand,
            hand_quat=hand_quat,
            opening=gap / 2,
            object=object,
            object_quat=object_quat,
            held=(gap < self.width + 0.003).astype(jnp.float32),
            grasp=grasp.at[2].add(self.height),
            grasp_quat=_downward(self.lean + turned),
            goal=jnp.stack([self.goal_x, self.goal_y, self.goal_z]),
        )

    def _move(self, scene: Scene) -> jax.Array:
        reach, bring = scene.grasp - scene.hand, scene.goal - scene.object
        beside = rotations.rotate(scene.grasp_quat, jnp.array([1.0, 0.0, 0.0]))
        beside *= jnp.where(beside @ (scene.grasp - scene.object) < 0, -self.side, self.side)
        # Higher while it is away to the side, so that the fingers do not sweep the object over.
        above = self.hover + self.clearance + jnp.minimum(jnp.max(jnp.abs((reach + beside)[:2])), 0.06)
        carry = bring.at[2].set(self.carry - scene.object[2])
        return jnp.stack(
            [
                (reach + beside).at[2].add(above),
                reach,
                jnp.zeros(3),
                carry * jnp.stack([self.swing, self.swing, 1]),
                carry,
                bring.at[2].max(-self.descent),
                jnp.zeros(3),
                jnp.array([0.0, 0.0, 0.1]),
            ]
        )

    def _turn(self, scene: Scene, stage: jax.Array) -> jax.Array:
        # To the nearest right angle, but for the one that points away from the robot: its hand would not reach there.
        back = _nearest(_yaw(scene.object_quat) - math.pi, 1.0)
        askew = back - jnp.clip(jnp.round(back * 2 / math.pi), -1, 1) * math.pi / 2
        square = _downward(_yaw(rotations.multiply(scene.hand_quat, rotations.DOWN)) - askew)
        carrying = (stage >= RAISE) & (self.squared > 0)
        return rotations.error(jnp.where(carrying, square, scene.grasp_quat), scene.hand_quat)

    def _arrived(self, scene: Scene, stage: jax.Array) -> jax.Array:
        left = jnp.max(jnp.abs(self._move(scene)[stage - self.first]))
        askew = jnp.max(jnp.abs(self._turn(scene, stage)))
        near = left < jnp.where((stage == OVER) | (stage == LOWER), self.precision, 0.01) + 0.02 * self.noise
        near &= (askew < 0.02 + 0.1 * self.noise) | (stage == LOWER)
        near = jnp.where(stage == CLOSE, scene.held > 0, near)
        return jnp.where(stage == RELEASE, scene.held == 0, near) & (stage < RETREAT)

    def _resume(self, scene: Scene, stage: jax.Array) -> jax.Array:
        lost = (stage > CLOSE) & (stage < RELEASE) & (2 * scene.opening < 0.7 * self.width)
        return jnp.where(lost, HOVER, stage)

    def _pause(self, stage: jax.Array) -> jax.Array:
        return self.hesitation + 2 * (stage == CLOSE)  # the fingers press a moment after they touch


def operators(
    task: str, obs_keys: tuple[tuple[str, int], ...] | None = None, layout: str = layouts.PUBLISHED
) -> dict[str, RobosuiteOperator]:
    """The operators of the table above.

    Args:
      task: robosuite's name.
      obs_keys: what the environment observes; robomimic's four keys where not given.
      layout: the robosuite version whose `object` it observes.

    Raises:
      ValueError: there are none for the task, or they could not see what they need.
    """
    if task not in _TASKS:
        raise ValueError(f'robosuite:{task}: no scripted operators; there are some for {", ".join(_TASKS)}')
    names = tuple(name for name, _ in obs_keys or ()) or layouts.KEYS
    if names != layouts.KEYS or layouts.LAYOUTS[layout] is not layouts.LAYOUTS[layouts.PUBLISHED]:
        raise ValueError(
            f'robosuite:{task}: its operators see {", ".join(layouts.KEYS)} in the layout of {layouts.PUBLISHED}, not '
            f'{", ".join(names)} in that of {layout}: leave obs_keys and layout unset, or demonstrate by a file'
        )
    steady = RobosuiteOperator(**_TASKS[task])
    return {
        'steady': steady,
        'brisk': steady.replace(pace=1.0, gain=2.0, hover=0.04, swing=1),
        'careful': steady.replace(pace=0.6, gain=1.2, hover=0.08, height=steady.height - 0.005, hesitation=1),
        'sideways': steady.replace(pace=0.8, side=0.05, hover=0.03),
        'crossed': steady.replace(pace=0.9, lean=0.8, swing=1),
    }


_TASKS = {
    'Lift': {'height': -0.005, 'width': 0.043, 'folds': 4.0},
    'PickPlaceCan': {
        'height': 0.01,
        'width': 0.051,
        'clearance': 0.03,
        'carry': 0.98,
        'goal_x': 0.15,  # the can's bin, at its near corner: an arm stretched further sags
        'goal_y': 0.345,
        'goal_z': 0.87,
        'precision': 0.012,
        'descent': 0.04,
    },
    'NutAssemblySquare': {
        'reach': 0.054,  # the nut's handle
        'width': 0.033,
        'folds': 2.0,
        'goal_x': 0.23,  # the square peg
        'goal_y': 0.1,
        'goal_z': 0.83,
        'squared': 1,
        'precision': 0.005,
        'descent': 0.012,
    },
}


def _yaw(quat: jax.Array) -> jax.Array:
    return 2 * jnp.arctan2(quat[2], quat[3])


def _nearest(angle: jax.Array, folds: float) -> jax.Array:
    """The angle (rad), signed, by which one is beyond the nearest multiple of 2 pi / folds."""
    period = 2 * math.pi / jnp.maximum(folds, 1.0)
    return (angle + period / 2) % period - period / 2


def _downward(yaw: jax.Array) -> jax.Array:
    return rotations.multiply(rotations.yaw(jnp.tan(yaw / 2)), rotations.DOWN)
