"""What is measured: an instance, a number of demonstrations and an estimator at a time, over thousands of data sets.

First step of the theory page. Each study ends in rows, and in findings: the numbers that compare rows, with intervals.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from postbc_jax import stats
from postbc_jax.posterior import data_sets, instances, tabular
from postbc_jax.posterior.data_sets import Outcomes
from postbc_jax.posterior.instances import Instance
from postbc_jax.posterior.tabular import BC, Settings, uniform
from postbc_jax.stats import Interval

QUANTILE = 0.05  # of coverage over data sets
ROUNDING = 1e-5  # means of suboptimality below it are float32's errors


class Measured(NamedTuple):
    """An estimator on an instance.

    Attributes:
      study: the figure that it belongs to.
      instance: where.
      estimator: bc, uniform or post_bc.
      settings: its alpha and lambda.
      demonstrations: T.
      outcomes: over data sets, numpy (D,).
    """

    study: str
    instance: Instance
    estimator: str
    settings: Settings
    demonstrations: int
    outcomes: Outcomes

    @property
    def datasets(self) -> int:
        return len(self.outcomes.coverage)

    @property
    def missed(self) -> float:
        return float(np.mean(self.outcomes.missed))

    @property
    def suboptimality(self) -> Interval:
        """Mean over data sets, 95% t interval."""
        return stats.mean_interval(self.outcomes.suboptimality)

    def coverage(self, level: float = 0.95) -> Interval:
        """The 5% quantile over data sets, with an interval free of any assumption about their distribution."""
        return stats.quantile_interval(self.outcomes.coverage, QUANTILE, level)


class Found(NamedTuple):
    """measured: of every study, in order. findings: {'finding': its name, ...}, flat."""

    config: ConfigDict
    measured: list[Measured]
    findings: list[dict[str, Any]]

    def of(self, study: str, estimator: str | None = None) -> list[Measured]:
        return [m for m in self.measured if m.study == study and estimator in (None, m.estimator)]

    def finding(self, name: str) -> list[dict[str, Any]]:
        return [finding for finding in self.findings if finding['finding'] == name]


class Bench:
    """Draws data sets and measures estimators on them; the i-th draw of all has the i-th key of the root."""

    def __init__(self, config: ConfigDict):
        key = jax.random.key(config.seed)
        self._keys = (jax.random.fold_in(key, i) for i in itertools.count())
        self._delta = config.delta

    def counts(self, instance: Instance, demonstrations: int, datasets: int) -> jax.Array:
        return data_sets.sample(next(self._keys), instance, demonstrations, datasets)

    def measure(
        self, study: str, instance: Instance, demonstrations: int, counts: jax.Array, arms: list[tuple[str, Settings]]
    ) -> Iterator[Measured]:
        """The arms on the same data sets."""
        for estimator, settings in arms:
            found = data_sets.outcomes(instance, counts, settings, self._delta)
            found = jax.tree.map(lambda x: np.asarray(x, bool if x.dtype == bool else np.float64), found)
            yield Measured(study, instance, estimator, settings, demonstrations, found)


def run(config: ConfigDict) -> Found:
    """Every study. Raises ValueError for settings that no instance, or no interval, can be made of."""
    _check(config)
    bench, measured, findings = Bench(config), [], []
    for study in (_bandit, _finetuned, _chain, _two_branch, _lower_bound, _resets, _random):
        rows, more = study(bench, config)
        measured += rows
        findings += more
    return Found(config, measured, findings + _lemma(measured, config.delta))


def _check(config: ConfigDict) -> None:
    for name in ('datasets', 'chain.datasets', 'resets.datasets'):
        section, _, last = name.rpartition('.')
        number = (config[section] if section else config)[last]
        if number < 100:
            raise ValueError(f'config.{name}={number}: a 5% quantile with an interval needs at least 100')
    for t in config.chain.demonstrations:
        eps = _chain_eps(config, t)
        if eps > 1 / 4:
            raise ValueError(
                f'config.chain.demonstrations={t}: eps = H^2 S log(T) / T is {eps:.2f}, above 1/4: give more, or fewer '
                'states'
            )


def row(measured: Measured) -> dict[str, Any]:
    """A row of results.jsonl."""
    horizon, _, actions = measured.instance.sizes
    bc, mixed = measured.estimator == 'bc', measured.estimator == 'uniform'
    closed = measured.instance.miss_probability
    return {
        'experiment': 'theory',
        'instance': measured.instance.name,
        'estimator': measured.estimator,
        'A': actions,
        'H': horizon,
        'T': measured.demonstrations,
        'eps': measured.instance.eps,
        'alpha': None if bc else measured.settings.alpha,
        'lambda': None if bc or mixed else measured.settings.concentration,
        'miss_probability': measured.missed,
        'miss_probability_closed_form': (closed(measured.demonstrations) if closed else None) if bc else 0.0,
        'coverage_q05': measured.coverage().value,
        'suboptimality': measured.suboptimality.value,
        'datasets': measured.datasets,
    }


def theorem(instance: Instance, demonstrations: int) -> Settings:
    horizon, _, actions = instance.sizes
    return tabular.theorem(actions, horizon, demonstrations)


def matched(instance: Instance, demonstrations: int) -> Settings:
    """Uniform mixing of PostBC's own expected suboptimality: its closed form, which grows with alpha, bisected."""
    cost = instance.suboptimality(theorem(instance, demonstrations), demonstrations)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = instance.suboptimality(uniform(middle), demonstrations) < cost
        low, high = (middle, high) if below else (low, middle)
    return uniform((low + high) / 2)


def _bandit(bench: Bench, config: ConfigDict) -> tuple[list[Measured], list[dict[str, Any]]]:
    """BC misses arms with probability (1-4e)^T; PostBC is a uniform mixture of weight alpha lambda / (T + lambda)."""
    rows, largest = [], 0.0
    for eps, t in itertools.product(config.bandit.eps, config.bandit.demonstrations):
        instance = instances.bandit(eps)
        counts, settings = bench.counts(instance, t, config.datasets), theorem(instance, t)
        mixed = uniform(settings.alpha * settings.concentration / (t + settings.concentration))
        arms = [('bc', BC), ('uniform', mixed), ('post_bc', settings)]
        rows += bench.measure('bandit', instance, t, counts, arms)
        ours, theirs = (data_sets.policies(counts, which) for which in (settings, mixed))
        largest = max(largest, float(np.abs(ours - theirs).max()))
    return rows, [{'finding': 'one_state', 'largest_difference': largest, 'datasets': len(rows) // 3 * config.datasets}]


def _finetuned(bench: Bench, config: ConfigDict) -> tuple[list[Measured], list[dict[str, Any]]]:
    """How often N rollouts of a policy hold the good arm at least once: what the best of finetuners could know."""
    eps, t = config.bandit.finetuned
    instance, findings = instances.bandit(eps), []
    counts = bench.counts(instance, t, config.datasets)
    for estimator, settings in (('bc', BC), ('post_bc', theorem(instance, t))):
        good = np.asarray(data_sets.policies(counts, settings), np.float64)[:, 0, 0, 1]
        for rollouts in config.bandit.rollouts:
            seen = stats.mean_interval(1 - (1 - good) ** rollouts)
            findings.append({'finding': 'finetuned', 'estimator': estimator, 'rollouts': rollouts, **_said(seen)})
    ceiling = 1 - (1 - 2 * eps) ** t  # the demonstrations hold the good arm
    return [], [*findings, {'finding': 'finetuned_ceiling', 'eps': eps, 'T': t, 'value': ceiling}]


def _chain(bench: Bench, config: ConfigDict) -> tuple[list[Measured], list[dict[str, Any]]]:
    """Uniform mixing at the largest weight that eps allows and at PostBC's own cost, beside PostBC."""
    rows, findings, horizon = [], [], config.chain.horizon
    for t in config.chain.demonstrations:
        eps = _chain_eps(config, t)
        instance, largest = instances.chain(config.chain.rare, horizon, eps), instances.chain_weight(eps, horizon)
        arms = [('bc', BC), ('uniform', uniform(largest)), ('uniform', matched(instance, t))]
        arms.append(('post_bc', theorem(instance, t)))
        rows += bench.measure('chain', instance, t, bench.counts(instance, t, config.chain.datasets), arms)
        found = {'finding': 'chain', 'T': t, 'eps': eps, 'largest_alpha': largest, 'paper_alpha': 32 * eps}
        cost = {f'at_largest_{name}': number for name, number in _said(rows[-3].suboptimality).items()}
        findings.append(found | cost | _ratio(rows[-1], rows[-2]))
    return rows, findings


def _chain_eps(config: ConfigDict, demonstrations: int) -> float:
    """H^2 S log T / T, what the theorem allows."""
    return config.chain.horizon**2 * (config.chain.rare + 2) * float(np.log(demonstrations)) / demonstrations


def _two_branch(bench: Bench, config: ConfigDict) -> tuple[list[Measured], list[dict[str, Any]]]:
    """Coverage at matched suboptimality."""
    rows, findings = [], []
    for q, t, actions, eps in config.two_branch:
        instance = instances.two_branch(q, actions, eps)
        arms = [('bc', BC), ('uniform', matched(instance, t)), ('post_bc', theorem(instance, t))]
        rows += bench.measure('two_branch', instance, t, bench.counts(instance, t, config.datasets), arms)
        findings.append({'finding': 'matched', 'q': q, 'T': t, 'A': actions, 'eps': eps, **_ratio(rows[-1], rows[-2])})
    return rows, findings


def _lower_bound(bench: Bench, config: ConfigDict) -> tuple[list[Measured], list[dict[str, Any]]]:
    """Coverage beside the most that any estimator of suboptimality log T / T can have."""
    rows, findings, t = [], [], config.lower_bound.demonstrations
    for actions in config.lower_bound.actions:
        instance = instances.lower_bound(actions, 1 / t)
        arms = [('bc', BC), ('post_bc', theorem(instance, t))]
        rows += bench.measure('lower_bound', instance, t, bench.counts(instance, t, config.datasets), arms)
        limit = instances.lower_bound_limit(actions, 1 / t, t, float(np.log(t)) / t)
        findings.append({'finding': 'limit', 'A': actions, 'T': t, 'limit': limit, **_said(rows[-1].coverage())})
    return rows, findings


def _resets(bench: Bench, config: ConfigDict) -> tuple[list[Measured], list[dict[str, Any]]]:
    """Suboptimality over T: where the rare states get rarer with T, as the worst case has it, and where they do not."""
    rows, findings, of = [], [], config.resets
    for study in ('worst', 'fixed'):
        for t in of.demonstrations:
            share = 1 / (t + 1) if study == 'worst' else of.rare_share
            instance = instances.resets(of.states, of.horizon, of.actions, share)
            arms = [('bc', BC), ('post_bc', theorem(instance, t))]
            rows += bench.measure(study, instance, t, bench.counts(instance, t, of.datasets), arms)
        for estimator in ('bc', 'post_bc'):
            line = [m for m in rows if m.study == study and m.estimator == estimator]
            findings.append({'finding': 'slope', 'instance': study, 'estimator': estimator, **_slope(line)})
    return rows, findings


def _random(bench: Bench, config: ConfigDict) -> tuple[list[Measured], list[dict[str, Any]]]:
    """Nothing is special about this one: for Lemma 1."""
    rows, of = [], config.random
    instance = instances.random(config.seed, of.states, of.actions, of.horizon)
    for t in of.demonstrations:
        counts, arms = bench.counts(instance, t, config.datasets), [('bc', BC), ('post_bc', theorem(instance, t))]
        rows += bench.measure('random', instance, t, counts, arms)
    return rows, []


def _lemma(measured: list[Measured], delta: float) -> list[dict[str, Any]]:
    """Violations of Lemma 1's bound by PostBC, of each instance's data sets; and how near the nearest came."""
    findings = []
    for name in dict.fromkeys(m.instance.name for m in measured):
        ours = [m for m in measured if m.instance.name == name and m.estimator == 'post_bc']
        violated, datasets = int(sum((m.outcomes.above_bound < 1).sum() for m in ours)), sum(m.datasets for m in ours)
        least = min(float(m.outcomes.above_bound.min()) for m in ours)
        found = {'finding': 'lemma', 'instance': name, 'violated': violated, 'datasets': datasets, 'least': least}
        findings.append(found | {'delta': delta, **_said(stats.wilson(violated, datasets))})
    return findings


def _ratio(ours: Measured, theirs: Measured) -> dict[str, float]:
    """5%-quantiles of coverage, one over the other. Each interval has level 97.5%, so both hold with 95%."""
    a, b = (m.coverage(level=0.975) for m in (ours, theirs))
    costs = {'cost': ours.suboptimality.value, 'cost_matched': theirs.suboptimality.value}
    return {'value': a.value / b.value, 'low': a.low / b.high, 'high': a.high / b.low, **costs}


def _slope(line: list[Measured]) -> dict[str, float]:
    """Least squares of log mean suboptimality over log T; the interval is of the means' errors alone (delta method).

    NaN, which is written as null, where some mean is no more than float32's rounding.
    """
    x = np.log([m.demonstrations for m in line])
    x = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    means = np.array([m.suboptimality.value for m in line])
    if means.min() < ROUNDING:
        return {'value': np.nan, 'low': np.nan, 'high': np.nan}
    errors = np.array([m.outcomes.suboptimality.std(ddof=1) / np.sqrt(m.datasets) for m in line])
    slope, half = float(x @ np.log(means)), 1.96 * float(np.sqrt(np.sum((x * errors / means) ** 2)))
    return {'value': slope, 'low': slope - half, 'high': slope + half}


def _said(interval: Interval) -> dict[str, float]:
    return interval._asdict()
