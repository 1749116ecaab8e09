"""Bootstrap counts and draws: sums, masks, expected frequencies within 4 standard errors, and float32's edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.data import bootstrap

LENGTHS = np.array([4, 1, 6, 3, 2])
EPISODE = np.repeat(np.arange(5), LENGTHS)
MASK = np.array([1, 0, 1, 1, 1], np.float32)[EPISODE]
FULL = np.ones_like(MASK)
STARTS = np.searchsorted(EPISODE, np.arange(5))
RUNS = 4000


@pytest.fixture(scope='module')
def many():
    """Counts of 4000 resamples under either mask: name -> (mask, counts (RUNS, N))."""
    keys = jax.random.split(jax.random.key(0), RUNS)
    trajectories = jax.jit(jax.vmap(lambda k, m: bootstrap.trajectories(k, EPISODE, m, 5), in_axes=(0, None)))
    pairs = jax.jit(jax.vmap(bootstrap.pairs, in_axes=(0, None)))
    return {
        f'{name} {label}': (mask, np.asarray(f(keys, mask)))
        for name, f in {'trajectories': trajectories, 'pairs': pairs}.items()
        for label, mask in {'masked': MASK, 'full': FULL}.items()
    }


@pytest.mark.parametrize('label', ['masked', 'full'])
def test_trajectory_counts(many, label):
    mask, counts = many[f'trajectories {label}']
    held = mask[STARTS].sum()
    of_episodes = counts[:, STARTS]
    np.testing.assert_array_equal(counts, of_episodes[:, EPISODE])  # constant within an episode
    np.testing.assert_array_equal(of_episodes.sum(1), held)  # as many as the mask holds
    assert not counts[:, mask == 0].any()
    assert (of_episodes == 2).any()  # with replacement


@pytest.mark.parametrize('label', ['masked', 'full'])
def test_pair_counts(many, label):
    mask, counts = many[f'pairs {label}']
    np.testing.assert_array_equal(counts.sum(1), mask.sum())
    np.testing.assert_array_equal(counts, np.round(counts))
    assert not counts[:, mask == 0].any()


@pytest.mark.parametrize('name', ['trajectories masked', 'trajectories full', 'pairs masked', 'pairs full'])
def test_counts_are_multinomial(many, name):
    """m draws among m: mean 1, variance 1 - 1/m, covariance -1/m."""
    mask, counts = many[name]
    counts = (counts[:, STARTS] if name.startswith('trajectories') else counts)[
        :, mask[STARTS] > 0 if 'traj' in name else mask > 0
    ]
    m = counts.shape[1]
    variance = 1 - 1 / m
    assert np.abs(counts.mean(0) - 1).max() < 4 * np.sqrt(variance / RUNS)
    squares = (counts - 1) ** 2
    assert np.abs(squares.mean(0) - variance).max() < 4 * squares.std(0).max() / np.sqrt(RUNS)
    products = (counts[:, 0] - 1) * (counts[:, 1] - 1)
    assert abs(products.mean() + 1 / m) < 4 * products.std() / np.sqrt(RUNS)


def test_empty_mask_counts_nothing():
    key = jax.random.key(0)
    assert not bootstrap.pairs(key, jnp.zeros(16)).any()
    assert not bootstrap.trajectories(key, EPISODE, jnp.zeros(16), 5).any()


def test_a_mask_of_steps_keeps_to_its_steps():
    mask = np.zeros(16, np.float32)
    mask[[0, 1, 5, 6]] = 1  # parts of episodes 0 and 2
    keys = jax.random.split(jax.random.key(4), 20)
    for counts in (
        jax.vmap(lambda k: bootstrap.trajectories(k, EPISODE, mask, 5))(keys),
        jax.vmap(lambda k: bootstrap.pairs(k, mask))(keys),
    ):
        assert not np.asarray(counts)[:, mask == 0].any()
        assert np.asarray(counts)[:, mask == 1].any(0).all()


def test_masks_may_be_boolean():
    key = jax.random.key(3)
    np.testing.assert_array_equal(bootstrap.pairs(key, MASK > 0), bootstrap.pairs(key, MASK))
    masks = (MASK > 0, MASK)
    a, b = (bootstrap.trajectories(key, EPISODE, mask, 5) for mask in masks)
    np.testing.assert_array_equal(a, b)
    assert a.dtype == np.float32


def test_subsets_are_of_their_size_nested_and_uniform():
    def members(key, size):
        return bootstrap.subset(key, EPISODE, 5, size)

    keys = jax.random.split(jax.random.key(1), RUNS)
    two, three = (np.asarray(jax.vmap(lambda k, s=s: members(k, s))(keys)) for s in (2, 3))
    np.testing.assert_array_equal(two, two[:, STARTS][:, EPISODE])
    np.testing.assert_array_equal(two[:, STARTS].sum(1), 2)
    np.testing.assert_array_equal(three[:, STARTS].sum(1), 3)
    assert (two <= three).all()
    share = two[:, STARTS].mean(0)
    assert np.abs(share - 2 / 5).max() < 4 * np.sqrt(2 / 5 * 3 / 5 / RUNS)
    np.testing.assert_array_equal(members(keys[0], 5), 1)
    for size in (0, 6):
        with pytest.raises(ValueError, match=f'size={size}.* 5 '):
            members(keys[0], size)


def test_draw_is_the_inverse_cdf_by_hand():
    cumulative = bootstrap.cumulative(jnp.array([0, 2, 0, 0, 1, 1, 0], jnp.float32))
    np.testing.assert_array_equal(cumulative, [0, 2, 2, 2, 3, 4, 4])
    uniforms = jnp.array([0, 0.49, 0.5, 0.74, 0.75, 0.99])
    np.testing.assert_array_equal(bootstrap.draw(uniforms, cumulative), [1, 1, 4, 4, 5, 5])


def test_draw_frequencies():
    counts = np.array([0, 3, 1, 0, 0, 2, 4, 0], np.float32)
    n = 40_000
    uniforms = jax.random.uniform(jax.random.key(2), (n,))
    indices = bootstrap.draw(uniforms, bootstrap.cumulative(jnp.asarray(counts)))
    assert indices.dtype == jnp.int32
    share, expected = np.bincount(indices, minlength=8) / n, counts / counts.sum()
    assert (np.abs(share - expected) <= 4 * np.sqrt(expected * (1 - expected) / n)).all()


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('whole', [True, False])
def test_a_step_of_count_zero_is_never_drawn(seed, whole):
    """Also at u = 0, at the last float32 below 1, next to every sum, and for weights whose sums are rounded."""
    rng = np.random.default_rng(seed)
    n = 30_011
    weights = rng.integers(1, 5, n) if whole else rng.lognormal(sigma=4, size=n)
    counts = np.where(rng.uniform(size=n) < 0.7, 0, weights).astype(np.float32)
    counts[0] = counts[-50:] = 0
    cumulative = bootstrap.cumulative(jnp.asarray(counts))
    total = np.asarray(cumulative)[-1]
    near = (np.asarray(cumulative) / total).astype(np.float32)
    zero, one = np.float32(0), np.float32(1)
    edges = [zero, np.nextafter(one, zero), np.float32(1e-45), np.float32(2**-23)]
    uniforms = np.concatenate([edges, near, np.nextafter(near, zero), np.nextafter(near, one)])
    uniforms = np.clip(uniforms, 0, np.nextafter(one, zero)).astype(np.float32)
    indices = np.asarray(bootstrap.draw(jnp.asarray(uniforms), cumulative))
    assert (counts[indices] > 0).all()
    assert (np.diff(np.asarray(cumulative)) >= 0).all()
    if whole:  # below 2^24 every sum is exact
        np.testing.assert_array_equal(cumulative, np.cumsum(counts.astype(np.int64)))


@pytest.mark.parametrize('total', [1.0, 3.0, 16_777_215.0, 2e-38])
def test_a_uniform_that_rounds_to_1_draws_the_last_counted_step(total):
    u = jnp.array([np.nextafter(np.float32(1), np.float32(0)), 1.0])
    cumulative = bootstrap.cumulative(jnp.array([0, total, 0], jnp.float32))
    np.testing.assert_array_equal(bootstrap.draw(u, cumulative), [1, 1])


@pytest.mark.parametrize('count', [2, 3, 4])
def test_folds_hold_whole_demonstrations_each_in_one(count):
    for key in jax.random.split(jax.random.key(0), 20):
        parts = np.asarray(bootstrap.folds(key, EPISODE, 5, MASK, count))
        np.testing.assert_array_equal(parts.sum(axis=0), MASK)  # all that is held, once
        whole = parts[:, STARTS]
        np.testing.assert_array_equal(parts, whole[:, EPISODE])  # no trajectory is in two
        assert set(whole.sum(axis=1)) <= {4 // count, -(-4 // count)}


def test_folds_are_dealt_out_at_random_and_must_be_possible():
    keys = jax.random.split(jax.random.key(0), 400)
    for count in (1, 5):
        with pytest.raises(ValueError, match=f'folds={count}: 4 demonstrations can be left out in 2 to so many parts'):
            bootstrap.folds(keys[0], EPISODE, 5, MASK, count)
    first = np.array([bootstrap.folds(key, EPISODE, 5, FULL, 5)[0, STARTS] for key in keys])
    np.testing.assert_allclose(first.mean(axis=0), 1 / 5, atol=4 * np.sqrt(0.16 / 400))
