"""The evidence's page: one HTML file, as the report's. Lays out evidence.json and its pictures; computes nothing."""

import html
from typing import Any

from launch.evidence import cells
from launch.report import page, tables
from launch.report.figures import Picture

LEDE = (
    'Behavioural cloning (BC), with isotropic noise (σ-BC), and with noise from the posterior (PostBC): each finetuned '
    'from the same demonstrations, seeds and episodes. A difference is one where its interval excludes 0, and holds '
    'among so many comparisons where Holm’s p is below .05; everything else is undecided, not equal.'
)
CAPTIONS = {
    'differences': (
        'PostBC less another arm, in that arm’s colour; ticks are single seeds. A bar that crosses 0 decides nothing. '
        'Against σ-BC matched: whether the noise’s shape matters, beyond its size.'
    ),
    'curves': 'Mean success over seeds; band: 95 % t interval at each evaluation, of one arm, not of a difference.',
    'reached': (
        'Share of runs that have been at the target in some evaluation (one less the Kaplan-Meier curve). A run that '
        'never is counts as long as it was followed, and no longer.'
    ),
    'coverage': 'Chance that the best of N attempts from one start succeeds, before any RL; 95 % t intervals.',
    'failures': (
        'Light: runs that do not end above their own pretrained policy; full: of them those that end below it by more '
        'than the evaluation’s noise. Line: Wilson’s 95 % interval of the light share. Counts: light, full of runs.'
    ),
}
METHODS = (
    'The unit is the pretraining seed: its own demonstrations, posterior, policies and episodes, which all arms share. '
    'Its finetuning runs are averaged, or resampled with it: they are no independent evidence.',
    'Finetuned: success at the last evaluation that all runs have reached. Area: mean height of the curve to there.',
    'IQM: interquartile mean of all runs, with a 95 % bootstrap interval over seeds (arXiv 2108.13264).',
    'Steps to a target: a run’s first evaluation at or above it. A noisy evaluation may be the first by chance. Runs '
    'that never are, are censored at their last; median and restricted mean are Kaplan and Meier’s, their intervals '
    'bootstraps over seeds. “never”: the median, or a bound of it, lies beyond what was followed.',
    'Collapsed: a run ends below its own pretrained success by more than two rates of one policy differ by in 19 of 20 '
    'cases (pooled z test). Of runs that did not change, 1 in 40 is called so. Without gain: it does not end above it.',
    'Holm’s p is adjusted over all tasks and pairs of one outcome; “finetuned” is the outcome that was asked about.',
    'Settings are chosen on development seeds, by the largest area under the curve, and never on those shown here.',
)


def render(found: dict[str, Any], pictures: dict[str, Picture]) -> str:
    """The page's text."""
    title = f'Evidence: {", ".join(task["task"] for task in found["tasks"])}'
    parts = [f'<h1>{html.escape(title)}</h1>', f'<p class="lede">{html.escape(LEDE)}</p>', page.missing(found['notes'])]
    parts += [
        f'<div class="wide">{page.figure(pictures, name, caption, "")}</div>'
        for name, caption in CAPTIONS.items()
        if name in pictures
    ]
    for table in cells.tables(found):
        rows = [[_cell(cell) for cell in row] for row in table.rows]
        shown = tables.table([html.escape(name) for name in table.header], rows)
        parts.append(f'<h3>{html.escape(table.title)}</h3>{shown}<p class="under">{html.escape(table.under)}</p>')
    items = ''.join(f'<li>{html.escape(item)}</li>' for item in METHODS)
    parts.append(f'<section class="methods"><h3>How the numbers are made</h3><ul>{items}</ul></section>')
    return page.document(title, [part for part in parts if part])


def _cell(text: str) -> str:
    """An interval below its value."""
    value, _, bracket = text.partition(' [')
    return html.escape(value) + (f'<small>[{html.escape(bracket)}</small>' if bracket else '')
