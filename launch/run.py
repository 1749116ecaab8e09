"""Runs one point of an experiment: python -m launch.run --config=experiments/NAME.py[:arg] --workdir=DIR --point=N.

Started again on the same work directory it goes on from its last checkpoint, to the same numbers. SIGTERM saves and
exits with status 75; errors in config or data are one line and status 1. --stage=pretrain stops before finetuning;
--stage=finetune goes on from there, on another machine or in another environment by --config.init_from=DIR.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from brax.envs.base import Env
from ml_collections import ConfigDict, config_flags

from launch import checks, errors, finetuners, fold, pipeline, preemption
from launch import config as settings
from launch.point import Point
from launch.progress import Progress
from launch.status_file import StatusFile, alone
from launch.workdir import claim, directory_of
from postbc_jax import loop, parallel

CONFIG = config_flags.DEFINE_config_file('config', None, 'experiments/NAME.py[:arg]; override with --config.key=value')
WORKDIR = flags.DEFINE_string('workdir', None, 'where everything is written')
STAGE = flags.DEFINE_enum('stage', '', ['', 'pretrain', 'finetune'], "the part of the pipeline to run; '' is all of it")
_POINT = flags.DEFINE_integer('point', 0, "index of the point in the experiment's sweep()")
_CACHE = flags.DEFINE_string(
    'compilation_cache',
    os.path.expanduser('~/.cache/postbc_jax'),
    "where compiled programs are kept between runs; '' keeps none",
)


def run_point(config: ConfigDict, points: list[dict], index: int, workdir: Path, stage: str) -> None:
    """Runs point `index` of `points`, or the stage of it, in its directory of the work directory.

    Raises:
      ValueError: no such point, or its config, data or work directory cannot be used.
      loop.Preempted: SIGTERM came; everything is saved.
    """
    directory = directory_of(workdir, index, len(points))
    try:
        config, env = prepare(config, points, index, stage)
    except Exception:
        if (workdir / 'sweep.json').exists():  # nobody watches a job's output
            with _reported(workdir, directory):
                raise
        raise
    asked = preemption.listening()
    with _reported(workdir, directory) as status:
        asked.at_last = status.preempted
        progress = Progress(pipeline.stages(config, stage), status)
        point = Point(config, directory, env, progress, lambda: asked.asked)
        claim(directory, config)
        pipeline.run(point, stage)


@contextlib.contextmanager
def _reported(workdir: Path, directory: Path) -> Iterator[StatusFile]:
    """The point's directory, made and held alone, and its status.json, which says how what happens here ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'--workdir={workdir}: {directory} cannot be made ({error.strerror})') from None
    with alone(directory), StatusFile(directory) as status:
        yield status


def prepare(config: ConfigDict, points: list[dict], index: int, stage: str) -> tuple[ConfigDict, Env]:
    """The config of point `index`, after all checks that need neither data nor work directory, and its environment.

    Raises:
      ValueError: no such point, or one that cannot be run.
    """
    if not 0 <= index < len(points):
        raise ValueError(f'--point={index}: the sweep has points 0 to {len(points) - 1}')
    config = settings.at_point(config, points[index])
    checks.check(config)
    if stage == 'pretrain' and config.init_from:
        raise ValueError(
            f'config.init_from={config.init_from}: --stage=pretrain trains its own policies: leave one of the two out'
        )
    env = settings.environment(config)
    finetuners.check(config, env.horizon, stage)
    settings.contexts(config, env.obs_keys)
    return config, env


def check_all(config: ConfigDict, points: list[dict], stage: str) -> None:
    """Refuses a sweep of which any point cannot be run, before the first is run or submitted.

    Raises:
      ValueError: as prepare; names the point where there are several.
    """
    for index in range(len(points)):
        try:
            prepare(config, points, index, stage)
        except ValueError as error:
            if len(points) == 1 or errors.refusal(error) is None:
                raise
            raise ValueError(f'point {index} of {len(points)}: {error}') from error


def start() -> None:
    """What every launcher does first: joins the other processes, minds SIGTERM, finds what was compiled before."""
    sys.stdout.reconfigure(errors='backslashreplace')  # a log that knows no sigma must not end a run
    logging.set_verbosity(logging.ERROR)  # orbax informs at length, and warns of every save that waits for the last
    # What fails in a callback reaches `guarded`, which shows it; jax would log it before, and raise it again at exit.
    getLogger('jax._src.callback').disabled = True
    getLogger('asyncio').disabled = True  # the same of orbax's writes
    sys.unraisablehook = _unraisable
    parallel.initialize()
    preemption.listening()
    parallel.one_device_a_core()
    if _CACHE.value:
        loop.compilation_cache(_CACHE.value)


def _unraisable(unraisable: Any) -> None:
    error = unraisable.exc_value
    if not (isinstance(error, RuntimeError) and errors.refusal(error)):
        sys.__unraisablehook__(unraisable)


def guarded(action: Callable[[], None]) -> None:
    """Runs it; a refusal is one line on stderr and status 1, a preemption one line and status 75.

    A fault keeps its traceback.
    """
    try:
        action()
    except loop.Preempted as stopped:
        print(f'{stopped}; run the same command again to go on', file=sys.stderr)
        sys.exit(preemption.STATUS)
    except Exception as error:
        said = errors.refusal(error)
        if said is None:
            raise
        if errors.full(error):  # orbax's other writes would each leave a traceback behind
            print(f'error: {said}', file=sys.stderr, flush=True)
            os._exit(1)
        sys.exit(f'error: {said}')
    except KeyboardInterrupt:
        sys.exit('interrupted; run the same command again to go on from the last checkpoint')
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the exit status stands; Python, ending, would die of it


def load() -> tuple[ConfigDict, list[dict]]:
    """The experiment that --config names: its config with what the command line changes, and its points, folded."""
    name = config_flags.get_config_filename(flags.FLAGS['config'])
    points = settings.load_sweep(name)
    if 'pretrain' not in CONFIG.value:
        raise ValueError(
            f'--config={name}: is no experiment of the pipeline: theory.py is run by python -m launch.theory'
        )
    return CONFIG.value, fold.fold(CONFIG.value, points)


def launch(main: Callable[[], None], required: Sequence[str] = ('config', 'workdir')) -> None:
    """app.run, with wrong flags and refused configs as one line."""
    flags.mark_flags_as_required(required)
    app.run(lambda _: guarded(main), flags_parser=_parse)


def _parse(arguments: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(arguments)
    except OSError as error:
        sys.exit(f'error: --config: {str(error).splitlines()[-1].strip()}')
    except (flags.Error, AttributeError, KeyError) as error:  # the last two are ml_collections', for an unknown key
        sys.exit(f'error: {_one_line(error, arguments)}')
    if len(rest) > 1:
        sys.exit(f'error: {rest[1]!r}: unexpected; settings are given as --config.key=value')
    return rest


def _one_line(error: Exception, arguments: list[str]) -> str:
    """What of the error a user needs. One in the experiment's file keeps its traceback, unless it is a refusal."""
    if not isinstance(error, flags.Error):
        name = str(error).strip('\'"')
        given = [argument for argument in arguments if name in argument.partition('=')[0].split('.')]
        return f'{(given or [name])[0]}: the config has no {name!r}; experiments/default.py has every setting'
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if len(lines) > 1 and lines[-1].startswith('ValueError: '):
        return lines[-1].removeprefix('ValueError: ')
    return str(error)


def main() -> None:
    start()
    config, points = load()
    run_point(config, points, _POINT.value, Path(WORKDIR.value), STAGE.value)


if __name__ == '__main__':
    launch(main)
