"""launch.evidence: made-up work directories to exact numbers, the split of seeds, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as scipy_stats

from launch.arms import arm_of
from launch.evidence import make_evidence, passage
from launch.report import read, sections
from postbc_jax import stats
from tests.launch.test_report_page import Page
from tests.launch.tiny_runs import ROOT
from tests.launch.written_runs import BC, FIXED, MATCHED, POST, rewrite, write_run

SEEDS = 4


def write(workdir, first=200, tasks=('gate', 'lift'), alphas=(1.0,), **changes):
    """A point a task and root seed, two finetuning runs of each policy."""
    for index in range(len(tasks) * SEEDS):
        task, root = tasks[index % len(tasks)], first + index // len(tasks)
        regions = ('all',) if task == 'gate' else ('dense', 'rare')
        point = workdir / f'point_{index:04d}'
        write_run(point, seeds=1, root=root, finetune_seeds=2, regions=regions, **changes)
        for name in ('results.jsonl', 'coverage.jsonl'):
            rewrite(point, name, lambda row, task=task: row | {'task': task})
        config = json.loads((point / 'config.json').read_text())
        config |= {'env': task, 'alphas': list(alphas), 'sigmas': [0.2], 'posterior': {'members': 10 + len(task)}}
        (point / 'config.json').write_text(json.dumps(config))
    return workdir


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    workdir = write(tmp_path_factory.mktemp('evidence') / 'run')
    lines = make_evidence(workdir, resamples=100)
    return workdir, json.loads((workdir / 'evidence.json').read_text()), lines


def rates(workdir, task, arm, steps, finetune='dsrl_ppo'):
    """(seeds, finetuning runs) from the rows themselves."""
    found = {}
    for file in sorted(workdir.glob('point_*/results.jsonl')):
        for row in map(json.loads, file.read_text().splitlines()):
            if (row['task'], arm_of(row), row['env_steps'], row['finetune']) == (task, arm, steps, finetune):
                found.setdefault(file.parent.name, []).append(row['success_rate'])
    return np.array(list(found.values()))


def arm(found, task, role):
    (one,) = [one for one in found['tasks'] if one['task'] == task]
    return next(row for row in one['arms'] if row['role'] == role)


def test_means_and_paired_differences_are_what_the_rows_say(made):
    workdir, found, _ = made
    after, base = (rates(workdir, 'lift', one, 400_000).mean(1) for one in (POST, BC))
    row = arm(found, 'lift', 'PostBC')
    t = scipy_stats.ttest_1samp(after, 0).confidence_interval()
    np.testing.assert_allclose([row['finetuned'][k] for k in ('value', 'low', 'high')], (after.mean(), t.low, t.high))
    assert row['pretrained']['value'] == pytest.approx(rates(workdir, 'lift', POST, 0, 'none').mean())
    assert set(row['pass_at']) == {'all', 'dense', 'rare'} and set(row['pass_at']['rare']) == {'1', '4', '16', '64'}
    runs = rates(workdir, 'lift', POST, 400_000)
    assert row['finetuned_iqm']['value'] == pytest.approx(np.sort(runs.ravel())[2:-2].mean())
    assert row['finetuned_iqm']['low'] < row['finetuned_iqm']['value'] < row['finetuned_iqm']['high']
    (compared,) = [
        one
        for one in found['comparisons']
        if (one['task'], one['outcome'], one['b_role']) == ('lift', 'finetuned', 'BC')
    ]
    t = scipy_stats.ttest_rel(after, base)
    assert compared['p'] == pytest.approx(t.pvalue) and compared['wins'] == 4
    assert compared['difference']['low'] == pytest.approx(t.confidence_interval().low)


def test_p_values_are_adjusted_over_all_tasks_and_pairs_of_an_outcome(made):
    _, found, _ = made
    for outcome in ('finetuned', 'area', 'pretrained'):
        rows = [row for row in found['comparisons'] if row['outcome'] == outcome]
        assert len(rows) == 6 and {row['comparisons'] for row in rows} == {6}  # 2 tasks, BC, matched and fixed sigma
        np.testing.assert_allclose([row['p_holm'] for row in rows], stats.holm([row['p'] for row in rows]))


def test_arms_of_one_role_are_taken_together_over_tasks(made):
    workdir, found, _ = made
    both = np.concatenate([rates(workdir, task, MATCHED, 400_000).ravel() for task in ('gate', 'lift')])
    over = found['over_tasks']
    assert over['finetuned_iqm']['σ-BC matched']['value'] == pytest.approx(stats.iqm(both))
    apart = [
        (rates(workdir, task, POST, 400_000) - rates(workdir, task, FIXED, 400_000)).mean() for task in ('gate', 'lift')
    ]
    (row,) = [row for row in over['finetuned'] if (row['a'], row['b']) == ('PostBC', 'σ-BC')]
    assert row['difference']['value'] == pytest.approx(np.mean(apart)) and row['improvement']['value'] == 1


CURVES = {  # arm: [(steps, success) after the start] of each finetuning run
    BC: [[(100, 0.3), (200, 0.9)], [(100, 0.2), (200, 0.1)]],
    POST: [[(100, 0.8), (200, 0.7)], [(90, 0.9), (180, 0.9)]],
}


def short_runs(directory):
    """One unit of two runs an arm, whose curves are CURVES; all begin at .25 of 512 episodes."""
    write_run(directory, seeds=1, finetune_seeds=2)
    rows = []
    for one, runs in CURVES.items():
        row = {'experiment': 'x', 'task': 'gate', **one._asdict(), 'seed': 0, 'episodes': 512}
        rows.append(row | {'finetune': 'none', 'finetune_seed': 0, 'env_steps': 0, 'success_rate': 0.25})
        for key, run in enumerate(runs):
            at = row | {'finetune': 'dsrl_ppo', 'finetune_seed': key}
            rows += [at | {'env_steps': steps, 'success_rate': rate} for steps, rate in run]
    (directory / 'results.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    (section,) = sections.build(read.read(directory)[0])[0]
    return section


def test_steps_to_a_target_by_hand(tmp_path):
    section = short_runs(tmp_path / 'run')
    assert passage.followed(section) == 180
    ours, theirs = (passage.passage(section, one, 0.8) for one in (POST, BC))
    assert ours.times.tolist() == [100, 90] and ours.reached.all()
    assert theirs.times.tolist() == [200, 200] and theirs.reached.tolist() == [True, False]
    found = passage.steps_to(theirs, 180.0, 50)
    assert (found['reached'], found['runs'], found['median'].value) == (1, 2, 200)
    assert found['restricted_mean'].value == 180 and found['not_yet'] == {'env_steps': [200.0], 'share': [0.5]}
    assert passage.steps_to(ours, 180.0, 50)['restricted_mean'].value == 95
    assert passage.steps_ratio(ours, theirs, 180.0, 50).value == pytest.approx(95 / 180)
    nobody = passage.passage(section, BC, 0.99)
    assert passage.steps_ratio(nobody, nobody, 180.0, 50) is None
    at_once = passage.passage(section, BC, 0.2)
    assert at_once.times.tolist() == [0, 0] and passage.steps_ratio(ours, at_once, 180.0, 50) is None


def test_failures_by_hand(tmp_path):
    # 1.96 sqrt(2 x .225 x .775 / 512) = .0511: from .25, .1989 is the last that is noise
    assert passage.failed(0.25, 0.20, 512) == (False, True)
    assert passage.failed(0.25, 0.198, 512) == (True, True)
    assert passage.failed(0.25, 0.25, 512) == (False, True) and passage.failed(0.25, 0.251, 512) == (False, False)
    assert passage.failed(0.25, 0.20, 10_000) == (True, True)
    section = short_runs(tmp_path / 'run')
    found = passage.failures(section, BC)
    assert (found['runs'], found['collapsed']['count'], found['no_gain']['count']) == (2, 1, 1)
    assert found['no_gain']['share'] == stats.wilson(0.5, 1)  # two runs of one seed are one trial
    assert passage.failures(section, POST)['no_gain']['count'] == 0


def test_a_root_seed_on_both_sides_is_refused_and_another_choice_is_said(tmp_path):
    workdir = write(tmp_path / 'reported', tasks=('gate',))
    overlapping = write(tmp_path / 'overlapping', first=203, tasks=('gate',))
    with pytest.raises(ValueError, match='--development: gate: config.seed=203 is reported too') as refusal:
        make_evidence(workdir, overlapping, resamples=10)
    assert '\n' not in str(refusal.value)

    development = write(tmp_path / 'development', first=100, tasks=('gate',), alphas=(0.5, 1.0))
    for name in ('results.jsonl', 'coverage.jsonl'):
        for file in development.glob(f'point_*/{name}'):
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            more = [r | {'alpha': 0.5} for r in rows if r['pretrain'] == 'post_bc' and not r['matched_alpha']]
            more = [r | {'success_rate': min(1.0, r['success_rate'] + 0.1)} if 'success_rate' in r else r for r in more]
            file.write_text(''.join(json.dumps(row) + '\n' for row in rows + more))
    said = make_evidence(development, resamples=10)
    assert len(said) == 2 and said[1].startswith('gate: alphas=(0.5,), the largest area under the curve over 4 seeds')
    make_evidence(workdir, development, resamples=10)
    found = json.loads((workdir / 'evidence.json').read_text())
    assert 'gate: development seeds choose alphas=0.5, which is not reported here' in found['notes']
    (choice,) = found['tasks'][0]['chosen_on_development_seeds']
    assert choice['value'] == 0.5 and choice['seeds'] == SEEDS and choice['areas']['0.5'] > choice['areas']['1.0']
    assert 'alphas=0.5 of 0.5, 1.0 was chosen on 4 development seeds' in (workdir / 'evidence.md').read_text()


def text_of(workdir):
    return (workdir / 'evidence.md').read_text()


def test_page_and_tables_are_whole(made):
    workdir, found, lines = made
    assert lines == [f'evidence: {workdir}/evidence.html']
    text = (workdir / 'evidence.html').read_text()
    page = Page(text)
    assert page.open == [] and page.outside == [] and 'script' not in page.tags and 'http' not in text
    names = {'curves', 'reached', 'failures', 'coverage', 'differences'}
    assert {file.name for file in (workdir / 'figures').iterdir()} == {
        f'evidence_{name}.{kind}' for name in names for kind in ('svg', 'png')
    }
    table = (workdir / 'evidence.md').read_text().split('### lift')[1].split('###')[0]
    value = arm(found, 'lift', 'PostBC')['finetuned']
    assert f'{value["value"]:.2f} [{value["low"]:.2f}, {value["high"]:.2f}]' in table and 'PostBC α=1' in table
    assert 'root seeds 200 to 203' in table
    assert '| lift | 0.80 | BC | 0 of 8 | never | 400k [400k, 400k] | 400k |' in text_of(workdir)
    lines = [line for line in table.splitlines() if line.startswith('|')]
    assert len({line.count('|') for line in lines}) == 1 and len(lines) == 2 + 4


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path):
    workdir = write(tmp_path / 'two', tasks=('gate',))
    file = workdir / 'point_0001' / 'config.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | {'pretrain': {'steps': 500}}))
    with pytest.raises(ValueError, match='gate was run in 2 settings'):
        make_evidence(workdir, resamples=10)
    command = [sys.executable, '-m', 'launch.evidence', f'--workdir={tmp_path / "nowhere"}']
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (
        refused.returncode == 1 and refused.stderr.startswith('error: --workdir=') and refused.stderr.count('\n') == 1
    )
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='nothing was finetuned there yet'):
        make_evidence(tmp_path / 'empty', resamples=10)
