"""OGBench npz files, read without ogbench: flat arrays `observations`, `actions`, `terminals`.

A terminal is where a trajectory ends, by its length or its task; OGBench itself drops that last row, for it has no
successor, but its action was played, and is learnt from here. Validation trajectories are a file of their own,
NAME-val.npz. `qpos`, `qvel` and the like are not read.
"""

from collections.abc import Sequence

import numpy as np

from postbc_jax.data import npz, trajectories
from postbc_jax.data.recording import Recording, assemble
from postbc_jax.data.validate import ACTION_BOUND, checked
from postbc_jax.data.vectors import Header
from postbc_jax.types import Demos

_LAYOUT = trajectories.Layout('OGBench npz', ends={'terminals': ''}, rewards=False)
ARRAYS = ('observations', 'actions', 'terminals')  # what tells such a file from other npz files


def load(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Demos:
    """Reads demonstrations.

    dones are 0, for a trajectory's end is no terminal state of the environment; rewards are 0 where the file has none.

    Args:
      path: the file, NAME.npz or NAME-val.npz.
      obs_keys: (), or ('obs',), the one key there is.
      mask: OGBench files hold none; anything but None is refused.
      action_bound: actions must lie in [-action_bound, action_bound]; None: any finite action.

    Raises:
      ValueError: anything in the file would train a wrong policy (data/validate.py has the list).
    """
    return assemble(checked(read(path, obs_keys, mask), action_bound))


def read(path: str, obs_keys: Sequence[str] = (), mask: str | None = None) -> Recording:
    """Reads what there is and collects what is wrong with the file's structure; raises nothing for its content."""
    path = str(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            members = [name for name in file.zip.namelist() if name.endswith('.npy') and name.isprintable()]
            headers = {name.removesuffix('.npy'): _header(file, name) for name in members}
            return trajectories.recording(path, _LAYOUT, headers, lambda key: file[key], obs_keys, mask)
    except npz.READ_ERRORS as error:
        return npz.unreadable(path, _LAYOUT.format, error)


def _header(file: np.lib.npyio.NpzFile, name: str) -> Header:
    """What an array is, without decompressing it: images of these files take gigabytes."""
    form = np.lib.format
    with file.zip.open(name) as member:
        read_header = form.read_array_header_1_0 if form.read_magic(member) == (1, 0) else form.read_array_header_2_0
        shape, _, dtype = read_header(member)
    return Header(dtype.name, shape)
