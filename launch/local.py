"""Runs every point of an experiment here, one after the other, and then the report:
python -m launch.local --config=experiments/NAME.py[:arg] --workdir=DIR [--config.key=value].

A point that fails is named at the end; the others run. Started again, it goes on where it was.
"""

import sys
from pathlib import Path

import jax

from launch import config as settings
from launch import run
from launch.report import make_report


def main() -> None:
    run.start()
    (config, points), workdir = run.load(), Path(run.WORKDIR.value)
    loud = jax.process_index() == 0
    for point in points:  # all are checked before the first is run
        settings.check(settings.at_point(config, point))
    failed = []
    for index, point in enumerate(points):
        if loud and len(points) > 1:
            print(f'point {index}, {index + 1} of {len(points)}: {_text(point)}', flush=True)
        try:
            run.run_point(config, points, index, workdir)
        except (ValueError, FloatingPointError) as error:
            if len(points) == 1:
                raise
            failed.append(index)
            if loud:
                print(f'error: point {index}: {error}', file=sys.stderr, flush=True)
    if loud and workdir.is_dir():
        print(f'report: {make_report(workdir)}', flush=True)
    if failed:
        numbers = ', '.join(map(str, failed))
        raise ValueError(f'{len(failed)} of {len(points)} points failed: {numbers}')


def _text(point: dict) -> str:
    return ', '.join(f'{name}={value}' for name, value in point.items())


if __name__ == '__main__':
    run.launch(main)
