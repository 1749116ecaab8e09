"""The theory page: each claim of the paper, what was measured about it, and its figure.

Last step of the theory's measurement: lays out what the studies found; computes nothing.
"""

import html

import numpy as np

from launch.report import tables
from launch.report.figures import Picture
from launch.report.page import document
from launch.report.words import number
from launch.theory.panels import ESTIMATORS
from launch.theory.studies import Found, row

_LEDE = (
    'What the theorems about PostBC (arXiv 2512.16911, Appendix B) say, measured in finite MDPs over thousands of '
    'demonstration sets, where every value is computed exactly. Coverage γ is the least π(a|s) / π_β(a|s) over all '
    'that the demonstrator plays; suboptimality is J(π_β) − J(π). Bars: 95% intervals; dotted: closed forms and bounds.'
)
_COLUMNS = ('instance', 'estimator', 'A', 'H', 'T', 'eps', 'alpha', 'lambda', 'miss_probability')
_COLUMNS += ('miss_probability_closed_form', 'coverage_q05', 'suboptimality', 'datasets')


def render(found: Found, pictures: dict[str, Picture]) -> str:
    """The page's text."""
    figures = ''.join(
        f'<figure>{pictures[name].svg}<figcaption>{_text(said)}</figcaption></figure>'
        for name, said in _captions(found).items()
    )
    legend = ''.join(f'<li>{tables.swatch(style)}{_text(name)}</li>' for name, style in ESTIMATORS.values())
    body = [
        '<h1>What the theorems say, measured</h1>',
        f'<p class="lede">{_text(_LEDE)}</p>',
        f'<ul class="legend" aria-label="Estimators">{legend}</ul>',
        f'<div class="panels">{figures}</div>',
        f'<h3>One state, one T: PostBC is uniform mixing</h3><p class="under">{_text(_one_state(found))}</p>',
        f'<h3>All rows</h3>{_table(found)}',
    ]
    return document('Theory', body)


def _captions(found: Found) -> dict[str, str]:
    """A figure's name: what it shows, with its numbers."""
    ceiling, chains, limits = (found.finding(name) for name in ('finetuned_ceiling', 'chain', 'limit'))
    lemma, ratios = found.finding('lemma'), found.finding('matched')
    below = ', '.join(f'{f["limit"] / f["value"]:.0f}' for f in limits)
    last, bc = chains[-1], [f for f in found.finding('finetuned') if f['estimator'] == 'bc'][-1]
    violated, datasets = (sum(f[name] for f in lemma) for name in ('violated', 'datasets'))
    return {
        'misses': 'BC gives probability 0 to both rare arms in (1−4ε)^T of data sets (dotted); PostBC never.',
        'finetuned': (
            f'Bandit, ε = {ceiling[0]["eps"]:g}, T = {ceiling[0]["T"]}. However many rollouts a finetuner is given, of '
            f'BC they hold the good arm in {bc["value"]:.3f} of data sets, those whose demonstrations held it.'
        ),
        'chain': (
            f'To stay within ε uniform mixing may weigh {last["largest_alpha"]:.3f} at T = {last["T"]}, where the '
            f'paper says 32 ε = {last["paper_alpha"]:.2f}: its constant is loose by 8 H. At such T ε is still wide; at '
            f'PostBC’s own cost uniform mixing covers {last["value"]:.0f} times less.'
        ),
        'matched': (
            'A dense state beside a rare one, of probability q. Uniform mixing has the weight at which it costs what '
            f'PostBC costs; PostBC covers {_list(ratios)} times as much (coverage takes few values: an '
            'interval may be a point).'
        ),
        'worst': f'The worst case of imitation: rare states of probability 1/(T+1). {_slopes(found, "worst")}',
        'fixed': (
            'The same MDP at every T: BC has soon seen every state, PostBC goes on paying for its noise. '
            f'{_slopes(found, "fixed")}'
        ),
        'lower_bound': (
            f'T = {limits[0]["T"]}, the rare arm’s probability is 1/T. An estimator that gives away log T / T of value '
            f'covers no more than the dotted line in at least one of these bandits; PostBC is {below} times below it.'
        ),
        'lemma': (
            f'PostBC’s coverage was below Lemma 1’s bound in {violated} of {datasets:,} data sets (δ = '
            f'{lemma[0]["delta"]:g}). Shown: the least probability over its bound in any data set; 1 would be at it.'
        ),
    }


def _one_state(found: Found) -> str:
    one = found.finding('one_state')[0]
    return (
        f'In the bandit PostBC’s policy and uniform mixing of weight αλ/(T+λ) differ by at most '
        f'{one["largest_difference"]:.1e} over {one["datasets"]:,} data sets, in float32: a bandit shows that BC '
        'fails, and nothing about PostBC against noise.'
    )


def _list(ratios) -> str:
    return ', '.join(f'{f["value"]:.1f} [{f["low"]:.1f}, {f["high"]:.1f}]' for f in ratios)


def _slopes(found: Found, study: str) -> str:
    parts = []
    for finding in found.finding('slope'):
        if finding['instance'] == study:
            said = f'{number(finding["value"])} [{number(finding["low"])}, {number(finding["high"])}]'
            if np.isnan(finding['value']):
                said = 'none, it falls exponentially'
            parts.append(f'{ESTIMATORS[finding["estimator"]][0]} {said}')
    return f'Log-log slopes: {", ".join(parts)}.'


def _table(found: Found) -> str:
    rows = [[_cell(values[name]) for name in _COLUMNS] for values in map(row, found.measured)]
    return tables.table([name.replace('_', ' ') for name in _COLUMNS], rows)


def _cell(value: object) -> str:
    if value is None:
        return '–'
    return f'{value:.3g}'.replace('-', '−') if isinstance(value, float) else _text(value)


def _text(value: object) -> str:
    return html.escape(str(value))
