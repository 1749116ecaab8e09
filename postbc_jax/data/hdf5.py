"""Reading HDF5 files that somebody else wrote: opened without locking, names checked, every fault of h5py foreseen.

Under robomimic, minari and d4rl.
"""

import re

import h5py

from postbc_jax.data.recording import Recording, one_line

# what h5py raises on damaged files; MemoryError where a size is damaged
READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError, MemoryError)


def opened(path: str) -> h5py.File:
    """A file to read from; 'best-effort' because shared file systems often cannot lock, and nothing is written."""
    return h5py.File(path, 'r', locking='best-effort')


def unreadable(path: str, form: str, error: Exception) -> Recording:
    """The recording of a file on which h5py raised one of READ_ERRORS."""
    what = f'HDF5 that cannot be read ({one_line(error)}): copy or download the whole file again'
    return Recording(path, form, faults=(f'{path}: {what}',))


def names(group: h5py.Group) -> list[str]:
    """The names of a group's entries.

    Raises:
      ValueError: one is not printable text.
    """
    there = list(group)
    for name in there:
        if not (isinstance(name, str) and name.isprintable()):
            raise ValueError(f'{group.name} has an entry named {name!r}')
    return there


def number(name: str) -> tuple[float, str]:
    """Sorts names by the number they end with."""
    digits = re.search(r'\d+$', name)
    return (int(digits.group()) if digits else float('inf'), name)


def text(value) -> str:
    """An attribute or entry as text."""
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else str(value)
