"""`make bench`: every benchmark against its peer in one process, as a table and as JSON.

`python -m benchmarks.run [--output=runs/bench/bench.json] [--only=ensembles,decode,guard,off_policy,environments]`. A
row is {name, unit, ours, peer, peer_name, ratio}; ratio is how many times better ours is. Ensemble rows also have
gflops, matmul_gflops (the machine's rate in the same minutes) and matmul_share.
"""

import importlib
import importlib.util
import json
import os
import pathlib
import sys

from absl import app, flags, logging

from postbc_jax import parallel

SECTIONS = ('ensembles', 'decode', 'guard', 'off_policy', 'environments')
PEERS = {'ensembles': 'torch', 'decode': 'torch', 'off_policy': 'stable_baselines3'}

_OUTPUT = flags.DEFINE_string('output', 'runs/bench/bench.json', 'Where the rows are written.')
_ONLY = flags.DEFINE_list('only', list(SECTIONS), 'Sections to run, of ' + ', '.join(SECTIONS) + '.')


def main(argv: list[str]) -> None:
    del argv
    unknown = [name for name in _ONLY.value if name not in SECTIONS]
    if unknown:
        sys.exit(f'--only={unknown[0]}: choose of {", ".join(SECTIONS)}')
    for name in _ONLY.value:
        if name in PEERS and importlib.util.find_spec(PEERS[name]) is None:
            sys.exit(
                f'{PEERS[name]} is not installed, and the rows of {name} are measured against it: pip install .[bench]'
            )
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > 0.5:
        print(f'Note: {load:.1f} processes already share the {cores} cores. That slows PyTorch more than XLA: ratios')
        print('      from a busy machine flatter ours, and the share of the matmul rate is unsteady.')
    logging.set_verbosity(logging.WARNING)
    parallel.one_device_a_core()  # as the launchers do
    print(f'{"name":<20} {"unit":<15} {"ours":>10} {"peer":>10} {"ratio":>7}  peer')
    rows = []
    for name in _ONLY.value:
        for row in importlib.import_module(f'benchmarks.{name}').rows():
            rows.append(row)
            print(_line(row), flush=True)
    output = pathlib.Path(_OUTPUT.value)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(rows, indent=2) + '\n')
    print(f'{len(rows)} rows in {output}')


def _line(row: dict) -> str:
    numbers = f'{row["ours"]:>10.4g} {row["peer"]:>10.4g} {row["ratio"]:>6.2f}x'
    line = f'{row["name"]:<20} {row["unit"]:<15} {numbers}  {row["peer_name"]}'
    if 'gflops' in row:
        line += f' ({row["gflops"]:.0f} GFLOP/s, {row["matmul_share"]:.0%} of {row["matmul_gflops"]:.0f})'
    return line


if __name__ == '__main__':
    app.run(main)
