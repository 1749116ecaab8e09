"""Can, a kinematic surrogate: thread the chute, grasp a can by its rim, stand it where it belongs, and let go."""

import jax
import jax.numpy as jnp

from postbc_jax.envs import rotations
from postbc_jax.envs.manipulation import HAND_KEYS, Manipulation
from postbc_jax.envs.scene import Scene

SHELF_X, SHELF_REACH = 0.2, 0.08  # m: where the shelf stands, and half its length along y
PLACE_TOLERANCE, DROP_HEIGHT = 0.02, 0.03  # m


class Can(Manipulation):
    """A KINEMATIC SURROGATE of robosuite's PickPlaceCan: obs (23,), action (7,), horizon 300; see Manipulation.

    A can, held by its rim, has its place on a shelf at x = SHELF_X, y = SHELF_REACH * sin(2.5 c1 + 1.5 c2^2): where
    exactly follows from its label (its yaw) and its height, both still visible while it is held. It must be let go
    within PLACE_TOLERANCE of that place, at most DROP_HEIGHT above the table; let go anywhere else the episode ends.
    """

    name = 'can'
    robomimic_horizon = 300
    obs_keys = (*HAND_KEYS, ('object', 14))

    def _place(self, place, height, quat, bend):
        rim = jnp.append(place, 2 * height)
        return rim, jnp.array(rotations.DOWN), jnp.stack([jnp.float32(SHELF_X), SHELF_REACH * bend, height])

    def _finish(self, before: Scene, after: Scene, released: jax.Array) -> tuple[jax.Array, jax.Array]:
        away = jnp.abs(after.object - after.goal)
        placed = (jnp.max(away[:2]) < PLACE_TOLERANCE) & (away[2] < DROP_HEIGHT)
        return released & placed, released & ~placed

    def _object(self, scene: Scene) -> tuple[jax.Array, ...]:
        """Can_pos, Can_quat, Can_to_robot0_eef_pos, Can_to_robot0_eef_quat: the can in the world, then in the hand."""
        return scene.object, scene.object_quat, *self._in_hand(scene)
