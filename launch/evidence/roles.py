"""What an arm is in a comparison over tasks, where each has alphas and sigmas of its own; and which were chosen how.

Between the report's sections and the evidence's numbers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from launch.arms import Arm
from launch.report import arms, compare
from launch.report.parameters import NAMES
from launch.report.read import Point
from launch.report.sections import Section

_SETTING = {'post_bc': 'alphas', 'fixed': 'sigmas'}
_VALUE = {'post_bc': 'alpha', 'fixed': 'sigma', 'matched': 'matched_alpha'}


class Choice(NamedTuple):
    """One setting's value by development seeds: 'alphas' or 'sigmas', of which values, the area under the curve of
    each, and how many seeds."""

    setting: str
    value: float
    areas: dict[float, float]
    seeds: int


def config_of(section: Section, points: Sequence[Point]) -> dict[str, Any]:
    """The config of one of the section's points; {} where none has any."""
    return next((point.config for point in points if point.name in section.points and point.config), {})


def roots(section: Section, points: Sequence[Point]) -> list[int]:
    """The root seeds of the section's points, sorted."""
    mine = (point.config.get('seed') for point in points if point.name in section.points)
    return sorted({seed for seed in mine if seed is not None})


def roles(section: Section, config: dict[str, Any]) -> dict[Arm, str]:
    """What every arm is called over tasks: 'PostBC' of the only one whose alpha the config asks for, 'σ-BC' of the only
    sigma, 'σ-BC matched' of the only matched one; every other arm keeps its name."""
    found = {arm: arm.name for arm in section.arms}
    for family in ('post_bc', 'fixed', 'matched'):
        asked = config.get('sigmas' if family == 'fixed' else 'alphas') or ()
        mine = [arm for arm in section.arms if arms.family(arm) == family and getattr(arm, _VALUE[family]) in asked]
        if len(mine) == 1:
            found[mine[0]] = NAMES[family]
    return found


def choose(section: Section) -> list[Choice]:
    """Of several alphas, and of several sigmas, the one whose curve has the largest area over environment steps, mean
    over seeds; of equal ones the smallest."""
    found = []
    areas = compare.areas(section)
    for family, setting in _SETTING.items():
        mine = [arm for arm in section.arms if arms.family(arm) == family and arm in areas and not arm.alpha_by]
        heights = {getattr(arm, _VALUE[family]): compare.mean(areas[arm]) for arm in mine}
        if len(heights) > 1:
            best = max(heights, key=lambda value: (heights[value].value, -value))
            found.append(Choice(setting, best, {v: h.value for v, h in heights.items()}, heights[best].n))
    return found


def check_split(task: str, reported: Sequence[int], development: Sequence[int]) -> None:
    """Refuses a root seed on both sides.

    Raises:
      ValueError: there is one.
    """
    both = sorted(set(reported) & set(development))
    if both:
        raise ValueError(
            f'--development: {task}: config.seed={both[0]} is reported too: a setting is chosen on other seeds than '
            'it is reported on'
        )
