"""Runs one point of an experiment: python -m launch.run --config=experiments/NAME.py[:arg] --workdir=DIR --point=N.

Started again on the same work directory it goes on from its last checkpoint, to the same numbers. SIGTERM saves and
exits with status 75; errors in config or data are one line and status 1.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from launch import config as settings
from launch import pipeline
from launch.point import Point
from launch.progress import Progress
from postbc_jax import envs, loop, parallel

PREEMPTED = 75  # EX_TEMPFAIL: run it again
_SIGTERMS: list[bool] = []  # one for each that has come

CONFIG = config_flags.DEFINE_config_file('config', None, 'experiments/NAME.py[:arg]; override with --config.key=value')
WORKDIR = flags.DEFINE_string('workdir', None, 'where everything is written')
_POINT = flags.DEFINE_integer('point', 0, "index of the point in the experiment's sweep()")
_CACHE = flags.DEFINE_string(
    'compilation_cache',
    os.path.expanduser('~/.cache/postbc_jax'),
    "where compiled programs are kept between runs; '' keeps none",
)


def run_point(config: ConfigDict, points: list[dict], index: int, workdir: Path) -> None:
    """Runs point `index` of `points` in its directory: workdir itself where the sweep has one point, else
    workdir/point_NNNN.

    Raises:
      ValueError: no such point, or its config, data or work directory cannot be used.
      loop.Preempted: SIGTERM came; everything is saved.
    """
    if not 0 <= index < len(points):
        raise ValueError(f'--point={index}: the sweep has points 0 to {len(points) - 1}')
    config = settings.at_point(config, points[index])
    settings.check(config)
    env = envs.make(config.env, **{k: v for k, v in config.env_settings.items() if v is not None})
    settings.check_horizon(config, env.horizon)
    directory = workdir if len(points) == 1 else workdir / f'point_{index:04d}'
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'--workdir={workdir}: {directory} cannot be made ({error.strerror})') from None
    point = Point(config, directory, env, Progress(pipeline.STAGES), lambda: bool(_SIGTERMS))
    _claim(point)
    pipeline.run(point)


def _claim(point: Point) -> None:
    """Writes config.json, or refuses the directory of another config. One that only failed so far is nobody's."""
    file, now = point.directory / 'config.json', json.loads(json.dumps(point.config.to_dict()))
    begun = any((point.directory / name).exists() for name in ('demos.hdf5', 'checkpoints'))
    if file.exists() and begun:
        before = json.loads(file.read_text())
        for name in sorted(_flat(before).keys() | _flat(now).keys()):
            old, new = _flat(before).get(name), _flat(now).get(name)
            if old != new:
                raise ValueError(
                    f'{file}: this directory was begun with {name}={old!r}, not {new!r}: use another --workdir'
                )
    point.write_json('config.json', now)


def _flat(tree: dict, prefix: str = '') -> dict:
    flat = {}
    for name, value in tree.items():
        flat |= _flat(value, f'{prefix}{name}.') if isinstance(value, dict) else {prefix + name: value}
    return flat


def start() -> None:
    """What every launcher does first: minds SIGTERM, joins the other processes, finds what was compiled before."""
    signal.signal(signal.SIGTERM, lambda *_: _SIGTERMS.append(True))
    logging.set_verbosity(logging.WARNING)  # jax and orbax inform at length
    parallel.initialize()
    parallel.one_device_a_core()
    if _CACHE.value:
        loop.compilation_cache(_CACHE.value)


def guarded(action: Callable[[], None]) -> None:
    """Runs it; a refusal is one line on stderr and status 1, a preemption one line and status 75."""
    try:
        action()
    except (ValueError, FloatingPointError) as error:
        sys.exit(f'error: {error}')
    except loop.Preempted as stopped:
        print(f'{stopped}; run the same command again to go on', file=sys.stderr)
        sys.exit(PREEMPTED)
    except KeyboardInterrupt:
        sys.exit('interrupted; run the same command again to go on from the last checkpoint')


def load() -> tuple[ConfigDict, list[dict]]:
    """The experiment that --config names: its config with what the command line changes, and its points."""
    points = settings.load_sweep(config_flags.get_config_filename(flags.FLAGS['config']))
    return CONFIG.value, points


def launch(main: Callable[[], None]) -> None:
    """app.run, with wrong flags and refused configs as one line."""
    flags.mark_flags_as_required(['config', 'workdir'])
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
    run_point(config, points, _POINT.value, Path(WORKDIR.value))


if __name__ == '__main__':
    launch(main)
