"""Configs before anything runs: arms, sweep points, refusals; and every experiment that is in the repository."""

import math
from pathlib import Path

import pytest

from experiments import default
from launch import checks
from launch import config as settings
from launch.arms import Arm, arm_of

OF_THE_PIPELINE = (path for path in Path(default.__file__).parent.glob('*.py') if path.stem != 'theory')
EXPERIMENTS = sorted(OF_THE_PIPELINE)


@pytest.fixture
def config():
    return default.get_config()


def changed(config, **values):
    return settings.at_point(config, {name.replace('__', '.'): value for name, value in values.items()})


def test_the_default_arms_hold_the_comparison_that_credits_the_posterior(config):
    bc, matched, post = settings.arms(config)
    assert bc == Arm('bc') and bc[1:] == (*(0.0,) * 6, '')
    assert post == Arm('post_bc', alpha=1.0)
    assert matched[:2] == ('sigma_bc', 0.0) and math.isnan(matched.sigma) and matched.matched_alpha == 1


def test_arms_of_several_scales(config):
    found = settings.arms(changed(config, alphas=(0.5, 2), sigmas=(0.1, 0.2)))
    assert [arm_of(arm._asdict()).name for arm in found] == [
        'BC',
        'σ-BC σ=0.1',
        'σ-BC σ=0.2',
        'σ-BC matched to α=0.5',
        'PostBC α=0.5',
        'σ-BC matched to α=2',
        'PostBC α=2',
    ]
    found = settings.arms(changed(config, alphas=(0.5,), matched=False))
    assert [arm.pretrain for arm in found] == ['bc', 'post_bc']
    assert [arm.pretrain for arm in settings.arms(changed(config, alphas=()))] == ['bc']


def test_arms_of_the_baselines(config):
    found = settings.arms(changed(config, dropouts=(0.1,), weight_decays=(0.01,), betas=(0.5, 1), matched=False))
    names = ['BC', 'BC dropout 0.1', 'BC weight decay 0.01', 'weighted BC β=0.5', 'weighted BC β=1', 'PostBC α=1']
    assert [arm.name for arm in found] == names
    assert [arm_of(arm._asdict() | {'seed': 3}) for arm in found] == found
    assert arm_of({'pretrain': 'bc', 'alpha': 0.0}) == found[0]  # of a row that was written before there were others
    with pytest.raises(ValueError, match=r'config\.dropouts=\(1\.0,\): a rate lies above 0 and below 1'):
        settings.arms(changed(config, dropouts=(1.0,)))
    with pytest.raises(ValueError, match=r'config\.betas=\(-1,\): -1 is not positive'):
        settings.arms(changed(config, betas=(-1,)))


@pytest.mark.parametrize('rule', ['auto', 'rms'])
def test_alpha_by_a_rule_is_an_arm_of_one_name_whatever_a_seeds_number(config, rule):
    found = settings.arms(changed(config, alpha=rule))
    names = ['BC', 'σ-BC matched to α=1', 'PostBC α=1', f'σ-BC matched to α={rule}', f'PostBC α={rule}']
    assert [arm.name for arm in found] == names and [arm.matched for arm in found] == [False, True, False, True, False]
    twin, post = (arm_of(arm._asdict()) for arm in found[-2:])
    assert arm_of(found[-1]._replace(alpha=0.62)._asdict()) == post == Arm('post_bc', alpha_by=rule)
    assert arm_of(found[-2]._replace(matched_alpha=0.62, sigma=0.1)._asdict()) == twin
    alone = settings.arms(changed(config, alpha=rule, matched=False, alphas=()))
    assert [arm.name for arm in alone] == ['BC', f'PostBC α={rule}']


def test_what_is_calibrated(config):
    assert not settings.calibrates(config) and not settings.calibrates(changed(config, alpha='rms'))
    assert settings.calibrates(changed(config, alpha='auto')) and settings.calibrates(
        changed(config, calibration__curve=True)
    )
    folded = changed(config, fold=({'alphas': (0.5,)}, {'alpha': 'auto'}))
    assert settings.calibrates(folded)
    for values, says in (
        ({'alpha': 'auto', 'subset': 1}, 'config.subset=1: calibration leaves demonstrations out: give each'),
        ({'alpha': 'rms', 'posterior__members': 1}, 'config.posterior.members=1: has no spread of which'),
    ):
        with pytest.raises(ValueError) as refusal:
            checks.check(changed(config, **values))
        assert str(refusal.value).startswith(says) and '\n' not in str(refusal.value)
    checks.check(changed(config, subset=1))


def test_value_dice_is_an_arm_of_gaussian_policies(config):
    gaussian = changed(config, policy__family='gaussian', value_dice__steps=2000)
    checks.check(gaussian)
    assert settings.arms(gaussian)[-1] == Arm('value_dice') == arm_of({'pretrain': 'value_dice'})
    assert Arm('value_dice').name == 'ValueDICE' and settings.chunks(gaussian, 'value_dice') == 2
    with pytest.raises(ValueError, match=r"^config\.policy\.family='flow': value_dice learns a 'gaussian'[^\n]*$"):
        checks.check(changed(config, value_dice__steps=2000))
    for name, value, says in (
        ('steps', 1500, 'config.value_dice.steps=1500: must be a positive multiple of steps_per_chunk=1000'),
        ('steps', -1, 'config.value_dice.steps=-1: must be at least 0'),
        ('batch_size', 0, 'config.value_dice.batch_size=0: must be at least 1'),
        ('hidden', (0,), 'config.value_dice.hidden=(0,): widths'),
        ('learning_rate', 0.0, 'config.value_dice.learning_rate=0.0: must be above 0'),
        ('discount', 1.0, 'config.value_dice.discount=1.0: must be at least 0 and less than 1'),
    ):
        with pytest.raises(ValueError) as refusal:
            checks.check(settings.at_point(gaussian, {f'value_dice.{name}': value}))
        assert str(refusal.value).startswith(says) and '\n' not in str(refusal.value)


def test_the_name_of_an_arm_is_the_same_at_every_seed():
    row = {'pretrain': 'sigma_bc', 'alpha': 0.0, 'sigma': 0.12345, 'matched_alpha': 1.0}
    assert arm_of(row) == arm_of(row | {'sigma': 0.2})
    assert arm_of(row).name == 'σ-BC matched to α=1'


def test_a_point_changes_a_copy(config):
    at = settings.at_point(config, {'pretrain.steps': 2000, 'env': 'lift', 'env_settings.horizon': 60})
    assert (at.pretrain.steps, at.env, at.env_settings.horizon) == (2000, 'lift', 60)
    assert (config.pretrain.steps, config.env, config.env_settings.horizon) == (6000, 'gate', None)


@pytest.mark.parametrize(
    'point', [{'nope': 1}, {'pretrain.nope': 1}, {'nope.steps': 1}, {'seeds': 'two'}, {'pretrain': 1}, {'seeds.x': 1}]
)
def test_a_point_that_does_not_fit_is_refused(config, point):
    with pytest.raises(ValueError, match='does not fit the config') as refusal:
        settings.at_point(config, point)
    assert next(iter(point)) in str(refusal.value) and '\n' not in str(refusal.value)


def test_an_unknown_key_is_refused(config):
    with pytest.raises(AttributeError):
        config.pretrain.nope = 1
    with pytest.raises(AttributeError):
        settings.at_point(config, {}).nope = 1


@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda path: path.name)
def test_the_experiments_of_the_repository(path):
    """Every argument's every point can be run."""
    module = __import__(f'experiments.{path.stem}', fromlist=['get_config'])
    for made in [module.get_config()] + ([module.get_config('smoke')] if path.stem != 'default' else []):
        for point in settings.load_sweep(str(path)):
            checks.check(settings.at_point(made, point))
    if path.stem != 'default':
        with pytest.raises(ValueError, match='nope'):
            module.get_config('nope')


def test_a_file_without_a_sweep_is_one_point(tmp_path):
    file = tmp_path / 'experiment.py'
    file.write_text('')
    assert settings.load_sweep(str(file)) == settings.load_sweep(f'{file}:argument') == [{}]
    file.write_text("def sweep():\n    return [{'seeds': 1}, {'seeds': 2}]\n")
    assert settings.load_sweep(str(file)) == [{'seeds': 1}, {'seeds': 2}]


@pytest.mark.parametrize('sweep', ['[]', '{}', '[1]', '{"seeds": 1}', 'None', '5'])
def test_a_sweep_that_is_none_is_refused(tmp_path, sweep):
    file = tmp_path / 'experiment.py'
    file.write_text(f'def sweep():\n    return {sweep}\n')
    with pytest.raises(ValueError, match=r'experiment\.py: sweep\(\) must return a non-empty list of dicts'):
        settings.load_sweep(str(file))


def test_a_sweep_takes_the_files_argument(tmp_path):
    file = tmp_path / 'experiment.py'
    file.write_text("def sweep(arg):\n    return [{'env': arg}]\n")
    assert settings.load_sweep(f'{file}:lift') == [{'env': 'lift'}]
    assert settings.load_sweep(str(file)) == [{'env': ''}]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'there is no file .*none\.py'):
        settings.load_sweep(f'{tmp_path}/none.py:argument')


def test_algorithms_are_named_with_commas(config):
    def asked(names):
        return settings.algorithms(changed(config, finetune__algorithm=names))

    assert asked('dsrl_ppo') == ['dsrl_ppo'] and asked('none') == []
    assert asked('dsrl_sac, dsrl_ppo') == ['dsrl_sac', 'dsrl_ppo']
    with pytest.raises(ValueError, match='dsrl_sac is there 2 times'):
        asked('dsrl_sac,dsrl_ppo,dsrl_sac')
    with pytest.raises(ValueError, match="'dsrl_sac,none': choose of"):
        asked('dsrl_sac,none')


@pytest.mark.parametrize(
    ('name', 'value', 'says'),
    [
        ('seeds', 0, 'config.seeds=0: must be at least 1'),
        ('subset', -1, 'config.subset=-1: must be at least 0'),
        ('record.episodes', 0, 'config.record.episodes=0'),
        ('record.noise', -0.1, 'config.record.noise=-0.1'),
        ('record.noise', math.nan, 'config.record.noise=nan'),
        ('save_every', -1.0, 'config.save_every=-1.0'),
        ('subset', 61, 'config.subset=61: only config.record.episodes=60 demonstrations are recorded'),
        ('record.episodes', 9, 'config.subset=10: only config.record.episodes=9'),
        ('alphas', (1.0, 0.0), 'config.alphas=(1.0, 0.0): 0.0 is not positive'),
        ('alphas', (1.0, 2, 1), 'config.alphas=(1.0, 2, 1): 1.0 is there 2 times'),
        ('sigmas', (-0.1,), 'config.sigmas=(-0.1,): -0.1 is not positive'),
        ('sigmas', (0.1, 0.1), 'config.sigmas=(0.1, 0.1): 0.1 is there 2 times'),
        (
            'alpha',
            '0.5',
            "config.alpha='0.5': auto or rms, which choose it at each seed; numbers go into config.al",
        ),
        ('calibration.folds', 1, 'config.calibration.folds=1: must be at least 2'),
        ('calibration.members', 1, 'config.calibration.members=1: must be at least 2'),
        ('calibration.max_alpha', 0.0, 'config.calibration.max_alpha=0.0: must be above 0'),
        ('calibration.rms', -0.1, 'config.calibration.rms=-0.1: must be above 0'),
        ('posterior.members', 0, 'config.posterior.members=0'),
        ('posterior.steps', 1100, 'config.posterior.steps=1100: must be a positive multiple of steps_per_chunk=250'),
        ('posterior.bootstrap', 'nope', "config.posterior.bootstrap='nope': choose one of"),
        ('posterior.covariance', 'nope', "config.posterior.covariance='nope': choose one of full, diagonal"),
        ('posterior.head', 'nope', "config.posterior.head='nope': choose one of"),
        ('posterior.activation', 'nope', "config.posterior.activation='nope': choose one of"),
        ('posterior.hidden', (64, 0), 'config.posterior.hidden=(64, 0): widths'),
        ('posterior.final_rate', 1.5, 'config.posterior.final_rate=1.5: must lie in [0, 1]'),
        ('policy.family', 'nope', "config.policy.family='nope': choose one of"),
        ('policy.chunk', 0, 'config.policy.chunk=0: must be'),
        ('policy.hidden', (-96,), 'config.policy.hidden=(-96,): must be'),
        ('pretrain.steps', 0, 'config.pretrain.steps=0: must be a positive multiple'),
        ('pretrain.steps_per_chunk', 0, 'config.pretrain.steps=6000: must be a positive multiple of steps_per_chunk=0'),
        ('pretrain.batch_size', 0, 'config.pretrain.batch_size=0: must be at least 1'),
        ('pretrain.learning_rate', 0.0, 'config.pretrain.learning_rate=0.0: must be above 0'),
        ('pretrain.weight_decay', -1.0, 'config.pretrain.weight_decay=-1.0'),
        ('pretrain.ema_decay', 1.0, 'config.pretrain.ema_decay=1.0'),
        ('pretrain.final_rate', -0.1, 'config.pretrain.final_rate=-0.1: must lie in [0, 1]'),
        ('finetune.algorithm', 'nope', "config.finetune.algorithm='nope': choose of dsrl_ppo, dsrl_sac"),
        ('finetune.seeds', 0, 'config.finetune.seeds=0'),
        ('finetune.chunks', 0, 'config.finetune.chunks=0'),
        ('finetune.bound', 0.0, 'config.finetune.bound=0.0: must be above 0'),
        ('evaluate.episodes', 0, 'config.evaluate.episodes=0'),
        ('evaluate.coverage_starts', 0, 'config.evaluate.coverage_starts=0'),
        ('evaluate.coverage_rollouts', 0, 'config.evaluate.coverage_rollouts=0'),
    ],
)
def test_values_that_cannot_be_run_are_refused_before_anything_is(config, name, value, says):
    checks.check(config)
    with pytest.raises(ValueError) as refusal:
        checks.check(settings.at_point(config, {name: value}))
    assert str(refusal.value).startswith(says) and '\n' not in str(refusal.value)


def test_demonstrations_from_a_file_may_be_fewer_than_would_be_recorded(config):
    checks.check(changed(config, demos='file.hdf5', subset=300))


def test_configs_share_an_environment(config):
    assert settings.environment(config) is settings.environment(changed(config, seed=1))
    lift = changed(config, env='lift')
    assert settings.environment(lift) is not settings.environment(changed(lift, env_settings__horizon=60))


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ({'env': 'nope'}, "config.env='nope': no such environment"),
        ({'env': 'brax:fast'}, "config.env='brax:fast': brax:fast: say what success is by --config.env_settings"),
        ({'env': 'lift', 'env_settings__horizon': 0}, "config.env='lift': "),
    ],
)
def test_an_environment_that_cannot_be_made(config, values, says):
    with pytest.raises(ValueError) as refusal:
        settings.environment(changed(config, **values))
    assert str(refusal.value).startswith(says) and '\n' not in str(refusal.value)
