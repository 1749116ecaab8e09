"""The picture of an ablation: drawn of a sweep that goes out from one setting, with the numbers of its rows."""

import pytest

from launch.report import ablation, make_report, read, sections, trials
from postbc_jax.sweep import product, sweep
from tests.launch.swept_runs import success, write_sweep

STAR = [
    *sweep('alphas', [(0.5,), (1.0,), (2.0,)]),
    *sweep('subset', [5, 20]),
    *sweep('posterior.members', [5]),
]


def found(workdir):
    (one,) = trials.sweeps(sections.build(read.read(workdir)[0])[0])
    return one


def test_a_star_is_taken_apart_at_its_defaults(tmp_path):
    whole = found(write_sweep(tmp_path, STAR))
    apart = ablation.ablation(whole)
    assert apart.default == {'alphas': [1.0], 'posterior.members': 20, 'subset': 10}
    assert {name: [value for value, _ in pairs] for name, pairs in apart.sections.items()} == {
        'alphas': [[0.5], [1.0], [2.0]],
        'posterior.members': [5, 20],
        'subset': [5, 10, 20],
    }
    rows = ablation.measures(whole)
    assert list(rows) == ['noise rms', 'pretrained success', 'pass@1', 'finetuned success']
    for value, section in apart.sections['alphas']:
        arm = next(arm for arm in section.arms if arm.pretrain == 'post_bc')
        end = success(arm, 1e-3, 96, 1)
        assert arm.alpha == value[0] and rows['noise rms'](section, arm).value == pytest.approx(value[0])
        assert rows['finetuned success'](section, arm).value == pytest.approx(end)
        assert rows['pretrained success'](section, arm).value == pytest.approx(end / 2)
        assert rows['finetuned success'](section, arm).n == 3
    text = make_report(tmp_path).read_text()
    assert 'One parameter at a time' in text and (tmp_path / 'figures' / 'ablation.png').exists()


def test_a_grid_is_none_nor_is_what_leaves_the_defaults_out(tmp_path):
    grid = product(sweep('alphas', [(0.5,), (1.0,)]), sweep('subset', [5, 10]))
    assert ablation.draw(found(write_sweep(tmp_path / 'grid', grid))) == {}
    beside = [{'subset': 5}, {'posterior.members': 5}, {'posterior.members': 50}, {'subset': 20}]
    assert ablation.ablation(found(write_sweep(tmp_path / 'beside', beside))) is None
    one_parameter = sweep('subset', [5, 10, 20])  # nothing says which of three is the default
    assert ablation.ablation(found(write_sweep(tmp_path / 'one', one_parameter))) is None
