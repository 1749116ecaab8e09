"""Square, a kinematic surrogate: thread the chute, grasp a nut by its handle, and lower it, squared, over a peg."""

import jax
import jax.numpy as jnp
import numpy as np

from postbc_jax.envs import rotations
from postbc_jax.envs.manipulation import HAND_KEYS, Manipulation
from postbc_jax.envs.scene import Scene

HANDLE = 0.06  # m, the farthest that a grasp lies from the nut's centre
PEG, PEG_TOP = (0.2, 0.0), 0.06  # m
FIT, FIT_ANGLE = 0.015, 0.2  # m, rad: how far off the nut still slides over the peg


class Square(Manipulation):
    """A KINEMATIC SURROGATE of robosuite's NutAssemblySquare: obs (23,), action (7,), horizon 400; see Manipulation.

    The nut must be grasped HANDLE * sin(2.5 c1 + 1.5 c2^2) along its own x axis from its centre, with the hand turned
    to its yaw (elsewhere it slips, and the episode ends), carried to the peg, turned until its sides are the peg's, and
    lowered: where its centre comes down through PEG_TOP it must be within FIT and FIT_ANGLE of the peg, or it jams.
    """

    name = 'square'
    robomimic_horizon = 400
    obs_keys = (*HAND_KEYS, ('object', 14))

    def _place(self, place, height, quat, bend):
        axis = rotations.rotate(quat, jnp.array([1.0, 0.0, 0.0]))
        grasp_quat = rotations.multiply(quat, jnp.array(rotations.DOWN))
        return jnp.append(place, height) + HANDLE * bend * axis, grasp_quat, jnp.array([*PEG, PEG_TOP - 0.02])

    def _finish(self, before: Scene, after: Scene, released: jax.Array) -> tuple[jax.Array, jax.Array]:
        lowered = (after.held > 0) & (before.object[2] >= PEG_TOP) & (after.object[2] < PEG_TOP)
        over = jnp.max(jnp.abs(after.object[:2] - jnp.array(PEG))) < FIT
        squared = jnp.abs(after.object_quat[3]) > np.cos(FIT_ANGLE / 2)
        fits = over & squared
        return lowered & fits, (lowered & ~fits) | released

    def _object(self, scene: Scene) -> tuple[jax.Array, ...]:
        """SquareNut_pos, _quat, SquareNut_to_robot0_eef_pos, _quat: the nut in the world, then in the hand."""
        return scene.object, scene.object_quat, *self._in_hand(scene)
