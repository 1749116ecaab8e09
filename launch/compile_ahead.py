"""Compiles an experiment for a TPU pod on a machine without one:
python -m launch.compile_ahead --config=experiments/NAME.py[:arg] --topology=v5e:16x16 [--config.key=value].

Every stage's own step, as loop.run would call it, for every topology given; a table of what a chip holds, does and says
to others, and how long that takes at best. Exits with 1 where a stage does not fit a chip's memory or where learners
communicate. Needs libtpu: make install-tpu. --members_per_chip=K compiles the posterior alone, with K members a chip.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
from absl import flags
from jax.stages import Compiled

from launch import config as settings
from launch import described, roofline, run
from launch.compiled import Collective, Program
from launch.described import Described
from launch.point import Point
from launch.progress import Progress
from postbc_jax import atomic

_TOPOLOGY = flags.DEFINE_list('topology', ['v5e:4x8'], 'slices of TPUs, such as v5e:4x8,v5e:16x16')
_HBM = flags.DEFINE_float('hbm_gib', None, "GiB of a chip's memory; the chip's own where not given", lower_bound=0.0)
_JSON = flags.DEFINE_string('json', None, 'a file for the numbers')
_MEMBERS = flags.DEFINE_integer('members_per_chip', None, 'of the posterior, which alone is compiled', lower_bound=1)
_MIB, _GIB = 2**20, 2**30


def report(asked: Described, topology: str, hbm: float) -> list[dict[str, Any]]:
    """Compiles a stage's calls of run_chunk, and of warm_chunk where it has a warm-up: what each is, as JSON.

    Args:
      asked: the stage.
      topology: of its chips.
      hbm: bytes of a chip's memory.

    Raises:
      ValueError: XLA finds no way to make it fit.
    """
    stage, chip = asked.stage, roofline.CHIPS[topology.partition(':')[0]]
    rows = []
    for name in ('warm_chunk', 'run_chunk'):
        function, began = getattr(stage.trainer, name), time.monotonic()
        if function is None or (name == 'warm_chunk' and not stage.trainer.warm_chunks):
            continue
        traced = function.trace(asked.state, asked.data)
        try:
            compiled = traced.lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if 'RESOURCE_EXHAUSTED' not in str(error):
                raise
            said = next((line.strip() for line in str(error).splitlines() if 'Used' in line), 'out of memory')
            raise ValueError(f'{stage.name}: does not fit a chip of {topology}: {said}') from error
        program = Program(compiled.as_text())
        found = program.collectives(stage.mesh.shape['data'])
        flops, moved = roofline.matmul_flops(traced.jaxpr.jaxpr), program.hbm_bytes()
        estimate = roofline.estimate(chip, flops, moved, found, program.cycles())
        steps = stage.steps_per_chunk if name == 'run_chunk' else 1
        rows.append(
            {
                'topology': topology,
                'chips': stage.mesh.size,
                'stage': stage.name if name == 'run_chunk' else f'{stage.name} (warm-up)',
                'learners': stage.learners,
                'mesh': [stage.mesh.shape['learner'], stage.mesh.shape['data']],
                'steps': steps,
                **_memory(compiled),
                'hbm': hbm,
                'flops': flops,
                'bytes_accessed': moved,
                'collectives': [of._asdict() for of in found],
                'unbounded_loops': program.unbounded,
                **{f'{part}_seconds': seconds for part, seconds in estimate._asdict().items()},
                'seconds': estimate.seconds,
                'seconds_a_step': estimate.seconds / steps,
                'bound': estimate.bound,
                'compiled_in_seconds': time.monotonic() - began,
            }
        )
    return rows


def _memory(compiled: Compiled) -> dict[str, int]:
    """Bytes of a chip's memory; what is donated counts once, as an argument."""
    found = compiled.memory_analysis()
    output = found.output_size_in_bytes - found.alias_size_in_bytes
    code, temporaries = found.generated_code_size_in_bytes, found.temp_size_in_bytes
    return {
        'arguments': found.argument_size_in_bytes,
        'temporaries': temporaries,
        'output': output,
        'code': code,
        'memory': found.argument_size_in_bytes + temporaries + output + code,
    }


def faults(rows: list[dict[str, Any]]) -> list[str]:
    """A line for every program that does not fit, or in which learners communicate."""
    found = []
    for row in rows:
        name = f'{row["stage"]} on {row["topology"]}'
        if row['memory'] > row['hbm']:
            found.append(f'{name}: needs {row["memory"] / _GIB:.2f} GiB a chip, which has {row["hbm"] / _GIB:g}')
        crossing = [Collective(**of) for of in row['collectives'] if 'learner' in of['axis']]
        if crossing:
            kinds = ', '.join(sorted({of.kind for of in crossing}))
            found.append(f'{name}: learners communicate: {len(crossing)} collectives along {crossing[0].axis}: {kinds}')
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in columns. FLOP, bytes and times are a chip's and a step's."""
    head = ('stage', 'topology', 'learners', 'mesh', 'arguments', 'temporaries', 'output', 'of HBM')
    head += ('MFLOP', 'HBM bytes', 'collectives', 'a step', 'bound by')
    lines = [head]
    for row in rows:
        width, data = row['mesh']
        at_least = '>= ' if row['unbounded_loops'] else ''
        lines.append(
            (
                row['stage'],
                row['topology'],
                str(row['learners']),
                f'{width} x {data}',
                *(f'{row[part] / _MIB:.1f} MiB' for part in ('arguments', 'temporaries', 'output')),
                f'{100 * row["memory"] / row["hbm"]:.1f}%',
                f'{at_least}{row["flops"] / row["steps"] / 1e6:.1f}',
                f'{row["bytes_accessed"] / row["steps"] / _MIB:.2f} MiB',
                _spoken(row),
                f'{1e6 * row["seconds_a_step"]:.1f} us',
                row['bound'],
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return '\n'.join('  '.join(text.ljust(n) for text, n in zip(line, widths, strict=True)).rstrip() for line in lines)


def _spoken(row: dict[str, Any]) -> str:
    """'data: 4 all-reduce 1.25 MiB' a step, by axis and kind; 'none' where nobody speaks."""
    sums: dict[tuple[str, str], list[float]] = {}
    for of in row['collectives']:
        total = sums.setdefault((of['axis'], of['kind']), [0.0, 0.0])
        total[0] += of['times'] / row['steps']
        total[1] += of['times'] * of['bytes'] / row['steps']
    said = [f'{axis}: {n:.3g} {kind} {size / _MIB:.2f} MiB' for (axis, kind), (n, size) in sums.items()]
    return '; '.join(said) or 'none'


def main() -> None:
    jax.config.update('jax_platforms', 'cpu')  # what is compiled for is described, not here
    config, points = run.load()
    rows = []
    for number, topology in enumerate(_TOPOLOGY.value):
        devices, chip = described.chips(topology), topology.partition(':')[0]
        here = config
        if _MEMBERS.value:
            here = settings.at_point(config, {'posterior.members': _MEMBERS.value * len(devices)})
        here, env = run.prepare(here, points, flags.FLAGS.point, run.STAGE.value)
        point = Point(here, Path(run.WORKDIR.value or '.'), env, Progress(1), lambda: False, devices)
        known, said = described.learning(point)
        if not number:
            print(f'demonstrations: {said}', flush=True)
        hbm = _HBM.value * _GIB if _HBM.value else roofline.CHIPS[chip].hbm
        for asked in described.stages(point, known, 'posterior' if _MEMBERS.value else run.STAGE.value):
            rows += report(asked, topology, hbm)
            print(f'{topology}: {asked.stage.name} compiled', file=sys.stderr, flush=True)
    print(table(rows))
    if _JSON.value:
        atomic.write(_JSON.value, json.dumps(rows, indent=1, allow_nan=False) + '\n')
    wrong = faults(rows)
    if wrong:
        raise ValueError('; '.join(wrong))


if __name__ == '__main__':
    run.launch(main, required=('config',))
