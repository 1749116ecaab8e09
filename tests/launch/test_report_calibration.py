"""The report on calibration: arms whose alpha a rule chooses, the reliability diagram, and what it warns of."""

import json

import numpy as np
import pytest

from launch.report import compare, make_report, table, trials
from launch.report.arms import partner, styles
from launch.report.panels import PAPER
from tests.launch.written_runs import BC, MATCHED, POST, one_section, rewrite, said, write_run

LEVELS = [0.2, 0.5, 0.8, 0.95]
AUTO, TWIN = (arm._replace(alpha=0.0, matched_alpha=0.0, alpha_by='auto') for arm in (POST, MATCHED))
ALPHAS = (0.4, 0.6, 1.1)


def by_rule(row):
    """PostBC and its twin become those of alpha=auto."""
    name = {'post_bc': 'alpha', 'sigma_bc': 'matched_alpha'}.get(row['pretrain'])
    return row | {'alpha_by': 'auto', name: ALPHAS[row['seed']]} if name and row[name] else row


def write(directory, excess, seeds=3, found='inside', auto=True):
    """A run with curves: coverage is LEVELS plus excess[arm] and a little more or less at each seed."""
    write_run(directory, seeds=seeds)
    scales = json.loads((directory / 'noise.json').read_text())
    if auto:
        for name in ('results.jsonl', 'coverage.jsonl'):
            rewrite(directory, name, by_rule)
        (directory / 'noise.json').write_text(json.dumps([by_rule(row) for row in scales]))
    rows = []
    for seed in range(seeds):
        for arm, more in excess.items():
            mean = more + 0.02 * (seed - 1)
            share = np.clip(np.array(LEVELS) + mean, 0, 1).tolist()
            label = arm._asdict() | {'alpha': ALPHAS[seed] if arm.alpha_by else arm.alpha, 'seed': seed}
            ends = {'excess_low': mean - 0.1, 'excess_high': mean + 0.1, 'coverage_low': share, 'coverage_high': share}
            curve = {'levels': LEVELS, 'coverage': share, 'excess': mean, 'verdict': 'sound', **ends}
            by_dimension = [0.0, None, 2 * ALPHAS[seed]]
            chosen = {'alpha_auto': ALPHAS[seed], 'found': found, 'alpha_by_dimension': by_dimension}
            rows.append(label | curve | chosen)
    (directory / 'calibration.json').write_text(json.dumps(rows))
    return directory


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return write(tmp_path_factory.mktemp('calibration') / 'run', {BC: -0.3, AUTO: 0.0, POST: 0.4})


def test_an_arm_by_a_rule_is_one_arm_over_seeds_and_has_its_twin(run):
    section, notes = one_section(run)
    assert notes == [] and AUTO in section.arms and TWIN in section.arms
    assert compare.summaries(section)[-1].arm == AUTO and compare.summaries(section)[-1].finetuned.n == 3
    assert partner(AUTO, section.arms) == TWIN and partner(POST, section.arms) is None
    assert partner(POST, (BC, MATCHED, TWIN)) == MATCHED
    assert partner(AUTO, (BC, TWIN._replace(alpha_by='rms'), TWIN)) == TWIN
    assert any(sentence.startswith('Finetuned, PostBC α=auto against BC') for sentence in said(run))
    (row,) = [row for row in table.rows([section]) if row['arm'] == 'PostBC α=auto']
    assert (row['alpha'], row['alpha_by']) == (pytest.approx(np.mean(ALPHAS)), 'auto')
    found = {trial.arm: trial.parameters for trial in trials.trials(section)}
    assert found[AUTO] == found[TWIN] == {'alpha': 'auto'}


def test_a_rules_arm_comes_last_and_takes_no_look_from_another():
    looks, without = styles([BC, AUTO, POST, TWIN, MATCHED]), styles([BC, POST, MATCHED])
    assert {arm: looks[arm] for arm in without} == without and list(looks) == [BC, MATCHED, TWIN, POST, AUTO]


def test_reliability_is_over_seeds(run):
    """Of an arm that is none of the section's nothing is told."""
    narrow, sound = compare.reliability(one_section(run)[0])
    assert (narrow.arm, narrow.verdict, sound.arm, sound.verdict) == (BC, 'too narrow', AUTO, 'sound')
    half = 4.302653 * 0.02 / np.sqrt(3)
    np.testing.assert_allclose(narrow.excess[:3], (-0.3, -0.3 - half, -0.3 + half), rtol=1e-6)
    assert narrow.at(0.8).value == pytest.approx(0.5) and narrow.seeds.shape == (3, 4) and sound.band.shape == (2, 4)


def test_what_the_data_support_is_said_in_words(run):
    sentences = said(run)
    assert 'Noise that held-out demonstrations support: α 0.70 on average (0.40, 0.60, 1.10 by seed).' in sentences
    assert any(s.startswith('By action dimension alone it would be α 0.00, –, 1.40 (mean') for s in sentences)
    (narrow,) = [s for s in sentences if s.startswith('BC: without any noise it is narrower than the demonstrations')]
    assert 'should hold 80 % of actions of demonstrations it had not seen held 50 %; mean excess −0.30 [−0.35' in narrow
    assert not any('broader than' in s or 'nil' in s for s in sentences)
    text = make_report(run).read_text()
    assert text.count('aria-label="calibration"') == 1 and 'How broad the noise should be' in text
    assert '<td>0.40, 0.60, 1.10</td>' in text and '<td>sound, sound, sound</td>' in text
    assert (run / 'figures' / 'calibration.png').exists() and PAPER not in text.split('</style>', 1)[1]


def test_noise_broader_than_the_data_support_is_warned_of_and_so_is_none(tmp_path):
    loud = write(tmp_path / 'loud', {BC: 0.0, POST: 0.1}, auto=False)
    (warning,) = [s for s in said(loud) if 'broader than' in s]
    assert warning.startswith('PostBC α=1: its noise is broader than the demonstrations support.') and '90 %' in warning
    assert '<li class="warn">' in make_report(loud).read_text()
    nil = write(tmp_path / 'nil', {BC: 0.0}, found='nil', auto=False)
    assert any(s.startswith('At 3 of 3 seeds: BC alone is as broad as the demonstrations') for s in said(nil))
    most = write(tmp_path / 'most', {BC: 0.0}, found='most', auto=False)
    assert any('even the largest α tried is too narrow' in s for s in said(most))


def test_an_alpha_of_nil_is_not_called_noise(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), 'ALPHAS', (0.0,) * 3)
    sentences = said(write(tmp_path / 'run', {BC: 0.1, AUTO: 0.1}, found='nil'))
    (warning,) = [s for s in sentences if 'broader than' in s]
    assert warning.startswith('BC: without any noise it is broader')


def test_one_seed_has_the_interval_of_its_own_trajectories(tmp_path):
    section, _ = one_section(write(tmp_path / 'run', {BC: 0.0, POST: 0.15}, seeds=1, auto=False))
    bc, post = compare.reliability(section)
    assert (bc.verdict, post.verdict, post.excess.over) == ('sound', 'too broad', 'trajectories')
    np.testing.assert_allclose(post.excess[:3], (0.13, 0.03, 0.23))


def test_without_calibration_nothing_is_said_and_broken_rows_are_counted(tmp_path):
    directory = write_run(tmp_path / 'run')
    assert (
        not any('held-out' in s for s in said(directory))
        and 'aria-label="calibration"' not in make_report(directory).read_text()
    )
    write(directory, {BC: 0.0}, auto=False)
    rows = json.loads((directory / 'calibration.json').read_text())
    (directory / 'calibration.json').write_text(json.dumps([rows[0] | {'coverage': [2.0]}, *rows[1:]]))
    section, notes = one_section(directory)
    assert len(section.calibration[BC]) == 2
    assert notes == ['calibration.json: 1 row(s) left out, the first is row 1 (coverage=[2.0])']
