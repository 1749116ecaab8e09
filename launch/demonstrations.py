"""The demonstrations of one point, from a file or from scripted operators, checked and cut into what is learnt from.

First stage of launch.pipeline.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env
from ml_collections import ConfigDict

from launch import config as settings
from launch.point import Point, key
from launch.progress import Progress
from postbc_jax import data, envs
from postbc_jax.data import bootstrap, normaliser, quality, robomimic, validate, windows
from postbc_jax.types import Demos


class Learning(NamedTuple):
    """What is learnt from. N steps; S seeds, each with its own subset of the demonstrations.

    Attributes:
      windows: the demonstrations, normalised, numpy.
      normaliser: the scaling, which is stored with the policies.
      mask: (S, N), 1 at the steps of the seed's subset.
      quality: (S, N), quality.scores of the seed's demonstrations; 0 where no arm reads them.
      demos: as they were read.
      path: their file.
    """

    windows: windows.Windows
    normaliser: normaliser.Normaliser
    mask: np.ndarray
    quality: np.ndarray
    demos: Demos
    path: str


def demonstrations(point: Point) -> Demos:
    """The demonstrations of the config's file, or of scripted operators, recorded to DIR/demos.hdf5 and read back."""
    config, env = point.config, point.env
    point.progress.stage('demonstrations')
    bound = config.action_bound or None
    path = path_of(point)
    if not config.demos and not (point.directory / 'demos.hdf5').exists():
        record(path, config, env, point.key('record'), point.progress)
    demos = data.load(path, _names(config.obs_keys), config.mask or None, bound)
    for note in validate.check_origin(demos.env_args, env.env_args(), path, config.allow_other_env):
        point.progress.note(f'note: {note}')
    validate.check_env(demos, env.observation_size, env.action_size, path)
    theirs, ours = ([name for name, _ in keys] for keys in (demos.obs_keys, env.obs_keys))
    if theirs != ours and sorted(theirs) == sorted(ours):  # the sizes agree, but the policy would be shown nonsense
        raise ValueError(
            f'{path}: obs: in the order {", ".join(theirs)}, but {config.env} observes {", ".join(ours)}: '
            f'give --config.obs_keys={",".join(ours)}'
        )
    count = len(set(demos.operators))
    who = f'by {count} operator{"s" * (count > 1)}' if any(demos.operators) else 'operators unknown'
    point.progress.say(f'{demos.episodes} episodes, {len(demos.obs)} steps, {who}; {path}')
    return demos


def path_of(point: Point) -> str:
    """The file of the point's demonstrations."""
    return path_of_run(point.config, point.directory)


def path_of_run(config: ConfigDict, directory: Path) -> str:
    """The file of demonstrations of the run that a directory is of."""
    return config.demos or str(directory / 'demos.hdf5')


def record(path: str, config: ConfigDict, env: Env, key: jax.Array, progress: Progress) -> None:
    """Records config.record's scripted demonstrations to robomimic HDF5, with a mask for each operator.

    Raises:
      ValueError: nobody scripted demonstrations of the environment, or its operators fail too often.
    """
    operators = _operators(config, env)
    episodes = config.record.episodes
    progress.begin(episodes)
    progress.chunk(0, episodes, {})
    demos = envs.record(
        env,
        operators,
        episodes,
        key,
        config.record.noise,
        after_wave=lambda kept, tried: progress.chunk(kept, episodes, {'tried': tried}),
    )
    named = list(zip(demos.names, demos.operators, strict=True))
    masks = {operator: [name for name, by in named if by == operator] for operator in set(demos.operators)}
    robomimic.save(path, demos, masks, action_bound=config.action_bound or None)


def _operators(config: ConfigDict, env: Env) -> dict[str, envs.Operator]:
    """The scripted operators that the config names, or all of the environment's."""
    there = env.operators()
    if not there:
        raise ValueError(f'config.env={config.env}: nobody scripted demonstrations of it: give --config.demos=FILE')
    names = _names(config.record.operators) or tuple(there)
    there = there | (env.erring() if hasattr(env, 'erring') else {})
    for name in names:
        if name not in there:
            raise ValueError(f'config.record.operators={name}: {config.env} has {", ".join(there)}')
    return {name: there[name] for name in names}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(',') if name.strip())


def prepare(point: Point, demos: Demos) -> Learning:
    """Scaling, chunk windows, and the random subset of demonstrations that each seed learns from.

    The scaling is fitted to all demonstrations, also those that a seed does not learn from: only the range of each
    dimension, so that one set of normalised windows serves every seed and noise has the same units at each.
    """
    masks = subsets(point.config, demos)
    scaling = normaliser.fit(demos)
    cut = windows.windows(demos, scaling, point.config.policy.chunk)
    return Learning(cut, scaling, masks, _quality(point.config, demos, masks), demos, path_of(point))


def subsets(config: ConfigDict, demos: Demos) -> np.ndarray:
    """(S, N), 1 at the steps of the demonstrations that each seed learns from.

    Raises:
      ValueError: config.subset asks for more than there are.
    """
    size = config.subset or demos.episodes
    if not 1 <= size <= demos.episodes:
        raise ValueError(f'config.subset={size}: there are {demos.episodes} demonstrations; 0 takes all of them')
    keys = [jax.random.fold_in(key(config, 'subset'), seed) for seed in range(config.seeds)]
    return np.stack([np.asarray(bootstrap.subset(k, jnp.asarray(demos.episode), demos.episodes, size)) for k in keys])


def sources(point: Point) -> list[dict]:
    """What the rows of a Learning's mask are called: one source of demonstrations a seed."""
    return [{'seed': seed} for seed in range(point.config.seeds)]


def _quality(config: ConfigDict, demos: Demos, masks: np.ndarray) -> np.ndarray:
    betas = dict.fromkeys(beta for one in settings.each(config) for beta in one.betas)
    if not betas:
        return np.zeros_like(masks)
    found = []
    for seed, mask in enumerate(masks):
        try:
            found.append(quality.scores(demos, mask, config.weighted.measure, config.weighted.discount))
        except ValueError as error:
            raise ValueError(f'config.betas={tuple(betas)}: seed {seed}: config.weighted.{error}') from error
    return np.stack(found)
