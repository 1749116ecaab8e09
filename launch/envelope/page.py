"""The document's page: one HTML file to be read by itself, in the report's style.

Last step of launch.envelope: lays out numbers, words and pictures; computes nothing.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from launch.envelope import pictures, words
from launch.envelope.words import percent
from launch.report import page, tables
from launch.report.figures import Picture
from launch.report.words import number

_SHOWN = 3  # entries of a start that the table shows


def render(found: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    """The page's text."""
    title = f'Behavioural envelope: {found["policy"]["task"]}'
    parts = [
        f'<h1>{_text(title)}</h1>',
        f'<p class="lede">{_text(words.LEDE)}</p>',
        f'<p class="task">{_text(words.about(found))}</p>',
        page.sentences(words.summary(found)),
        *(f'<p class="under">{_text(note)}</p>' for note in found['notes']),
        _cover(found, drawn),
        _expected(found, drawn),
        _fits(found, drawn),
        _guard(found, drawn),
        _suspects(found, drawn),
        _next(found, drawn),
        f'<h2>Limits</h2>{_list(words.limits(found))}',
    ]
    return page.document(title, parts)


def _cover(found: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    header = ['Region', 'When', 'Demonstrations', 'Operators', 'Steps', 'Known by', 'More needed']
    rows = [
        [
            _named(found, index),
            _text(region['title']),
            str(region['demonstrations']),
            str(region['operators'] or '–'),
            str(region['steps']),
            ', '.join(_text(f'{one["entry"]} {number(one["here"])}') for one in region['distinct']),
            f'about {region["more"]}' if region['too_few'] else '–',
        ]
        for index, region in enumerate(found['regions'])
    ]
    known = 'Known by: the two observations in which a region differs most from the rest, with their means there.'
    return (
        '<h2>What the demonstrations cover</h2>'
        f'<div class="twin">{page.figure(drawn, "when", words.COVER, "")}'
        f'{page.figure(drawn, "why", words.WHY, _parts(found))}</div>'
        f'{tables.table(header, rows)}<p class="under">{_text(known)}</p>'
    )


def _expected(found: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    panels = ''.join(
        page.figure(drawn, f'range_{region["name"]}', '', _ranges(found, index))
        for index, region in enumerate(found['regions'])
    )
    reason = found['between_operator_reason']
    note = f'<p class="under">{_text(f"Between operators: not known, {reason}.")}</p>' if reason else ''
    return (
        f'<h2>What is expected in each region</h2><p class="under">{_text(words.RANGES)}</p>'
        f'<div class="panels">{panels}{page.figure(drawn, "why_dimensions", "", "")}</div>{note}'
    )


def _fits(found: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    curves = found['reliability']
    heading = '<h2>Does the policy’s range fit?</h2>'
    if not curves['whole']:
        return f'{heading}<p>Not known: {_text(curves["why_not"])}.</p>'
    header = ['Region', 'Verdict', 'Excess', '50 % range held', '80 % range held', '95 % range held']
    rows = []
    for name, curve in zip(['all', *(_named(found, i) for i in _each(found))], _curves(found), strict=True):
        if curve is None:
            rows.append([name, 'no unseen state', *['–'] * 4])
            continue
        low, high = curve['excess_low'], curve['excess_high']
        bounds = f'<small>[{_signed(low)}, {_signed(high)}]</small>' if low is not None else ''
        held = [percent(curve['coverage'][curves['levels'].index(level)]) for level in (0.5, 0.8, 0.95)]
        rows.append([name, curve['verdict'], f'{_signed(curve["excess"])}{bounds}', *held])
    return (
        f'{heading}<div class="twin">{page.figure(drawn, "reliability", words.RELIABILITY, "")}'
        f'{page.figure(drawn, "excess", words.EXCESS, "")}</div>{tables.table(header, rows)}'
    )


def _guard(found: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    guard = found['guard']
    header = ['Context', 'Where', 'Rate asked for', 'Demonstrators flagged', 'Policy flagged', 'Actions allowed up to']
    header += ['States allowed up to', 'Noise in training', 'Noise bound', 'Decisions judged by']
    rows = [
        [
            _text(row['context']),
            _text(_where(row)),
            percent(row['rate'], 1),
            percent(row['flagged'], 1),
            percent(row['policy_flagged'], 1),
            number(row['radius']),
            number(row['familiar']),
            f'× {number(row["alpha"])}',
            number(row['bound']) if row['bound'] else 'none',
            f'{row["decisions"]} <small>of {row["trajectories"]} demonstrations</small>',
        ]
        for row in guard['contexts']
    ]
    dimensions = list(map(_text, found['dimensions']))
    expected = [
        [_text(row['context']), *(f'{number(one["low"])} to {number(one["high"])}' for one in row['ranges'])]
        for row in guard['contexts']
    ]
    regions = [
        [_named(found, i), percent(row['flagged'], 1), percent(row['policy_flagged'], 1)]
        for i, row in enumerate(guard['regions'])
    ]
    by_region = tables.table(['Region', 'Demonstrators flagged', 'Policy flagged'], regions)
    return (
        f'<h2>What the guard will do</h2>{_list(words.rules(found))}'
        f'<div class="twin">{page.figure(drawn, "guard_chunk", words.GUARD, by_region)}'
        f'{page.figure(drawn, "guard_state", words.STATE, "")}</div>'
        f'<h3>What is acceptable in each context</h3>{tables.table(header, rows)}'
        f'<p class="under">{_text(words.CONTEXTS)}</p>'
        f'<h3>What is expected in each context</h3>{tables.table(["Context", *dimensions], expected)}'
        f'<p class="under">{_text(words.EXPECTED)}</p>'
    )


def _suspects(found: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    return (
        '<h2>Demonstrations that look like errors</h2>'
        f'<div class="narrow">{page.figure(drawn, "suspects", words.SUSPECTS, "")}</div>'
        f'{page.sentences(words.suspects(found)) or "<p>None.</p>"}'
    )


def _next(found: Mapping[str, Any], drawn: Mapping[str, Picture]) -> str:
    heading = f'<h2>What to record next</h2><p>{_text(words.diversity(found))}</p>'
    if not found['record_next']:
        return f'{heading}<p>Of one demonstration nothing can be said.</p>'
    entries = list(dict.fromkeys(pictures.start_entries(found)))[:_SHOWN]
    header = ['Start', 'Begin as', 'Not known falls by', *(_text(found['entries'][i]) for i in entries)]
    rows = [
        [
            str(index),
            _text(row['like']),
            percent(row['gain'], 1),
            *(number(row['start'][i], 3) for i in entries),
        ]
        for index, row in enumerate(found['record_next'], 1)
    ]
    return (
        f'{heading}<div class="twin">{page.figure(drawn, "starts", words.STARTS, "")}'
        f'<div>{tables.table(header, rows)}</div></div>'
    )


def _parts(found: Mapping[str, Any]) -> str:
    """Standard deviations in action units: a row a region and dimension."""
    known = [name for name in pictures.PARTS if found[name] is not None]
    header = ['Region', 'Dimension', *(_text(pictures.PARTS[name][0]) for name in known)]
    rows = [
        [_named(found, r), _text(dimension), *(number(found[name][r][a] ** 0.5, 3) for name in known)]
        for r in _each(found)
        for a, dimension in enumerate(found['dimensions'])
    ]
    return f'<p class="under">Standard deviations, in action units.</p>{tables.table(header, rows)}'


def _ranges(found: Mapping[str, Any], index: int) -> str:
    rows = [
        [
            _text(name),
            f'{number(row["low"])} to {number(row["high"])}',
            number(row['middle']),
            ', '.join(f'{number(mode["at"])} ({percent(mode["share"])})' for mode in row['modes']),
        ]
        for name, row in zip(found['dimensions'], found['ranges'][index], strict=True)
    ]
    return tables.table(['Dimension', '90 % of actions', 'Median', 'Gather at'], rows)


def _where(row: Mapping[str, Any]) -> str:
    if row['entry'] is None:
        return 'everywhere else' if row['context'] else ''
    ends = (('from', row['above']), ('below', row['below']))
    return f'{row["entry"]} {" and ".join(f"{word} {end:g}" for word, end in ends if end is not None)}'


def _named(found: Mapping[str, Any], index: int) -> str:
    """A region's letter in its colour."""
    css = pictures.variable(index)
    return f'<span style="color:var({css})">●</span> {_text(found["regions"][index]["name"])}'


def _curves(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any] | None]:
    return [found['reliability']['whole'], *found['reliability']['regions']]


def _each(found: Mapping[str, Any]) -> range:
    return range(len(found['regions']))


def _list(lines: Sequence[str]) -> str:
    return f'<ul>{"".join(f"<li>{_text(line)}</li>" for line in lines)}</ul>'


def _signed(share: float) -> str:
    return f'{100 * share:+.0f} %'.replace('-', '−')


def _text(value: object) -> str:
    return html.escape(str(value))
