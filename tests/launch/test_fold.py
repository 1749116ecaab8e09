"""Folding: which points share a run, what is said of it, and that a setting's numbers are those that it gets alone."""

import json

import numpy as np
import pytest

from experiments import default
from launch import config as settings
from launch import run
from launch.arms import arm_of
from launch.fold import FOLDABLE, explain, fold, recipes, text
from postbc_jax import checkpoint
from postbc_jax.sweep import product, sweep
from tests.launch.tiny_runs import finish, rows

ALPHAS, RATES = sweep('alphas', [(0.5,), (1.0,)]), sweep('pretrain.learning_rate', [1e-4, 1e-3, 1e-2])
WIDTHS = sweep('policy.hidden', [(8,), (16,)])
SETTINGS = [
    {'alphas': (2.0,), 'pretrain.learning_rate': 1e-3, 'matched': False},
    {'alphas': (0.5,), 'pretrain.learning_rate': 1e-3},
    {'alphas': (1.0,), 'pretrain.learning_rate': 3e-3, 'pretrain.weight_decay': 0.01, 'matched': False}
    | {'dropouts': (0.2,), 'weight_decays': (0.1,), 'sigmas': (0.1,)},
]


@pytest.fixture
def config():
    return default.get_config()


def test_points_that_differ_on_the_learner_axis_alone_are_one(config):
    grid = product(ALPHAS, RATES)
    assert fold(config, grid) == [{'fold': tuple(grid)}]
    assert fold(config, product(ALPHAS, WIDTHS, RATES)) == [width | {'fold': tuple(grid)} for width in WIDTHS]
    assert fold(config, WIDTHS + ALPHAS) == [*WIDTHS, {'fold': tuple(ALPHAS)}]
    assert fold(config, [{}]) == [{}] and fold(config, WIDTHS) == WIDTHS
    seeds = sweep('seed', range(3))
    assert fold(config, seeds) == seeds


def test_a_setting_that_is_there_twice_is_there_once(config):
    assert fold(config, [*ALPHAS, *ALPHAS]) == [{'fold': tuple(ALPHAS)}]
    assert fold(config, [ALPHAS[0], ALPHAS[0]]) == ALPHAS[:1]


def test_points_stay_as_they_are_where_folding_means_nothing(config):
    grid = product(ALPHAS, RATES)
    assert fold(settings.at_point(config, {'fold_sweep': False}), grid) == grid
    assert fold(settings.at_point(config, {'init_from': 'runs/a'}), grid) == grid
    assert fold(config, [point | {'init_from': 'runs/a'} for point in grid]) == [
        point | {'init_from': 'runs/a'} for point in grid
    ]


def test_every_foldable_setting_is_a_number_or_chooses_arms(config):
    flat = settings.each(config)[0].to_dict()
    flat |= {f'pretrain.{name}': value for name, value in flat['pretrain'].items()}
    assert all(isinstance(flat[name], tuple | float | bool | str) for name in FOLDABLE)


def test_what_is_said_of_it(config):
    def said(points, **changed):
        at = settings.at_point(config, changed)
        return explain(at, fold(at, points))

    assert said(product(ALPHAS, RATES)) == [
        'one run of 6 settings: alphas, pretrain.learning_rate lie on the learner axis'
    ]
    assert said(product(WIDTHS, RATES)) == [
        '2 runs of 3 settings: pretrain.learning_rate lies on the learner axis',
        'policy.hidden makes an array point of each value: shapes are compiled',
    ]
    assert said(sweep('seed', range(3))) == [
        'seed makes an array point of each value: it draws other demonstrations (config.seeds puts seeds on the '
        'learner axis)'
    ]
    (told,) = said(product(sweep('dsrl_ppo.learning_rate', [1e-4, 1e-3]), sweep('env', ['lift', 'can'])))
    assert told == (
        "dsrl_ppo.learning_rate makes an array point of each value: a finetuner's settings are compiled; "
        'env makes an array point of each value: other demonstrations'
    )
    assert said(RATES, fold_sweep=False) == [
        'pretrain.learning_rate makes an array point of each value: config.fold_sweep is False'
    ]
    assert said([{}]) == []


def test_an_arm_that_settings_share_is_trained_once(config):
    (point,) = fold(config, product(ALPHAS, RATES))
    found = recipes(settings.at_point(config, point))
    names = [(recipe.arm.name, recipe.learning_rate, recipe.settings) for recipe in found]
    assert len(names) == 3 * (1 + 2 * 2)  # bc, and for each alpha its matched arm and post_bc, at each learning rate
    assert ('BC', 1e-3, (1, 4)) in names and ('PostBC α=1', 1e-3, (4,)) in names
    alone = recipes(config)
    assert [recipe.settings for recipe in alone] == [None] * 3 and 'settings' not in alone[0].label(0)
    decays = fold(config, product(sweep('pretrain.weight_decay', [0.0, 0.1]), sweep('weight_decays', [(0.01,)])))
    of_decay = [r for r in recipes(settings.at_point(config, decays[0])) if r.arm.pretrain == 'bc_weight_decay']
    assert [(r.weight_decay, r.settings) for r in of_decay] == [(0.01, (0, 1))]


@pytest.mark.parametrize(
    ('point', 'says'),
    [
        ({'alphas': -1.0}, 'config.alphas=(-1.0,): -1.0 is not positive'),
        ({'alphas': ('a',)}, "config.alphas=('a',): 'a' is not a number"),
        ({'pretrain.learning_rate': 0.0}, 'config.pretrain.learning_rate=0.0: must be above 0'),
        ({'pretrain.learning_rate': '1'}, "sweep point {'pretrain.learning_rate': '1'"),
        ({'pretrain.learning_rate': None}, "sweep point {'pretrain.learning_rate': None}"),
        ({'policy.hidden': (8,), 'pretrain.nope': 1}, "sweep point {'policy.hidden': (8,), 'pretrain.nope': 1}"),
    ],
)
def test_every_point_and_every_setting_is_checked_before_any_is_run(config, point, says):
    good = product(WIDTHS, ALPHAS, RATES)
    run.check_all(config, fold(config, good), '')
    for points in ([*good, point], [point, *good] * 20):
        with pytest.raises(ValueError) as refusal:
            run.check_all(config, fold(config, points), '')
        assert says in str(refusal.value) and '\n' not in str(refusal.value)
    with pytest.raises(ValueError, match=r'^point 12 of 13: '):
        run.check_all(settings.at_point(config, {'fold_sweep': False}), [*good, point], '')


def swept(tiny, path, points):
    path.write_text(
        f'{tiny.read_text()}\n\n_default = get_config\n\n\ndef get_config():\n    config = _default()\n'
        '    config.pretrain.update(steps=40, steps_per_chunk=20)\n    config.finetune.chunks = 1\n    return config\n'
        f'\n\ndef sweep():\n    return {points!r}\n'
    )
    return f'--config={path}'


@pytest.fixture(scope='module')
def both(tiny, start, tmp_path_factory):
    """(work directory, stdout) of the sweep, folded, and of its settings but the first, one by one."""
    directory, found = tmp_path_factory.mktemp('folds'), []
    for name, flag, points in (('one', 'True', SETTINGS), ('each', 'False', SETTINGS[1:])):
        experiment = swept(tiny, directory / f'{name}.py', points)
        command = experiment, f'--workdir={directory / name}', f'--config.fold_sweep={flag}'
        out, err = finish(start(*command))
        assert err == []
        found.append((directory / name, out))
    return found


def test_a_settings_numbers_are_those_that_it_gets_alone(both):
    (one, _), (each, _) = both

    def of(directory, name, index=None):
        found = {}
        for row in json.loads((directory / name).read_text()) if name == 'noise.json' else rows(directory, name):
            if 'pretrain' in row and (index is None or index in row['settings']):
                place = ('stage', 'chunk', 'finetune', 'env_steps', 'n', 'region', 'seed')
                key = arm_of(row), *(row.get(column) for column in place)
                assert key not in found
                found[key] = row
        return found

    compared = {'metrics.jsonl': ('loss', 'gradient_norm', 'success'), 'results.jsonl': ('success_rate',)}
    compared |= {'coverage.jsonl': ('pass_at_n',), 'noise.json': ('rms', 'rms_played', 'sigma')}
    for name, columns in compared.items():
        for index in (1, 2):
            ours, alone = of(one, name, index), of(each / f'point_{index - 1:04d}', name)
            assert ours.keys() == alone.keys() and alone
            for key, row in alone.items():
                for column in set(columns) & row.keys():
                    np.testing.assert_allclose(ours[key][column], row[column], rtol=2e-3, atol=1e-4, err_msg=str(key))


def test_a_folded_run_says_what_it_is_and_whose_its_rows_are(both):
    (one, out), _ = both
    names = 'alphas, pretrain.learning_rate, matched, pretrain.weight_decay, dropouts, weight_decays, sigmas'
    assert out[0] == f'one run of 3 settings: {names} lie on the learner axis'
    # bc of settings 0 and 1, a post_bc arm each, the matched one of 1; of 2 bc, dropout, weight decay, sigma, post_bc
    assert any('3 settings: 9 arms x 2 seeds, one program' in line for line in out)
    assert json.loads((one / 'settings.json').read_text()) == json.loads(json.dumps(SETTINGS))
    labels = checkpoint.load_policies(one / 'policies' / 'pretrained')[1]
    told = [
        (arm_of(label), label['seed'], *(label[f'pretrain.{n}'] for n in ('learning_rate', 'weight_decay')))
        for label in labels
    ]
    assert len(labels) == 18 == len(set(told))
    assert {name for label in labels for name in label} <= rows(one)[0].keys()


def test_a_folded_run_goes_on_and_its_policies_are_finetuned_elsewhere(both, start, tiny, tmp_path):
    (one, _), _ = both
    experiment = swept(tiny, tmp_path / 'three.py', SETTINGS)
    out, _ = finish(start(experiment, f'--workdir={one}', '--config.finetune.chunks=2', module='launch.run'))
    assert out[0] == f'{one}: begun before, goes on from its checkpoints'
    assert {row['chunk'] for row in rows(one) if row['finetune'] == 'dsrl_ppo'} == {0, 1, 2}
    flags = '--stage=finetune', f'--config.init_from={one}', '--config.finetune.chunks=1'
    finish(start(f'--config={tiny}', f'--workdir={tmp_path}/elsewhere', *flags, module='launch.run'))
    assert (tmp_path / 'elsewhere' / 'settings.json').read_bytes() == (one / 'settings.json').read_bytes()


def test_hundreds_of_settings_and_seeds_are_one_run(tiny, start, tmp_path):
    """10 alphas x 10 learning rates x 5 seeds, pretrained, evaluated and finetuned in one process."""
    grid = product(
        sweep('alphas', [0.2 * i for i in range(1, 11)]),
        sweep('pretrain.learning_rate', [1e-4 * 2**i for i in range(10)]),
    )
    small = {'seeds': 5, 'matched': False, 'pretrain.steps': 20, 'policy.hidden': (8,)}
    small |= {'dsrl_ppo.environments': 4, 'dsrl_ppo.minibatches': 1, 'dsrl_ppo.hidden': (4,), 'evaluate.episodes': 4}
    small |= {'evaluate.coverage_starts': 2, 'evaluate.coverage_rollouts': 2}
    experiment = swept(tiny, tmp_path / 'many.py', [small | point for point in grid])
    out, err = finish(start(experiment, f'--workdir={tmp_path}/many', module='launch.run'))
    assert err == [] and any('100 settings: 110 arms x 5 seeds, one program' in line for line in out)
    found = [row for row in rows(tmp_path / 'many') if row['finetune'] == 'dsrl_ppo' and row['chunk'] == 1]
    post = [row for row in found if row['pretrain'] == 'post_bc']
    assert len(found) == 550 and len(post) == 500
    assert {(*row['settings'], row['seed']) for row in post} == {(i, seed) for i in range(100) for seed in range(5)}
    for row in post:
        (index,) = row['settings']
        assert (row['alpha'], row['pretrain.learning_rate']) == tuple(grid[index].values())


def test_a_point_in_a_line():
    assert text({'policy.hidden': (8,), 'seed': 1}) == 'policy.hidden=(8,), seed=1'
    assert text({'policy.hidden': (8,), 'fold': ({'alphas': (1.0,)}, {'alphas': (2.0,)})}) == (
        'policy.hidden=(8,), 2 settings'
    )
