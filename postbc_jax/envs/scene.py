"""The state of a kinematic manipulation task, and the measures that the task and its scripted operators share."""

import jax
from flax import struct

TURN = 0.5  # rad per step at a full rotation action, OSC_POSE's own limit
OPEN = 0.04  # m, one finger's opening
CHUTE_TOP, CHUTE_BOTTOM = 0.42, 0.22  # m
CARRY = 0.12  # m, the height at which an operator carries an object's centre
GRASP_TOLERANCE, GRASP_ANGLE = (0.02, 0.02, 0.03), 0.25  # m, rad; the fingers are tall


@struct.dataclass
class Scene:
    """The task state of one environment, kept in `pipeline_state`.

    Attributes:
      hand: (3,), the eef's position.
      hand_quat: (4,).
      opening: (), of one finger: 0 to OPEN.
      object: (3,), the object's centre.
      object_quat: (4,).
      held: (), 1 while the object moves with the hand.
      grasp: (3,), where the hand must be to grasp the object; fixed at reset.
      grasp_quat: (4,), its orientation there.
      goal: (3,), where the object's centre must be brought; fixed at reset.
    """

    hand: jax.Array
    hand_quat: jax.Array
    opening: jax.Array
    object: jax.Array
    object_quat: jax.Array
    held: jax.Array
    grasp: jax.Array
    grasp_quat: jax.Array
    goal: jax.Array
