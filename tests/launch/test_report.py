"""launch.report's numbers: tables and verdicts of synthetic work directories whose answers are known."""

import json

import numpy as np
import pytest
from scipy import stats as scipy_stats

from launch.arms import arm_of
from launch.report import compare, make_report, read, sections
from tests.launch.written_runs import BC, FIXED, MATCHED, POST, STEPS, one_section, rewrite, said, write_run


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    directory = write_run(tmp_path_factory.mktemp('report') / 'run', regions=('dense', 'rare'))
    make_report(directory)
    return directory


def test_the_main_table_is_what_the_files_say(run):
    rows = [json.loads(line) for line in (run / 'results.jsonl').read_text().splitlines()]

    def rate(arm, steps, finetune):
        chosen = [r for r in rows if arm_of(r) == arm and r['env_steps'] == steps and r['finetune'] == finetune]
        return np.array([r['success_rate'] for r in sorted(chosen, key=lambda r: r['seed'])])

    section, notes = one_section(run)
    assert notes == [] and section.arms == (BC, FIXED, MATCHED, POST)
    found = {row.arm: row for row in compare.summaries(section)}
    after, base = rate(POST, 400_000, 'dsrl_ppo'), rate(BC, 400_000, 'dsrl_ppo')
    t = scipy_stats.ttest_rel(after, base).confidence_interval()
    np.testing.assert_allclose(found[POST].to_bc.difference[:3], ((after - base).mean(), t.low, t.high))
    assert found[POST].finetuned.value == pytest.approx(after.mean()) and found[POST].finetuned.n == 3
    assert found[POST].pretrained.value == pytest.approx(rate(POST, 0, 'none').mean())
    assert found[POST].improvement.value == 1.0 and found[POST].to_bc.wins == 3
    assert found[BC].to_bc is None and found[BC].rms == 0
    text = (run / 'report.html').read_text()
    assert f'+{(after - base).mean():.2f}<small>[+{t.low:.2f}, +{t.high:.2f}]</small>' in text


def test_the_verdict_follows_the_interval(tmp_path):
    clear = said(write_run(tmp_path / 'clear', noise=0.02))
    assert clear[0].startswith('Finetuned, PostBC α=1 against BC: higher.') and 'excludes 0' in clear[0]
    assert 'The shape of the noise matters here' in clear[1]
    assert clear[2].startswith('Before finetuning, PostBC α=1 against BC: lower.')
    level = said(write_run(tmp_path / 'level', shift=-0.32))
    assert level[0].startswith('Finetuned, PostBC α=1 against BC: undecided.') and 'includes 0' in level[0]
    assert 'with 3 seeds it reaches 4.3 standard errors' in level[0]
    worse = said(write_run(tmp_path / 'worse', shift=-0.5, noise=0.02))
    assert worse[0].startswith('Finetuned, PostBC α=1 against BC: lower.')
    assert 'does not help' in worse[1]


def test_level_with_the_matched_arm_is_no_credit_to_the_posterior(tmp_path):
    text = said(write_run(tmp_path / 'run', shift=-0.12))
    assert 'higher' in text[0] and 'undecided' in text[1] and 'cannot yet be credited' in text[1]


def test_no_matched_arm_is_said(tmp_path):
    directory = write_run(tmp_path / 'run')
    rewrite(directory, 'results.jsonl', lambda row: None if row['matched_alpha'] else row)
    rewrite(directory, 'coverage.jsonl', lambda row: None if row['matched_alpha'] else row)
    (directory / 'noise.json').unlink()
    assert any('There is no σ-BC arm of the same noise rms' in sentence for sentence in said(directory))


def test_one_seed_concludes_nothing(tmp_path):
    directory = write_run(tmp_path / 'run', seeds=1)
    assert 'nothing can be concluded' in said(directory)[0]
    section, _ = one_section(directory)
    row = compare.summaries(section)[0]
    assert row.finetuned.over == 'episodes' and row.finetuned.low < row.finetuned.value < row.finetuned.high
    assert '†' in make_report(directory).read_text()


def test_loud_noise_is_warned_of_and_its_place_is_told(tmp_path):
    sentences = said(write_run(tmp_path / 'run'))
    (warning,) = [s for s in sentences if s.startswith('Noise above 0.15')]
    assert all(arm.name in warning for arm in (FIXED, MATCHED, POST)) and 'BC 0.00' not in warning
    (place,) = [s for s in sentences if 'places its noise' in s]
    assert 'late in the episode' in place and '3.6 times' in place


def test_noise_as_played_is_told_beside_noise_as_trained(tmp_path):
    directory = write_run(tmp_path / 'run')
    section, _ = one_section(directory)
    found = {row.arm: row for row in compare.summaries(section)}
    scales = json.loads((directory / 'noise.json').read_text())
    for arm in (BC, MATCHED, POST):
        played = [row['rms_played'] for row in scales if arm_of(row) == arm]
        assert found[arm].played == pytest.approx(np.mean(played)) and found[arm].played != found[arm].rms
    (sentence,) = [s for s in said(directory) if s.startswith('Noise played of that trained on')]
    assert f'BC 0.03 of 0.00, {FIXED.name} 0.19 of 0.21' in sentence and 'matched in training only' not in sentence
    text = make_report(directory).read_text()
    assert f'<td>{found[POST].rms:.2f}</td><td>{found[POST].played:.2f}</td>' in text  # the table behind the figure

    for row in scales:
        row['rms_played'] *= 0.5 if row['matched_alpha'] else 1
    (directory / 'noise.json').write_text(json.dumps(scales))
    (sentence,) = [s for s in said(directory) if s.startswith('Noise played of that trained on')]
    share = np.mean([row['rms_played'] for row in scales if row['matched_alpha']]) / found[POST].played
    assert f'{MATCHED.name} plays {share:.2f} times as much as {POST.name}: matched in training only.' in sentence

    (directory / 'noise.json').write_text(
        json.dumps([{name: v for name, v in row.items() if name != 'rms_played'} for row in scales])
    )
    assert not any(s.startswith('Noise played') for s in said(directory))
    assert make_report(directory)


def test_an_unfinished_run_is_compared_where_all_runs_are(tmp_path):
    directory = write_run(tmp_path / 'run')
    late = (POST.pretrain, 1)

    def cut(row):
        return None if (row['pretrain'], row['seed']) == late and row['env_steps'] > 200_000 else row

    rewrite(directory, 'results.jsonl', cut)
    section, notes = one_section(directory)
    assert all(curves.steps[-1] == 200_000 for curves in section.curves.values())
    assert 'gate: finetuning has been evaluated 2 of 4 times: not finished' in notes


def test_runs_whose_steps_differ_meet_by_interpolation_and_start_untouched(tmp_path):
    directory = write_run(tmp_path / 'run')

    def stretch(row):
        if row['finetune'] == 'none':
            return row
        if row['env_steps'] == 0:
            return None  # the curve's start then comes from the row of the untouched policy
        return row | {'env_steps': row['env_steps'] * 2} if row['pretrain'] == 'bc' else row

    plain = one_section(directory)[0].curves[BC]
    rewrite(directory, 'results.jsonl', stretch)
    section, _ = one_section(directory)
    curves = section.curves[BC]
    np.testing.assert_array_equal(curves.steps, STEPS)
    np.testing.assert_allclose(curves.success[:, 0], list(section.pretrained[BC].values()))
    np.testing.assert_allclose(curves.success[:, 2], plain.success[:, 1])
    np.testing.assert_allclose(curves.success[:, 3], plain.success[:, 1:3].mean(1))


def test_runs_with_one_evaluation_keep_what_they_measured(tmp_path):
    """Of critics fitted to as many episodes, which took one arm fewer steps: no other is cut where it ends."""
    directory = write_run(tmp_path / 'run', evaluations=2)

    def sooner(row):
        shorter = row['pretrain'] == 'post_bc' and row['env_steps'] > 0
        return row | {'env_steps': 80_000} if shorter else row

    measured = compare.finals(one_section(directory)[0])
    rewrite(directory, 'results.jsonl', sooner)
    section, _ = one_section(directory)
    assert compare.finals(section) == measured
    assert 80_000 < section.curves[BC].steps[-1] < 100_000


def test_finetuning_seeds_are_averaged_before_anything_else(tmp_path):
    directory = write_run(tmp_path / 'run', finetune_seeds=2)
    rows = [json.loads(line) for line in (directory / 'results.jsonl').read_text().splitlines()]
    last = [r['success_rate'] for r in rows if arm_of(r) == POST and r['env_steps'] == 400_000 and r['seed'] == 2]
    section, _ = one_section(directory)
    assert len(last) == 2 and section.curves[POST].final()['', 2] == pytest.approx(np.mean(last))
    assert compare.summaries(section)[-1].finetuned.n == 3


def test_points_that_differ_in_their_root_seed_are_pooled_and_others_are_sections(tmp_path):
    for index in range(2):
        write_run(tmp_path / f'point_{index:04d}', seeds=2, root=index)
    section, _ = one_section(tmp_path)
    assert len(section.pretrained[BC]) == 4
    file = tmp_path / 'point_0001' / 'config.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | {'pretrain': {'steps': 500}}))
    found, _ = sections.build(read.read(tmp_path)[0])
    assert [s.title for s in found] == ['gate, pretrain.steps=unset', 'gate, pretrain.steps=500']
    assert compare.aggregate(found) == []  # two settings of one task have no common mean


def test_tasks_are_aggregated_by_iqm(tmp_path):
    for index, task in enumerate(('gate', 'lift')):
        directory = write_run(tmp_path / f'point_{index:04d}', root=index)
        rewrite(directory, 'results.jsonl', lambda row, task=task: row | {'task': task})
    found, _ = sections.build(read.read(tmp_path)[0])
    by_arm = {one.arm: one for one in compare.aggregate(found)}
    values = np.sort([v for section in found for v in section.curves[POST].final().values()])
    assert by_arm[POST].iqm.value == pytest.approx(values[1:-1].mean()) and by_arm[POST].tasks == 2
