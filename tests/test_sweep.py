"""Sweeps: grids, pairs, chains and draws as lists of flat dicts, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from postbc_jax.sweep import chainit, choice, loguniform, product, sweep, uniform, zipit

RATES = sweep('pretrain.learning_rate', [1e-4, 1e-3])
WIDTHS = sweep('policy.hidden', [(64,), (128,), (256,)])


def test_a_product_has_every_combination_and_the_last_varies_fastest():
    assert product(RATES, WIDTHS) == [
        {'pretrain.learning_rate': rate, 'policy.hidden': width}
        for rate in (1e-4, 1e-3)
        for width in ((64,), (128,), (256,))
    ]
    assert len(product(RATES, WIDTHS, sweep('seed', range(7)))) == 2 * 3 * 7
    assert product(RATES) == RATES


def test_zipit_pairs_and_chainit_appends():
    seeds = sweep('seed', range(2))
    assert zipit(RATES, seeds) == [
        {'pretrain.learning_rate': 1e-4, 'seed': 0},
        {'pretrain.learning_rate': 1e-3, 'seed': 1},
    ]
    assert chainit(WIDTHS, zipit(RATES, seeds)) == WIDTHS + zipit(RATES, seeds)


def test_sweeps_nest_and_share_nothing():
    made = chainit(RATES, product(sweep('seed', [5]), chainit(RATES, WIDTHS)))
    assert len(made) == 2 + 5 and made[-1] == {'seed': 5, 'policy.hidden': (256,)}
    made[0]['seed'] = 9
    assert RATES[0] == {'pretrain.learning_rate': 1e-4}


def values(points):
    return np.array([next(iter(point.values())) for point in points])


def test_draws_follow_their_distribution_and_their_seed():
    flat, logarithmic = values(uniform('a', -1.0, 3.0, 500)), values(loguniform('b', 1e-4, 1e-1, 500))
    assert scipy_stats.kstest(flat, 'uniform', (-1, 4)).pvalue > 0.01
    assert scipy_stats.kstest(np.log10(logarithmic), 'uniform', (-4, 3)).pvalue > 0.01
    assert uniform('a', 0.0, 1.0, 5) == uniform('a', 0.0, 1.0, 7)[:5] != uniform('a', 0.0, 1.0, 5, seed=1)
    assert all(value == float(f'{value:.4g}') for value in logarithmic)
    assert values(uniform('a', 1.00001, 1.00002, 9)).min() >= 1.00001  # rounded, but never out of the range
    drawn = [point['c'] for point in choice('c', ['x', (1, 2)], 300, seed=3)]
    assert set(map(str, drawn)) == {'x', '(1, 2)'} and 100 < drawn.count('x') < 200


def test_names_draw_for_themselves():
    points = zipit(uniform('a', 0.0, 1.0, 400), uniform('b', 0.0, 1.0, 400))
    assert abs(np.corrcoef([[p['a'], p['b']] for p in points], rowvar=False)[0, 1]) < 0.15


@pytest.mark.parametrize(
    ('make', 'says'),
    [
        (lambda: sweep('a', []), "sweep('a', []): give at least one value"),
        (lambda: sweep('a', 'text'), "sweep('a', 'text'): give a list of values"),
        (lambda: sweep('a', 5), "sweep('a', 5): give a list of values"),
        (lambda: sweep(5, [1]), '5: a setting is a name'),
        (lambda: product(), 'product(): give at least one sweep'),
        (lambda: product(RATES, WIDTHS, RATES), "product: 'pretrain.learning_rate' is in two sweeps"),
        (lambda: product(RATES, []), 'product: [] is no sweep'),
        (lambda: zipit(RATES, WIDTHS), 'zipit: sweeps of 2, 3 points: give equally many in each'),
        (lambda: zipit(RATES, RATES), "zipit: 'pretrain.learning_rate' is in two sweeps"),
        (lambda: chainit(RATES, {'a': 1}), "chainit: {'a': 1} is no sweep"),
        (lambda: uniform('a', 1.0, 1.0, 5), "uniform('a', 1.0, 1.0): low must be below high"),
        (lambda: uniform('a', 0.0, math.inf, 5), "uniform('a', 0.0, inf): low must be below high"),
        (lambda: loguniform('a', 2.0, 1.0, 5), "loguniform('a', 2.0, 1.0): low must be below high"),
        (lambda: loguniform('a', 0.0, 1.0, 5), "loguniform('a', 0.0, 1.0): low must be above 0"),
        (lambda: uniform('a', 0.0, 1.0, 0), "uniform('a'): count=0: must be a whole number, at least 1"),
        (lambda: choice('a', [], 5), "sweep('a', []): give at least one value"),
        (lambda: choice('a', [1], 2.5), "choice('a'): count=2.5: must be a whole number"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(make, says):
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value).startswith(says) and '\n' not in str(refusal.value)
