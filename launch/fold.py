"""Folding: points of a sweep that differ only in what lies on the learner axis become one point, one compiled program.

Between an experiment's sweep() and everything that runs points, which know nothing of it: a folded point is a point
with {'fold': (setting, setting, ...)}. Each setting's learners get the numbers that they would get alone: a learner's
random numbers are its seed's. An arm that several settings share is trained once.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from launch import config as settings
from launch.arms import CHOSEN_BY, Arm, arm_of

# What a pretrain.Arm holds as numbers, and which arms there are. A dropout rate of 0 changes nothing, so runs with and
# without dropout share a program too: one that draws masks.
FOLDABLE = (*CHOSEN_BY, 'pretrain.learning_rate', 'pretrain.weight_decay')
_FINETUNING = ('finetune', 'warm_start', *settings.ALGORITHMS)
_DEMONSTRATIONS = ('env', 'env_settings', 'demos', 'obs_keys', 'mask', 'action_bound', 'record', 'subset')


class Recipe(NamedTuple):
    """One policy of every seed.

    Attributes:
      arm: its arm.
      learning_rate, weight_decay: what it is trained with; 0 of value_dice, which has its own.
      settings: the indices in config.fold of the settings that it belongs to; None where the run is of one.
    """

    arm: Arm
    learning_rate: float
    weight_decay: float
    settings: tuple[int, ...] | None

    def label(self, seed: int) -> dict[str, Any]:
        """The columns of its rows: the arm's and, in a run of several settings, what tells those apart."""
        label = self.arm._asdict()
        if self.settings is not None:
            label |= {
                'pretrain.learning_rate': self.learning_rate,
                'pretrain.weight_decay': self.weight_decay,
                'settings': list(self.settings),
            }
        return label | {'seed': seed}


def recipes(config: ConfigDict) -> list[Recipe]:
    """The policies that a run trains at every seed: each arm of each of its settings, and none twice."""
    found: dict[tuple, Recipe] = {}
    for index, one in enumerate(settings.each(config)):
        for arm in settings.arms(one):
            recipe = _recipe(arm, one, (index,) if config.fold else None)
            key = arm_of(arm._asdict()), *recipe[1:3]
            if key in found:
                recipe = found[key]._replace(settings=(*found[key].settings, index))
            found[key] = recipe
    return list(found.values())


def _recipe(arm: Arm, config: ConfigDict, indices: tuple[int, ...] | None) -> Recipe:
    if arm.pretrain == 'value_dice':
        return Recipe(arm, 0.0, 0.0, indices)
    return Recipe(arm, config.pretrain.learning_rate, arm.weight_decay or config.pretrain.weight_decay, indices)


def told_apart(config: ConfigDict) -> list[dict[str, Any]]:
    """config.fold with every value as the settings' configs hold it; [] where the run is of one setting."""
    flat = (flatten_dict(one.to_dict(), sep='.') for one in settings.each(config))
    return [{name: one[name] for name in setting} for setting, one in zip(config.fold, flat, strict=False)]


def fold(config: ConfigDict, points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points, of which those that differ only in FOLDABLE settings are one, in the place of the first.

    None are folded where config.fold_sweep is False, nor where policies are taken from elsewhere (init_from), which
    reads none of these settings. A point that is there twice is folded once.

    Returns:
      Points as they were, and folded ones: {'policy.hidden': (256,), 'fold': ({'alphas': (0.5,)}, ...)}.
    """
    if not config.fold_sweep:
        return list(points)
    groups: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        taken = point.get('init_from', config.init_from) or 'fold' in point
        shared = point if taken else {name: value for name, value in point.items() if name not in FOLDABLE}
        groups.setdefault(_key(shared), []).append(point)
    return [_folded(group) for group in groups.values()]


def _folded(group: list[dict[str, Any]]) -> dict[str, Any]:
    own = [{name: value for name, value in point.items() if name in FOLDABLE} for point in group]
    distinct = list({_key(setting): setting for setting in own}.values())
    if len(distinct) == 1:
        return group[0]
    shared = {name: value for name, value in group[0].items() if name not in FOLDABLE}
    return shared | {'fold': tuple(distinct)}


def _key(point: dict[str, Any]) -> str:
    return json.dumps(point, sort_keys=True, default=str)


def text(point: dict[str, Any]) -> str:
    """A point in a line: 'policy.hidden=(256,), 4 settings'."""
    shared = [f'{name}={value}' for name, value in point.items() if name != 'fold']
    together = [f'{len(point["fold"])} settings'] if point.get('fold') else []
    return ', '.join(shared + together)


def explain(config: ConfigDict, points: Sequence[dict[str, Any]]) -> list[str]:
    """What shares a run and what makes a point of each value, and why, in at most two lines; of folded points."""
    lines = []
    folded = [point['fold'] for point in points if point.get('fold')]
    if folded:
        names = _varied(setting for one in folded for setting in one)
        sizes = sorted({len(one) for one in folded})
        runs = 'one run' if len(folded) == 1 else f'{len(folded)} runs'
        lies = 'lies' if len(names) == 1 else 'lie'
        lines.append(
            f'{runs} of {"-".join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))} settings: {", ".join(names)} {lies} '
            'on the learner axis'
        )
    reasons: dict[str, list[str]] = {}
    for name in _varied(point for point in points):
        reasons.setdefault(_why(config, name), []).append(name)
    told = [
        f'{", ".join(names)} {"makes" if len(names) == 1 else "make"} an array point of each value: {why}'
        for why, names in reasons.items()
    ]
    return lines + (['; '.join(told)] if told else [])


def _varied(points: Iterable[dict[str, Any]]) -> list[str]:
    """The names, but for 'fold', that the points have different values of, in order."""
    points = list(points)
    names = dict.fromkeys(name for point in points for name in point if name != 'fold')
    return [name for name in names if len({_key({'': point.get(name)}) for point in points}) > 1]


def _why(config: ConfigDict, name: str) -> str:
    section = name.split('.')[0]
    if name in FOLDABLE:
        return 'config.fold_sweep is False' if not config.fold_sweep else 'policies are taken from config.init_from'
    if name == 'seed':
        return 'it draws other demonstrations (config.seeds puts seeds on the learner axis)'
    if section in _DEMONSTRATIONS:
        return 'other demonstrations'
    return "a finetuner's settings are compiled" if section in _FINETUNING else 'shapes are compiled'
