"""Runs every point of an experiment here, and then the report:
python -m launch.local --config=experiments/NAME.py[:arg] --workdir=DIR [--stage=STAGE] [--processes=N] [--halving=3]
[--config.key=value].

Points run one after the other in this process, or several at a time in processes of their own, on code and config as
they were at the first start. One that fails is named at the end; the others run. Started again, it goes on where it
was. DIR holds what it holds under Slurm: sweep.json, a directory a point, and results.jsonl with the rows of all.
"""

import os
import sys
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

import jax
from absl import flags
from jax.experimental import multihost_utils
from ml_collections import ConfigDict, config_flags

from launch import config as settings
from launch import errors, fold, freeze, halving, preemption, processes, run
from launch.report import tell
from launch.workdir import directory_of
from postbc_jax import loop

_PROCESSES = flags.DEFINE_integer('processes', 1, 'points that run at once, each in a process of its own')
_HALVING = flags.DEFINE_integer('halving', 0, 'successive halving: one point in so many goes on; 0 runs all to the end')
_ARM = flags.DEFINE_string('halving_arm', '', "the kind of arm, such as post_bc, by which points are chosen; '' is all")


def main() -> None:
    run.start()
    (config, points), workdir = run.load(), Path(run.WORKDIR.value)
    loud = jax.process_index() == 0
    run.check_all(config, points, run.STAGE.value)
    for line in fold.explain(config, points) if loud else ():
        print(line, flush=True)
    directory_of(workdir, 0, len(points))
    if len(points) > 1 and loud:
        name = config_flags.get_config_filename(flags.FLAGS['config'])
        freeze.freeze(workdir, freeze.describe(name, sys.argv[1:], run.STAGE.value, points))
    failed = _run_all(config, points, workdir, loud)
    if loud and workdir.is_dir():
        print(*tell(workdir), sep='\n', flush=True)
    if failed:
        numbers = ', '.join(map(str, failed))
        raise ValueError(f'{len(failed)} of {len(points)} points failed: {numbers}')


Runner = Callable[[list[dict], Collection[int]], list[int]]


def _run_all(config: ConfigDict, points: list[dict], workdir: Path, loud: bool) -> list[int]:
    """Runs the points as the flags say; returns the ones that failed."""
    if _PROCESSES.value < 1:
        raise ValueError(f'--processes={_PROCESSES.value}: must be at least 1')
    if _PROCESSES.value > 1 and len(points) == 1:
        raise ValueError(f'--processes={_PROCESSES.value}: the experiment has one point, which is one process')
    if _PROCESSES.value > 1 and jax.process_count() > 1:
        raise ValueError(f'--processes={_PROCESSES.value}: this is one of {jax.process_count()} processes already')

    def run_points(settings: list[dict], only: Collection[int]) -> list[int]:
        if _PROCESSES.value > 1:
            return _run_apart(settings, workdir, only)
        return _run(config, settings, workdir, loud, only)

    if _HALVING.value:
        return _halve(config, points, workdir, loud, run_points)
    return run_points(points, range(len(points)))


def _run_apart(points: list[dict], workdir: Path, only: Collection[int]) -> list[int]:
    """Runs the points of the indices in processes of their own, from the frozen code; returns the ones that failed."""
    sweep, code, cache = freeze.read(workdir), str(freeze.code(workdir)), flags.FLAGS['compilation_cache'].value
    chunks = {points[index].get('finetune.chunks') for index in only} - {None}
    rung = [f'--config.finetune.chunks={number}' for number in chunks if _HALVING.value]
    command = [sys.executable, '-m', 'launch.run', *freeze.command(workdir, sweep), *rung]
    path = os.pathsep.join(filter(None, (code, os.environ.get('PYTHONPATH'))))
    return processes.run(
        [*command, f'--compilation_cache={os.path.abspath(cache) if cache else ""}'],
        os.environ | {'PYTHONPATH': path, 'PYTHONSAFEPATH': '1'},
        sorted(only),
        _PROCESSES.value,
        workdir / 'logs',
        lambda line: print(line, flush=True),
        lambda: preemption.listening().asked,
    )


def _run(config: ConfigDict, points: list[dict], workdir: Path, loud: bool, only: Collection[int]) -> list[int]:
    """Runs the points of the indices here, one after the other; returns the ones that failed."""
    failed = []
    for index in only:
        if loud and len(points) > 1:
            print(f'point {index}, {index + 1} of {len(points)}: {fold.text(points[index])}', flush=True)
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


def _halve(config: ConfigDict, points: list[dict], workdir: Path, loud: bool, run_points: Runner) -> list[int]:
    """Runs rung after rung by run_points(settings, indices); returns the points that failed, which do not go on."""
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
        failed += run_points(rung.settings(points), rung.points)
    if loud:
        numbers = ', '.join(str(index) for index in rung.left if index not in failed) or 'none'
        print(f'halving: done, point {numbers} went all the way; {workdir / halving.FILE}', flush=True)
    return failed


if __name__ == '__main__':
    run.launch(main)
