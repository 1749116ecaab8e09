"""How long a chip needs for a compiled call, and what bounds it: what TPUs can do, against what the call asks for.

Below launch.compile_ahead.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import jaxprs_in_params

from launch.compiled import Collective

# float32 products are made of bfloat16 ones: one each at jax's default precision, which is what everything here
# trains with, three at 'high', six at 'highest' (jax.lax.Precision).
PASSES = {'DEFAULT': 1, 'HIGH': 3, 'HIGHEST': 6}
HOP_SECONDS = 1e-6  # from a chip to the next; as jax-ml.github.io/scaling-book has it


class Chip(NamedTuple):
    """One TPU chip.

    Attributes:
      flops: bfloat16 products and sums a second at most.
      hbm: bytes of main memory.
      bandwidth: bytes a second of it.
      ring: bytes a second that a chip sends around a ring: two links, one axis of the torus.
      hertz: cycles a second; None where nothing public says.
    """

    flops: float
    hbm: float
    bandwidth: float
    ring: float
    hertz: float | None


# cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}. A link is the whole interconnect bandwidth by the number of links. Cycles
# a second are the peak by what its matrix units do in a cycle: 8 (v4, v5p) or 4 (v5e) of 128 x 128.
CHIPS = {
    'v4': Chip(275e12, 32 * 2**30, 1.20e12, 100e9, 275e12 / (8 * 2 * 128**2)),
    'v5e': Chip(197e12, 16 * 2**30, 0.82e12, 100e9, 197e12 / (4 * 2 * 128**2)),
    'v5p': Chip(459e12, 95 * 2**30, 2.77e12, 200e9, 459e12 / (8 * 2 * 128**2)),
    'v6e': Chip(918e12, 32 * 2**30, 1.64e12, 200e9, None),
}


class Estimate(NamedTuple):
    """Seconds of one call on one chip.

    Attributes:
      compute: its matrix products at the chip's peak.
      memory: its bytes at the memory's bandwidth.
      communication: its collectives, one after the other.
      compiler: what the compiler expects without collectives; None where cycles or clock are unknown. Small products
        leave most of a matrix unit idle, which the peak does not know: then it is far above the other three.
    """

    compute: float
    memory: float
    communication: float
    compiler: float | None

    @property
    def seconds(self) -> float:
        """Compute and memory overlap; communication is waited for."""
        return max(self.compute, self.memory, self.compiler or 0.0) + self.communication

    @property
    def bound(self) -> str:
        """What takes longest: 'compute', 'memory', 'communication', or 'small operations': the compiler expects twice
        what the first two explain."""
        busy = max(self.compute, self.memory)
        if (self.compiler or 0.0) > max(2 * busy, self.communication):
            return 'small operations'
        return max(('compute', 'memory', 'communication'), key=lambda name: getattr(self, name))


def estimate(chip: Chip, flops: float, hbm_bytes: float, collectives: Sequence[Collective], cycles: int) -> Estimate:
    """Of a call.

    Args:
      chip: what it runs on.
      flops: of matrix products, bfloat16 passes.
      hbm_bytes: moved in main memory.
      collectives: as rings: a gradient of B bytes over n chips sends 2 B (n - 1) / n in 2 (n - 1) hops.
      cycles: the compiler's; 0 where it gives none.
    """
    communication = sum(of.times * _ring(chip, of) for of in collectives)
    compiler = cycles / chip.hertz if cycles and chip.hertz else None
    return Estimate(flops / chip.flops, hbm_bytes / chip.bandwidth, communication, compiler)


def _ring(chip: Chip, of: Collective) -> float:
    turns = 2 if of.kind == 'all-reduce' else 1
    return turns * (of.bytes * (of.chips - 1) / of.chips / chip.ring + (of.chips - 1) * HOP_SECONDS)


def matmul_flops(jaxpr: Any) -> float:
    """Products and sums of all matrix products of a traced program, by bfloat16 passes, loops as often as they run.

    Inside a shard_map shapes are one chip's. Of a cond its most expensive branch counts, of a loop that does not say
    how long it is one round. There are no convolutions in this project.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name, given = equation.primitive.name, equation.params
        if name == 'dot_general':
            (contracted, _), _ = given['dimension_numbers']
            left = equation.invars[0].aval.shape
            products = np.prod(equation.outvars[0].aval.shape) * np.prod([left[i] for i in contracted])
            total += 2.0 * float(products) * _passes(given['precision'])
            continue
        inside = [matmul_flops(inner) for inner in jaxprs_in_params(given)]
        if name == 'cond':
            total += max(inside, default=0.0)
        else:
            total += sum(inside) * (given['length'] if name == 'scan' else 1)
    return total


def _passes(precision: Any) -> int:
    asked = precision if isinstance(precision, tuple) else (precision,)
    return max(PASSES[getattr(one, 'name', None) or 'DEFAULT'] for one in asked)
