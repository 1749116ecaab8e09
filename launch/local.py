"""Runs every point of an experiment here, one after the other, and then the report:
python -m launch.local --config=experiments/NAME.py[:arg] --workdir=DIR [--stage=STAGE] [--halving=3]
[--config.key=value].

A point that fails is named at the end; the others run. Started again, it goes on where it was. DIR/results.jsonl then
holds the rows of all points of a sweep.
"""

import sys
import traceback
from collections.abc import Collection
from pathlib import Path

import jax
from absl import flags
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from launch import config as settings
from launch import errors, fold, halving, run
from launch.report import tell
from launch.workdir import directory_of
from postbc_jax import loop, metrics

_HALVING = flags.DEFINE_integer('halving', 0, 'successive halving: one point in so many goes on; 0 runs all to the end')
_ARM = flags.DEFINE_string('halving_arm', '', "the kind of arm, such as post_bc, by which points are chosen; '' is all")


def main() -> None:
    run.start()
    (config, points), workdir = run.load(), Path(run.WORKDIR.value)
    loud = jax.process_index() == 0
    run.check_all(config, points, run.STAGE.value)
    for line in fold.explain(config, points) if loud else ():
        print(line, flush=True)
    failed = (_halve if _HALVING.value else _run)(config, points, workdir, loud)
    if len(points) > 1:
        gather(points, workdir)
    if loud and workdir.is_dir():
        print(*tell(workdir), sep='\n', flush=True)
    if failed:
        numbers = ', '.join(map(str, failed))
        raise ValueError(f'{len(failed)} of {len(points)} points failed: {numbers}')


def _run(
    config: ConfigDict, points: list[dict], workdir: Path, loud: bool, only: Collection[int] | None = None
) -> list[int]:
    """Runs the points, or those of the indices; returns the ones that failed."""
    failed = []
    for index in range(len(points)) if only is None else only:
        if loud and len(points) > 1:
            print(f'point {index}, {index + 1} of {len(points)}: {_text(points[index])}', flush=True)
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
    return failed


def _halve(config: ConfigDict, points: list[dict], workdir: Path, loud: bool) -> list[int]:
    """Runs rung after rung; returns the points that failed, which do not go on."""
    if run.STAGE.value == 'pretrain':
        raise ValueError('--halving: points are chosen by their finetuning: leave --stage=pretrain out')
    failed: list[int] = []

    def plan() -> halving.Plan:
        if jax.process_count() > 1:  # others may be ahead of the files that process 0 writes
            multihost_utils.sync_global_devices('a rung has ended')
        found = halving.plan(workdir, config, points, _HALVING.value, _ARM.value, failed)
        halving.record(workdir, found)
        return found

    while (rung := plan()).points:
        if loud:
            numbers = ', '.join(map(str, rung.points))
            print(
                f'halving: rung {rung.rung}, {rung.chunks} of {config.finetune.chunks} chunks, points {numbers}',
                flush=True,
            )
        failed += _run(config, rung.settings(points), workdir, loud, rung.points)
    if loud:
        numbers = ', '.join(str(index) for index in rung.left if index not in failed) or 'none'
        print(f'halving: done, point {numbers} went all the way; {workdir / halving.FILE}', flush=True)
    return failed


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
