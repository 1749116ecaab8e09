"""The panels that figures are made of: each draws one thing about a section's arms into given axes.

The mean over seeds is a thick line with markers, each seed a thin one in the same colour.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from launch.arms import Arm
from launch.report import compare, words
from launch.report.arms import Style, bc
from launch.report.sections import Section, Unit

INK, SOFT, GRID, PAPER = '#1b2129', '#5f6975', '#dfe3e8', '#fefefe'

Looks = dict[Arm, Style]


def line(style: Style) -> dict[str, Any]:
    """matplotlib's arguments for an arm's mean."""
    return {
        'color': style.light,
        'marker': style.marker,
        'linestyle': (0, style.dashes) if style.dashes else '-',
        'linewidth': 2.2,
        'markersize': {'*': 10, 'X': 8, 'P': 8}.get(style.marker, 6.5),
        'clip_on': False,
        'markeredgecolor': PAPER,
        'markeredgewidth': 0.7,
    }


def noise(axes: Axes, section: Section, looks: Looks) -> None:
    """rms of the noise over the episode: where it is small and where large."""
    frame(axes, 'How large the noise is, and when', 'share of the episode', 'noise rms (action units)')
    for arm, style in looks.items():
        mean = words.profile(section, arm)
        if mean is None:
            continue
        middle = (np.arange(len(mean)) + 0.5) / len(mean)
        for row in section.noise[arm].values():
            if mean.max() > 0:
                axes.plot(middle, row['rms_over_time'], color=style.light, linewidth=0.8, alpha=0.5)
        axes.plot(middle, mean, **line(style))
    axes.axhline(compare.WARN_RMS, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.25 * compare.WARN_RMS))
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=' %'))


def coverage(axes: Axes, section: Section, looks: Looks, region: str) -> None:
    """pass@N of the untouched policies over N, on a logarithmic axis."""
    where = '' if region == 'all' else f' ({region} starts)'
    frame(axes, f'What it can do before RL{where}', 'attempts N from one start', 'one of N succeeds (pass@N)')
    _by_number(axes, section.coverage[region], looks)


def candidates(axes: Axes, section: Section, looks: Looks) -> None:
    """Success of the best of N candidates by the critics' word over N, on a logarithmic axis."""
    frame(axes, 'What choosing among N makes of it', 'candidates N at every decision', 'success rate')
    _by_number(axes, section.candidates, looks)


def _by_number(axes: Axes, rates: dict[Arm, dict[int, dict[Unit, float]]], looks: Looks) -> None:
    numbers = sorted({n for by_n in rates.values() for n in by_n})
    for arm, style in looks.items():
        by_n = rates.get(arm, {})
        mine = [n for n in numbers if by_n.get(n)]
        for unit in sorted({unit for n in mine for unit in by_n[n]}):
            seen = [n for n in mine if unit in by_n[n]]
            axes.plot(seen, [by_n[n][unit] for n in seen], color=style.light, linewidth=0.8, alpha=0.5)
        axes.plot(mine, [np.mean(list(by_n[n].values())) for n in mine], **line(style))
    if min(numbers) < max(numbers):
        axes.set_xscale('log', base=2)
    axes.minorticks_off()
    axes.set_xticks(numbers, [str(n) for n in numbers])
    _rates(axes)


def finetuning(axes: Axes, section: Section, looks: Looks) -> None:
    """Success over environment steps; step 0 is the untouched policy. Band: one standard error of the mean."""
    what = section.algorithm.upper().replace('_', '-')
    frame(axes, f'What finetuning makes of it ({what})', 'environment steps', 'success rate')
    for arm, style in looks.items():
        if arm not in section.curves:
            continue
        curves = section.curves[arm]
        seeds = len(curves.success)
        mean = curves.success.mean(0)
        if seeds > 1:
            error = curves.success.std(0, ddof=1) / np.sqrt(seeds)
            axes.fill_between(curves.steps, mean - error, mean + error, color=style.light, alpha=0.2, linewidth=0)
            axes.plot(curves.steps, curves.success.T, color=style.light, linewidth=0.8, alpha=0.55)
        every = max(1, len(curves.steps) // 8)
        axes.plot(curves.steps, mean, **line(style), markevery=every)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.steps(value)))
    _rates(axes)


def calibration(axes: Axes, section: Section, looks: Looks) -> None:
    """The share of held-out actions in the central ranges of BC and PostBC over the share that should be.

    Isotropic noise is in the table alone.
    """
    frame(axes, 'How broad the noise should be', 'share that a range should hold', 'held-out actions in it')
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
    for x, y, side, text in ((0.03, 0.97, 'left', 'noise too broad'), (0.97, 0.03, 'right', 'noise too narrow')):
        axes.text(x, y, text, color=SOFT, ha=side, va='top' if y > 0.5 else 'bottom', fontsize=9.5)
    for found in compare.reliability(section):
        style = looks[found.arm]
        if found.arm.pretrain == 'sigma_bc':
            continue
        if found.arm.pretrain == 'post_bc' and not np.isnan(found.band).any():
            axes.fill_between(found.levels, *np.clip(found.band, 0, 1), color=style.light, alpha=0.15, linewidth=0)
        axes.plot(found.levels, found.seeds.T, color=style.light, linewidth=0.8, alpha=0.5)
        axes.plot(found.levels, [share.value for share in found.coverage], **line(style))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=' %'))


def differences(axes: Axes, section: Section, looks: Looks) -> None:
    """Paired difference to BC of every other arm: after finetuning (filled), before it (hollow), 95% intervals."""
    base, final = bc(section.arms), compare.finals(section)
    arms = [arm for arm in looks if arm != base]
    frame(axes, 'Difference to BC in success', 'paired by seed, with 95% interval', '')
    for row, arm in enumerate(arms):
        behind = {'facecolor': PAPER, 'edgecolor': 'none', 'pad': 1.5}
        axes.text(0.0, row - 0.32, arm.name, transform=axes.get_yaxis_transform(), va='center', bbox=behind)
        for rates, y, hollow in ((section.pretrained, row + 0.02, True), (final, row + 0.3, False)):
            found = compare.paired(arm, base, rates)
            if found is not None:
                _interval(axes, found, y, looks[arm], hollow)
    axes.axvline(0, color=SOFT, linewidth=1)
    axes.set_ylim(len(arms) - 0.45, -0.6)
    axes.set_yticks([])
    axes.spines['left'].set_visible(False)
    axes.grid(axis='x', color=GRID, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:+g}'.replace('-', '−') if value else '0'))


def _interval(axes: Axes, found: compare.Comparison, y: float, style: Style, hollow: bool) -> None:
    difference = found.difference
    if difference.known:
        low, high = np.clip([difference.low, difference.high], -1, 1)  # a difference of shares cannot be beyond
        axes.plot([low, high], [y, y], color=style.light, linewidth=1.3 if hollow else 2.2, solid_capstyle='butt')
    axes.plot(found.by_seed, [y] * len(found.by_seed), '|', color=style.light, markersize=7, alpha=0.6)
    face = PAPER if hollow else style.light
    axes.plot([difference.value], [y], style.marker, color=style.light, markersize=7, markerfacecolor=face)


def frame(axes: Axes, title: str, x: str, y: str) -> None:
    """A panel's title, axis labels and grid."""
    axes.set_title(title, loc='left', fontsize=11.5, fontweight='bold', pad=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if y:
        axes.grid(axis='y', color=GRID, linewidth=0.8)
    axes.tick_params(length=3)


def _rates(axes: Axes) -> None:
    """A success axis from 0; to 1 where the data come near it."""
    top = max((np.max(one.get_ydata()) for one in axes.get_lines()), default=1.0)
    axes.set_ylim(0, 1.02 if top > 0.75 else max(0.1, top * 1.15))
