"""Work directories: where a point lies, and claiming it for the config that it was begun with.

Between the config and the pipeline. A claim holds once something has been trained. Even then what changes no number may
change at any start, finetuning may be made longer, algorithms may be added, and their settings are open until they have
begun.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from flax.traverse_util import flatten_dict
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from experiments import default
from launch import config as settings
from postbc_jax import atomic

_FREE = ('save_every', 'tensorboard', 'fold_sweep', 'allow_other_env', 'env_settings.workers', 'env_settings.timeout')
_OF_ALL = ('finetune', 'monitor', 'curriculum', 'scenarios')  # of every finetuner
_RECORDING = ('seed', 'env', 'env_settings', 'record')


def directory_of(workdir: Path, index: int, points: int) -> Path:
    """Where point `index` of so many is run: workdir itself where there is one, else workdir/point_NNNN.

    Raises:
      ValueError: a sweep in the directory of a single point, or the other way round.
    """
    if points == 1 and any(workdir.glob('point_*')):
        raise ValueError(f'--workdir={workdir}: holds the points of a sweep: give a single point another')
    if points > 1 and (workdir / 'config.json').exists():
        raise ValueError(f'--workdir={workdir}: holds the run of a single point: give a sweep another')
    return workdir if points == 1 else workdir / f'point_{index:04d}'


def finished(directory: Path, stage: str) -> bool:
    """Whether done.json says that the point in `directory` is done as far as --stage=`stage` goes."""
    try:
        done = json.loads((directory / 'done.json').read_text())['stage']
    except FileNotFoundError:
        return False
    return done in ('finetune', stage)


def claim(directory: Path, config: ConfigDict) -> None:
    """Writes config.json, or refuses the directory of another config.

    A directory in which nothing has been trained takes any config; demonstrations that were recorded there for another
    one are removed. One that was finished is open again where the config asks for more.

    Raises:
      ValueError: something was trained with another value of a setting; the message names the first.
    """
    file, now = directory / 'config.json', json.loads(json.dumps(config.to_dict()))
    before = json.loads(file.read_text()) if file.exists() else now
    changed = [change for change in _changes(before, now) if change[0] not in _FREE]
    trained = {path.parent.name for path in (directory / 'checkpoints').glob('*/*') if path.name.isdigit()}
    if (directory / 'policies' / 'pretrained').is_dir():  # of another run perhaps, which were evaluated here
        trained.add('pretrain')
    for name, old, new in changed:
        if trained and not _open(name, old, new, trained.intersection(settings.ALGORITHMS)):
            raise ValueError(
                f'{file}: this directory was begun with {name}={old!r:.80}, not {new!r:.80}: use the old value or '
                'another --workdir'
            )
    if jax.process_index() == 0:
        if changed:
            (directory / 'done.json').unlink(missing_ok=True)
        if before['demos'] == '' and any(name.split('.')[0] in _RECORDING for name, *_ in changed):
            (directory / 'demos.hdf5').unlink(missing_ok=True)
        atomic.write(file, json.dumps(now, indent=1, allow_nan=False) + '\n')
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices('the work directory is claimed')


def _open(name: str, old: Any, new: Any, begun: set[str]) -> bool:
    """Whether a setting may still change once something was trained, of the finetuners those that have begun."""
    section = name.split('.')[0]
    if name == 'finetune.chunks' and begun:
        return new > old
    if name == 'finetune.algorithm':
        return begun <= {algorithm.strip() for algorithm in new.split(',')}
    return section in set(settings.ALGORITHMS) - begun or (section in _OF_ALL and not begun)


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of every setting that differs, None where there is none."""
    old, new = (flatten_dict(config, sep='.') for config in (before, now))
    return [(name, old.get(name), new.get(name)) for name in sorted(old | new) if old.get(name) != new.get(name)]


def read_config(file: Path) -> ConfigDict:
    """The config that a point was run with, from its config.json.

    Raises:
      ValueError: there is none.
    """
    if not file.is_file():
        raise ValueError(
            f'{file}: missing: it says how the policies of this run were trained; copy it from the run to there, two '
            'folders above the policies'
        )
    config = ConfigDict(_tuples(json.loads(file.read_text())))
    for name, section in default.get_config().items():  # those that were not there yet when it was run
        if name not in config:
            config[name] = section
    return config.lock()


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that a config holds."""
    if isinstance(value, Mapping):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
