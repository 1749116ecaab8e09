"""D4RL HDF5 files, read without d4rl: flat arrays `observations`, `actions`, `rewards`, `terminals`, `timeouts`.

A terminal or a timeout ends an episode. `infos/`, `metadata/` and `next_observations` are not read.
"""

from collections.abc import Sequence

import h5py

from postbc_jax.data import hdf5, trajectories
from postbc_jax.data.recording import Recording, assemble
from postbc_jax.data.validate import ACTION_BOUND, checked
from postbc_jax.data.vectors import header
from postbc_jax.types import Demos

# The first files (v0) hold no timeouts. Without them, episodes that ran into their time limit would be joined, and
# chunks of actions would be learnt across the reset between them.
_LAYOUT = trajectories.Layout(
    format='D4RL HDF5',
    ends={
        'terminals': '',
        'timeouts': 'take a later version (v1, v2), or write timeouts, true at the last step before every reset',
    },
    terminal='terminals',
)


def load(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Demos:
    """Reads demonstrations; dones are the terminals, so that an episode which timed out ends with 0.

    Args:
      path: the file.
      obs_keys: (), or ('obs',), the one key there is.
      mask: D4RL files hold none; anything but None is refused.
      action_bound: actions must lie in [-action_bound, action_bound]; None: any finite action.

    Raises:
      ValueError: anything in the file would train a wrong policy (data/validate.py has the list).
    """
    return assemble(checked(read(path, obs_keys, mask), action_bound))


def read(path: str, obs_keys: Sequence[str] = (), mask: str | None = None) -> Recording:
    """Reads what there is and collects what is wrong with the file's structure; raises nothing for its content."""
    path = str(path)
    try:
        with hdf5.opened(path) as file:
            nodes = {key: file.get(key) for key in hdf5.names(file)}
            headers = {key: header(node) for key, node in nodes.items() if isinstance(node, h5py.Dataset)}
            return trajectories.recording(path, _LAYOUT, headers, lambda key: nodes[key][()], obs_keys, mask)
    except hdf5.READ_ERRORS as error:
        return hdf5.unreadable(path, _LAYOUT.format, error)
