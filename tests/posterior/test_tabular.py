"""The tabular estimators against the formulas as the paper writes them, and the lemma's bound by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.posterior import tabular

COUNTS = jnp.array([[[3, 1, 0], [0, 0, 0]], [[0, 0, 2], [1, 1, 0]]])  # (H, S, A) = (2, 2, 3)
N = np.asarray(COUNTS)
VISITS = N.sum(-1, keepdims=True)
ALPHA, LAMBDA = 0.25, 6.0


def test_bc_is_the_share_of_the_demonstrations_and_uniform_where_there_are_none():
    expected = [[[0.75, 0.25, 0], [1 / 3] * 3], [[0, 0, 1], [0.5, 0.5, 0]]]
    np.testing.assert_allclose(tabular.behavioural_cloning(COUNTS), expected, rtol=1e-6)


def test_the_posterior_has_the_priors_counts_added():
    np.testing.assert_allclose(tabular.posterior(COUNTS, LAMBDA), (N + LAMBDA / 3) / (VISITS + LAMBDA), rtol=1e-6)
    np.testing.assert_allclose(tabular.posterior(COUNTS, 3.0)[0, 0], [4 / 7, 2 / 7, 1 / 7], rtol=1e-6)  # add-one


def test_post_bc_mixes_bc_with_the_posterior_where_it_has_seen_something():
    bc, posterior = np.asarray(tabular.behavioural_cloning(COUNTS)), (N + LAMBDA / 3) / (VISITS + LAMBDA)
    expected = np.where(VISITS > 0, (1 - ALPHA) * bc + ALPHA * posterior, 1 / 3)
    np.testing.assert_allclose(tabular.post_bc(COUNTS, ALPHA, LAMBDA), expected, rtol=1e-6)


def test_uniform_mixing_has_one_weight():
    expected = 0.75 * np.asarray(tabular.behavioural_cloning(COUNTS)) + 0.25 / 3
    np.testing.assert_allclose(tabular.uniform_mixture(COUNTS, 0.25), expected, rtol=1e-6)


def test_in_one_state_post_bc_is_a_uniform_mixture():
    counts = jnp.array([[[47, 3, 0]]])
    weight = ALPHA * LAMBDA / (50 + LAMBDA)
    mixed, ours = tabular.uniform_mixture(counts, weight), tabular.post_bc(counts, ALPHA, LAMBDA)
    np.testing.assert_allclose(ours, mixed, rtol=0, atol=np.finfo(np.float32).eps)
    elsewhere = tabular.post_bc(COUNTS, ALPHA, LAMBDA)  # and of no weight where states were seen unequally often
    weights = 3 * np.asarray(elsewhere)[[0, 1], [0, 0], [2, 0]]
    assert weights[1] > 1.2 * weights[0]


def test_the_theorems_settings():
    log = np.log(2 * 50)
    assert tabular.theorem(4, 2, 50) == (1 / log, 4 * log)
    assert tabular.theorem(16, 2, 2) == (1 / 16, 16)
    assert tabular.theorem(3, 7, 2).alpha == 1 / 7
    with pytest.raises(ValueError, match='demonstrations=0: must all be at least 1'):
        tabular.theorem(3, 1, 0)


def test_coverage_is_the_least_ratio_over_what_the_demonstrator_plays():
    demonstrator = jnp.array([[[0.5, 0.5, 0.0]], [[0.0, 0.1, 0.9]]])
    policy = jnp.array([[[0.9, 0.1, 0.0]], [[0.0, 0.4, 0.6]]])
    np.testing.assert_allclose(tabular.coverage(policy, demonstrator), 0.1 / 0.5, rtol=1e-6)
    assert tabular.coverage(demonstrator, demonstrator) == 1


def test_the_bound_and_what_is_above_it_by_hand():
    demonstrator, settings, delta = jnp.array([[[0.96, 0.04]]]), tabular.Settings(0.5, 4.0), 0.1
    log = np.log(1 / 0.1)  # S H = 1
    bound = np.array([[[0.5 * 0.96 / (64 * log), 0.5 * 0.04 / (64 * log)]]])
    np.testing.assert_allclose(tabular.coverage_bound(demonstrator, settings, delta), bound, rtol=1e-6)
    np.testing.assert_allclose(tabular.coverage_bound(demonstrator, tabular.Settings(0.5, 1e4), delta), 0.5 / 2e4)
    policy = jnp.array([[[0.9999, 0.0001]]])
    np.testing.assert_allclose(
        tabular.above_bound(policy, demonstrator, settings, delta), 1e-4 / bound[0, 0, 1], rtol=1e-4
    )
    assert tabular.above_bound(policy, demonstrator, tabular.BC, delta) == np.inf
    assert tabular.above_bound(policy, demonstrator, tabular.uniform(0.5), delta) == np.inf
    with pytest.raises(ValueError, match='delta=1'):
        tabular.coverage_bound(demonstrator, settings, 1)
