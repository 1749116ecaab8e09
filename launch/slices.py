"""Slices of TPUs by jax's names for them, v5e:4x8: how many chips and machines, and what Google Cloud calls them.

Read by launch.described, which compiles for them, and launch.tpu_pod, which asks for them.
"""

import math
import re
from typing import NamedTuple

# cloud.google.com/tpu/docs/{v5e,v6e}: the shapes that there are; of v4 and v5p any box of whole machines.
_FLAT = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
# cloud.google.com/tpu/docs/runtimes: a machine's image.
_RUNTIMES = {
    'v4': 'tpu-ubuntu2204-base',
    'v5e': 'v2-alpha-tpuv5-lite',
    'v5p': 'v2-alpha-tpuv5',
    'v6e': 'v2-alpha-tpuv6e',
}


class Slice(NamedTuple):
    """One slice.

    Attributes:
      kind: 'v4', 'v5e', 'v5p' or 'v6e'.
      sides: of the box of chips.
    """

    kind: str
    sides: tuple[int, ...]

    @property
    def name(self) -> str:
        return f'{self.kind}:{"x".join(map(str, self.sides))}'

    @property
    def chips(self) -> int:
        return math.prod(self.sides)

    @property
    def hosts(self) -> int:
        """Machines, each with a process: of four chips, but the smallest of v5e and v6e are a machine of 1 to 8."""
        return 1 if self.kind in ('v5e', 'v6e') and self.chips <= 8 else self.chips // 4

    @property
    def accelerator(self) -> str:
        """As gcloud and xpk call it; v4 and v5p count two cores a chip."""
        family = 'v5litepod' if self.kind == 'v5e' else self.kind
        return f'{family}-{self.chips * (1 if self.kind in ("v5e", "v6e") else 2)}'

    @property
    def runtime(self) -> str:
        """The image of a TPU VM."""
        return _RUNTIMES[self.kind]


def parse(topology: str) -> Slice:
    """The slice called 'v5e:4x8'.

    Raises:
      ValueError: there is none of that name.
    """
    said = f'--topology={topology}'
    found = re.fullmatch(r'(v4|v5e|v5p|v6e):(\d+(?:x\d+)+)', topology)
    if not found:
        raise ValueError(f'{said}: give one such as v5e:4x8, v6e:16x16, v4:2x2x4 or v5p:4x4x4')
    kind, sides = found[1], tuple(int(n) for n in found[2].split('x'))
    if kind in ('v5e', 'v6e') and found[2] not in _FLAT:
        raise ValueError(f'{said}: of {kind} there are {", ".join(_FLAT)}')
    if kind in ('v4', 'v5p') and (len(sides) != 3 or any(side % 2 for side in sides[:2]) or not all(sides)):
        raise ValueError(f'{said}: of {kind} give three sides, the first two even: {kind}:2x2x1, {kind}:4x4x8')
    return Slice(kind, sides)
