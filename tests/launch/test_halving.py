"""Successive halving: which points go on, how far; decided from files, the same at every start."""

import json

import pytest

from experiments import default
from launch import config as settings
from launch import halving
from postbc_jax import metrics
from postbc_jax.sweep import product, sweep
from tests.launch.swept_runs import write_point
from tests.launch.tiny_runs import finish, rows

WIDTHS = sweep('policy.hidden', [(width,) for width in (4, 16, 5, 6, 7, 8, 32, 3, 2)])  # above 8 success is higher


@pytest.fixture
def config():
    return settings.at_point(default.get_config(), {'finetune.chunks': 9})


def play(workdir, config, plan, points=WIDTHS):
    """Runs what a plan asks for."""
    for index in plan.points:
        at = settings.at_point(config, plan.settings(points)[index])
        write_point(workdir / f'point_{index:04d}', at)


def test_budgets_end_with_the_whole_and_grow_by_the_factor():
    assert halving.budgets(9, 9, 3) == [1, 3, 9] and halving.budgets(10, 100, 3) == [2, 4, 10]
    assert halving.budgets(9, 4, 3) == [3, 9] and halving.budgets(2, 100, 3) == [2]
    assert halving.budgets(8, 8, 2) == [1, 2, 4, 8]
    with pytest.raises(ValueError, match='--halving=1: must be at least 2'):
        halving.budgets(9, 9, 1)


def test_the_best_third_goes_on(config, tmp_path):
    asked = []
    while (plan := halving.plan(tmp_path, config, WIDTHS)).points:
        asked.append((plan.rung, plan.chunks, plan.points))
        halving.record(tmp_path, plan)
        play(tmp_path, config, plan)
    halving.record(tmp_path, plan)
    assert asked == [(0, 1, list(range(9))), (1, 3, [0, 1, 6]), (2, 9, [1])]
    written = metrics.read(tmp_path / halving.FILE)
    assert written == plan.decided and [row['kept'] for row in written] == [[0, 1, 6], [1]]
    assert written[0]['scores']['1'] == pytest.approx(written[0]['scores']['0'] + 0.02 * 0.75)


def test_a_plan_is_the_same_until_its_points_have_gone_on(config, tmp_path):
    first = halving.plan(tmp_path, config, WIDTHS)
    assert not (tmp_path / halving.FILE).exists()  # it reads alone
    play(tmp_path, config, first._replace(points=[0, 1, 2]))
    assert halving.plan(tmp_path, config, WIDTHS) == first._replace(points=[3, 4, 5, 6, 7, 8])
    play(tmp_path, config, first)
    second = halving.plan(tmp_path, config, WIDTHS)
    play(tmp_path, config, second._replace(points=[1]))  # killed in the second rung, its decision unwritten
    again = halving.plan(tmp_path, config, WIDTHS)
    assert again == second._replace(points=[0, 6])
    (tmp_path / 'point_0006' / 'done.json').unlink(missing_ok=True)
    play(tmp_path, config, second)
    last = halving.plan(tmp_path, config, WIDTHS)
    assert (last.rung, last.points) == (2, [1]) and last.decided[0] == second.decided[0]


def test_an_unfinished_point_is_waited_for(config, tmp_path):
    first = halving.plan(tmp_path, config, WIDTHS)
    play(tmp_path, config, first)
    (tmp_path / 'point_0004' / 'done.json').write_text('{"stage": "pretrain"}')
    assert halving.plan(tmp_path, config, WIDTHS).points == [4]


def test_a_point_that_failed_does_not_go_on(config, tmp_path):
    first = halving.plan(tmp_path, config, WIDTHS)
    play(tmp_path, config, first._replace(points=[0, 2, 3, 4, 5, 6, 7, 8]))
    plan = halving.plan(tmp_path, config, WIDTHS, failed=[1])
    assert plan.points == [0, 2, 6] and plan.decided[0]['failed'] == [1]
    halving.record(tmp_path, plan)
    assert halving.plan(tmp_path, config, WIDTHS).points == [0, 2, 6]  # decided, also where it has run by now


def test_an_arm_may_be_named_and_of_several_settings_the_best_counts(config, tmp_path):
    folded = [
        width | {'fold': ({'alphas': (0.5,)}, {'alphas': (alpha,)})}
        for width, alpha in zip(WIDTHS, range(1, 10), strict=True)
    ]
    play(tmp_path, config, halving.plan(tmp_path, config, folded), folded)
    half = 0.5 + 0.5 * 1 / 2
    found = halving.score(tmp_path, 0, 9, 1, 'post_bc'), halving.score(tmp_path, 8, 9, 1, 'post_bc')
    assert found == (pytest.approx((0.3 + 0.1 + 0.05) * half), pytest.approx((0.3 + 0.9 + 0.05) * half))
    assert halving.plan(tmp_path, config, folded, arm='post_bc').points == [6, 7, 8]
    with pytest.raises(ValueError, match='--halving_arm=value_dice: point 0 has bc, sigma_bc, post_bc'):
        halving.plan(tmp_path, config, folded, arm='value_dice')


def test_decisions_of_another_sweep_are_refused(config, tmp_path):
    play(tmp_path, config, halving.plan(tmp_path, config, WIDTHS))
    halving.record(tmp_path, halving.plan(tmp_path, config, WIDTHS))
    for other in ({'factor': 2}, {'arm': 'post_bc'}):
        with pytest.raises(ValueError, match=r'halving\.jsonl: line 1 was decided for another'):
            halving.plan(tmp_path, config, WIDTHS, **other)
    with pytest.raises(ValueError, match=r'halving\.jsonl: line 1 was decided for another'):
        halving.plan(tmp_path, settings.at_point(config, {'finetune.chunks': 18}), WIDTHS)


@pytest.mark.parametrize(
    ('points', 'changed', 'says'),
    [
        ([{}], {}, 'the experiment has one point'),
        (sweep('finetune.chunks', [1, 9]), {}, 'point 0 sets finetune.chunks=1, the others 9'),
        (WIDTHS, {'finetune.algorithm': 'none'}, 'nothing is finetuned'),
    ],
)
def test_what_cannot_be_halved_is_refused(config, tmp_path, points, changed, says):
    with pytest.raises(ValueError) as refusal:
        halving.plan(tmp_path, settings.at_point(config, changed), points)
    assert says in str(refusal.value) and '\n' not in str(refusal.value)


def test_local_halves_and_a_restart_changes_nothing(tiny, start, tmp_path):
    """Three points, one of which goes on; its numbers are those of a run that was never stopped."""
    file = tmp_path / 'three.py'
    points = product(sweep('policy.hidden', [(8,), (12,), (16,)]), sweep('matched', [False]))
    file.write_text(f'{tiny.read_text()}\n\ndef sweep():\n    return {points!r}\n')
    flags = f'--config={file}', '--config.pretrain.steps=20', f'--workdir={tmp_path}/run', '--halving=3'
    out, err = finish(start(*flags))
    assert err == []
    (decided,) = metrics.read(tmp_path / 'run' / halving.FILE)
    (kept,) = decided['kept']
    assert [line for line in out if line.startswith('halving')] == [
        'halving: rung 0, 1 of 3 chunks, points 0, 1, 2',
        f'halving: rung 1, 3 of 3 chunks, points {kept}',
        f'halving: done, point {kept} went all the way; {tmp_path}/run/halving.jsonl',
    ]
    for index in range(3):
        found = rows(tmp_path / 'run' / f'point_{index:04d}')
        assert max(row.get('chunk', 0) for row in found) == (3 if index == kept else 1)
    before = (tmp_path / 'run' / 'results.jsonl').read_bytes()
    assert finish(start(*flags))[0][-3:-2] == out[-3:-2]
    assert (tmp_path / 'run' / 'results.jsonl').read_bytes() == before
    assert 'finetune.chunks=' not in (tmp_path / 'run' / 'report.html').read_text()
    assert json.loads((tmp_path / 'run' / f'point_{kept:04d}' / 'done.json').read_text()) == {'stage': 'finetune'}
