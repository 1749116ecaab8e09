"""Finetuners by name: their settings from the config, and what is refused before anything is trained."""

import dataclasses

import pytest

from experiments import default
from launch import config as settings
from launch import finetuners


def changed(**values):
    return settings.at_point(default.get_config(), {name.replace('__', '.'): value for name, value in values.items()})


def test_every_algorithm_has_a_maker_and_a_section():
    config = default.get_config()
    assert set(finetuners._MAKERS) == set(settings.ALGORITHMS)
    for name in settings.ALGORITHMS:
        found = finetuners.finetuner(config, name)
        assert found.meta['algorithm'] == name and found.meta['bound'] == 1.5 and found.steps_per_chunk > 0


@pytest.mark.parametrize('name', settings.ALGORITHMS)
def test_a_section_has_every_setting(name):
    """A setting that the config lacks could not be changed by anyone."""
    fixed = {'dsrl_ppo': set(), 'ppo': {'denoising_steps', 'finetuned_steps', 'clip_base', 'denoising_discount'}}
    fixed['best_of_n'] = {'action', 'bound', 'layer_norm'}  # of critics that other finetuners begin with
    fields = {field.name for field in dataclasses.fields(finetuners.finetuner(default.get_config(), name).config)}
    section = set(default.get_config()[name])
    assert fields - section == {'reward'} | fixed.get(name, set())
    assert section - fields == ({'rollouts', 'numbers'} if name == 'best_of_n' else set())


def test_a_reward_that_is_asked_for_goes_to_all():
    for name in settings.ALGORITHMS:
        own = 'success_minus_one' if name in ('dsrl_sac', 'dsrl_na') else 'success'
        assert finetuners.finetuner(default.get_config(), name).config.reward == own
        assert finetuners.finetuner(changed(finetune__reward='env'), name).config.reward == 'env'


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ({'finetune__reward': 'nope'}, "config.finetune.reward='nope': choose one of success"),
        ({'finetune__reward': 'success_minus_one'}, 'config.dsrl_ppo.discount=1.0: success_minus_one'),
        ({'dsrl_ppo__groups': 7}, 'config.dsrl_ppo.environments=512: must be a multiple of dsrl_ppo.groups=7'),
        ({'dsrl_ppo__value_cost': -0.5}, 'config.dsrl_ppo.value_cost=-0.5: must be at least 0'),
        ({'finetune__algorithm': 'dsrl_sac', 'dsrl_sac__tau': 1.5}, 'config.dsrl_sac.tau=1.5: '),
        ({'finetune__algorithm': 'dsrl_na', 'dsrl_na__noise_critic_steps': 0}, 'config.dsrl_na.noise_critic_steps=0: '),
        (
            {'finetune__algorithm': 'dppo', 'dppo__clip_base': 0.5},
            'config.dppo.clip_base=0.5: must lie in (0, ',
        ),
        ({'finetune__algorithm': 'ppo'}, "config.finetune.algorithm='ppo': ppo finetunes policy.family='gaussian'"),
        (
            {'finetune__algorithm': 'dppo', 'policy__family': 'gaussian'},
            "config.finetune.algorithm='dppo': ppo finetunes",
        ),
        ({'finetune__algorithm': 'best_of_n', 'best_of_n__expectile': 1.0}, 'config.best_of_n.expectile=1.0: '),
        ({'warm_start__steps': 10}, 'config.warm_start.steps=10: must be a positive multiple of steps_per_chunk=1000'),
        ({'warm_start__steps': 1000, 'warm_start__expectile': 0.0}, 'config.warm_start.expectile=0.0: '),
        ({'dsrl_ppo__minibatches': 25}, 'config.dsrl_ppo.minibatches=25: must divide the 1280 samples of a group'),
    ],
)
def test_what_cannot_be_run_is_refused(values, says):
    finetuners.check(default.get_config(), 20)
    with pytest.raises(ValueError) as refusal:
        finetuners.check(changed(**values), 20)
    assert str(refusal.value).startswith(says) and '\n' not in str(refusal.value)


def test_minibatches_divide_the_samples_of_an_episode_of_decisions():
    finetuners.check(changed(dsrl_ppo__minibatches=25), 25)  # 25 decisions x 512 / 8
    with pytest.raises(ValueError, match=r'the 448 samples .* \(7 decisions'):
        finetuners.check(changed(dsrl_ppo__minibatches=3, policy__chunk=3), 20)
    finetuners.check(changed(dsrl_ppo__minibatches=3, dsrl_ppo__unroll=6), 20)
    finetuners.check(changed(dsrl_ppo__minibatches=25, finetune__algorithm='dsrl_sac'), 20)


def test_demonstrations_are_needed_for_their_share_of_a_batch():
    asked = changed(finetune__algorithm='dsrl_na', dsrl_na__offline_share=0.5)
    finetuners.check(asked, 20)
    with pytest.raises(ValueError, match=r'config.dsrl_na.offline_share=0.5: a run that finetunes alone has no demo'):
        finetuners.check(asked, 20, 'finetune')
    with pytest.raises(ValueError, match='has no demonstrations'):
        finetuners.check(settings.at_point(asked, {'init_from': 'somewhere'}), 20)


def test_a_warm_start_has_the_finetuners_networks_reward_and_discount():
    config = changed(warm_start__steps=2000, warm_start__steps_per_chunk=500, dsrl_sac__hidden=(7,))
    sac, chunks = finetuners.warm_start(config, finetuners.finetuner(config, 'dsrl_sac'))
    assert (sac.hidden, sac.reward, sac.discount, sac.action) == ((7,), 'success_minus_one', 0.99, 'noise')
    assert sac.bound == 1.5 and sac.layer_norm and sac.steps_per_chunk == 500 and chunks == 4
    na, _ = finetuners.warm_start(config, finetuners.finetuner(config, 'dsrl_na'))
    assert na.action == 'chunk' and na.expectile == 0.5
