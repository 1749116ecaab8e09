"""What the monitor saw of a section's finetuning runs: a strip of states a run, the numbers behind it, what was done.

Beside the section's other panels; reads the rows of monitor.jsonl.
"""

import html
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from launch.arms import Arm
from launch.report import panels, words
from launch.report.arms import LOOKS, Style
from launch.report.read import Row
from launch.report.sections import Section, Unit
from launch.report.words import number
from postbc_jax.envelope import monitor_config

Run = tuple[Arm, Unit, int]  # the last its finetuning seed

# By state: colour, and the letter that says it without colour.
_LOOKS = zip(('regularised', 'post_bc', 'fixed', 'matched'), ('', 'u', 'o', 'd'), strict=True)
STATES = {
    state: (LOOKS[family][2][0], letter) for state, (family, letter) in zip(monitor_config.STATES, _LOOKS, strict=True)
}
_DARK = '#10151c'  # on cells, in both of the page's modes
_LETTERS = 26  # chunks of a run, at most, in whose cells a letter still fits


def size(watched: Mapping[Run, Sequence[Row]]) -> tuple[float, float]:
    """Of the panel, in inches."""
    return 5.0, 1.5 + min(8.0, 0.2 * len(watched))


def panel(axes: Axes, watched: Mapping[Run, Sequence[Row]], arms: Sequence[Arm]) -> None:
    """A strip a run, in order of the arms: the state after every chunk, and where something was done about it."""
    panels.frame(axes, 'What the monitor saw', 'environment steps', '')
    order = [(arm, run) for arm in arms for run in sorted(watched, key=str) if run[0] == arm]
    ticks: dict[Arm, list[int]] = {}
    right = max((row['env_steps'] for rows in watched.values() for row in rows), default=1) or 1
    for y, (arm, run) in enumerate(order):
        ticks.setdefault(arm, []).append(y)
        rows = [row for row in watched[run] if row['chunk'] > 0]
        left = watched[run][0]['env_steps'] if rows else 0
        for row in rows:
            colour, letter = STATES[row['state']]
            width = row['env_steps'] - left
            axes.add_patch(Rectangle((left, y - 0.4), width, 0.8, facecolor=colour, edgecolor=panels.PAPER))
            did = _mark(row['did'])
            said = did or (letter if len(rows) <= _LETTERS else '')
            axes.text(left + width / 2, y, said, ha='center', va='center', fontsize=8, color=_DARK)
            left = row['env_steps']
    axes.set_yticks([float(np.mean(at)) for at in ticks.values()], [arm.name for arm in ticks])
    axes.tick_params(axis='y', length=0)
    for at in list(ticks.values())[1:]:
        axes.axhline(min(at) - 0.5, color=panels.SOFT, linewidth=0.8)
    axes.set_xlim(0, right)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.spines['left'].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.steps(value)))
    seen = {row['state'] for rows in watched.values() for row in rows}
    keys = [
        Patch(facecolor=colour, edgecolor=panels.PAPER, label=f'{state} ({letter})' if letter else state)
        for state, (colour, letter) in STATES.items()
        if state in seen
    ]
    axes.figure.legend(handles=keys, loc='outside lower center', ncols=2, frameon=False)


def scenarios(axes: Axes, section: Section, looks: Mapping[Arm, Style]) -> None:
    """Mean success over the grid of scenarios at every chunk that measured it; the mean over runs, and each of them."""
    panels.frame(axes, 'What is left where the task differs', 'environment steps', 'success over scenarios')
    for arm, style in looks.items():
        curves = []
        for run, rows in section.scenarios.items():
            at: dict[float, list[float]] = {}
            for row in rows if run[0] == arm else ():
                at.setdefault(row['env_steps'], []).append(row['success_rate'])
            if at:
                curves.append(np.array([(steps, np.mean(rates)) for steps, rates in sorted(at.items())]).T)
                axes.plot(*curves[-1], color=style.light, linewidth=0.8, alpha=0.5)
        if curves:
            length = min(curve.shape[1] for curve in curves)
            axes.plot(*np.mean([curve[:, :length] for curve in curves], axis=0), **panels.line(style))
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.steps(value)))


def _mark(did: Sequence[str]) -> str:
    """The weightiest of what was done: ■ stopped, ↶ rolled back, · anything else."""
    for said, mark in (('stopped', '■'), ('rolled back', '↶')):
        if any(one.startswith(said) for one in did):
            return mark
    return '•' if did else ''


def numbers(watched: Mapping[Run, Sequence[Row]], arms: Sequence[Arm]) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of a table: an arm's chunks by state, and its measurements after the last one, means over runs."""
    header = ['arm', 'runs', *STATES, 'roll-backs', 'stopped', 'outside', 'spread', 'distance']
    found = []
    for arm in arms:
        mine = [rows for run, rows in watched.items() if run[0] == arm]
        if not mine:
            continue
        states = [row['state'] for rows in mine for row in rows if row['chunk'] > 0]
        did = [one for rows in mine for row in rows for one in row['did']]
        last = [
            np.mean([np.nan if rows[-1][name] is None else rows[-1][name] for rows in mine])
            for name in ('outside', 'spread', 'distance')
        ]
        shares = [f'{100 * states.count(state) / max(1, len(states)):.0f} %' for state in STATES]
        backs = sum(one.startswith('rolled back') for one in did)
        found.append([arm.name, str(len(mine)), *shares, str(backs), str(did.count('stopped')), *map(number, last)])
    return header, found


def events(watched: Mapping[Run, Sequence[Row]], arms: Sequence[Arm]) -> list[str]:
    """A line for every chunk at which a state began or something was done, in order of the arms, HTML."""
    lines = []
    for arm in arms:
        for run in sorted((run for run in watched if run[0] == arm), key=str):
            before = 'healthy'
            for row in watched[run]:
                if row['state'] != before or row['did']:
                    why = f' ({", ".join(row["shown"])})' if row['shown'] else ''
                    what = f': {", ".join(row["did"])}' if row['did'] else ''
                    who = f'{arm.name}, seed {run[1][1]}' + (f', run {run[2]}' if run[2] else '')
                    lines.append(html.escape(f'{who}, chunk {row["chunk"]}: {row["state"]}{why}{what}'))
                before = row['state']
    return lines
