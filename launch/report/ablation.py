"""The picture of an ablation: every measure over one parameter at a time, the others at their default.

Beside parameters, whose panels mix all other parameters; drawn where a sweep goes out from one setting.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from launch.arms import Arm
from launch.report import arms, compare, figures, panels
from launch.report.arms import LOOKS, Style
from launch.report.compare import Estimate
from launch.report.figures import Picture
from launch.report.panels import SOFT
from launch.report.parameters import NAMES
from launch.report.sections import Section
from launch.report.trials import Sweep
from launch.report.words import parameter


class Ablation(NamedTuple):
    """default: {setting: value}; sections: {setting: [(value, section)]}, by value, the default's among them."""

    default: dict[str, Any]
    sections: dict[str, list[tuple[Any, Section]]]


def ablation(sweep: Sweep) -> Ablation | None:
    """The sweep taken apart: each setting's most frequent value is its default, and every section differs from the
    defaults in one setting at most. None where they do not, as in a grid, where no section is at the defaults, and of
    a single setting, whose default nothing tells."""
    names = list(sweep.sections[0].setting)
    default = {}
    for name in names:
        seen = Counter(json.dumps(section.setting[name]) for section in sweep.sections)
        default[name] = json.loads(seen.most_common(1)[0][0])
    found: dict[str, list[tuple[Any, Section]]] = {name: [] for name in names}
    for section in sweep.sections:
        apart = [name for name in names if _plain(section.setting[name]) != default[name]]
        if len(apart) > 1:
            return None
        for name in apart or names:
            found[name].append((_plain(section.setting[name]), section))
    if len(names) < 2 or any(all(value != default[name] for value, _ in found[name]) for name in names):
        return None
    return Ablation(default, {name: sorted(found[name], key=lambda pair: _order(pair[0])) for name in names})


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _order(value: Any) -> tuple:
    """Numbers, and lists of one, by size; the rest by their text."""
    number = value[0] if isinstance(value, list) and len(value) == 1 else value
    known = isinstance(number, int | float)
    return (not known, number if known else 0, str(value))


Measure = Callable[[Section, Arm], Estimate | None]


def measures(sweep: Sweep) -> dict[str, Measure]:
    """{axis label: estimate of an arm of a section}, as far as anything was measured."""
    n = min((compare.coverage_n(section) or 0 for section in sweep.sections), default=0)
    found: dict[str, Measure] = {
        'noise rms': lambda section, arm: compare.mean(
            {unit: row['rms'] for unit, row in section.noise.get(arm, {}).items()}
        ),
        'pretrained success': lambda section, arm: compare.mean(section.pretrained.get(arm, {})),
        f'pass@{n}': lambda section, arm: compare.mean(compare.coverage_at(section, 'all', n).get(arm, {})),
        'finetuned success': lambda section, arm: compare.mean(compare.finals(section).get(arm, {})),
    }
    return {
        name: of
        for name, of in found.items()
        if any(of(section, arm) is not None for section in sweep.sections for arm in section.arms)
    }


def draw(sweep: Sweep) -> dict[str, Picture]:
    """'ablation', a column a setting, a row a measure; {} where the sweep is none."""
    found, rows = ablation(sweep), measures(sweep)
    if found is None or not rows:
        return {}
    families = {arms.family(arm) for section in sweep.sections for arm in section.arms}
    looks = {family: Style(*LOOKS[family][0]) for family in LOOKS if family in families}
    names = list(found.sections)
    tops = {name: _top(sweep, measure) for name, measure in rows.items()}
    drawn = [
        lambda axes, n=name, m=measure, first=not i: _panel(axes, found, n, m, rows[m], looks, first, tops[m])
        for i, measure in enumerate(rows)
        for name in names
    ]
    size = (max(3.9 * len(names), 2.3 * min(3, len(looks))), 2.5 * len(rows) + 0.7)
    legend = {NAMES[family]: style for family, style in looks.items()}
    return {'ablation': figures.picture('ablation', drawn, size, legend, len(names))}


def _top(sweep: Sweep, measure: Measure) -> float:
    """Where a measure's axis ends, alike in all its panels: a little above every interval, of success above 1."""
    found = [measure(section, arm) for section in sweep.sections for arm in section.arms]
    values = [one.value for one in found if one]
    highest = max([*values, *(one.high for one in found if one and one.known)])
    return 1.05 * max(min(highest, max(1.0, *values)), 1e-3)


def _panel(
    axes: Axes,
    found: Ablation,
    name: str,
    label: str,
    measure: Measure,
    looks: dict[str, Style],
    first: bool,
    top: float,
) -> None:
    panels.frame(axes, name if first else '', '', label)
    values = [value for value, _ in found.sections[name]]
    for index, (family, style) in enumerate(looks.items()):
        points = []
        for x, (_, section) in enumerate(found.sections[name]):
            arm = next((arm for arm in section.arms if arms.family(arm) == family), None)
            estimate = measure(section, arm) if arm else None
            if estimate is not None:
                points.append((x + 0.05 * (index - (len(looks) - 1) / 2), estimate))
        for x, estimate in points:
            if estimate.known:
                ends = np.clip([estimate.low, estimate.high], 0, 1 if 'rms' not in label else None)
                axes.plot([x, x], ends, color=style.light, linewidth=1.3, alpha=0.8)
        axes.plot([x for x, _ in points], [estimate.value for _, estimate in points], **panels.line(style))
    axes.axvline(values.index(found.default[name]), color=SOFT, linewidth=0.9, linestyle=':', zorder=0)
    axes.set_xticks(range(len(values)), [parameter(value) for value in values])
    axes.set_xlim(-0.4, len(values) - 0.6)
    axes.set_ylim(0, top)
