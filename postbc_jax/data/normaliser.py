"""Scaling observations and actions to [-1, 1] by the demonstrations' own range (min-max, as DPPO and DSRL do).

Fitted on Demos; its statistics are arrays that are stored with the policy. The posterior's noise lives in its units.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from postbc_jax.types import Array, Demos

# 1 cm, .01 rad or 1% of an action: below this a spread in the demonstrations is jitter, above it (a gripper's finger
# travels 4 cm, a half-range of 2) it is signal. No input is blown up more than a hundredfold.
FLOOR = 1e-2


@struct.dataclass
class Normaliser:
    """Per-dimension ranges, in data units. A half-range below the floor counts as the floor.

    So a dimension that is constant in the demonstrations is 0 there, inverts exactly, and a small departure from it
    stays small.

    Attributes:
      obs_low, obs_high: float32 (O,), least and greatest observation.
      action_low, action_high: float32 (A,), least and greatest action.
      floor: float32 (), the smallest half-range.
    """

    obs_low: Array
    obs_high: Array
    action_low: Array
    action_high: Array
    floor: Array = np.float32(FLOOR)

    def obs(self, x: Array) -> jax.Array:
        """Observations (..., O) to [-1, 1] where the demonstrations were; beyond it outside them."""
        return (x - _centre(self.obs_low, self.obs_high)) / _scale(self.obs_low, self.obs_high, self.floor)

    def unnormalise_obs(self, x: Array) -> jax.Array:
        """Observations (..., O) from normalised units to the environment's."""
        return _centre(self.obs_low, self.obs_high) + x * _scale(self.obs_low, self.obs_high, self.floor)

    def action(self, x: Array) -> jax.Array:
        """Actions (..., A) to [-1, 1]."""
        return (x - _centre(self.action_low, self.action_high)) / self.action_scale()

    def unnormalise_action(self, x: Array) -> jax.Array:
        """Actions (..., A) from [-1, 1] to the environment's units."""
        return _centre(self.action_low, self.action_high) + x * self.action_scale()

    def action_scale(self) -> jax.Array:
        """(A,), action units per normalised unit: turns the size of normalised noise into action units."""
        return _scale(self.action_low, self.action_high, self.floor)


def fit(demos: Demos, floor: float = FLOOR) -> Normaliser:
    """The ranges of the demonstrations.

    Args:
      demos: validated demonstrations.
      floor: the smallest half-range, in data units.

    Raises:
      ValueError: floor is not positive.
    """
    if not floor > 0:
        raise ValueError(f'floor={floor}: must be positive, for a constant dimension is divided by it')
    obs, actions = np.asarray(demos.obs, np.float32), np.asarray(demos.actions, np.float32)
    return Normaliser(obs.min(0), obs.max(0), actions.min(0), actions.max(0), np.float32(floor))


def _centre(low: Array, high: Array) -> Array:
    return low + (high - low) / 2  # in this order: exact where low == high


def _scale(low: Array, high: Array, floor: Array) -> jax.Array:
    return jnp.maximum((high - low) / 2, floor)
