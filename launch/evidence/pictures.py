"""The pictures of the evidence: a panel a task, an arm in one look everywhere. They show evidence.json alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from launch.arms import arm_of
from launch.report import figures, panels, words
from launch.report.arms import Style, styles
from launch.report.figures import Picture
from launch.report.panels import GRID, PAPER, SOFT

Numbers = dict[str, Any]


def looks(task: Numbers) -> dict[str, Style]:
    """{role: look} of a task's arms."""
    arms = {row['role']: arm_of(row) for row in task['arms']}
    given = styles(list(arms.values()))
    return {role: given[arm] for role, arm in arms.items()}


def legend(found: Numbers) -> dict[str, Style]:
    """{role: look} of every arm there is."""
    return {role: style for task in reversed(found['tasks']) for role, style in looks(task).items()}


def draw(found: Numbers) -> dict[str, Picture]:
    """'curves', 'reached', 'differences', 'coverage' and 'failures', as far as there are numbers for them."""
    tasks, names = found['tasks'], legend(found)
    pictures = {
        'curves': _grid('curves', [lambda axes, t=task: _curves(axes, t) for task in tasks], names),
        'reached': _reached_grid(tasks, names),
        'failures': _grid('failures', [lambda axes, t=task: _failures(axes, t) for task in tasks], names),
    }
    covered = [(task, region) for task in tasks for region in _regions(task)]
    if covered:
        drawn = [lambda axes, t=task, r=region: _coverage(axes, t, r) for task, region in covered]
        pictures['coverage'] = _grid('coverage', drawn, names)
    rows = [row for row in found['comparisons'] if row['outcome'] == 'finetuned']
    if rows:
        drawn = [
            lambda axes, o=outcome, title=title, first=not i: _differences(axes, found, o, title, first)
            for i, (outcome, title) in enumerate((('finetuned', 'Finetuned'), ('pretrained', 'Before finetuning')))
        ]
        pictures['differences'] = figures.picture('differences', drawn, (10.5, 1.3 + 0.36 * len(rows)))
    return pictures


def _grid(name: str, drawn: list[Callable[[Axes], None]], names: dict[str, Style]) -> Picture:
    columns = len(drawn) if len(drawn) < 4 else 2 if len(drawn) == 4 else 3
    size = (max(4.5 * columns, 2.3 * min(3, len(names))), 3.4 * -(-len(drawn) // columns) + 0.5)
    return figures.picture(name, drawn, size, names, columns)


def _curves(axes: Axes, task: Numbers) -> None:
    panels.frame(axes, task['task'], 'environment steps', 'success rate')
    for row in task['arms']:
        style, curve = looks(task)[row['role']], row['curve']
        low, high = (np.array(curve[name], float) for name in ('low', 'high'))
        axes.fill_between(curve['env_steps'], low, high, color=style.light, alpha=0.16, linewidth=0)
        axes.plot(curve['env_steps'], curve['value'], **panels.line(style))
    _steps(axes)


def _reached_grid(tasks: list[Numbers], names: dict[str, Style]) -> Picture:
    """A column a task, a row a target."""
    rows = list(dict.fromkeys(name for task in tasks for name in task['targets']))
    drawn = [lambda axes, t=task, n=name: _reached(axes, t, n) for name in rows for task in tasks]
    size = (max(4.2 * len(tasks), 2.3 * min(3, len(names))), 3.2 * len(rows) + 0.5)
    return figures.picture('reached', drawn, size, names, len(tasks))


def _reached(axes: Axes, task: Numbers, name: str) -> None:
    """One less the Kaplan-Meier curve, to where all runs are followed."""
    if name not in task['targets']:
        axes.set_axis_off()
        return
    where = ', where BC ends' if name == 'bc_end' else ''
    title = f'{task["task"]}: {words.number(task["targets"][name])} success{where}'
    panels.frame(axes, title, 'environment steps', 'share of runs that were there')
    for row in task['arms']:
        style, found = looks(task)[row['role']], row['steps_to'][name]
        at = [0.0, *found['not_yet']['env_steps']]
        share = [1.0, *found['not_yet']['share']]
        within = [i for i, steps in enumerate(at) if steps <= found['horizon']]
        x, y = [at[i] for i in within] + [found['horizon']], [1 - share[i] for i in within]
        look = panels.line(style) | {'markevery': [len(x) - 1]}
        axes.plot(x, [*y, y[-1]], drawstyle='steps-post', **look)
    if not any(row['steps_to'][name]['reached'] for row in task['arms']):
        axes.text(0.5, 0.5, 'no run', transform=axes.transAxes, ha='center', color=SOFT)
    _steps(axes)


def _steps(axes: Axes) -> None:
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.steps(value)))


def _regions(task: Numbers) -> list[str]:
    """'all' alone, or every other region."""
    there = [region for region in task['arms'][0]['pass_at'] if any(row['pass_at'][region] for row in task['arms'])]
    return [region for region in there if region != 'all'] if len(there) > 2 else there[:1]


def _coverage(axes: Axes, task: Numbers, region: str) -> None:
    where = '' if region == 'all' else f', {region} starts'
    panels.frame(axes, f'{task["task"]}{where}', 'attempts N', 'pass@N before RL')
    numbers = sorted({int(n) for row in task['arms'] for n in row['pass_at'].get(region, {})})
    for index, row in enumerate(task['arms']):
        by_n = {int(n): one for n, one in row['pass_at'].get(region, {}).items()}
        if not by_n:
            continue
        style = looks(task)[row['role']]
        x = np.array(sorted(by_n)) * 1.04 ** (index - (len(task['arms']) - 1) / 2)
        for at, n in zip(x, sorted(by_n), strict=True):
            if by_n[n]['low'] is not None:
                axes.plot([at, at], np.clip([by_n[n]['low'], by_n[n]['high']], 0, 1), color=style.light, linewidth=1.2)
        axes.plot(x, [by_n[n]['value'] for n in sorted(by_n)], **panels.line(style))
    axes.set_xscale('log', base=2)
    axes.minorticks_off()
    axes.set_xticks(numbers, [str(n) for n in numbers])
    axes.set_ylim(0, 1.02)


def _failures(axes: Axes, task: Numbers) -> None:
    """Shares of runs without gain (light) and, of them, collapsed (full), with the interval of the first."""
    panels.frame(axes, task['task'], '', 'share of finetuning runs')
    rows = [row for row in task['arms'] if row['failures'].get('no_gain')]
    for x, row in enumerate(rows):
        style, failed = looks(task)[row['role']], row['failures']
        gain, down = failed['no_gain']['share'], failed['collapsed']['share']
        axes.bar(x, gain['value'], 0.62, color=style.light, alpha=0.35, linewidth=0)
        axes.bar(x, down['value'], 0.62, color=style.light, linewidth=0)
        axes.plot([x, x], [gain['low'], gain['high']], color=SOFT, linewidth=1.4)
        said = f'{failed["no_gain"]["count"]}, {failed["collapsed"]["count"]} of {failed["runs"]}'
        axes.text(x, max(gain['high'], gain['value']) + 0.02, said, ha='center', va='bottom', fontsize=8.5)
    axes.set_xticks(range(len(rows)), [row['role'].replace(' ', '\n', 1) for row in rows])
    axes.tick_params(axis='x', length=0)
    axes.set_ylim(0, 1.1)


def _differences(axes: Axes, found: Numbers, outcome: str, title: str, named: bool) -> None:
    """Paired differences of one outcome, a row each: PostBC less another arm, by task."""
    panels.frame(axes, f'{title}: difference in success', 'paired by seed, with 95 % interval', '')
    rows = [row for row in found['comparisons'] if row['outcome'] == outcome]
    order = [row for row in found['comparisons'] if row['outcome'] == 'finetuned']
    place = {(row['task'], row['a'], row['b']): y for y, row in enumerate(order)}
    look = legend(found)
    for row in rows:
        y, style = place.get((row['task'], row['a'], row['b'])), look[row['b_role']]
        if y is None:
            continue
        one = row['difference']
        if one['low'] is not None:
            axes.plot(np.clip([one['low'], one['high']], -1, 1), [y, y], color=style.light, linewidth=2.2)
        axes.plot(row['by_seed'], [y] * len(row['by_seed']), '|', color=style.light, markersize=7, alpha=0.45)
        axes.plot([one['value']], [y], style.marker, color=style.light, markersize=7, markeredgecolor=PAPER)
    axes.axvline(0, color=SOFT, linewidth=1)
    axes.grid(axis='x', color=GRID, linewidth=0.8)
    names = [f'{row["task"]}: {row["a_role"]} − {row["b_role"]}' for row in order]
    axes.set_yticks(range(len(order)), names if named else [''] * len(order))
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.spines['left'].set_visible(False)
    axes.tick_params(axis='y', length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:+g}'.replace('-', '−') if value else '0'))
