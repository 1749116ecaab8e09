"""A sweep's trials: every arm at every setting, with its success over seeds, and which of them are best.

Between sections and what shows a sweep: the table, the best settings, the pictures of the parameters. A sweep is the
sections of one task and finetuner, where they are of more than one setting.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from launch.arms import CHOSEN_BY, Arm
from launch.report import compare
from launch.report.compare import Estimate
from launch.report.sections import MANY, Section

_OF_ARMS = ('alpha', 'sigma', 'dropout', 'weight_decay', 'beta')
_NOT_READ = {
    'value_dice': ('pretrain.learning_rate', 'pretrain.weight_decay'),
    'bc_weight_decay': ('pretrain.weight_decay',),
}
BEST = 10  # trials in the table of the best
SHOWN = 3  # the best trials' settings have sections where there are more than MANY


class Trial(NamedTuple):
    """One arm at one setting.

    Attributes:
      section: where it was measured.
      arm: which arm.
      parameters: {name: value} of the settings that it reads and of the arm's own numbers.
      pretrained, finetuned: success over seeds; None where nothing was measured.
      env_steps: of finetuning, at which `finetuned` was measured; 0 where nothing was.
    """

    section: Section
    arm: Arm
    parameters: dict[str, Any]
    pretrained: Estimate | None
    finetuned: Estimate | None
    env_steps: int

    @property
    def success(self) -> Estimate | None:
        """After finetuning; before it where nothing was finetuned."""
        return self.finetuned if self.section.curves else self.pretrained


class Sweep(NamedTuple):
    """The sections of one task and finetuner, more than one setting.

    Attributes:
      title: task, and finetuner where there are several.
      sections: one a setting.
      trials: with a success, best first; an arm that reads none of what sets two settings apart is there once.
      parameters: the names of those in which trials differ, settings first.
    """

    title: str
    sections: list[Section]
    trials: list[Trial]
    parameters: list[str]


def trials(section: Section) -> list[Trial]:
    """Every arm of the section."""
    finals = compare.finals(section)
    return [
        Trial(
            section=section,
            arm=arm,
            parameters=_parameters(section, arm),
            pretrained=compare.mean(section.pretrained.get(arm, {}), section.episodes),
            finetuned=compare.mean(finals.get(arm, {}), section.episodes),
            env_steps=round(float(section.curves[arm].steps[-1])) if arm in section.curves else 0,
        )
        for arm in section.arms
    ]


def _parameters(section: Section, arm: Arm) -> dict[str, Any]:
    not_read = (*CHOSEN_BY, *_NOT_READ.get(arm.pretrain, ()))
    own = {name: getattr(arm, name) for name in _OF_ARMS if getattr(arm, name)}
    if arm.matched or arm.alpha_by:
        own = {'alpha': arm.alpha_by or arm.matched_alpha}
    return {name: value for name, value in section.setting.items() if name not in not_read} | own


def sweeps(sections: Sequence[Section]) -> list[Sweep]:
    """The sweeps among the sections; [] where each task and finetuner has one setting."""
    groups: dict[tuple[str, str], list[Section]] = defaultdict(list)
    for section in sections:
        groups[section.task, section.algorithm].append(section)
    return [
        _sweep(', '.join(filter(None, key if len(groups) > 1 else key[:1])), members)
        for key, members in groups.items()
        if len(members) > 1
    ]


def _sweep(title: str, sections: list[Section]) -> Sweep:
    distinct = {}
    for section in sections:
        for trial in trials(section):
            if trial.success is not None:
                distinct.setdefault((trial.arm, repr(trial.parameters)), trial)
    found = sorted(distinct.values(), key=lambda trial: -trial.success.value)
    names = dict.fromkeys(name for trial in found for name in trial.parameters if name not in _OF_ARMS)
    names |= dict.fromkeys(name for name in _OF_ARMS if any(name in trial.parameters for trial in found))
    varied = [
        name for name in names if len({repr(trial.parameters[name]) for trial in found if name in trial.parameters}) > 1
    ]
    return Sweep(title, sections, found, varied)


def shown(sections: list[Section]) -> list[Section]:
    """The sections that the report shows whole: of a sweep of more than MANY settings those of its best trials."""
    left_out = set()
    for sweep in sweeps(sections):
        if len(sweep.sections) > MANY:
            best = list(dict.fromkeys(id(trial.section) for trial in sweep.trials))[:SHOWN]
            left_out |= {id(section) for section in sweep.sections} - set(best)
    return [section for section in sections if id(section) not in left_out]
