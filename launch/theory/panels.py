"""The panels of the theory page: measured points with 95% intervals, closed forms and bounds as dotted lines.

Between the studies and the page. The estimators look as the arms of the report do; uniform mixing as isotropic noise.
"""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from launch.report import figures
from launch.report.arms import LOOKS, Style
from launch.report.figures import Picture
from launch.report.panels import INK, SOFT, frame, line
from launch.theory.studies import ROUNDING, Found
from postbc_jax.stats import Interval, wilson

ESTIMATORS = {
    'bc': ('BC', Style(*LOOKS['bc'][0])),
    'uniform': ('uniform mixing', Style(*LOOKS['fixed'][0])),
    'post_bc': ('PostBC', Style(*LOOKS['post_bc'][0])),
}
_HEADLINE = ('misses', 'finetuned', 'chain', 'matched', 'worst', 'fixed')
_DOTTED = {'color': SOFT, 'linewidth': 1.3, 'linestyle': (0, (1, 1.5)), 'zorder': 1.5}


def draw(found: Found) -> dict[str, Picture]:
    """Every panel as a picture of its own, and 'headline' of six of them."""
    drawn: dict[str, Callable[[Axes], None]] = {
        'misses': _misses,
        'finetuned': _finetuned,
        'chain': _chain,
        'matched': _matched,
        'worst': lambda axes, found: _rate(axes, found, 'worst', 'Cost over T: rare states that get rarer'),
        'fixed': lambda axes, found: _rate(axes, found, 'fixed', 'Cost over T: the same MDP throughout'),
        'lower_bound': _lower_bound,
        'lemma': _lemma,
    }
    panels = {name: lambda axes, panel=panel: panel(axes, found) for name, panel in drawn.items()}
    pictures = {name: figures.picture(name, [panel], (4.8, 3.7)) for name, panel in panels.items()}
    legend = dict(ESTIMATORS.values()) | {'closed form or bound': Style(SOFT, SOFT, '', (1, 1.5))}
    headline = [panels[name] for name in _HEADLINE]
    return pictures | {'headline': figures.picture('headline', headline, (14.0, 7.6), legend, columns=3)}


def _misses(axes: Axes, found: Found) -> None:
    """Share of data sets in which BC misses both rare arms, over T; a line for each eps."""
    frame(axes, 'BC misses both rare arms', 'demonstrations T', 'share of data sets')
    rows = found.of('bandit', 'bc')
    numbers = sorted({m.demonstrations for m in rows})
    fine = np.geomspace(numbers[0], numbers[-1], 200)
    for eps in dict.fromkeys(m.instance.eps for m in rows):
        mine = [m for m in rows if m.instance.eps == eps]
        axes.plot(fine, (1 - 4 * eps) ** fine, **_DOTTED)
        shares = [wilson(m.outcomes.missed.sum(), m.datasets) for m in mine]
        _points(axes, [m.demonstrations for m in mine], shares, 'bc', join=False)
        place = 0.35 * numbers[0] + 0.65 * numbers[1]
        axes.annotate(f'ε = {eps:g}', (place, (1 - 4 * eps) ** place), (2, 5), textcoords='offset points', color=SOFT)
    ours = found.of('bandit', 'post_bc')
    _points(axes, numbers, [Interval(max(m.missed for m in ours if m.demonstrations == t), 0, 0) for t in numbers])
    _logarithmic(axes.xaxis, numbers)
    axes.set_ylim(-0.03, 1.03)


def _finetuned(axes: Axes, found: Found) -> None:
    """How often N rollouts hold the good arm, over N: no finetuner that rolls the policy out can know it more often."""
    ceiling = found.finding('finetuned_ceiling')[0]
    frame(axes, 'What a finetuner can find', 'rollouts N of the policy', 'share that holds the good arm')
    for estimator in ('bc', 'post_bc'):
        rows = [f for f in found.finding('finetuned') if f['estimator'] == estimator]
        numbers = [f['rollouts'] for f in rows]
        _points(axes, numbers, [Interval(f['value'], f['low'], f['high']) for f in rows], estimator)
    axes.axhline(ceiling['value'], **_DOTTED)
    said = f'the demonstrations hold it: {ceiling["value"]:.3f}'
    axes.annotate(
        said, (1, ceiling['value']), (0, 6), ('axes fraction', 'data'), 'offset points', ha='right', color=SOFT
    )
    axes.set_xscale('log')
    _plain(axes.xaxis)
    axes.set_ylim(-0.03, 1.03)


def _chain(axes: Axes, found: Found) -> None:
    """Coverage of uniform mixing, at the largest weight that eps allows and at PostBC's cost, and of PostBC, over T."""
    frame(axes, 'Uniform mixing on its own instance', 'demonstrations T', '5% quantile of coverage γ')
    rows, numbers = found.finding('chain'), [f['T'] for f in found.finding('chain')]
    mixed, bound = found.of('chain', 'uniform'), [f['paper_alpha'] for f in rows]
    lines = {'all that ε allows': mixed[::2], 'at PostBC’s cost': mixed[1::2]}
    firsts = {'the paper’s bound for it, 32 ε': bound[0]}
    for text, those in lines.items():
        _points(axes, numbers, [m.coverage() for m in those], 'uniform')
        firsts[text] = those[0].coverage().value
    _points(axes, numbers, [m.coverage() for m in found.of('chain', 'post_bc')])
    axes.plot(numbers, bound, **_DOTTED)
    for text, y in firsts.items():  # all fall: above their left ends there is room
        axes.annotate(text, (numbers[0], y), (4, 7), textcoords='offset points', color=SOFT)
    axes.set_yscale('log')
    axes.set_ylim(top=3 * bound[0])
    _plain(axes.yaxis)
    _logarithmic(axes.xaxis, numbers)


def _matched(axes: Axes, found: Found) -> None:
    """Coverage of PostBC and of uniform mixing of the same cost, by setting; the ratio in words."""
    frame(axes, 'Coverage at the same cost', '', '5% quantile of coverage γ')
    rows = found.finding('matched')
    for shift, estimator in ((-0.12, 'uniform'), (0.12, 'post_bc')):
        intervals = [m.coverage() for m in found.of('two_branch', estimator)]
        _points(axes, np.arange(len(rows)) + shift, intervals, estimator, join=False)
    for place, (f, ours) in enumerate(zip(rows, found.of('two_branch', 'post_bc'), strict=True)):
        top = ours.coverage().value
        axes.annotate(f'× {f["value"]:.1f}', (place, top), (0, 9), textcoords='offset points', ha='center', color=INK)
    axes.set_yscale('log')
    _plain(axes.yaxis)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.6)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    labels = [f'q {f["q"]:g}\nT {f["T"]}\nA {f["A"]}\nε {f["eps"]:g}' for f in rows]
    axes.set_xticks(range(len(rows)), labels, fontsize=9)


def _rate(axes: Axes, found: Found, study: str, title: str) -> None:
    """Suboptimality over T, both axes logarithmic; closed forms through the points."""
    frame(axes, title, 'demonstrations T', 'suboptimality')
    numbers = [m.demonstrations for m in found.of(study, 'bc')]
    for estimator in ('bc', 'post_bc'):
        rows = found.of(study, estimator)
        exact = np.array([m.instance.suboptimality(m.settings, m.demonstrations) for m in rows])
        shown = np.flatnonzero(exact > ROUNDING)
        places = np.array(numbers)[shown]
        _points(axes, places, [rows[k].suboptimality for k in shown], estimator, join=False)
        axes.plot(places, exact[shown], **_DOTTED)
        slope = next(f for f in found.finding('slope') if (f['instance'], f['estimator']) == (study, estimator))
        said = f'slope {slope["value"]:.2f}'.replace('-', '−') if np.isfinite(slope['value']) else 'exponential'
        above, middle = estimator == 'post_bc', len(numbers) // 2
        axes.annotate(
            f'{ESTIMATORS[estimator][0]}: {said}',
            (numbers[middle], exact[middle]),
            (6, 8) if above else (-6, -14),
            textcoords='offset points',
            ha='left' if above else 'right',
            color=SOFT,
        )
    axes.set_yscale('log')
    _plain(axes.yaxis)
    _logarithmic(axes.xaxis, numbers)


def _lower_bound(axes: Axes, found: Found) -> None:
    """Coverage over A beside the most that any estimator can have."""
    frame(axes, 'The lower bound’s bandits', 'actions A', '5% quantile of coverage γ')
    limits = found.finding('limit')
    numbers = [f['A'] for f in limits]
    axes.plot(numbers, [f['limit'] for f in limits], **_DOTTED)
    _points(axes, numbers, [Interval(f['value'], f['low'], f['high']) for f in limits])
    axes.annotate(
        'no estimator is above', (numbers[0], limits[0]['limit']), (12, -2), textcoords='offset points', color=SOFT
    )
    axes.set_yscale('log')
    _plain(axes.yaxis)
    _logarithmic(axes.xaxis, numbers)


def _lemma(axes: Axes, found: Found) -> None:
    """How far above Lemma 1's bound PostBC's probabilities are at the least, by instance."""
    frame(axes, 'PostBC above Lemma 1’s bound', 'least probability / bound, all data sets', '')
    rows = found.finding('lemma')
    look = line(ESTIMATORS['post_bc'][1]) | {'linestyle': 'none'}
    axes.plot([f['least'] for f in rows], range(len(rows)), **look)
    axes.axvline(1, **_DOTTED)
    axes.set_yticks(range(len(rows)), [f['instance'] for f in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale('log')
    axes.set_xlim(0.8, 2 * max(f['least'] for f in rows))
    _plain(axes.xaxis)


def _points(
    axes: Axes, x: Sequence[float], intervals: Sequence[Interval], estimator: str = 'post_bc', join: bool = True
) -> None:
    look = line(ESTIMATORS[estimator][1]) | ({} if join else {'linestyle': 'none'})
    for place, interval in zip(x, intervals, strict=True):
        if np.isfinite([interval.low, interval.high]).all():
            axes.plot([place] * 2, [interval.low, interval.high], color=look['color'], linewidth=1.4)
    axes.plot(x, [interval.value for interval in intervals], **look, markerfacecolor=look['color'], zorder=3)


def _logarithmic(axis: Axis, numbers: Sequence[float]) -> None:
    """A logarithmic axis that names the measured numbers alone."""
    axis.axes.set_xscale('log')
    axis.set_ticks(numbers)
    axis.set_minor_locator(NullLocator())
    _plain(axis)


def _plain(axis: Axis) -> None:
    """Numbers as they are, not as powers of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axis.set_minor_formatter(NullFormatter())
