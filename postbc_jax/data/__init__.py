"""Demonstrations: files in and out, checked; what of them is drawn, how it is scaled and cut into chunks.

The first room of the pipeline: Demos -> posterior -> policy -> finetune. A format is one file with `read` and `save`.
"""

import os
import zipfile
from collections.abc import Sequence
from types import ModuleType

from postbc_jax.data import d4rl, hdf5, lerobot, minari, npz, ogbench, robomimic
from postbc_jax.data.recording import Recording, assemble
from postbc_jax.data.validate import ACTION_BOUND, checked
from postbc_jax.types import Demos

_HDF5, _ZIP = b'\x89HDF\r\n\x1a\n', (b'PK\x03\x04', b'PK\x05\x06')
_MISTAKEN = {  # what a failed download leaves, by its first bytes
    b'version https://git-lfs': 'a Git LFS pointer, not the file itself: run `git lfs pull`',
    b'<': 'a web page or XML, not demonstrations: download the file itself',
    b'\x1f\x8b': 'compressed with gzip: unpack it first',
    b'BZh': 'compressed with bzip2: unpack it first',
    b'\x80': 'a Python pickle, which is never opened: convert it to npz or robomimic HDF5',
    b'\x93NUMPY': 'a single numpy array: write all arrays into one npz',
    b'PAR1': 'one Parquet file: of a LeRobot dataset, give the folder that holds meta/info.json; convert others to npz',
}


def load(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Demos:
    """Reads demonstrations, whatever their format.

    robomimic, Minari and D4RL HDF5, LeRobot Parquet, flat and OGBench npz are told apart by their content.

    Args:
      path: the file; of Minari and LeRobot, the dataset's folder.
      obs_keys: the keys that make up an observation, in order. Empty: see the format's own `load`.
      mask: name of the subset to read, where the format has any; None reads every demonstration.
      action_bound: actions must lie in [-action_bound, action_bound] to a relative 1e-3; None: any finite action.

    Raises:
      ValueError: the file is missing, damaged or would train a wrong policy; one line names file, demo, key and number.
    """
    return assemble(read(path, obs_keys, mask, action_bound))


def read(
    path: str, obs_keys: Sequence[str] = (), mask: str | None = None, action_bound: float | None = ACTION_BOUND
) -> Recording:
    """What a file holds and everything that is wrong with it, whatever the file; arguments as in `load`.

    Raises:
      ValueError: obs_keys is not a sequence of distinct names.
    """
    path = str(path)
    if isinstance(obs_keys, str) or len(set(obs_keys)) < len(obs_keys):
        raise ValueError(f'{path}: obs_keys={obs_keys!r}: must be a sequence of distinct names')
    form, fault = _recognise(path)
    if form is None:
        return Recording(path, 'unknown', faults=(f'{path}: {fault}',))
    return checked(form.read(path, obs_keys, mask), action_bound)


def _recognise(path: str) -> tuple[ModuleType | None, str]:
    if os.path.isdir(path):
        return _recognise_folder(path)
    if not os.path.exists(path):
        return None, 'no such file: check the path'
    try:
        with open(path, 'rb') as file:
            head = file.read(64)
            if head.startswith(_ZIP):
                return _recognise_npz(path), ''
            size, offset = os.path.getsize(path), 0
            while offset < size:  # HDF5 allows a user block of 512 * 2^k bytes before its signature
                file.seek(offset)
                if file.read(8) == _HDF5:
                    return _recognise_hdf5(path), ''
                offset = 2 * offset or 512
    except OSError as error:
        return None, f'cannot be read: {error.strerror}'
    if not head:
        return None, 'empty, 0 bytes: copy or download it again'
    for magic, what in _MISTAKEN.items():
        if head.lstrip().startswith(magic):
            return None, what
    return None, f'neither HDF5 nor npz ({size} bytes that begin with {head[:8]!r}): give robomimic HDF5 or npz'


def _recognise_folder(path: str) -> tuple[ModuleType | None, str]:
    if os.path.isfile(os.path.join(path, lerobot.INFO)):
        return lerobot, ''
    if minari.is_dataset(path):
        return minari, ''
    return None, 'a folder, but no LeRobot (meta/info.json) or Minari (data/metadata.json) dataset: give a file in it'


def _recognise_npz(path: str) -> ModuleType:
    """Ours where it cannot be told: the reader says what is wrong."""
    try:
        with zipfile.ZipFile(path) as file:
            there = {name.removesuffix('.npy') for name in file.namelist()}
    except npz.READ_ERRORS:
        return npz
    return ogbench if set(ogbench.ARRAYS) <= there and not set(npz.ARRAYS) <= there else npz


def _recognise_hdf5(path: str) -> ModuleType:
    """robomimic where it cannot be told: the reader says what is wrong."""
    try:
        with hdf5.opened(path) as file:
            there = hdf5.names(file)
    except hdf5.READ_ERRORS:
        return robomimic
    if 'data' in there:
        return robomimic
    if any(minari.EPISODE.fullmatch(name) for name in there):
        return minari
    return d4rl if {'observations', 'actions'} <= set(there) else robomimic
