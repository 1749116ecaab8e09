"""The figures of a section, by matplotlib: SVG whose colours follow the page's light or dark mode, and PNG on white.

Between the numbers and the page. matplotlib draws in the light colours; in the SVG each becomes a CSS variable.
"""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from launch.report import panels, watched, words
from launch.report.arms import LOOKS, Style, bc, styles
from launch.report.sections import Section

# Every colour that is drawn: CSS variable -> (light, dark). No two light ones are the same.
COLOURS = {
    '--ink': (panels.INK, '#e8ecf1'),
    '--soft': (panels.SOFT, '#a3adb9'),
    '--grid': (panels.GRID, '#343b44'),
    '--paper': (panels.PAPER, '#171b20'),
} | {f'--{family}-{i}': look[:2] for family, looks in LOOKS.items() for i, look in enumerate(looks)}

_RC = {
    'font.family': 'sans-serif',
    'font.sans-serif': ['Helvetica Neue', 'Arial', 'Liberation Sans', 'DejaVu Sans'],
    'font.size': 10.5,
    'axes.edgecolor': panels.SOFT,
    'axes.labelcolor': panels.SOFT,
    'axes.linewidth': 0.8,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.axisbelow': True,
    'xtick.color': panels.SOFT,
    'ytick.color': panels.SOFT,
    'text.color': panels.INK,
    'text.parse_math': False,  # names from files are text
    'svg.fonttype': 'none',  # text stays text: searchable, in the page's font
}
_PANEL = (4.5, 3.5)  # inches: readable at a phone's width and at a third of a desktop's


class Picture(NamedTuple):
    """svg: text, colours as CSS variables, without a size of its own. png: bytes, on white."""

    svg: str
    png: bytes


def draw(section: Section) -> dict[str, Picture]:
    """Every picture that the section has numbers for: 'headline' and its panels 'noise', 'coverage', 'finetuning',
    'candidates'; 'calibration', 'watched', 'scenarios', 'coverage_REGION' for each region, and 'differences'."""
    look = styles(section.arms)
    legend = {arm.name: style for arm, style in look.items()}
    shown: dict[str, Callable[[Axes], None]] = {}
    if any(words.profile(section, arm) is not None for arm in section.arms):
        shown['noise'] = lambda axes: panels.noise(axes, section, look)
    if section.coverage.get('all'):
        shown['coverage'] = lambda axes: panels.coverage(axes, section, look, 'all')
    if section.curves:
        shown['finetuning'] = lambda axes: panels.finetuning(axes, section, look)
    if section.candidates:
        shown['candidates'] = lambda axes: panels.candidates(axes, section, look)
    pictures = {name: picture(name, [panel], _PANEL) for name, panel in shown.items()}
    if shown:
        pictures['headline'] = picture('headline', list(shown.values()), (4.5 * len(shown), 4.0), legend)
    if section.calibration:
        pictures['calibration'] = picture('calibration', [lambda axes: panels.calibration(axes, section, look)], _PANEL)
    if section.watched:
        strip = [lambda axes: watched.panel(axes, section.watched, section.arms)]
        pictures['watched'] = picture('watched', strip, watched.size(section.watched))
    if section.scenarios:
        pictures['scenarios'] = picture('scenarios', [lambda axes: watched.scenarios(axes, section, look)], _PANEL)
    for region in sorted(section.coverage.keys() - {'all'}):
        name = 'coverage_' + re.sub(r'\W', '_', region)
        pictures[name] = picture(name, [lambda axes, r=region: panels.coverage(axes, section, look, r)], _PANEL)
    rows = len(section.arms) - 1
    if bc(section.arms) is not None and rows and section.pretrained:
        size = (5.0, 1.3 + 0.68 * rows)
        pictures['differences'] = picture('differences', [lambda axes: panels.differences(axes, section, look)], size)
    return pictures


def save(folder: Path, pictures: Mapping[str, Picture]) -> None:
    """Writes NAME.svg and NAME.png of every picture into `folder`, which it makes."""
    folder.mkdir(exist_ok=True)
    for name, drawn in pictures.items():
        (folder / f'{name}.svg').write_text(standalone(drawn.svg), encoding='utf-8')
        (folder / f'{name}.png').write_bytes(drawn.png)


def standalone(svg: str) -> str:
    """An inline SVG as a file of its own, which follows the viewer's colour scheme."""
    names = sorted(set(re.findall(r'var\((--[\w-]+)\)', svg)))
    light, dark = (';'.join(f'{name}:{COLOURS[name][mode]}' for name in names) for mode in (0, 1))
    style = f'<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>'
    head, rest = svg.split('>', 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{style}{rest}'


def variable(style: Style) -> str:
    """The CSS variable of an arm's colour."""
    return next(name for name, colours in COLOURS.items() if colours[0] == style.light)


def picture(
    name: str,
    drawn: list[Callable[[Axes], None]],
    size: tuple[float, float],
    legend: dict[str, Style] | None = None,
    columns: int | None = None,
) -> Picture:
    """Panels side by side, or in rows of so many columns.

    Args:
      name: of the picture.
      drawn: each draws a panel into its axes.
      size: of the whole, in inches.
      legend: {what it is called: how it looks}, below the panels.
      columns: of panels; all in one row where None.
    """
    with matplotlib.rc_context(_RC | {'svg.hashsalt': name}):
        figure = Figure(figsize=size, layout='constrained')
        columns = columns or len(drawn)
        axes = list(figure.subplots(-(-len(drawn) // columns), columns, squeeze=False).flat)
        for ax, panel in zip(axes, drawn, strict=False):
            panel(ax)
        for empty in axes[len(drawn) :]:
            empty.remove()
        if legend:
            handles = [Line2D([], [], label=label, **panels.line(style)) for label, style in legend.items()]
            figure.legend(
                handles=handles,
                loc='outside lower center',
                ncols=min(len(handles), round(size[0] / 2.2)),
                frameon=False,
            )
        png, svg = io.BytesIO(), io.StringIO()
        figure.savefig(png, format='png', dpi=150, facecolor='white')
        figure.savefig(svg, format='svg', transparent=True, metadata={'Date': None, 'Creator': None})
    return Picture(_inline(svg.getvalue(), name), png.getvalue())


def _inline(svg: str, name: str) -> str:
    """matplotlib's file as an element of a page: no prologue, metadata or size; colours as variables."""
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]+)"', svg)[1]
    svg = f'<svg viewBox="{box}" role="img" aria-label="{name}">' + svg.split('>', 1)[1]
    svg = re.sub(
        r' id="(?:figure|axes|patch|line2d|text|legend|matplotlib|xtick|ytick|PathCollection|LineColl)[^"]*"', '', svg
    )
    for css, (light, _) in COLOURS.items():
        svg = re.sub(light, f'var({css})', svg, flags=re.IGNORECASE)
    svg = re.sub(r'font(-family)?: ([^;"]*?)(?:&quot;|\')?(?:Helvetica Neue)[^;"]*', r'font\1: \2sans-serif', svg)
    return svg.strip()
