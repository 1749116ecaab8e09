"""The noise of every arm as trained on and as played: which states of which seed they are of, and in which units."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch import scales
from launch.arms import Arm
from launch.demonstrations import Learning
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.policies import Policy, PolicyConfig, build

LENGTHS = (6, 4, 8)
SCALE = 3.0  # action units per normalised unit
FLOOR = 0.05


def learning():
    """Three episodes; the first seed has the first and the last, the second seed the middle one. obs 0 is the step."""
    n, starts = sum(LENGTHS), np.cumsum((0, *LENGTHS))
    episode = np.repeat(np.arange(3, dtype=np.int32), LENGTHS)
    windows = Windows(
        obs=np.stack([np.arange(n), np.ones(n)], axis=1).astype(np.float32),
        actions=np.zeros((n, 1), np.float32),
        last=(starts[episode + 1] - 1).astype(np.int32),
        time=(np.arange(n) - starts[episode]).astype(np.int32),
        episode=episode,
        chunk=2,
    )
    ones = np.ones(1, np.float32)
    scaling = Normaliser(-np.ones(2, np.float32), np.ones(2, np.float32), -SCALE * ones, SCALE * ones)
    mask = np.stack([episode != 1, episode == 1]).astype(np.float32)
    return Learning(windows, scaling, mask, np.zeros_like(mask), demos=None, path='')


def test_trained_noise_is_of_the_seeds_own_steps_and_ignores_rows_beyond_them():
    deviation = jnp.arange(14.0)[:, None, None] * jnp.ones((14, 2, 1))
    first, second = (scales.trained(learning(), deviation, seed) for seed in (0, 1))
    assert first['rms_normalised'] == pytest.approx(np.sqrt(np.mean(np.arange(14) ** 2)))
    assert second['rms_normalised'] == pytest.approx(np.sqrt((0 + 1 + 4 + 9) / 4))
    assert second['rms'] == pytest.approx(SCALE * second['rms_normalised']) and len(second['rms_over_time']) == 10


def test_the_numbers_that_are_a_seeds_own():
    deviation = (1.0 + jnp.arange(14.0))[:, None, None] * jnp.ones((14, 2, 1))
    auto, rms, twin = (Arm('post_bc', alpha_by='auto'), Arm('post_bc', alpha_by='rms'), Arm('sigma_bc', alpha_by='rms'))
    of = lambda arm, seed=1: scales.at_seed(arm, learning(), deviation, seed, auto=0.62, rms=0.1)  # noqa: E731
    assert of(auto) == auto._replace(alpha=0.62)
    at_one = [scales.trained(learning(), deviation, seed)['rms'] for seed in (0, 1)]
    for seed in (0, 1):
        assert of(rms, seed).alpha * at_one[seed] == pytest.approx(0.1, rel=1e-12)
        found = scales.trained(learning(), of(rms, seed).alpha * deviation, seed)['rms']
        assert found == pytest.approx(0.1, rel=1e-6)
    assert of(rms, 0).alpha != of(rms, 1).alpha
    assert of(twin).matched_alpha == of(rms).alpha and of(twin).sigma == pytest.approx(0.1 / SCALE, rel=1e-6)
    fixed = Arm('sigma_bc', matched_alpha=2.0)
    assert of(fixed).sigma == pytest.approx(2 * at_one[1] / SCALE, rel=1e-6) and of(Arm('bc')) == Arm('bc')
    with pytest.raises(ValueError, match=r'rms=0\.0: no weight makes 0\.1 of noise that is 0'):
        scales.at_seed(rms, learning(), 0 * deviation, 0, auto=0.62, rms=0.1)


def stack():
    """Two Gaussian policies whose std is FLOOR + softplus(obs 0), and FLOOR + softplus(obs 0 / 2)."""
    config = PolicyConfig('gaussian', 2, 1, chunk=2, hidden=(1,), min_std=FLOOR)
    params = jax.tree.map(jnp.zeros_like, build(config).init(jax.random.key(0)))
    params['params']['Dense_0']['kernel'] = jnp.array([[1.0], [0.0]])
    out = jnp.array([[0.0, 0.0, 1.0, 1.0]])
    params = jax.tree.map(lambda x: jnp.stack([x, x]), params)
    params['params']['Dense_1']['kernel'] = jnp.stack([out, out / 2])
    return Policy(params, jax.tree.map(lambda x: jnp.stack([x, x]), learning().normaliser), config)


@pytest.mark.parametrize('most', [512, 3])
def test_played_noise_is_that_of_each_policy_at_its_seeds_states(monkeypatch, most):
    monkeypatch.setattr(scales, 'MOST_STATES', most)
    keys = SimpleNamespace(key=lambda purpose: jax.random.key(['noise'].index(purpose)))
    found = scales.played(keys, learning(), [{'seed': 1}, {'seed': 0}], stack())
    states = [np.arange(6, 10), np.r_[0:6, 10:18]]
    count = min(most, 4)  # of the seed that has fewest
    for row, at, weight in zip(found, states, (1, 0.5), strict=True):
        at = at[np.linspace(0, len(at) - 1, count).astype(int)]
        rms = np.sqrt(np.mean((FLOOR + np.log1p(np.exp(weight * at))) ** 2))
        np.testing.assert_allclose(row['rms_played_normalised'], rms, rtol=4 / np.sqrt(2 * 15 * 2 * count))
        assert row['rms_played'] == pytest.approx(SCALE * row['rms_played_normalised'])


def test_arms_of_a_seed_are_decoded_from_the_same_noise():
    keys = SimpleNamespace(key=lambda purpose: jax.random.key(0))
    policies = jax.tree.map(lambda x: x[jnp.array([0, 0, 0])], stack())
    same, again, other = scales.played(keys, learning(), [{'seed': 0}, {'seed': 0}, {'seed': 1}], policies)
    assert same == again != other
