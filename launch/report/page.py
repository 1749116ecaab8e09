"""The report's page: one HTML file without scripts or outside references, for phone and desktop, light and dark.

Last step of the report: lays out what the other modules computed; computes nothing itself.
"""

import html
import json
from collections.abc import Sequence

from launch.report import decided, figures, prose, tables, watched, words
from launch.report.arms import styles
from launch.report.figures import Picture
from launch.report.read import Point
from launch.report.sections import Section
from launch.report.style import CSS
from launch.report.trials import Sweep

_MARK = {'up': '▲', 'down': '▼', 'open': '?', 'warn': '!', 'note': 'i'}
_TONE = {'up': 'higher', 'down': 'lower', 'open': 'undecided', 'warn': 'warning', 'note': 'note'}

_OF_SWEEPS = {'ablation': prose.ABLATION, 'trials': prose.TRIALS, 'parameters': prose.PARAMETERS}


def render(
    name: str,
    points: Sequence[Point],
    sections: list[tuple[Section, dict[str, Picture]]],
    sweeps: list[tuple[Sweep, dict[str, Picture]]],
    notes: list[str],
) -> str:
    """The page's text.

    Args:
      name: of the work directory.
      points: for their configs.
      sections: those that are shown whole, each with its pictures.
      sweeps: of all sections, each with its pictures.
      notes: what is missing.
    """
    config = next((point.config for point in points if point.config), {})
    title = str(config.get('experiment') or name)
    parts = [
        f'<h1>{_text(title)}</h1>',
        f'<p class="lede">{_text(prose.LEDE)}</p>',
        missing(notes),
    ]
    if not sections:
        parts.append('<p>There is nothing to report yet: no row of results, coverage or noise could be read.</p>')
    parts += [_sweep(sweep, pictures, {id(section) for section, _ in sections}) for sweep, pictures in sweeps]
    parts += [tables.overview([section for section, _ in sections])]
    parts += [_section(section, pictures, index, len(sections)) for index, (section, pictures) in enumerate(sections)]
    parts += [_methods(), _settings(points)]
    return document(f'{title}: report', parts)


def document(title: str, parts: Sequence[str]) -> str:
    """A page of its own: the parts' HTML below each other, in the report's style."""
    return (
        '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<title>{_text(title)}</title><style>{_colours()}{CSS}</style></head>\n'
        f'<body><main>\n{"".join(part + chr(10) for part in parts if part)}</main></body></html>\n'
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _colours() -> str:
    light, dark = (';'.join(f'{name}:{pair[mode]}' for name, pair in figures.COLOURS.items()) for mode in (0, 1))
    return f':root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}'


def missing(notes: Sequence[str]) -> str:
    """The notes in a frame; '' without any."""
    if not notes:
        return ''
    items = ''.join(f'<li>{_text(note)}</li>' for note in notes)
    return f'<aside class="missing"><h2>What is missing</h2><ul>{items}</ul></aside>'


def _sweep(sweep: Sweep, pictures: dict[str, Picture], whole: set[int]) -> str:
    """The best settings, and success over every parameter; whole: ids of the sections that are shown."""
    if not sweep.trials:
        return ''
    settings = len(sweep.sections)
    shown = sum(id(section) in whole for section in sweep.sections)
    below = f' The best {shown} of them are shown whole below.' if shown < settings else ''
    tried = f'{settings} settings tried, {len(sweep.trials)} arms of them, best first.{below} {prose.BEST}'
    kind = 'wide' if len(sweep.parameters) > 2 else 'narrow'
    drawn = ''.join(
        f'<div class="{kind}">{figure(pictures, name, caption, "")}</div>'
        for name, caption in _OF_SWEEPS.items()
        if name in pictures
    )
    return (
        f'<section><h2>Best settings: {_text(sweep.title)}</h2><p class="under">{_text(tried)}</p>'
        f'{tables.best(sweep)}{drawn}</section>'
    )


def _section(section: Section, pictures: dict[str, Picture], index: int, count: int) -> str:
    heading = (
        f'<h2 id="s{index}">{_text(section.title)}</h2>' if count > 1 else f'<p class="task">{_text(section.title)}</p>'
    )
    panels = [
        figure(pictures, 'noise', prose.NOISE, tables.noise(section)),
        figure(pictures, 'coverage', prose.COVERAGE, tables.coverage(section, 'all')),
        figure(pictures, 'finetuning', prose.FINETUNING, tables.curves(section)),
        figure(pictures, 'calibration', prose.CALIBRATION, tables.calibration(section)),
        figure(pictures, 'candidates', prose.CANDIDATES, tables.candidates(section)),
        figure(pictures, 'watched', prose.WATCHED, _watched(section)),
        figure(pictures, 'scenarios', prose.SCENARIOS, ''),
    ]
    regions = [region for region in sorted(section.coverage) if region != 'all']
    by_region = ''.join(
        figure(pictures, name, '', tables.coverage(section, region))
        for region, name in zip(regions, [n for n in pictures if n.startswith('coverage_')], strict=True)
    )
    return ''.join(
        [
            f'<section>{heading}',
            sentences(words.verdict(section)),
            _legend(section),
            f'<div class="panels">{"".join(panels)}</div>',
            '<h3>All arms</h3>',
            tables.main(section),
            _pair(pictures, section),
            f'<h3>Coverage by region</h3><div class="panels">{by_region}</div>' if by_region else '',
            tables.regions(section),
            _decided(section),
            '</section>',
        ]
    )


def figure(pictures: dict[str, Picture], name: str, caption: str, table: str) -> str:
    """A picture with its caption and, folded, its numbers; '' where it was not drawn."""
    if name not in pictures:
        return ''
    text = f'<figcaption>{_text(caption)}</figcaption>' if caption else ''
    folded = f'<details><summary>Numbers</summary>{table}</details>' if table else ''
    return f'<figure>{pictures[name].svg}{text}{folded}</figure>'


def _decided(section: Section) -> str:
    """Decisions by context; '' where none were counted."""
    header, rows = decided.numbers(section.contexts['before'], section.contexts['after'], section.arms)
    if not rows:
        return ''
    counted = tables.table(header, [[_text(cell) for cell in row] for row in rows])
    return f'<h3>Decisions by context</h3><p class="under">{_text(prose.DECIDED)}</p>{counted}'


def _watched(section: Section) -> str:
    """The monitor's numbers, and what it did."""
    header, rows = watched.numbers(section.watched, section.arms)
    said = ''.join(f'<li>{line}</li>' for line in watched.events(section.watched, section.arms))
    return tables.table(header, [[_text(cell) for cell in row] for row in rows]) + (f'<ul>{said}</ul>' if said else '')


def _pair(pictures: dict[str, Picture], section: Section) -> str:
    """The differences beside the learning speeds."""
    shown = figure(pictures, 'differences', prose.DIFFERENCES, tables.differences(section))
    speed = tables.speeds(section)
    return f'<div class="pair">{shown}{f"<div>{speed}</div>" if speed else ""}</div>' if shown or speed else ''


def sentences(said: Sequence[words.Sentence]) -> str:
    """A list of sentences, each with the mark of its tone; '' without any."""
    items = ''
    for tone, short, text in said:
        mark = f'<span class="mark" role="img" aria-label="{_TONE[tone]}">{_MARK[tone]}</span>'
        items += f'<li class="{tone}">{mark}<div><b>{_text(short)}</b> {_text(text)}</div></li>'
    return f'<ul class="verdict">{items}</ul>' if items else ''


def _legend(section: Section) -> str:
    items = ''.join(f'<li>{tables.swatch(style)}{_text(arm.name)}</li>' for arm, style in styles(section.arms).items())
    return f'<ul class="legend" aria-label="Arms">{items}</ul>'


def _methods() -> str:
    items = ''.join(f'<li>{_text(item)}</li>' for item in prose.METHODS)
    return f'<section class="methods"><h3>How the numbers are made</h3><ul>{items}</ul></section>'


def _settings(points: Sequence[Point]) -> str:
    blocks = ''.join(
        f'<details><summary>Settings{_text(f" of {point.name}" if point.name else "")}</summary>'
        f'<pre>{_text(json.dumps(point.config, indent=1, ensure_ascii=False))}</pre></details>'
        for point in points
        if point.config and not point.setting  # of several settings the first stands for their run
    )
    return f'<section>{blocks}</section>' if blocks else ''
