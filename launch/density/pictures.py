"""The pictures of the action distributions: a row of panels seen and unseen, a column a state, one action dimension."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from launch.arms import Arm
from launch.density.draws import Place
from launch.report import figures, panels
from launch.report.arms import Style, styles
from launch.report.figures import Picture
from launch.report.panels import INK

WIDTH = 0.03  # action units, of the kernel
DIMENSIONS = 2  # that are drawn, of more: those in which draws are most apart


def draw(arms: Sequence[Arm], places: Sequence[Place]) -> dict[str, Picture]:
    """'density' of the dimension in which the last arm's draws are most apart, 'density_1' of the next."""
    spread = np.mean([place.played[arms[-1]].std(0) for place in places], axis=0)
    chosen = np.argsort(-spread, kind='stable')[:DIMENSIONS]
    looks = styles(arms)
    legend = {arm.name: style for arm, style in looks.items()}
    kinds = list(dict.fromkeys(place.where.split(', ')[1] for place in places))
    rows = [[place for place in places if place.where.split(', ')[1] == kind] for kind in kinds]
    columns = max(map(len, rows))
    pictures = {}
    for index, dimension in enumerate(map(int, chosen)):
        several = f' {dimension}' if len(spread) > 1 else ''
        drawn = [
            lambda axes, p=place, d=dimension, s=several, first=not i: _panel(axes, p, looks, d, s, first)
            for row in rows
            for i, place in enumerate(row)
        ]
        name = 'density' + (f'_{index}' if index else '')
        pictures[name] = figures.picture(name, drawn, (3.4 * columns, 2.9 * len(rows) + 0.6), legend, columns)
    return pictures


def density(draws: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian kernel density of draws (D,) at points (P,), scaled to a peak of 1."""
    found = np.exp(-0.5 * ((at[:, None] - draws[None]) / WIDTH) ** 2).mean(1)
    return found / max(found.max(), 1e-12)


def _panel(axes: Axes, place: Place, looks: dict[Arm, Style], dimension: int, several: str, first: bool) -> None:
    share, kind = place.where.split(', ')
    panels.frame(axes, share, f'action{several}', f'{kind}: density' if first else '')
    axes.set_title(share, loc='left', fontsize=10.5, fontweight='bold', pad=6)
    at = np.linspace(-1.3, 1.3, 521)
    for arm, style in looks.items():
        height = density(place.played[arm][:, dimension], at)
        axes.fill_between(at, height, color=style.light, alpha=0.12, linewidth=0)
        dashes = (0, style.dashes) if style.dashes else '-'
        axes.plot(at, height, color=style.light, linewidth=1.8, linestyle=dashes)
    axes.axvline(place.demonstrated[dimension], color=INK, linewidth=1.6)
    nearby = place.nearby[:, dimension]
    axes.plot(nearby, np.full(len(nearby), -0.06), '|', color=INK, markersize=7, alpha=0.6, clip_on=False)
    axes.set_xlim(-1.3, 1.3)
    axes.set_ylim(-0.1, 1.05)
    axes.set_yticks([])
    axes.grid(visible=False)
