"""Reads the text of a compiled program: how often its parts run, where chips communicate, what it moves in memory.

Below launch.compile_ahead. The text is XLA's after partitioning, so that every shape is one chip's. XLA's own cost
analysis counts the body of a loop once; here it counts as often as it runs.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_KINDS = (
    *('all-reduce', 'all-gather', 'all-to-all', 'reduce-scatter', 'ragged-all-to-all'),
    *('collective-permute', 'collective-broadcast', 'send', 'recv'),
)
_FREE = (  # instructions that move nothing, or whose parts are counted where they stand
    *('parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'while', 'conditional', 'call', 'after-all'),
    *('async-start', 'async-update', 'partition-id', 'replica-id', 'iota', 'opt-barrier'),
)
_SLICES = ('dynamic-slice', 'gather', 'slice')
_BITS = {'pred': 8, 'token': 0, 'opaque': 0}


class Instruction(NamedTuple):
    """One line: `%name = shape opcode(%operand, ...), attributes`."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str


class Collective(NamedTuple):
    """One communicating instruction.

    Attributes:
      kind: such as 'all-reduce'.
      axis: 'learner', 'data', or 'learner and data', along which it connects chips.
      chips: in one group.
      bytes: of a chip's largest operand or result.
      times: how often one call of the program runs it.
    """

    kind: str
    axis: str
    chips: int
    bytes: int
    times: int


class Program:
    """A compiled program.

    Attributes:
      unbounded: how many of its loops do not say how long they are; they are counted as running once.
    """

    def __init__(self, text: str):
        """text: from jax.jit(...).lower(...).compile().as_text()."""
        self._computations, entry = _parse(text)
        self._chips = int((re.search(r'\bnum_partitions=(\d+)', text) or [0, 1])[1])
        self.unbounded = 0
        self._times: Counter[str] = Counter()
        self._fused: set[str] = set()
        self._count(entry, 1, fused=False)

    def collectives(self, data: int) -> list[Collective]:
        """What communicates on a learner x data mesh whose data axis has so many chips, in the program's order."""
        found = []
        for name, instructions in self._computations.items():
            for line in instructions.values() if self._times[name] else ():
                kind = line.opcode.removesuffix('-start')
                groups = _groups(line.attributes, self._chips)
                axis = ' and '.join(
                    axis
                    for axis, place in (('learner', lambda chip: chip // data), ('data', lambda chip: chip % data))
                    if any(len(set(map(place, group))) > 1 for group in groups)
                )
                if kind in _KINDS and axis:
                    size = max(map(_size, (line.shape, *self._shapes(name, line))))
                    found.append(Collective(kind, axis, max(map(len, groups)), size, self._times[name]))
        return found

    def hbm_bytes(self) -> int:
        """Bytes that one call reads and writes in a chip's main memory.

        A fusion reads its operands and writes its result once; of a slice or an update in place only the slice counts;
        what the compiler keeps in on-chip memory does not.
        """
        return sum(times * self._moved(name, line) for name, line, times in self._lines())

    def cycles(self) -> int:
        """The compiler's own estimate of a chip's cycles in one call, without collectives; 0 where it gives none."""
        found = ((re.search(r'"estimated_cycles":"(\d+)"', line.attributes), times) for _, line, times in self._lines())
        return sum(int(cycles[1]) * times for cycles, times in found if cycles)

    def _lines(self) -> Iterator[tuple[str, Instruction, int]]:
        """(computation, instruction, times) of everything that runs, fusions as one instruction."""
        for name, instructions in self._computations.items():
            if self._times[name] and name not in self._fused:
                yield from ((name, line, self._times[name]) for line in instructions.values())

    def _count(self, name: str, times: int, fused: bool) -> None:
        self._times[name] += times
        if fused:
            self._fused.add(name)
        for line in self._computations[name].values():
            trips = 1
            if line.opcode == 'while':
                trips = self._trips(line)
                self.unbounded += trips is None
            for called in _called(line):
                self._count(called, times * (trips or 1), fused or line.opcode == 'fusion')

    def _trips(self, loop: Instruction) -> int | None:
        """How often a loop runs: as it says, or as its condition `counter < constant` does; None where neither does."""
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
        if known:
            return int(known[1])
        pending, lines = _names(loop.attributes, 'condition'), []
        while pending:
            inside = self._computations[pending.pop()].values()
            lines += inside
            pending += [name for line in inside for name in _called(line)]
        bounds = [line for line in lines if line.opcode == 'constant' and re.match(r'[su]\d+\[\]', line.shape)]
        compared = [line for line in lines if line.opcode == 'compare']
        if len(bounds) == 1 and len(compared) == 1 and 'direction=LT' in compared[0].attributes:
            return int(bounds[0].operands[0])
        return None

    def _shapes(self, name: str, line: Instruction) -> list[str]:
        inside = self._computations[name]
        return [inside[operand].shape for operand in line.operands if operand in inside]

    def _moved(self, name: str, line: Instruction) -> int:
        if line.opcode in _FREE or line.opcode.endswith('-done'):
            return 0
        shapes = self._shapes(name, line)
        if line.opcode == 'copy-start':
            return _main(line.shape)  # (destination, source, context)
        if line.opcode in _SLICES:
            return min(_main(shapes[0]), _size(line.shape)) + _main(line.shape)
        if line.opcode in ('dynamic-update-slice', 'scatter'):
            return 2 * min(_main(shapes[0]), _size(shapes[1 if line.opcode == 'dynamic-update-slice' else -1]))
        if line.opcode != 'fusion':
            return sum(map(_main, shapes)) + _main(line.shape)
        (inner,) = _called(line)
        read = sum(min(_main(shape), self._read(inner, i)) for i, shape in enumerate(shapes))
        return read + min(_main(line.shape), self._written(inner))

    def _read(self, name: str, parameter: int) -> int:
        """Bytes that a fused computation reads of one of its parameters."""
        own = [line for line in self._computations[name].values() if line.opcode == 'parameter']
        return self._used(name, next(line for line in own if line.operands == (str(parameter),)))

    def _used(self, name: str, value: Instruction) -> int:
        whole, total = _size(value.shape), 0
        for user in self._computations[name].values():
            for place, operand in enumerate(user.operands):
                if operand != value.name:
                    continue
                if user.opcode in _SLICES and place == 0:
                    total += _size(user.shape)
                elif user.opcode == 'bitcast':
                    total += self._used(name, user)
                elif user.opcode == 'fusion':
                    total += self._read(_called(user)[0], place)
                elif user.opcode != 'dynamic-update-slice' or place:  # what is updated in place is not read
                    total = whole
        return min(total, whole)

    def _written(self, name: str) -> int:
        """Bytes that a fused computation writes: of an update in place, the update."""
        inside = self._computations[name]
        root = list(inside.values())[-1]
        total = 0
        for out in [inside[operand] for operand in root.operands] if root.opcode == 'tuple' else [root]:
            while out.opcode == 'bitcast':
                out = inside[out.operands[0]]
            updates = out.opcode == 'dynamic-update-slice'
            total += _size(inside[out.operands[1]].shape) if updates else _size(out.shape)
        return total


def _parse(text: str) -> tuple[dict[str, dict[str, Instruction]], str]:
    """{computation: {name: instruction}}, and the name of the entry."""
    computations: dict[str, dict[str, Instruction]] = defaultdict(dict)
    entry = inside = ''
    for line in text.splitlines():
        opened = re.match(r'(ENTRY )?%?([\w.-]+) \(.*\{$', line)
        if opened:
            inside = opened[2]
            entry = inside if opened[1] else entry
        elif inside and (found := re.match(r'\s+(?:ROOT )?%?([\w.-]+) = (.*)', line)):
            name, rest = found[1], re.sub(r'/\*.*?\*/', '', found[2])
            end = _closed(rest) if rest[0] == '(' else rest.index(' ')
            shape, rest = rest[:end], rest[end:].strip()
            opcode, rest = rest[: rest.index('(')], rest[rest.index('(') :]
            end = _closed(rest)
            operands = re.findall(r'%([\w.-]+)', rest[:end]) or [rest[1 : end - 1]]
            computations[inside][name] = Instruction(name, shape, opcode, tuple(operands), rest[end:])
    if not entry:
        raise ValueError('the text of a compiled program has an ENTRY: this has none')
    return dict(computations), entry


def _closed(text: str) -> int:
    """Where the bracket that text begins with has closed."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == '(') - (letter == ')')
        if not depth:
            return i + 1
    raise ValueError(f'{text[:60]!r}: a bracket does not close')


def _called(line: Instruction) -> list[str]:
    """The computations that an instruction runs, in its place or as its parts."""
    names = ['body', 'condition', 'calls', 'branch_computations', 'true_computation', 'false_computation']
    return [found for name in names + ['to_apply'] * (line.opcode == 'call') for found in _names(line.attributes, name)]


def _names(attributes: str, name: str) -> list[str]:
    found = re.search(rf'\b{name}=(\{{[^}}]*\}}|%?[\w.-]+)', attributes)
    return re.findall(r'[\w.-]+', found[1]) if found else []


def _arrays(shape: str) -> Iterator[tuple[int, bool]]:
    """(bytes, whether it lies in main memory) of every array of a shape."""
    for kind, sizes, layout in re.findall(r'([a-z]\w*)\[([\d,]*)\](\{[^}]*\})?', shape):
        bits = _BITS.get(kind) if kind in _BITS else int((re.search(r'\d+', kind) or [32])[0])
        size = int(np.prod([int(n) for n in sizes.split(',') if n], dtype=np.int64)) * bits
        yield -(-size // 8), not re.search(r'S\([1-9]\d*\)', layout)


def _size(shape: str) -> int:
    return sum(size for size, _ in _arrays(shape))


def _main(shape: str) -> int:
    return sum(size for size, main in _arrays(shape) if main)


def _groups(attributes: str, chips: int) -> list[list[int]]:
    """The groups of chips, by their place on the mesh, that a collective connects: all where it names none."""
    explicit = re.search(r'(?:replica_groups|source_target_pairs)=\{(\{[\d,{}]*\})\}', attributes)
    if explicit:
        return [[int(chip) for chip in group.split(',')] for group in re.findall(r'\{([\d,]+)\}', explicit[1])]
    iota = re.search(r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', attributes)
    if iota:
        shape, dims = ([int(n) for n in iota[i].split(',')] for i in (1, 2))
        order = [int(n) for n in iota[3].split(',')] if iota[3] else range(len(dims))
        return np.arange(np.prod(dims)).reshape(dims).transpose(order).reshape(shape).tolist()
    mesh = re.search(r'replica_groups=mesh\[([^\]]+)\] \{([^}]*)\}', attributes)  # ['learner'=4,'data'=2] {'data'}
    if mesh:
        axes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", mesh[1])}
        together = re.findall(r"'(\w+)'", mesh[2])
        apart = [i for i, name in enumerate(axes) if name not in together]
        order = apart + [i for i, name in enumerate(axes) if name in together]
        each = int(np.prod([axes[name] for name in together]))
        return np.arange(chips).reshape(tuple(axes.values())).transpose(order).reshape(-1, each).tolist()
    return [list(range(chips))]
