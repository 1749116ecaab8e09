"""Whether a policy's range fits the demonstrations, region by region: too broad, too narrow or sound.

posterior.calibration's curves of a policy's own draws at states of demonstrations that it has not learnt from.
"""

import numpy as np

from postbc_jax.posterior import calibration


def by_region(held: calibration.HeldOut, region: np.ndarray, count: int) -> list[calibration.Curve | None]:
    """The curve in each region; None where no held-out state lies in it.

    Args:
      held: n states; `base` are the policy's draws, `noise` what is added to them at weight 1.
      region: (n,) of each state.
      count: R.

    Raises:
      ValueError: regions are not one a state.
    """
    if region.shape != held.trajectory.shape:
        raise ValueError(f'by_region: {region.shape} regions of {held.trajectory.shape} states: give each its own')
    inside = [region == one for one in range(count)]
    return [calibration.curve(_of(held, chosen), 1.0) if chosen.any() else None for chosen in inside]


def _of(held: calibration.HeldOut, chosen: np.ndarray) -> calibration.HeldOut:
    return calibration.HeldOut(*(array[chosen] for array in held))
