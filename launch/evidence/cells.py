"""The evidence's tables as plain text: what a cell says, for the page and for Markdown alike."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from launch.report.words import number, signed, steps

Numbers = dict[str, Any]


class Table(NamedTuple):
    """A title, the columns' names, rows of as many cells, and what is said below."""

    title: str
    header: list[str]
    rows: list[list[str]]
    under: str


def tables(found: Numbers) -> list[Table]:
    """One a task, then the comparisons, steps and failures against other arms, and what holds over tasks."""
    return [
        *map(_task, found['tasks']),
        *filter(lambda table: table.rows, [_comparisons(found), _steps(found), _against(found), _over_tasks(found)]),
    ]


def interval(one: Numbers | None, write=number) -> str:
    """'0.31 [0.20, 0.42]'; never where a number is null, and no interval where both bounds are."""
    if one is None:
        return '–'
    value = write(one['value']) if one['value'] is not None else 'never'
    if one['low'] is None and one['high'] is None:
        return value
    low, high = (write(one[end]) if one[end] is not None else 'never' for end in ('low', 'high'))
    return f'{value} [{low}, {high}]'


def p_value(p: float | None) -> str:
    return '–' if p is None else '<0.001' if p < 0.001 else f'{p:.3f}'


def _task(task: Numbers) -> Table:
    header = ['Arm', 'Noise rms, played', 'Pretrained', *(_cover_name(key) for key in _cover(task))]
    header += ['Finetuned', 'IQM', 'Area', 'No gain, of them collapsed']
    rows = []
    for row in task['arms']:
        cells = [row['arm'], f'{number(row["rms"])}, {number(row["rms_played"])}', interval(row['pretrained'])]
        cells += [interval(row['pass_at'].get(region, {}).get(n)) for region, n in _cover(task)]
        cells += [interval(row[name]) for name in ('finetuned', 'finetuned_iqm', 'area')]
        failed = row['failures']
        known = failed.get('no_gain')
        cells.append(f'{known["count"]}, {failed["collapsed"]["count"]} of {failed["runs"]}' if known else '–')
        rows.append(cells)
    chosen = [
        f'{choice["setting"]}={choice["value"]:g} of {", ".join(choice["areas"])} was chosen on {choice["seeds"]} '
        'development seeds by the area under the curve'
        for choice in task['chosen_on_development_seeds']
    ]
    under = (
        f'{task["seeds"]} seeds x {task["finetuning_seeds"]} finetuning runs, root seeds '
        f'{_roots(task["root_seeds"])}; {task["finetuner"]}, followed to {steps(task["followed_to"])} environment '
        f'steps; at least {task["episodes"]} episodes an evaluation. {"; ".join(chosen) + "." if chosen else ""}'
    )
    return Table(task['task'], header, rows, under.strip())


def _roots(seeds: Sequence[int]) -> str:
    whole = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f'{seeds[0]} to {seeds[-1]}' if whole else ', '.join(map(str, seeds))


def _steps(found: Numbers) -> Table:
    header = ['Task', 'Success', 'Arm', 'Runs that reached it', 'Median steps', 'Restricted mean', 'Followed']
    rows = [
        [
            task['task'],
            f'{number(target)}{", where BC ends" if name == "bc_end" else ""}',
            row['arm'],
            f'{row["steps_to"][name]["reached"]} of {row["steps_to"][name]["runs"]}',
            *(interval(row['steps_to'][name][column], steps) for column in ('median', 'restricted_mean')),
            steps(row['steps_to'][name]['horizon']),
        ]
        for task in found['tasks']
        for name, target in task['targets'].items()
        for row in task['arms']
    ]
    under = (
        'Environment steps to the first evaluation at that success; runs that never get there are censored at their '
        'last. Kaplan-Meier median, and mean of the steps up to those that all are followed; bootstraps over seeds.'
    )
    return Table('Steps to a success', header, rows, under)


def _cover(task: Numbers) -> list[tuple[str, str]]:
    """(region, N) of the columns: over all starts, and of 'rare' where there is one; N is 16 or the next below."""
    known = {n for row in task['arms'] for by_n in row['pass_at'].values() for n in by_n}
    best = max((n for n in known if int(n) <= 16), key=int, default=None)
    regions = {region for row in task['arms'] for region in row['pass_at']}
    return [(region, best) for region in ('all', 'rare') if best and region in regions]


def _cover_name(key: tuple[str, str]) -> str:
    region, n = key
    return f'pass@{n}' + ('' if region == 'all' else f', {region}')


def _comparisons(found: Numbers) -> Table:
    header = ['Task', 'Outcome', 'Comparison', 'Means', 'Difference', 'Seeds won', 'p', 'p, Holm']
    rows = [
        [
            row['task'],
            row['outcome'],
            f'{row["a"]} − {row["b"]}',
            f'{number(row["a_mean"])}, {number(row["b_mean"])}',
            interval(row['difference'], signed),
            f'{row["wins"]} of {row["difference"]["n"]}',
            p_value(row['p']),
            p_value(row.get('p_holm')),
        ]
        for row in found['comparisons']
    ]
    counts = {row['outcome']: row['comparisons'] for row in found['comparisons'] if 'comparisons' in row}
    said = ', '.join(f'{count} of {outcome}' for outcome, count in counts.items())
    under = f'Intervals and p are of one comparison each; Holm’s p is adjusted for the comparisons made: {said}.'
    return Table('Paired comparisons', header, rows, under)


def _against(found: Numbers) -> Table:
    names = dict.fromkeys(name for row in found['against'] for name in row['steps_ratio'])
    header = ['Task', 'Comparison', *(f'Steps to {"where BC ends" if n == "bc_end" else n}, ratio' for n in names)]
    header += ['Runs without gain, difference', 'Runs collapsed, difference', 'P(improvement)']
    rows = [
        [
            row['task'],
            f'{row["a"]} against {row["b"]}',
            *(interval(row['steps_ratio'].get(name)) for name in names),
            *(interval(row.get(name), signed) for name in ('no_gain', 'collapsed')),
            interval(row['improvement']),
        ]
        for row in found['against']
    ]
    under = (
        'Ratio of the restricted mean environment steps until the target; below 1 is sooner. Runs that never get there '
        'count as the steps that all are followed, so that a ratio is nearer 1 than that of a longer study. '
        'Shares have Newcombe’s interval, a seed’s runs counted as one.'
    )
    return Table('Speed and failures', header, rows, under)


def _over_tasks(found: Numbers) -> Table:
    over = found['over_tasks']
    rows = [[role, interval(one), '', ''] for role, one in over.get('finetuned_iqm', {}).items()]
    rows += [
        [f'{row["a"]} − {row["b"]}', '', interval(row['difference'], signed), interval(row['improvement'])]
        for row in over.get('finetuned', [])
    ]
    under = (
        f'Over {", ".join(over.get("tasks", []))}: seeds are resampled within tasks, a seed with its finetuning runs; '
        'tasks are not resampled, so that nothing is said of others.'
    )
    return Table('Over tasks', ['', 'IQM of finetuned success', 'Mean difference', 'P(improvement)'], rows, under)
