"""The heat map of an arm: a panel a start region and dynamics, in each observation noise over action delay."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from launch.report import figures, panels
from launch.report.figures import Picture
from launch.report.words import number

# From none to all of the episodes. Not the page's colours, which change with its mode: a cell looks the same in both.
_LOW, _HIGH = np.array([0.965, 0.941, 0.886]), np.array([0.055, 0.251, 0.494])
_DARK, _BRIGHT = '#10151c', '#fdfcf9'


def draw(name: str, rows: Sequence[Mapping[str, Any]]) -> Picture:
    """The rows of one arm, means over its learners. Regions from top to bottom, all of them first."""
    regions = ['all', *sorted({region for row in rows for region in row['regions']} - {'all'})]
    regions = regions[:1] if len(regions) == 2 else regions  # a single one is all of them
    dynamics = sorted({(row['gain'], row['bias']) for row in rows}, key=lambda d: (d != (1, 0), d))
    drawn = [
        lambda axes, r=region, d=of, left=not i, below=region == regions[-1]: _panel(axes, rows, r, d, left, below)
        for region in regions
        for i, of in enumerate(dynamics)
    ]
    cells = [len({row[axis] for row in rows}) for axis in ('delay', 'noise')]
    width, height = 0.9 + 0.52 * cells[0], 0.9 + 0.42 * cells[1]
    size = (width * len(dynamics) + 0.4, height * len(regions))
    return figures.picture(name, drawn, size, columns=len(dynamics))


def rate(rows: Sequence[Mapping[str, Any]], region: str) -> float:
    """Mean success over rows, from the starts of a region; NaN where there are none."""
    found = [row['success_rate'] if region == 'all' else row['regions'].get(region, np.nan) for row in rows]
    return float(np.nanmean(found)) if np.isfinite(found).any() else float('nan')


def _panel(
    axes: Axes, rows: Sequence[Mapping[str, Any]], region: str, dynamics: tuple[float, float], left: bool, below: bool
) -> None:
    gain, bias = dynamics
    where = '' if region == 'all' else f'{region}: '
    noises, delays = (sorted({row[axis] for row in rows}) for axis in ('noise', 'delay'))
    for x, delay in enumerate(delays):
        for y, noise in enumerate(noises):
            here = {'gain': gain, 'bias': bias, 'noise': noise, 'delay': delay}
            value = rate([row for row in rows if here.items() <= row.items()], region)
            share = 0.0 if np.isnan(value) else value
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=_LOW + share * (_HIGH - _LOW), edgecolor=panels.PAPER))
            ink = _BRIGHT if share > 0.5 else _DARK
            axes.text(x + 0.5, y + 0.5, number(value), ha='center', va='center', fontsize=9, color=ink)
    said = ', '.join([f'gain {gain:g}'] * (gain != 1) + [f'bias {bias:+g}'.replace('-', '−')] * (bias != 0))
    plain = said or 'as learnt'
    panels.frame(axes, where + plain, 'delay (steps)' if below else '', 'observation noise' if left else '')
    axes.set_title(where + plain, loc='left', fontsize=10, fontweight='bold', pad=6)
    axes.grid(visible=False)
    axes.set_xlim(0, len(delays))
    axes.set_ylim(0, len(noises))
    axes.set_xticks(np.arange(len(delays)) + 0.5, [f'{delay:g}' for delay in delays])
    axes.set_yticks(np.arange(len(noises)) + 0.5, [f'{noise:g}' for noise in noises] if left else [''] * len(noises))
    axes.tick_params(length=0)
    for side in ('left', 'bottom'):
        axes.spines[side].set_visible(False)
