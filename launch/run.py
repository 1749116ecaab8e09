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
    directory = workdir if len(points) == 1 else workdir / f'point_{index:04d}'
    directory.mkdir(parents=True, exist_ok=True)
    env = envs.make(config.env, **{k: v for k, v in config.env_settings.items() if v is not None})
    point = Point(config, directory, env, Progress(pipeline.STAGES), _stop_at_sigterm())
    _claim(point)
    pipeline.run(point)


def _claim(point: Point) -> None:
    """Writes config.json, or refuses the directory of another config."""
    file, now = point.directory / 'config.json', json.loads(json.dumps(point.config.to_dict()))
    if file.exists():
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


def _stop_at_sigterm() -> Callable[[], bool]:
    """Whether SIGTERM has come since this call."""
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    return lambda: bool(asked)


def start() -> None:
    """What every launcher does first: joins the other processes and finds what was compiled before."""
    logging.set_verbosity(logging.WARNING)  # jax and orbax inform at length
    parallel.initialize()
    if _CACHE.value:
        loop.compilation_cache(_CACHE.value)


def guarded(action: Callable[[], None]) -> None:
    """Runs it; a refusal is one line on stderr and status 1, a preemption status 75."""
    try:
        action()
    except (ValueError, FloatingPointError) as error:
        sys.exit(f'error: {error}')
    except loop.Preempted as stopped:
        print(f'{stopped}; run the same command again to go on', file=sys.stderr)
        sys.exit(PREEMPTED)


def main(_) -> None:
    start()
    points = settings.load_sweep(config_path())
    guarded(lambda: run_point(CONFIG.value, points, _POINT.value, Path(WORKDIR.value)))


def config_path() -> str:
    return config_flags.get_config_filename(flags.FLAGS['config'])


if __name__ == '__main__':
    flags.mark_flags_as_required(['config', 'workdir'])
    app.run(main)
