"""Reads a compiled program's text for the collectives in it, and says which connect devices of different learners."""

import re

import numpy as np

_NAMES = 'all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast|send|recv'


def collectives(compiled: str) -> list[str]:
    """The lines of a compiled program's text in which devices communicate."""
    return [line.strip() for line in compiled.splitlines() if re.search(rf'= .*\b({_NAMES})(-start)?\(', line)]


def crossing_collectives(compiled: str, width: int, devices: int) -> list[str]:
    """The collectives of a compiled program's text that connect devices of different learners.

    Args:
      compiled: from jax.jit(...).lower(...).compile().as_text().
      width: the learner axis; devices / width consecutive devices hold the same learners.
      devices: of the mesh.
    """
    wrong = []
    for line in collectives(compiled):
        groups = _replica_groups(line, devices)
        if any(len({device // (devices // width) for device in group}) > 1 for group in groups):
            wrong.append(line)
    return wrong


def _replica_groups(line: str, devices: int) -> list[list[int]]:
    """The groups of devices that a collective connects: all of them where the line names none."""
    explicit = re.search(r'replica_groups=\{(\{[\d,{}]*\})\}', line)
    if explicit:
        return [[int(d) for d in group.split(',')] for group in re.findall(r'\{([\d,]+)\}', explicit[1])]
    iota = re.search(r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', line)
    if iota:
        shape, dims = ([int(n) for n in iota[i].split(',')] for i in (1, 2))
        order = [int(n) for n in iota[3].split(',')] if iota[3] else range(len(dims))
        return np.arange(np.prod(dims)).reshape(dims).transpose(order).reshape(shape).tolist()
    mesh = re.search(
        r'replica_groups=mesh\[([^\]]+)\] \{([^}]*)\}', line
    )  # jax 0.12: mesh['learner'=4,'data'=2] {'data'}
    if mesh:
        axes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
        together = re.findall(r"'(\w+)'", mesh[2])
        apart = [i for i, name in enumerate(axes) if name not in together]
        order = apart + [i for i, name in enumerate(axes) if name in together]
        each = int(np.prod([axes[name] for name in together]))
        return np.arange(devices).reshape(tuple(axes.values())).transpose(order).reshape(-1, each).tolist()
    return [list(range(devices))]
