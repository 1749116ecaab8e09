"""The calibration of a point around its two populations, made up here: what they see, and what is made of it."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import default
from launch import calibration
from launch import config as settings
from launch.demonstrations import Learning
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.policies import Policy, PolicyConfig, build

EPISODES, FOLDS = 120, 4
ERROR, SPREAD, NOISE = 0.3, 0.05, 0.1  # deviations: of actions about what BC plays, of what it draws, of the posterior
ALPHA = np.sqrt(ERROR**2 - SPREAD**2) / NOISE
ALL = np.concatenate


def learning():
    """Two seeds, one with the even episodes, one with the odd. obs 0 is the episode's own, and the mean of its actions'
    first entry; the second entry never varies."""
    rng = np.random.default_rng(1)
    lengths = np.tile([6, 6, 14, 14], EPISODES // 4)
    ends, n = np.cumsum(lengths), lengths.sum()
    episode = np.repeat(np.arange(EPISODES, dtype=np.int32), lengths)
    middle = rng.uniform(0, 3, EPISODES)[episode]
    actions = np.stack([middle + ERROR * rng.normal(size=n), np.zeros(n)], axis=1).astype(np.float32)
    last = (ends[episode] - 1).astype(np.int32)
    obs = np.stack([middle, np.ones(n)], axis=1).astype(np.float32)
    windows = Windows(obs, actions, last, np.zeros(n, np.int32), episode, chunk=2)
    pair = np.ones(2, np.float32)
    mask = np.stack([episode % 2 == 0, episode % 2 == 1]).astype(np.float32)
    demos = SimpleNamespace(episodes=EPISODES)
    return Learning(windows, Normaliser(-pair, pair, -pair, pair), mask, np.zeros_like(mask), demos, '')


def stack(number):
    """Policies that play N(obs 0, SPREAD^2) in every entry."""
    config = PolicyConfig('gaussian', 2, 2, chunk=2, hidden=(1,), min_std=SPREAD)
    params = jax.tree.map(jnp.zeros_like, build(config).init(jax.random.key(0)))
    params['params']['Dense_0']['kernel'] = jnp.array([[1.0], [0.0]])
    params['params']['Dense_1'] = {
        'kernel': jnp.array([[1.0] * 4 + [0.0] * 4]),
        'bias': jnp.array([0.0] * 4 + [-30.0] * 4),
    }
    return jax.tree.map(lambda x: np.stack([x] * number), Policy(params, learning().normaliser, config))


def point(directory, **values):
    """What calibration asks of a Point, and what it has been told."""
    config = default.get_config()
    given = {'seeds': 2, 'calibration.folds': FOLDS, 'alpha': 'auto', 'sigmas': (0.1,), **values}
    made = SimpleNamespace(
        config=settings.at_point(config, given),
        key=lambda purpose: jax.random.key(len(purpose)),
        progress=SimpleNamespace(stage=lambda name: None, say=lambda text: None),
        read_json=lambda name: json.loads((directory / name).read_text()) if (directory / name).exists() else None,
        write_json=lambda name, rows: (directory / name).write_text(json.dumps(rows, allow_nan=False)),
    )
    return made


@pytest.fixture(scope='module')
def calibrated(tmp_path_factory):
    """(alphas, rows, learning rates of the policies, masks and steps of the members) of two settings in one run."""
    directory, data, seen = tmp_path_factory.mktemp('calibrated'), learning(), {}

    def members(point, folds, name, sources, number, at):
        seen.update(masks=folds.mask, at=at, sources=sources, members=number)
        return np.full((len(sources), max(map(len, at)), 1, 2, 2), NOISE, np.float32)

    def policies(point, folds, factors, name, population, labels):
        seen.update(population=population, labels=labels, factors=factors)
        return stack(len(population))

    fold = ({'pretrain.learning_rate': 1e-3}, {'pretrain.learning_rate': 1e-2, 'alphas': (0.5, 8.0)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, 'fit_members', members)
        patch.setattr(calibration, 'fit_policies', policies)
        whole = np.full((2, int(data.mask.sum(axis=1).max()), 1, 2, 2), NOISE, np.float32)
        alphas = calibration.calibrate(point(directory, fold=fold), data, whole)
    patch.undo()
    return alphas, json.loads((directory / calibration.FILE).read_text()), seen, directory


def test_nobody_has_seen_what_is_left_out(calibrated):
    seen, data = calibrated[2], learning()
    assert seen['members'] == 10 and not seen['factors'].any()
    assert [(label['seed'], label['fold']) for label in seen['sources']] == [
        (s, f) for s in (0, 1) for f in range(FOLDS)
    ]
    for mask, steps, label in zip(seen['masks'], seen['at'], seen['sources'], strict=True):
        assert not mask[steps].any()
        assert not set(data.windows.episode[mask > 0]) & set(data.windows.episode[steps])
        np.testing.assert_array_equal(mask + np.isin(np.arange(len(mask)), steps), data.mask[label['seed']])
    for (row, recipe), label in zip(seen['population'], seen['labels'], strict=True):
        assert recipe.arm.pretrain == 'bc' and label['fold'] == seen['sources'][row]['fold']
        assert label['seed'] == seen['sources'][row]['seed']


def test_alpha_is_the_closed_form_at_every_seed_and_way_to_train_bc(calibrated):
    """Were obs and actions of different steps, an entry that never varies, or one beyond a fold's end among them, it
    would not be."""
    alphas, rows, _, _ = calibrated
    assert set(alphas) == {(seed, rate, 1e-6) for seed in (0, 1) for rate in (1e-3, 1e-2)}
    assert list(alphas.values()) == pytest.approx([ALPHA] * 4, rel=0.12)
    assert {row['found'] for row in rows} == {'inside'} and {row['folds'] for row in rows} == {FOLDS}
    assert all(row['alpha_auto_low'] < row['alpha_auto'] < row['alpha_auto_high'] for row in rows)
    assert all(row['trajectories'] == EPISODES / 2 for row in rows)
    assert all(row['alpha_by_dimension'] == [row['alpha_auto'], None] for row in rows)  # the second never varies
    assert [row['alpha_rms'] for row in rows] == pytest.approx([0.1 / NOISE] * len(rows), rel=1e-5)


def test_every_arm_of_a_setting_has_a_curve(calibrated):
    rows = [row for row in calibrated[1] if row['seed'] == 1 and 1 in row['settings']]
    found = {(row['pretrain'], row['alpha_by'], row['alpha'], round(row['sigma'], 3)): row for row in rows}
    auto = next(row['alpha'] for row in rows if row['alpha_by'] == 'auto')
    verdicts = {key: row['verdict'] for key, row in found.items()}
    matched = round(auto * NOISE, 3)
    assert verdicts == {
        ('bc', '', 0.0, 0.0): 'too narrow',
        ('sigma_bc', '', 0.0, 0.1): 'too narrow',
        ('sigma_bc', '', 0.0, 0.05): 'too narrow',
        ('sigma_bc', '', 0.0, 0.8): 'too broad',
        ('sigma_bc', 'auto', 0.0, matched): 'sound',
        ('post_bc', '', 0.5, 0.0): 'too narrow',
        ('post_bc', '', 1.0, 0.0): 'too narrow',  # shown although it is no arm of the setting
        ('post_bc', '', 8.0, 0.0): 'too broad',
        ('post_bc', 'auto', auto, 0.0): 'sound',
    }
    for row in found.values():
        assert len(row['coverage']) == len(row['levels']) == len(row['coverage_low']) == 10
        assert row['excess'] == pytest.approx(np.mean(row['coverage']) - np.mean(row['levels']))


def test_started_again_it_reads_what_it_wrote(calibrated):
    alphas, _, _, directory = calibrated
    assert calibration.calibrate(point(directory), None, None) == alphas


def test_steps_are_thinned_and_one_demonstration_is_refused(tmp_path, monkeypatch):
    data = learning()
    monkeypatch.setattr(calibration, 'MOST_STEPS', 100)
    steps = calibration.split(point(tmp_path), data).steps
    assert [sum(map(len, of)) for of in (steps[:FOLDS], steps[FOLDS:])] == pytest.approx([100, 100], abs=20)
    few = data._replace(mask=np.stack([data.windows.episode == 0, data.windows.episode < 3]).astype(np.float32))
    with pytest.raises(ValueError, match=r'^config\.subset=10: calibration leaves [^\n]* seed 0 has one'):
        calibration.split(point(tmp_path), few)
    two = data._replace(mask=np.stack([data.windows.episode < 2] * 2).astype(np.float32))
    assert [label['fold'] for label in calibration.split(point(tmp_path), two).labels] == [0, 1, 0, 1]
