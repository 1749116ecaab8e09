"""Lift, a kinematic surrogate: thread the chute, grasp a block at its balance point, raise it by 4 cm."""

import jax
import jax.numpy as jnp

from postbc_jax.envs import rotations
from postbc_jax.envs.manipulation import HAND_KEYS, Manipulation
from postbc_jax.envs.scene import Scene

BALANCE = 0.07  # m, the farthest that a balance point lies from the block's centre
RISE = 0.04  # m, robosuite's own success


class Lift(Manipulation):
    """A KINEMATIC SURROGATE of robosuite's Lift: observation (19,), action (7,), horizon 300; see Manipulation.

    The block is unevenly filled. It must be grasped at its balance point, BALANCE * sin(2.5 c1 + 1.5 c2^2) along its
    own x axis from its centre, with the hand turned to its yaw; grasped anywhere else it topples and the episode ends.
    """

    name = 'lift'
    robomimic_horizon = 300
    obs_keys = (*HAND_KEYS, ('object', 10))

    def _place(self, place, height, quat, bend):
        axis = rotations.rotate(quat, jnp.array([1.0, 0.0, 0.0]))
        block = jnp.append(place, height)
        grasp_quat = rotations.multiply(quat, jnp.array(rotations.DOWN))
        return block + BALANCE * bend * axis, grasp_quat, block.at[2].add(RISE)

    def _finish(self, before: Scene, after: Scene, released: jax.Array) -> tuple[jax.Array, jax.Array]:
        raised = (after.held > 0) & (after.object[2] > after.goal[2])
        return raised, released

    def _object(self, scene: Scene) -> tuple[jax.Array, ...]:
        """cube_pos, cube_quat, gripper_to_cube_pos (hand minus cube, as in v1.4.1)."""
        return scene.object, scene.object_quat, scene.hand - scene.object
