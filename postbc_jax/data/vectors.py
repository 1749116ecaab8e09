"""Which of a file's arrays are vectors of numbers, judged by their headers before anything large is read.

Under the formats: they learn from which keys an observation is made, and what to say of images and discrete actions.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from postbc_jax.data.recording import listed


class Header(NamedTuple):
    """What a stored array is.

    Attributes:
      dtype: name of its type, 'float32'; 'video' and the like where it holds no numbers.
      shape: (steps, ...).
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def vector(self) -> bool:
        """Whether it holds a number or a vector of numbers a step."""
        return len(self.shape) in (1, 2) and bool(re.fullmatch(r'bool|(u?int|float)\d+', self.dtype))

    def __str__(self) -> str:
        if len(self.shape) <= 2:
            return f'{self.dtype} of dimension {self.shape[1] if len(self.shape) == 2 else 1}'
        return f'{"an image" if len(self.shape) == 4 else "an array"}, {self.dtype} of shape {self.shape[1:]} a step'


def header(array: Any) -> Header:
    """The header of an h5py dataset or numpy array."""
    return Header(array.dtype.name, array.shape)


def choose(
    path: str, there: Mapping[str, Header], chosen: Sequence[str], standard: Sequence[str] = ()
) -> tuple[tuple[str, ...], dict[str, str], list[str]]:
    """The keys that make up an observation.

    Args:
      path: for messages.
      there: every key of the file, in its order.
      chosen: those that the user asks for, in order; empty: `standard`, else every vector.
      standard: those of the format, as far as they are there and vectors.

    Returns:
      The keys; {key: what it holds} of the others; and a fault for every key that cannot be read.
    """
    vectors = [key for key, found in there.items() if found.vector]
    keys = tuple(chosen) or tuple(key for key in standard if key in vectors) or tuple(vectors)
    faults = []
    for key in keys:
        if key not in there:
            faults.append(f'{path}: every demo: obs: no key {key!r}: choose from {listed(vectors)}')
        elif not there[key].vector:
            what = f'{there[key]}: only low-dimensional keys can be read: choose from {listed(vectors)}'
            faults.append(f'{path}: every demo: obs/{key}: {what}')
    if not keys:
        holds = listed([f'{key} ({what})' for key, what in there.items()])
        what = f'no low-dimensional key; there are: {holds}: extract low-dimensional ones'
        faults.append(f'{path}: every demo: obs: {what}')
    return keys, {key: str(found) for key, found in there.items() if key not in keys}, faults


def action_faults(path: str, key: str, found: Header) -> list[str]:
    """Why actions of this kind cannot be learnt from; at most one line."""
    if re.fullmatch(r'bool|u?int\d+', found.dtype):
        what = f'{found.dtype}: discrete actions, but only vectors of real numbers can be learnt from'
    elif not found.vector:
        what = f'{found}: must be a vector of real numbers a step'
    else:
        return []
    return [f'{path}: every demo: {key}: {what}: choose demonstrations with continuous actions']
