"""python -m launch.theory: its files, its numbers against closed forms, and what it refuses."""

import re
import subprocess
import sys

import pytest

from experiments import quickstart
from experiments import theory as settings
from launch import theory
from postbc_jax import metrics
from tests.launch.tiny_runs import ROOT, environment

COLUMNS = ['experiment', 'instance', 'estimator', 'A', 'H', 'T', 'eps', 'alpha', 'lambda', 'miss_probability']
COLUMNS += ['miss_probability_closed_form', 'coverage_q05', 'suboptimality', 'datasets']


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    """Of the smallest settings that have every study."""
    config = settings.get_config('smoke')
    with config.unlocked():
        config.bandit.update(eps=(0.05,), demonstrations=(2, 8))
        config.chain.update(rare=2, demonstrations=(500, 1000))
        config.two_branch = ((0.1, 40, 4, 0.1),)
        config.resets.update(states=4, horizon=2, demonstrations=(20, 40))
        config.random.update(states=2, horizon=2)
    directory = tmp_path_factory.mktemp('theory')
    theory.run(config, directory)
    return directory


def find(workdir, **wanted):
    rows = metrics.read(workdir / 'results.jsonl')
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def findings(workdir, name):
    return [row for row in metrics.read(workdir / 'findings.jsonl') if row['finding'] == name]


def test_rows_have_their_columns(workdir):
    rows = find(workdir)
    assert all(list(row) == COLUMNS for row in rows)
    assert {row['estimator'] for row in rows} == {'bc', 'uniform', 'post_bc'}
    assert {row['instance'] for row in rows} == {
        *('bandit', 'chain', 'two_branch(q=0.1)', 'lower_bound', 'resets', 'random')
    }
    for row in rows:
        given = (row['alpha'] is not None, row['lambda'] is not None)
        assert given == {'bc': (False, False), 'uniform': (True, False), 'post_bc': (True, True)}[row['estimator']]


def test_bc_misses_as_often_as_it_must_and_the_others_never(workdir):
    for row in find(workdir):
        chance, seen = row['miss_probability_closed_form'], row['miss_probability']
        if row['estimator'] != 'bc':
            assert chance == seen == 0
        elif chance is not None:
            assert abs(seen - chance) <= 4 * (chance * (1 - chance) / row['datasets']) ** 0.5
    assert find(workdir, instance='bandit', estimator='bc', T=8)[0]['miss_probability_closed_form'] == 0.8**8


def test_matched_uniform_mixing_costs_what_post_bc_costs_and_covers_less(workdir):
    ours, theirs = (find(workdir, instance='two_branch(q=0.1)', estimator=name)[0] for name in ('post_bc', 'uniform'))
    assert ours['suboptimality'] == pytest.approx(theirs['suboptimality'], rel=0.02)
    (found,) = findings(workdir, 'matched')
    assert found['value'] == pytest.approx(ours['coverage_q05'] / theirs['coverage_q05'])
    assert 1 < found['low'] <= found['value'] <= found['high']


def test_findings(workdir):
    assert findings(workdir, 'one_state')[0]['largest_difference'] < 1e-6
    for found in findings(workdir, 'lemma'):
        assert found['violated'] == 0 and found['least'] > 1
    for found in findings(workdir, 'chain'):  # uniform mixing at its largest weight costs eps
        assert found['at_largest_low'] < 1.02 * found['eps'] and found['at_largest_high'] > 0.98 * found['eps']
        assert found['largest_alpha'] < found['paper_alpha']
    for found in findings(workdir, 'limit'):
        assert found['value'] < found['limit']
    ceiling = findings(workdir, 'finetuned_ceiling')[0]['value']
    last = {found['estimator']: found for found in findings(workdir, 'finetuned')}
    assert last['bc']['low'] < ceiling < last['bc']['high'] < last['post_bc']['value']


def test_the_page_has_every_figure_and_a_row_for_each_result(workdir):
    page = (workdir / 'report.html').read_text()
    assert page.count('<figure>') == 8
    assert page.count('<th scope="row">') == len(find(workdir))
    assert not re.search(r'\bnan\b|mathdefault', page)
    files = {path.name for path in (workdir / 'figures').iterdir()}
    assert {'headline.png', 'headline.svg', 'matched.png'} <= files and len(files) == 18


def test_it_begins_again_in_its_own_directory_and_in_no_other(tmp_path):
    (tmp_path / 'config.json').write_text('{"experiment": "lift"}')
    with pytest.raises(ValueError, match='holds another experiment: give the theory a directory of its own'):
        theory.run(settings.get_config('smoke'), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['config.json']


def test_the_two_kinds_of_settings_are_not_run_for_each_other(tmp_path):
    with pytest.raises(ValueError, match="config.experiment='quickstart': launch.theory runs experiments/theory.py"):
        theory.run(quickstart.get_config(), tmp_path)
    command = [sys.executable, '-m', 'launch.local', '--config=experiments/theory.py', f'--workdir={tmp_path}']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('error: --config=experiments/theory.py: is no experiment of the pipeline'), (
        done.stderr
    )
    assert not list(tmp_path.iterdir())


def test_settings_that_cannot_be_measured_are_refused_before_anything_is(tmp_path):
    config = settings.get_config('smoke')
    with config.unlocked():
        config.chain.demonstrations = (10,)
    with pytest.raises(
        ValueError, match=r'config.chain.demonstrations=10: eps = H\^2 S log\(T\) / T is 5.53, above 1/4'
    ):
        theory.run(config, tmp_path)
    config = settings.get_config('smoke')
    with config.unlocked():
        config.datasets = 20
    with pytest.raises(ValueError, match='config.datasets=20: a 5% quantile with an interval needs at least 100'):
        theory.run(config, tmp_path)
    with pytest.raises(ValueError, match='the argument is smoke or nothing'):
        settings.get_config('large')
