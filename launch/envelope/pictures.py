"""The document's pictures, from envelope.json's numbers alone; in the report's colours, for light and dark.

A region has one colour in all of them, and its letter; red is what wants attention.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, PercentFormatter

from launch.report import figures
from launch.report.arms import LOOKS, Style
from launch.report.figures import Picture
from launch.report.panels import GRID, INK, PAPER, SOFT, frame
from postbc_jax.envelope.suspects import SMALL

BLUE, ALARM = LOOKS['post_bc'][0][0], LOOKS['matched'][0][0]
_ORDER = (('post_bc', 0), ('fixed', 0), ('regularised', 0), ('weighted_bc', 0), ('value_dice', 0), ('bc', 0))
_ORDER += (('post_bc', 2), ('fixed', 1), ('regularised', 2), ('weighted_bc', 2), ('matched', 1), ('post_bc', 1))
PARTS = {  # why actions vary: key of the numbers -> (name, look)
    'state': ('the state calls for it', Style(*LOOKS['bc'][0])._replace(marker='s')),
    'between_operator': ('operators differ', Style(*LOOKS['weighted_bc'][0])._replace(marker='s', dashes=())),
    'within_operator': ('one operator varies', Style(*LOOKS['regularised'][2])._replace(marker='s', dashes=())),
    'unknown': ('not known', Style(*LOOKS['fixed'][0])),
}
MEASURES = {
    'actions': 'unlike what others suggest',
    'states': 'away from others’ states',
    'length': 'steps',
    'pauses': 'standing still',
    'jerk': 'abrupt changes',
}
_WHO = {
    'demonstrators, held out': Style(SOFT, '', '', ()),
    'this policy': Style(BLUE, '', '', ()),
}
_SMALL = (4.5, 3.4)


def draw(found: Mapping[str, Any]) -> dict[str, Picture]:
    """By name: 'when', 'why', 'why_dimensions' where there are several, 'range_A' ... a region, 'suspects',
    'guard_chunk', 'guard_state'; 'reliability' and 'excess' where the policy could be asked; 'starts' where there
    is something to record."""
    panels = {'when': when}
    if found['reliability']['whole']:
        panels |= {'reliability': reliability, 'excess': excess}
    if found['record_next']:
        panels['starts'] = starts
    pictures = {name: figures.picture(name, [partial(panel, found=found)], _SMALL) for name, panel in panels.items()}
    legend = dict(look for name, look in PARTS.items() if found[name] is not None)
    reasons = {'why': why} | ({'why_dimensions': why_dimensions} if len(found['dimensions']) > 1 else {})
    for name, panel in reasons.items():
        pictures[name] = figures.picture(name, [partial(panel, found=found)], (4.5, 3.9), legend)
    for index, region in enumerate(found['regions']):
        size = (4.5, 1.5 + 0.3 * len(found['dimensions']))
        panel = partial(ranges, found=found, index=index)
        pictures[f'range_{region["name"]}'] = figures.picture(f'range_{region["name"]}', [panel], size)
    pictures['suspects'] = figures.picture('suspects', [partial(strips, found=found)], (5.4, 3.4))
    for name in ('chunk', 'state'):
        look = _WHO if name == 'chunk' else dict(list(_WHO.items())[:1])
        pictures[f'guard_{name}'] = figures.picture(
            f'guard_{name}', [partial(guard, found=found, test=name)], (4.5, 3.7), look
        )
    return pictures


def colour(index: int) -> str:
    """Of a region, on a white page."""
    return _look(index).light


def _look(index: int) -> Style:
    family, member = _ORDER[index % len(_ORDER)]
    return Style(*LOOKS[family][member])


def variable(index: int) -> str:
    """The CSS variable of a region's colour."""
    return figures.variable(_look(index))


def when(axes: Axes, found: Mapping[str, Any]) -> None:
    """The parts of an episode that each region takes."""
    frame(axes, 'When episodes come through each region', 'share of the episode', '')
    for row, region in enumerate(found['regions']):
        low, middle, high = region['when']
        axes.plot([low, high], [row, row], color=colour(row), linewidth=9, solid_capstyle='butt')
        axes.plot([middle], [row], 'o', color=PAPER, markersize=5)
        text = f'{region["demonstrations"]} demos'
        weight = 'bold' if region['too_few'] else 'normal'
        axes.text(1.03, row, text, va='center', color=ALARM if region['too_few'] else SOFT, fontweight=weight)
    _rows(axes, [region['name'] for region in found['regions']])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=' %'))


def why(axes: Axes, found: Mapping[str, Any]) -> None:
    """Shares of the variance, by region."""
    frame(axes, 'Why actions differ, by region', 'share of the variation of the actions', '')
    _stacked(axes, found, [region['name'] for region in found['regions']], axis=1)


def why_dimensions(axes: Axes, found: Mapping[str, Any]) -> None:
    """Shares of the variance, by action dimension, all regions alike."""
    frame(axes, 'Why actions differ, by action dimension', 'share of the variation of the actions', '')
    _stacked(axes, found, found['dimensions'], axis=0)


def _stacked(axes: Axes, found: Mapping[str, Any], names: Sequence[str], axis: int) -> None:
    scale = np.square(found['action_scale'])
    known = {name: np.array(found[name]) / scale for name in PARTS if found[name] is not None}
    sums = {name: values.sum(axis=axis) for name, values in known.items()}
    whole = np.maximum(sum(sums.values()), 1e-12)
    left = np.zeros(len(names))
    for name, values in sums.items():
        share = values / whole
        axes.barh(
            range(len(names)), share, left=left, color=PARTS[name][1].light, height=0.7, edgecolor=PAPER, linewidth=0.8
        )
        left += share
    _rows(axes, names)
    axes.set_xlim(0, 1)
    axes.grid(visible=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=' %'))


def ranges(axes: Axes, found: Mapping[str, Any], index: int) -> None:
    """The range of every action dimension in one region, and its modes."""
    region = found['regions'][index]
    frame(axes, f'{region["name"]}: {region["title"]}', 'action, in the environment’s units', '')
    for row, values in enumerate(found['ranges'][index]):
        axes.plot([values['low'], values['high']], [row, row], color=colour(index), linewidth=7, solid_capstyle='butt')
        for mode in values['modes']:
            axes.plot([mode['at']] * 2, [row - 0.32, row + 0.32], color=INK, linewidth=1 + 1.5 * mode['share'])
    _rows(axes, found['dimensions'])
    low, high = (
        f([[v[end] for v in row] for row in found['ranges']]) for f, end in ((np.min, 'low'), (np.max, 'high'))
    )
    margin = 0.05 * max(high - low, 1e-6)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis='x', color=GRID, linewidth=0.8)


def reliability(axes: Axes, found: Mapping[str, Any]) -> None:
    """The share of held-out actions in the policy's central ranges over the share that should be."""
    curves = found['reliability']
    frame(axes, 'Actions in the policy’s range', 'share that a range should hold', 'demonstrated actions in it')
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1)
    for x, y, side, text in ((0.03, 0.97, 'left', 'too broad'), (0.97, 0.03, 'right', 'too narrow')):
        axes.text(x, y, text, color=SOFT, ha=side, va='top' if y > 0.5 else 'bottom', fontsize=9.5)
    for row, curve in enumerate(curves['regions']):
        if curve:
            axes.plot(curves['levels'], curve['coverage'], color=colour(row), linewidth=1.2, alpha=0.8)
    whole = curves['whole']
    if None not in whole['coverage_low']:
        ends = (np.clip(whole[f'coverage_{end}'], 0, 1) for end in ('low', 'high'))
        axes.fill_between(curves['levels'], *ends, color=INK, alpha=0.12, linewidth=0)
    axes.plot(curves['levels'], whole['coverage'], color=INK, linewidth=2.4)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=' %'))


def excess(axes: Axes, found: Mapping[str, Any]) -> None:
    """Coverage less level, averaged, by region, with intervals."""
    frame(axes, 'By how much, by region', 'narrow  ←  actions inside, less what should be  →  broad', '')
    curves = [found['reliability']['whole'], *found['reliability']['regions']]
    names = ['all', *(region['name'] for region in found['regions'])]
    axes.axvline(0, color=SOFT, linewidth=1)
    for row, curve in enumerate(curves):
        if not curve:
            continue
        look = INK if row == 0 else colour(row - 1)
        if curve['excess_low'] is not None:
            axes.plot([curve['excess_low'], curve['excess_high']], [row, row], color=look, linewidth=2.2)
        axes.plot([curve['excess']], [row], 'o', color=look, markersize=7)
    _rows(axes, names)
    reach = max(0.1, *(abs(x) for x in axes.get_xlim()))
    axes.set_xlim(-reach, reach)
    axes.grid(axis='x', color=GRID, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f'{100 * value:+.0f} %'.replace('-', '−').replace('+0 ', '0 '))
    )


def strips(axes: Axes, found: Mapping[str, Any]) -> None:
    """Every demonstration's measures over the usual one; those that are reasons in red, with a name."""
    frame(axes, 'Compared with the usual one', 'times the median of all', '')
    flagged = {(row['index'], reason['measure']) for row in found['suspect_demos'] for reason in row['reasons']}
    names = {row['index']: row['demo'].removeprefix('demo_') for row in found['suspect_demos']}
    for row, measure in enumerate(MEASURES):
        values = np.array([np.nan if v is None else v for v in found['measures'][measure]])
        middle = np.nanmedian(values)
        least = SMALL['states'] if measure == 'states' else 1e-12  # whose usual value is about 0
        ratio = 1 + values - middle if measure == 'pauses' else np.maximum(values, least) / max(middle, least)
        ratio = np.clip(ratio, 0.1, 20)
        usual = [x for demo, x in enumerate(ratio) if (demo, measure) not in flagged]
        axes.plot(usual, [row] * len(usual), 'o', color=SOFT, markersize=4.5, alpha=0.45, linestyle='none')
        outside = sorted((x, demo) for demo, x in enumerate(ratio) if (demo, measure) in flagged)
        for place, (x, demo) in enumerate(outside):
            axes.plot([x], [row], 'D', color=ALARM, markersize=6, clip_on=False)
            up = 7 if place % 2 == 0 else -15  # so that neighbours' numbers do not meet
            axes.annotate(names[demo], (x, row), (0, up), textcoords='offset points', ha='center', fontsize=9)
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5, 10]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.axvline(1, color=SOFT, linewidth=1)
    _rows(axes, list(MEASURES.values()))


def starts(axes: Axes, found: Mapping[str, Any]) -> None:
    """Demonstrated starts, and those to record from next, in the two observations in which starts differ most."""
    x, y = start_entries(found)[:2]
    every = np.array(found['starts'])
    names = found['entries']
    frame(axes, 'Where to record next', names[x], names[y])
    axes.plot(every[:, x], every[:, y], 'o', color=SOFT, markersize=5, alpha=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    placed: dict[tuple[float, float], list[str]] = {}
    for number, pick in enumerate(found['record_next'], 1):
        placed.setdefault((pick['start'][x], pick['start'][y]), []).append(str(number))
    for (a, b), numbers in placed.items():
        axes.plot([a], [b], '*', color=BLUE, markersize=14, clip_on=False)
        said = ', '.join(numbers)
        axes.annotate(said, (a, b), (8, 4), textcoords='offset points', fontweight='bold', color=BLUE)


def start_entries(found: Mapping[str, Any]) -> list[int]:
    """The observations' entries in the order in which starts differ in them, over the whole range of the states."""
    spread = np.std(found['starts'], axis=0) / np.maximum(found['entry_scale'], 1e-9)
    order = [int(i) for i in np.argsort(-spread, kind='stable')]
    return order if len(order) > 1 else order * 2


def guard(axes: Axes, found: Mapping[str, Any], test: str) -> None:
    """How far decisions are from the envelope's middle, as a share of what is allowed."""
    told = {'chunk': ('How unusual the actions are', 'distance'), 'state': ('How strange the state is', 'strangeness')}
    title, what = told[test]
    frame(axes, title, f'{what}, as a share of what is allowed', 'share of decisions')
    groups = [(found['guard']['demonstrators'][test], SOFT)]
    if test == 'chunk':
        groups.append((found['guard']['policy'][test], BLUE))
    edges = np.append(np.linspace(0, 2, 41), np.inf)
    for values, look in groups:
        shares = np.histogram(values, edges)[0] / len(values)
        at = np.append(edges[:-2], 2.0) + 0.025
        axes.fill_between(at, shares, step='mid', color=look, alpha=0.25, linewidth=0)
        axes.plot(at, shares, color=look, linewidth=1.8, drawstyle='steps-mid')
    axes.axvline(1, color=ALARM, linewidth=1.8)
    axes.text(1.03, 0.97, 'flagged', transform=axes.get_xaxis_transform(), color=ALARM, va='top')
    axes.set_xlim(0, 2.05)
    axes.set_ylim(bottom=0)
    axes.set_xticks([0, 0.5, 1, 1.5, 2], ['0', '50 %', '100 %', '150 %', '200 % +'])
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=' %', decimals=0))


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Names down the side, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis='y', visible=False)
    axes.tick_params(axis='y', length=0, colors=INK)
