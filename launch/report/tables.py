"""The report's tables as HTML: the numbers behind each figure, and the main table.

Between compare and page. Every number is written by words, every interval by Student's t over seeds.
"""

import html
from collections.abc import Sequence

import numpy as np

from launch.arms import Arm
from launch.report import compare, figures, words
from launch.report.arms import Style, styles
from launch.report.compare import Comparison, Estimate
from launch.report.sections import Section, Unit
from launch.report.trials import BEST, Sweep
from launch.report.words import number, parameter, signed

_MARKER = {
    'o': '<circle cx="13" cy="6" r="4"/>',
    's': '<rect x="9" y="2" width="8" height="8"/>',
    '^': '<path d="M13 1l5 9h-10z"/>',
    'v': '<path d="M13 11l5-9h-10z"/>',
    'D': '<path d="M13 1l5 5-5 5-5-5z"/>',
    'd': '<path d="M13 0l3.6 6-3.6 6-3.6-6z"/>',
    'p': '<path d="M13 1l5 4-2 6h-6l-2-6z"/>',
    'X': '<path d="M9 0l4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4z"/>',
    'P': '<path d="M11 0h4v4h4v4h-4v4h-4v-4h-4v-4h4z"/>',
    '*': '<path d="M13 0l1.6 4h4.4l-3.5 2.8 1.4 4.7-3.9-2.8-3.9 2.8 1.4-4.7-3.5-2.8h4.4z"/>',
}


def swatch(style: Style) -> str:
    """A piece of the arm's line with its marker."""
    dash = f' stroke-dasharray="{" ".join(map(str, style.dashes))}"' if style.dashes else ''
    colour = f'var({figures.variable(style)})'
    return (
        f'<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true" style="color:{colour}" fill="currentColor">'
        f'<path d="M0 6h26" stroke="currentColor" stroke-width="2"{dash}/>{_MARKER[style.marker]}</svg>'
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = '') -> str:
    """Cells are HTML; the first column names the row. '' without rows."""
    if not rows:
        return ''
    head = ''.join(f'<th scope="col">{cell}</th>' for cell in header)
    body = ''.join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div>'
    )


def _arm(arm: Arm, section: Section) -> str:
    return f'{swatch(styles(section.arms)[arm])}{html.escape(arm.name)}'


def _cell(estimate: Estimate | None, write=number) -> str:
    if estimate is None:
        return '–'
    dagger = '†' if estimate.over == 'episodes' else ''
    return f'{write(estimate.value)}<small>{words.bracket(estimate, write)}{dagger}</small>'


def _difference(found: Comparison | None) -> str:
    if found is None:
        return '–'
    return _cell(found.difference, signed)


def main(section: Section) -> str:
    """Arm, noise trained on and played, pretrained, pass@N, finetuned, difference, P(improvement), seeds."""
    n = compare.coverage_n(section)
    header = ['Arm', 'Noise rms', 'Played', 'Clipped', 'Pretrained', f'pass@{n or "N"}', 'Finetuned']
    header += ['Finetuned − BC', 'Seeds won', 'P(beats BC)', 'Seeds']
    rows = []
    for row in compare.summaries(section):
        rms = number(row.rms)
        if row.rms is not None and row.rms > compare.WARN_RMS:
            rms = f'<span class="warn" title="above {compare.WARN_RMS} action units">⚠ {rms}</span>'
        clipped = '–' if row.clipped is None else f'{100 * row.clipped:.0f} %'
        known = [found.n for found in (row.pretrained, row.finetuned) if found is not None]
        wins = f'{row.to_bc.wins} of {row.to_bc.difference.n}' if row.to_bc else '–'
        rows.append(
            [
                _arm(row.arm, section),
                rms,
                number(row.played),
                clipped,
                _cell(row.pretrained),
                _cell(row.coverage),
                _cell(row.finetuned),
                _difference(row.to_bc),
                wins,
                _cell(row.improvement),
                '–'.join(str(k) for k in sorted(set(known))) or '0',
            ]
        )
    return table(header, rows, 'main') + f'<p class="under">{_under(section)}</p>'


def _under(section: Section) -> str:
    parts = ['95% intervals in brackets: Student’s t over seeds; differences are paired by seed, against BC.']
    if section.curves:
        steps = next(iter(section.curves.values())).steps[-1]
        parts.append(f'Finetuned: after {words.steps(steps)} environment steps.')
    if section.finetune_seeds > 1:
        parts.append(f'Each seed is the mean of {section.finetune_seeds} finetuning runs.')
    if section.episodes:
        parts.append(f'At least {section.episodes} episodes an evaluation.')
    if section.starts.get('all'):
        parts.append(f'pass@N over {section.starts["all"]} starts.')
    return html.escape(' '.join(parts))


def noise(section: Section) -> str:
    """Noise over the episode, whole, as played, and by action dimension."""
    profiles = {arm: words.profile(section, arm) for arm in section.arms}
    profiles = {arm: values for arm, values in profiles.items() if values is not None}
    bins = max((len(values) for values in profiles.values()), default=0)
    header = ['Arm', *(f'{100 * i // bins}–{100 * (i + 1) // bins} %' for i in range(bins))]
    header += ['All', 'Played', 'By dimension']
    rows = []
    for arm, values in profiles.items():
        per = [row.get('rms_per_dimension') for row in section.noise[arm].values()]
        alike = all(isinstance(p, list) for p in per) and len({len(p) for p in per}) == 1
        dimensions = ', '.join(number(v) for v in np.mean(per, axis=0)) if alike else '–'
        cells = [number(value) for value in values] + ['–'] * (bins - len(values))
        whole = [number(compare.average(section, arm, name)) for name in ('rms', 'rms_played')]
        rows.append([_arm(arm, section), *cells, *whole, dimensions])
    return table(header, rows)


def calibration(section: Section) -> str:
    """Shares of held-out actions inside three ranges, the mean excess, and verdicts."""
    levels = (0.5, 0.8, 0.95)
    header = ['Arm', 'α by seed', *(f'in {100 * level:.0f} %' for level in levels), 'Excess', 'Noise is', 'By seed']
    rows = []
    for found in compare.reliability(section):
        alphas = [row['alpha'] for row in section.calibration[found.arm].values()]
        alphas = ', '.join(number(alpha) for alpha in alphas) if found.arm.pretrain == 'post_bc' else '–'
        shares = [_cell(found.at(level)) for level in levels]
        cells = [alphas, *shares, _cell(found.excess, signed), found.verdict, ', '.join(found.by_seed)]
        rows.append([_arm(found.arm, section), *map(str, cells)])
    return table(header, rows)


def coverage(section: Section, region: str) -> str:
    """pass@N of every arm."""
    return _by_number(section, section.coverage.get(region, {}), 'pass@{}')


def candidates(section: Section) -> str:
    """Success by the number of candidates."""
    return _by_number(section, section.candidates, 'N = {}')


def _by_number(section: Section, rates: dict[Arm, dict[int, dict[Unit, float]]], column: str) -> str:
    numbers = sorted({n for by_n in rates.values() for n in by_n})
    rows = [
        [_arm(arm, section), *(_cell(compare.mean(rates[arm].get(n, {}))) for n in numbers)]
        for arm in section.arms
        if arm in rates
    ]
    return table(['Arm', *(column.format(n) for n in numbers)], rows)


def curves(section: Section) -> str:
    """Mean success at every evaluation; each seed's last."""
    if not section.curves:
        return ''
    steps = next(iter(section.curves.values())).steps
    rows = []
    for arm in section.arms:
        if arm in section.curves:
            found = section.curves[arm]
            seeds = ', '.join(number(value) for value in found.success[:, -1])
            rows.append([_arm(arm, section), *(number(value) for value in found.success.mean(0)), seeds])
    return table(['Arm', *(words.steps(step) for step in steps), 'Last, by seed'], rows)


def differences(section: Section) -> str:
    """Paired differences before and after, by seed."""
    base = compare.bc(section.arms)
    rows = []
    for when, rates in (('before', section.pretrained), ('after', compare.finals(section))):
        for arm in section.arms:
            found = compare.paired(arm, base, rates) if base is not None and arm != base else None
            if found is not None:
                seeds = ', '.join(signed(value) for value in found.by_seed)
                rows.append([_arm(arm, section), when, _difference(found), seeds])
    return table(['Arm', 'Finetuning', 'Difference to BC', 'By seed'], rows)


def speeds(section: Section) -> str:
    """Area under the curve, and steps to BC's final success with the count that reached it."""
    found, threshold = compare.speeds(section)
    rows = [
        [
            _arm(speed.arm, section),
            _cell(speed.area),
            _difference(speed.area_to_bc),
            words.steps(speed.steps),
            f'{speed.reached} of {speed.area.n}',
        ]
        for speed in found
    ]
    header = ['Arm', 'Mean height', '− BC', f'Steps to {number(threshold)}', 'Reached']
    under = (
        f'Mean height: area under the curve over its range. Steps: the median seed’s first evaluation at or above '
        f'{number(threshold)}, the success that BC ends with; near a plateau mostly chance, so read it with the count.'
    )
    return f'<h3>Learning speed</h3>{table(header, rows)}<p class="under">{html.escape(under)}</p>' if rows else ''


def regions(section: Section) -> str:
    """Success by region of the start, before and after finetuning; '' where there is one region."""
    names = sorted({name for when in section.regions.values() for arm in when.values() for name in arm})
    if len(names) < 2:
        return ''
    header = ['Arm', *(f'{html.escape(name)}, {when}' for name in names for when in ('before', 'after'))]
    rows = [
        [
            _arm(arm, section),
            *(
                _cell(compare.mean(section.regions[when].get(arm, {}).get(name, {})))
                for name in names
                for when in ('before', 'after')
            ),
        ]
        for arm in section.arms
    ]
    return f'<h3>Success by region, before and after finetuning</h3>{table(header, rows)}'


def best(sweep: Sweep) -> str:
    """The best trials: their arm, the parameters in which trials differ, and success with its interval."""
    finetuned = any(trial.section.curves for trial in sweep.trials)
    header = ['Arm', *map(html.escape, sweep.parameters), 'Pretrained']
    header += ['Finetuned', 'Env steps', 'Seeds'] if finetuned else ['Seeds']
    rows = []
    for trial in sweep.trials[:BEST]:
        look = styles([trial.arm])[trial.arm]
        cells = [f'{swatch(look)}{html.escape(trial.arm.name)}']
        cells += [html.escape(parameter(trial.parameters.get(name))) for name in sweep.parameters]
        cells.append(_cell(trial.pretrained))
        if finetuned:
            cells += [_cell(trial.finetuned), words.steps(trial.env_steps)]
        rows.append([*cells, str(trial.success.n)])
    return table(header, rows, 'best')


def overview(sections: Sequence[Section]) -> str:
    """Several sections: one row each, and the IQM over them."""
    if len(sections) < 2:
        return ''
    rows = []
    for index, section in enumerate(sections):
        for row in compare.summaries(section):
            if row.to_bc is not None and row.arm.pretrain == 'post_bc':
                bc = _cell(Estimate(row.to_bc.b_mean, np.nan, np.nan, row.to_bc.difference.n))
                name = f'<a href="#s{index}">{html.escape(section.title)}</a>'
                rows.append([name, html.escape(row.arm.name), bc, _cell(row.finetuned), _difference(row.to_bc)])
    text = table(['Section', 'Arm', 'BC', 'Finetuned', 'Finetuned − BC'], rows)
    whole = [
        [html.escape(found.arm.name), _cell(found.iqm), str(found.tasks), str(found.iqm.n)]
        for found in compare.aggregate(list(sections))
    ]
    if whole:
        text += table(['Arm', 'IQM of finetuned success', 'Tasks', 'Seeds each'], whole)
        text += (
            '<p class="under">Interquartile mean over all seeds of all tasks, with a 95% bootstrap interval that '
            'resamples seeds within tasks; with few seeds it is too narrow.</p>'
        )
    return f'<h2>All sections</h2>{text}' if text else ''
