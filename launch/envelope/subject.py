"""What a document is about: one policy of a folder, the run it is of, and the demonstrations it is held against.

First step of launch.envelope. A run's config.json says how its policies were trained; which of the demonstrations one
has learnt from is found by comparing them, so that a file may be renamed, or hold more than was learnt from.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from launch import config as settings
from launch.arms import arm_of
from launch.demonstrations import Learning, path_of_run, subsets
from launch.kinds import KINDS
from launch.workdir import read_config
from postbc_jax import checkpoint, data
from postbc_jax.data import validate, windows
from postbc_jax.policies import Policy
from postbc_jax.types import Demos


class Sizes(NamedTuple):
    """What fitting asks of an environment, taken from the demonstrations: the simulator need not be installed."""

    observation_size: int
    action_size: int
    obs_keys: tuple[tuple[str, int], ...]


class Subject(NamedTuple):
    """What is described.

    Attributes:
      folder: of the policies.
      index: of the policy among them.
      label: its columns.
      kind: name of its class.
      policy: called as brax calls policies.
      config: of its run.
      learning: all demonstrations of the file, in the policy's normalised units; one row of mask, all 1.
      learnt: (E,) bool, which of them the policy has learnt from.
      sizes: in the place of the environment.
      notes: what could not be known.
    """

    folder: Path
    index: int
    label: dict[str, Any]
    kind: str
    policy: Any
    config: ConfigDict
    learning: Learning
    learnt: np.ndarray
    sizes: Sizes
    notes: list[str]

    @property
    def base(self) -> Policy:
        """The pretrained policy: itself, or the one that finetuning began with."""
        return pretrained(self.policy)

    @property
    def name(self) -> str:
        """In words: 'PostBC α=1, seed 0, finetuned by dsrl_ppo'."""
        after = f', finetuned by {self.label["finetune"]}' if 'finetune' in self.label else ''
        return f'{arm_of(self.label).name}, seed {self.label["seed"]}{after}'


def pretrained(policy: Any) -> Policy:
    """The Policy inside whatever plays."""
    return policy if isinstance(policy, Policy) else pretrained(policy.policy)


def read(folder: Path, file: str, learner: int | None) -> Subject:
    """The subject; the first PostBC policy of the folder where no learner is named.

    Raises:
      ValueError: no policies of a known kind, no such learner, no config of their run, or demonstrations that do not
        fit them.
    """
    kind, about = checkpoint.read_about(folder)
    if kind not in KINDS:
        raise ValueError(f'--policy={folder}: holds {kind}; this describes {", ".join(KINDS)}')
    stack, labels = checkpoint.load_policies(folder, KINDS[kind])
    index = _first(labels) if learner is None else learner
    if not 0 <= index < len(labels):
        raise ValueError(f'--learner={index}: {folder} holds {len(labels)} policies, counted from 0')
    policy = jax.tree.map(lambda x: x[index], stack)
    run = folder.resolve().parents[1]
    config = read_config(run / 'config.json')
    demos = data.load(file, settings.obs_keys(config), None, config.action_bound or None)
    base = pretrained(policy)
    validate.check_env(demos, base.config.obs_size, base.config.action_size, file)
    said = [[name, size] for name, size in demos.obs_keys]
    if about.get('obs_keys') and sorted(said) == sorted(about['obs_keys']) and said != about['obs_keys']:
        names = [name for name, _ in about['obs_keys']]
        raise ValueError(f'{file}: obs: in the order {", ".join(n for n, _ in said)}, the policy observes {names}')
    learnt, notes = learnt_from(config, run, demos, labels[index].get('seed', 0))
    if learner is None and len(labels) > 1:
        notes.append(f'The folder holds {len(labels)} policies; this is number {index}. --learner chooses another.')
    mask = np.ones((1, len(demos.obs)), np.float32)
    cut = windows.windows(demos, base.normaliser, base.config.chunk)
    learning = Learning(cut, base.normaliser, mask, np.zeros_like(mask), demos, file)
    sizes = Sizes(base.config.obs_size, base.config.action_size, demos.obs_keys)
    return Subject(folder, index, labels[index], kind, policy, config, learning, learnt, sizes, notes)


def digest(demos: Demos) -> list[str]:
    """What tells demonstrations apart by their content, (E,): equal for equal observations and actions."""
    episode = np.asarray(demos.episode)
    rows = np.concatenate([demos.obs, demos.actions], axis=1).astype(np.float32)
    return [
        hashlib.sha256(np.ascontiguousarray(rows[episode == e]).tobytes()).hexdigest() for e in range(demos.episodes)
    ]


def _first(labels: list[dict]) -> int:
    return next((i for i, label in enumerate(labels) if label.get('pretrain') == 'post_bc'), 0)


def learnt_from(config: ConfigDict, run: Path, demos: Demos, seed: int) -> tuple[np.ndarray, list[str]]:
    """Which demonstrations (E,) the policies of a run's seed have learnt from, and what is to be said about it."""
    path = path_of_run(config, run)
    if not Path(path).exists():
        note = f'{path} is not here, so it is not known which demonstrations were learnt from: taken to be all of them.'
        return np.ones(demos.episodes, bool), [note]
    theirs = data.load(path, settings.obs_keys(config), config.mask or None, config.action_bound or None)
    mask = subsets(config, theirs)[seed]
    chosen = {
        name for name, e in zip(digest(theirs), range(theirs.episodes), strict=True) if mask[theirs.episode == e][0]
    }
    found = np.array([name in chosen for name in digest(demos)])
    gone = len(chosen) - len({name for name in digest(demos)} & chosen)
    notes = [f'{gone} of the {len(chosen)} demonstrations that it has learnt from are not in the file.'] * (gone > 0)
    return found, notes
