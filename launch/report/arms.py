"""The arms of a comparison as the report shows them: their order, colours, markers and dashes.

An arm looks the same in every figure. Families differ by hue (neutral, warm, blue: told apart by all common kinds of
colour blindness; BC's baselines, green, violet and magenta, by their dots too), members by lightness, marker and dash.
"""

from collections.abc import Sequence
from typing import NamedTuple

from launch.arms import PRETRAIN, Arm


class Style(NamedTuple):
    """light, dark: hex colours on a white and on a dark page; marker and dashes: matplotlib's."""

    light: str
    dark: str
    marker: str
    dashes: tuple[float, ...]


# By family, in the order in which its arms take them.
LOOKS = {
    'bc': [('#515c6b', '#c5ccd6', 'o', ())],
    'regularised': [
        ('#2f7d5b', '#7fd0ab', '^', (1, 2)),
        ('#1b5a3f', '#4fae86', 'v', (1, 2)),
        ('#64ad8b', '#b5e8d1', 's', (1, 2)),
    ],
    'weighted_bc': [
        ('#7a4fa3', '#c7a4ea', 'D', (1, 2)),
        ('#55317a', '#a47fd0', 'd', (1, 2)),
        ('#a583c6', '#e0cdf5', 'p', (1, 2)),
    ],
    'value_dice': [('#a3356f', '#f08fc0', 'p', (1, 2))],
    'fixed': [
        ('#e08a00', '#ffb84d', 's', ()),
        ('#9a5b00', '#d9a15c', '^', ()),
        ('#f2b84b', '#ffe0a3', 'v', ()),
    ],
    'matched': [
        ('#c43c1a', '#ff8a66', 'D', (4, 2)),
        ('#8f2410', '#e0694a', 'd', (4, 2)),
        ('#e5735a', '#ffb8a3', 'p', (4, 2)),
    ],
    'post_bc': [
        ('#0a5cb5', '#5fb0ff', 'X', ()),
        ('#062f66', '#a9d4ff', 'P', ()),
        ('#3f97e8', '#2f86e0', '*', ()),
    ],
}

FAMILY = {'sigma_bc': 'fixed', 'bc_dropout': 'regularised', 'bc_weight_decay': 'regularised'}


def ordered(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """BC and its baselines, fixed sigma by size, then matched sigma and PostBC by alpha, a rule's last."""
    return tuple(sorted(set(arms), key=lambda a: (PRETRAIN.index(a.pretrain), a.matched, a.alpha_by, *a[1:])))


def family(arm: Arm) -> str:
    """The key of LOOKS that an arm's look comes from."""
    return 'matched' if arm.matched else FAMILY.get(arm.pretrain, arm.pretrain)


def styles(arms: Sequence[Arm]) -> dict[Arm, Style]:
    """One look per arm; beyond three of a family the looks repeat."""
    given = dict.fromkeys(LOOKS, 0)
    found = {}
    for arm in ordered(arms):
        name = family(arm)
        found[arm] = Style(*LOOKS[name][given[name] % len(LOOKS[name])])
        given[name] += 1
    return found


def bc(arms: Sequence[Arm]) -> Arm | None:
    """The arm that the others are compared with."""
    return next((arm for arm in arms if arm.pretrain == 'bc'), None)


def partner(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """The sigma-BC arm at this PostBC arm's own noise rms."""
    if arm.pretrain != 'post_bc':
        return None
    own = (arm.alpha, arm.alpha_by)
    return next((a for a in arms if a.matched and (a.matched_alpha, a.alpha_by) == own), None)
