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
from launch import errors, fold, run
from launch.report import tell
from launch.workdir import directory_of
from postbc_jax import loop, metrics


def main() -> None:
    run.start()
    (config, points), workdir = run.load(), Path(run.WORKDIR.value)
    loud = jax.process_index() == 0
    run.check_all(config, points, run.STAGE.value)
    for line in fold.explain(config, points) if loud else ():
        print(line, flush=True)
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
        print(*tell(workdir), sep='\n', flush=True)
    if failed:
        numbers = ', '.join(map(str, failed))
        raise ValueError(f'{len(failed)} of {len(points)} points failed: {numbers}')


def gather(points: list[dict], workdir: Path) -> None:
    """Writes workdir/results.jsonl: the rows of all points, each after its point's number and settings.

    Columns are added in front: 'point', and 'config.NAME' for what the sweep sets there. Rows of a folded point say
    themselves whose they are.
    """
    rows = []
    for index, point in enumerate(points):
        file = directory_of(workdir, index, len(points)) / 'results.jsonl'
        head = {'point': index} | {f'config.{name}': value for name, value in point.items() if name != 'fold'}
        rows += [head | row for row in (metrics.read(file) if file.exists() else [])]
    if workdir.is_dir():
        metrics.write(workdir / 'results.jsonl', rows)


def _text(point: dict) -> str:
    shown = {name: f'{name}={value}' for name, value in point.items()}
    if 'fold' in point:
        shown['fold'] = f'{len(point["fold"])} settings'
    return ', '.join(shown.values())


if __name__ == '__main__':
    run.launch(main)
