"""Runs every point of an experiment here, one after the other, and then the report:
python -m launch.local --config=experiments/NAME.py[:arg] --workdir=DIR [--config.key=value].

A point that fails is named at the end; the others run. Started again, it goes on where it was.
"""

import sys
from pathlib import Path

from absl import app, flags

from launch import config as settings
from launch import run
from launch.report import make_report


def main(_) -> None:
    run.start()
    run.guarded(_run_all)


def _run_all() -> None:
    config, workdir = run.CONFIG.value, Path(run.WORKDIR.value)
    points = settings.load_sweep(run.config_path())
    for point in points:  # all are checked before the first is run
        settings.check(settings.at_point(config, point))
    failed = []
    for index in range(len(points)):
        if len(points) > 1:
            print(f'point {index} of {len(points)}: {points[index]}', flush=True)
        try:
            run.run_point(config, points, index, workdir)
        except (ValueError, FloatingPointError) as error:
            if len(points) == 1:
                raise
            failed.append(index)
            print(f'error: point {index}: {error}', file=sys.stderr, flush=True)
    print(f'report: {make_report(workdir)}', flush=True)
    if failed:
        raise ValueError(f'{len(failed)} of {len(points)} points failed: {failed}; the others are in the report')


if __name__ == '__main__':
    flags.mark_flags_as_required(['config', 'workdir'])
    app.run(main)
