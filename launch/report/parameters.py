"""The pictures of a sweep: every trial as a line over its parameters, and success over each parameter by itself.

Beside figures, which draws one section. Colours are the arms' families'.
"""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from launch.report import arms, figures, panels
from launch.report.arms import LOOKS, Style
from launch.report.figures import Picture
from launch.report.panels import GRID, INK, PAPER, SOFT
from launch.report.trials import SHOWN, Sweep, Trial
from launch.report.words import parameter

NAMES = {
    'bc': 'BC',
    'regularised': 'BC, regularised',
    'weighted_bc': 'weighted BC',
    'value_dice': 'ValueDICE',
    'fixed': 'σ-BC',
    'matched': 'σ-BC matched',
    'post_bc': 'PostBC',
}
_FEW = 10  # values of a parameter; more are a continuous axis
_BARS = 12  # trials; more have no intervals in the pictures
_NONE = parameter(None)  # what an arm has that does not read a parameter


class Scale(NamedTuple):
    """A parameter's axis: where its values lie in [0, 1], and what is written where."""

    positions: dict[str, float]
    ticks: list[tuple[float, str]]
    values: bool  # whether positions are of single values, evenly apart

    def at(self, trial: Trial, name: str) -> float:
        return self.positions[parameter(trial.parameters.get(name))]


def draw(sweep: Sweep) -> dict[str, Picture]:
    """'trials' and 'parameters'; {} where no parameter varies."""
    names = sweep.parameters
    if not names:
        return {}
    looks = {arms.family(trial.arm): Style(*LOOKS[arms.family(trial.arm)][0]) for trial in sweep.trials}
    looks = {family: looks[family] for family in LOOKS if family in looks}
    scales = {name: scale(sweep, name) for name in names}
    legend = {NAMES[family]: style for family, style in looks.items()}
    width = max(7.0, 2.2 * (len(names) + 1))
    return {
        'trials': figures.picture(
            'trials', [lambda axes: _lines(axes, sweep, scales, looks)], (width, 4.4), legend, columns=1
        ),
        'parameters': figures.picture(
            'parameters',
            [lambda axes, n=name: _parameter(axes, sweep, n, scales[n], looks) for name in names],
            (4.5 * min(3, len(names)), 3.6 * math.ceil(len(names) / 3) + 0.4),
            legend,
            columns=min(3, len(names)),
        ),
    }


def scale(sweep: Sweep, name: str) -> Scale:
    """Values evenly apart where there are few, or any that is no number; else by size, or its logarithm."""
    seen = [trial.parameters.get(name) for trial in sweep.trials]
    values = {parameter(value): value for value in seen if value is not None}
    missing = None in seen
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())
    order = sorted(values, key=lambda text: values[text] if numeric else (len(text), text))
    if not numeric or len(order) <= _FEW:
        texts = [_NONE] * missing + order
        where = np.linspace(0, 1, len(texts)) if len(texts) > 1 else [0.5]
        positions = dict(zip(texts, map(float, where), strict=True))
        every = math.ceil(len(texts) / 12)
        return Scale(positions, [(positions[text], text) for text in texts[::every]], True)
    sizes = np.array([values[text] for text in order], float)
    logarithmic = sizes[0] > 0 and sizes[-1] / sizes[0] >= 10
    apart = np.log(sizes) if logarithmic else sizes
    bottom = 0.12 if missing else 0.0
    where = bottom + (1 - bottom) * (apart - apart[0]) / (apart[-1] - apart[0])
    positions = dict(zip(order, where.tolist(), strict=True)) | ({_NONE: 0.0} if missing else {})
    marks = np.linspace(apart[0], apart[-1], 5)
    ticks = [
        (float(bottom + (1 - bottom) * i / 4), f'{np.exp(mark) if logarithmic else mark:.2g}')
        for i, mark in enumerate(marks)
    ]
    return Scale(positions, ([(0.0, _NONE)] if missing else []) + ticks, False)


def _lines(axes: Axes, sweep: Sweep, scales: dict[str, Scale], looks: dict[str, Style]) -> None:
    """Parallel coordinates: an upright axis a parameter, success on the last; the best trials are thick."""
    top = _top(sweep)
    names = list(scales)
    many = len(sweep.trials) > 30
    for rank, trial in reversed(list(enumerate(sweep.trials))):
        style = looks[arms.family(trial.arm)]
        high = trial.success.value / top
        spread = 0.05 * (high - 0.5)  # trials of one value lie beside each other, the better above
        y = [0.03 + 0.94 * (scales[name].at(trial, name) + spread) for name in names] + [0.03 + 0.94 * high]
        best = rank < SHOWN
        axes.plot(
            range(len(y)),
            y,
            color=style.light,
            linewidth=2.4 if best else 0.9,
            alpha=1.0 if best else 0.28 if many else 0.6,
            marker=style.marker if best or not many else None,
            markersize=6 if best else 4,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            zorder=3 if best else 2,
        )
    ticks = [scales[name].ticks for name in names] + [[(i / 4, f'{top * i / 4:.2f}') for i in range(5)]]
    for x, marks in enumerate(ticks):
        axes.axvline(x, color=SOFT, linewidth=0.9, zorder=1)
        for at, text in marks:
            behind = {'facecolor': PAPER, 'edgecolor': 'none', 'pad': 1.0, 'alpha': 0.85}
            axes.text(x - 0.03, 0.03 + 0.94 * at, text, ha='right', va='center', fontsize=8.5, bbox=behind, zorder=4)
    axes.set_xlim(-0.4, len(names) + 0.1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks(range(len(names) + 1), [*map(_short, names), 'success'], color=INK, fontsize=10)
    axes.set_yticks([])
    axes.tick_params(length=0)
    for side in ('left', 'bottom'):
        axes.spines[side].set_visible(False)
    axes.set_title('Every trial: a line over its parameters', loc='left', fontsize=11.5, fontweight='bold', pad=10)


def _parameter(axes: Axes, sweep: Sweep, name: str, where: Scale, looks: dict[str, Style]) -> None:
    """Success over one parameter: a dot a trial; where its values are few a line through their means, by family."""
    panels.frame(axes, name, '', 'success rate')
    bars = len(sweep.trials) <= _BARS
    for index, (family, style) in enumerate(looks.items()):
        mine = [trial for trial in sweep.trials if arms.family(trial.arm) == family]
        beside = 0.012 * (index - (len(looks) - 1) / 2)
        x = np.array([where.at(trial, name) for trial in mine])
        y = np.array([trial.success.value for trial in mine])
        size = 6.0 if bars else 4.0
        for at, trial in zip(x, mine, strict=True):
            if bars and trial.success.known:
                low, high = np.clip(trial.success[1:3], 0, 1)
                axes.plot([at + beside] * 2, [low, high], color=style.light, linewidth=1.3, alpha=0.8)
        axes.plot(x + beside, y, style.marker, color=style.light, markersize=size, alpha=0.9 if bars else 0.45, mew=0)
        values = sorted(set(x))
        if where.values and len(values) > 1:
            means = [y[x == value].mean() for value in values]
            axes.plot(np.add(values, beside), means, color=style.light, linewidth=2.0)
    texts = [text for _, text in where.ticks]
    slanted = sum(map(len, texts)) > 34
    axes.set_xticks(
        [at for at, _ in where.ticks], texts, rotation=30 if slanted else 0, ha='right' if slanted else 'center'
    )
    axes.set_xlim(-0.07, 1.07)
    axes.set_ylim(0, _top(sweep, bars))
    axes.grid(axis='x', color=GRID, linewidth=0.5)


def _top(sweep: Sweep, bars: bool = False) -> float:
    """Where the success axis ends: above every trial, and every interval where they are drawn, at a multiple of .2."""
    tops = [trial.success.high if bars and trial.success.known else trial.success.value for trial in sweep.trials]
    highest = max(tops)
    return min(1.0, math.ceil(max(highest, 0.1) * 1.1 * 5) / 5)


def _short(name: str) -> str:
    """A setting's name in two lines, its section above."""
    return name.replace('.', '.\n', 1)
