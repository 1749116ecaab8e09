"""Sweeps in the report: the table over all settings, the best of them, and their pictures; folded and not."""

import csv
import re
import sys

import numpy as np
import pytest
from scipy import stats as scipy_stats

from launch.arms import Arm
from launch.report import make_report, parameters, read, sections, table, tell, trials
from postbc_jax.sweep import product, sweep, uniform
from tests.launch.swept_runs import success, write_sweep
from tests.launch.written_runs import rewrite

GRID = product(
    sweep('policy.hidden', [(8,), (16,)]), sweep('alphas', [0.5, 1.0]), sweep('pretrain.learning_rate', [1e-4, 1e-3])
)


def built(directory):
    points, notes = read.read(directory)
    found, more = sections.build(points)
    return found, notes + more


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    directory = write_sweep(tmp_path_factory.mktemp('swept') / 'folded', GRID)
    make_report(directory)
    return directory


@pytest.fixture
def rows(run):
    with open(run / 'table.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_every_setting_and_arm(rows):
    assert len(rows) == 8 * 3
    told = {(r['policy.hidden'], r['alphas'], r['pretrain.learning_rate'], r['arm']) for r in rows}
    assert len(told) == len(rows) and ('[8]', '[0.5]', '0.001', 'PostBC α=0.5') in told
    assert {row['point'] for row in rows} == {f'point_{point:04d}#{index}' for point in (0, 1) for index in range(4)}


def test_its_numbers_are_means_over_seeds_with_t_intervals(rows):
    (row,) = [
        row
        for row in rows
        if (row['pretrain'], row['alpha'], row['pretrain.learning_rate'], row['policy.hidden'])
        == ('post_bc', '1.0', '0.001', '[16]')
    ]
    values = [success(Arm('post_bc', alpha=1.0), 1e-3, 16, seed) for seed in range(3)]
    low, high = scipy_stats.t.interval(0.95, 2, np.mean(values), scipy_stats.sem(values))
    found = [float(row[name]) for name in ('finetuned', 'finetuned_low', 'finetuned_high', 'pretrained')]
    np.testing.assert_allclose(found, [np.mean(values), low, high, np.mean(values) / 2])
    assert (row['seeds'], row['env_steps'], row['interval'], row['finetune']) == ('3', '2000', 'seeds', 'dsrl_ppo')


def test_folded_or_not_the_table_is_the_same(run, rows, tmp_path):
    alone = write_sweep(tmp_path / 'alone', GRID, fold_sweep=False)
    assert len(list(alone.glob('point_*'))) == 8
    make_report(alone)
    with open(alone / 'table.csv', newline='') as file:
        others = list(csv.DictReader(file))
    assert [row | {'point': ''} for row in others] == [row | {'point': ''} for row in rows]


def test_parquet_holds_the_same(run, rows):
    parquet = pytest.importorskip('pyarrow.parquet', reason="needs pip install 'postbc_jax[parquet]'")
    found = parquet.read_table(run / 'table.parquet').to_pylist()
    assert len(found) == len(rows) and list(found[0]) == list(rows[0])
    for one, row in zip(found, rows, strict=True):
        assert {name: '' if value is None else str(value) for name, value in one.items()} == row


def test_without_pyarrow_there_is_the_csv_alone_and_that_is_said(tmp_path, monkeypatch):
    directory = write_sweep(tmp_path, GRID[:2])
    assert tell(directory)[1].endswith('table.csv, ' + str(directory / 'table.parquet'))
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    said = f"table: {directory}/table.csv (for table.parquet: pip install 'postbc_jax[parquet]')"
    assert tell(directory) == [f'report: {directory}/report.html', said]
    assert not (directory / 'table.parquet').exists()


def test_columns_have_one_type(tmp_path):
    directory = write_sweep(tmp_path, product(sweep('env', ['gate']), sweep('posterior.members', [5, 20])), seeds=1)
    found, _ = built(directory)
    found[0].setting['posterior.members'] = 'many'
    made = table.rows(found)
    assert {row['posterior.members'] for row in made} == {'"many"', '20'}
    assert {row['interval'] for row in made} == {'episodes'} and all(row['finetuned_low'] for row in made)


def test_a_run_of_one_setting_has_neither_table_nor_best_settings(tmp_path):
    directory = write_sweep(tmp_path, [{}])
    assert tell(directory) == [f'report: {directory}/report.html']
    assert 'Best settings' not in (directory / 'report.html').read_text()


def test_the_best_settings_are_told_with_a_warning(run):
    text = (run / 'report.html').read_text()
    block = text[text.index('Best settings: gate') : text.index('All sections')]
    assert '8 settings tried, 20 arms of them' in block  # bc is the same at both alphas
    assert 'The best of many is biased upwards' in block
    cells = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', block)
    assert len(cells) == trials.BEST and 'PostBC α=1' in cells[0][0]
    assert cells[0][1].startswith('<td>16</td><td>0.001</td><td>1</td>') and '<td>2k</td><td>3</td>' in cells[0][1]
    for name in ('trials', 'parameters'):
        assert (run / 'figures' / f'{name}.png').read_bytes()[:4] == b'\x89PNG' and f'aria-label="{name}"' in block


def test_trials_are_in_order_and_know_their_parameters(run):
    (found,) = trials.sweeps(built(run)[0])
    values = [trial.success.value for trial in found.trials]
    assert values == sorted(values, reverse=True) and found.parameters == [
        'policy.hidden',
        'pretrain.learning_rate',
        'alpha',
    ]
    bc = [trial for trial in found.trials if trial.arm.pretrain == 'bc']
    assert len(bc) == 4 and all('alpha' not in trial.parameters for trial in bc)
    matched = next(trial for trial in found.trials if trial.arm.matched_alpha == 0.5)
    assert matched.parameters['alpha'] == 0.5


def test_of_many_settings_the_best_are_shown_whole(tmp_path):
    grid = product(sweep('alphas', [0.25, 0.5, 1.0, 2.0]), sweep('pretrain.learning_rate', [1e-4, 1e-3, 1e-2]))
    directory = write_sweep(tmp_path, grid)
    text = make_report(directory).read_text()
    assert 'The best 3 of them are shown whole below.' in text
    shown = re.findall(r'<h2 id="s\d+">(.*?)</h2>', text)
    assert shown == [f'gate, alphas=[2.0], pretrain.learning_rate={rate}' for rate in (0.0001, 0.001, 0.01)]
    assert text.count('<summary>Settings') == 1
    rewrite(directory, 'results.jsonl', lambda row: None if row.get('chunk') == 2 else row)
    _, notes = built(directory)
    assert len(notes) == 1 and ' and 11 other sections: finetuning has been evaluated 1 of 2 times' in notes[0]


def test_before_finetuning_settings_are_told_apart_by_the_pretrained_policies(tmp_path):
    directory = write_sweep(tmp_path, GRID, finetuned=False)
    (found,) = trials.sweeps(built(directory)[0])
    assert found.trials[0].finetuned is None and found.trials[0].success == found.trials[0].pretrained
    assert 'Env steps' not in make_report(directory).read_text()


def test_axes_are_of_values_where_they_are_few_and_of_sizes_where_many(tmp_path):
    (few,) = trials.sweeps(built(write_sweep(tmp_path / 'few', GRID))[0])
    alpha = parameters.scale(few, 'alpha')
    assert alpha.values and alpha.ticks == [(0.0, 'none'), (0.5, '0.5'), (1.0, '1')]
    rates = [{'pretrain.learning_rate': 10.0 ** (-4 + i / 10)} for i in range(21)]
    (many,) = trials.sweeps(built(write_sweep(tmp_path / 'many', rates))[0])
    rate = parameters.scale(many, 'pretrain.learning_rate')
    assert not rate.values and [text for _, text in rate.ticks] == ['0.0001', '0.00032', '0.001', '0.0032', '0.01']
    assert rate.positions['0.001'] == pytest.approx(0.5)
    (drawn,) = trials.sweeps(built(write_sweep(tmp_path / 'drawn', uniform('alphas', 0.5, 1.0, 15)))[0])
    alpha = parameters.scale(drawn, 'alpha')
    assert alpha.positions['none'] == 0 < 0.1 < min(where for text, where in alpha.positions.items() if text != 'none')
    assert parameters.draw(drawn).keys() == {'trials', 'parameters'}


def test_settings_that_cannot_be_read_are_a_note(tmp_path):
    directory = write_sweep(tmp_path, [{'alphas': 0.5}, {'alphas': 1.0}])
    (directory / 'settings.json').write_text('{"a": 1}')
    points, notes = read.read(directory)
    assert len(points) == 1 and notes == [
        'settings.json: not a list of settings: those of one run cannot be told apart'
    ]
    assert make_report(directory)
