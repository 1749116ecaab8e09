"""Runs every point of an experiment here, one after the other, and then the report:
python -m launch.local --config=experiments/NAME.py[:arg] --workdir=DIR [--stage=STAGE] [--config.key=value].

A point that fails is named at the end; the others run. Started again, it goes on where it was. DIR/results.jsonl then
holds the rows of all points of a sweep.
"""

import sys
import traceback
from pathlib import Path

import jax

from launch import config as settings
from launch import errors, run
from launch.report import make_report
from launch.report.gather import gather
from postbc_jax import loop


def main() -> None:
    run.start()
    (config, points), workdir = run.load(), Path(run.WORKDIR.value)
    loud = jax.process_index() == 0
    for index in range(len(points)):  # all are checked before the first is run
        run.prepare(config, points, index, run.STAGE.value)
    failed = []
    for index, point in enumerate(points):
        if loud and len(points) > 1:
            print(f'point {index}, {index + 1} of {len(points)}: {_text(point)}', flush=True)
        try:
            run.run_point(config, points, index, workdir, run.STAGE.value)
        except loop.Preempted:
            raise
        except Exception as error:
            if len(points) == 1:
                raise
            failed.append(index)
            settings.made.cache_clear()  # a simulator that has failed once answers nobody
            if loud:
                said = errors.refusal(error) or ''.join(traceback.format_exception(error)).rstrip()
                print(f'error: point {index}: {said}', file=sys.stderr, flush=True)
    if len(points) > 1:
        gather(points, workdir)
    if loud and workdir.is_dir():
        print(f'report: {make_report(workdir)}', flush=True)
    if failed:
        numbers = ', '.join(map(str, failed))
        raise ValueError(f'{len(failed)} of {len(points)} points failed: {numbers}')


def _text(point: dict) -> str:
    return ', '.join(f'{name}={value}' for name, value in point.items())


if __name__ == '__main__':
    run.launch(main)
