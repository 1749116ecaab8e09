"""experiments/evidence.py and ablations.py: no seed on both sides of the split; points cover what they promise."""

import pytest

from experiments import ablations, default, evidence, lift
from launch import checks
from launch import config as settings
from launch.fold import fold


def points(experiment, arg=''):
    config = experiment.get_config(arg)
    found = fold(config, experiment.sweep(arg))
    at = [settings.at_point(config, point) for point in found]
    for one in at:
        checks.check(one)
    return at


def test_no_root_seed_is_on_two_sides():
    sides = [
        {one.seed for one in points(*side)}
        for side in (
            (evidence, ''),
            (evidence, 'develop'),
            (evidence, 'smoke'),
            (evidence, 'smoke,develop'),
            (ablations, ''),
        )
    ]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert all(len(side) >= 1 for side in sides) and points(evidence)[0].experiment != points(evidence, 'develop')[0]


def test_every_task_is_run_at_ten_seeds_of_two_finetuning_runs_with_the_chosen_arms():
    reported = points(evidence)
    for task in ('gate', 'lift', 'can', 'square'):
        mine = [one for one in reported if one.env == task]
        assert len({one.seed for one in mine}) == len(mine) >= 10
        for one in mine:
            assert (one.seeds, one.finetune.seeds, one.matched, one.alpha) == (1, 2, True, 'auto')
            assert {'alphas': one.alphas, 'sigmas': one.sigmas} == evidence.CHOSEN[task]
            assert {arm.pretrain for arm in settings.arms(one)} == {'bc', 'sigma_bc', 'post_bc'}
    assert {one.env for one in points(evidence, 'lift_mjx,robosuite')} == {'lift_mjx', 'robosuite:Lift'}


def test_development_sweeps_every_alpha_and_sigma_and_what_is_chosen_is_one_of_them():
    for one in points(evidence, 'develop'):
        assert len(settings.arms(one)) == 1 + len(one.alphas) + len(one.sigmas)
        assert (one.alphas, one.sigmas) == tuple(evidence.SWEPT.values())
    for chosen in evidence.CHOSEN.values():
        assert all(len(values) == 1 and set(values) < set(evidence.SWEPT[name]) for name, values in chosen.items())


def test_a_task_is_set_as_its_own_experiment_sets_it():
    (one, *_) = points(evidence, 'lift')
    theirs = lift.get_config()
    for name in ('policy', 'posterior', 'pretrain', 'record', 'dsrl_ppo', 'evaluate', 'subset', 'env_settings'):
        assert one[name] == theirs[name], name
    gate = next(one for one in points(evidence) if one.env == 'gate')
    assert gate.policy == default.get_config().policy


def test_ablations_go_out_from_the_defaults_and_share_the_run_of_alphas():
    found = points(ablations)
    assert [bool(one.fold) for one in found] == [True, *[False] * 6] * 2
    for task in ('gate', 'lift'):
        (alphas, *others) = [one for one in found if one.env == task]
        assert (1.0,) in [one.alphas for one in settings.each(alphas)] and len(alphas.fold) == 4
        assert all(
            (one.subset != alphas.subset) + (one.posterior.members != alphas.posterior.members) == 1 for one in others
        )
        assert all(one.subset <= one.record.episodes and one.seed == alphas.seed for one in others)


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="evidence.py:lfit: 'lfit' is none of develop, smoke, gate"):
        evidence.get_config('lfit')
    with pytest.raises(ValueError, match='ablations.py:can: the argument is gate, lift, smoke'):
        ablations.get_config('can')
