"""Losses of one example against scipy and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from postbc_jax import losses

X = np.array([[0.1, -0.4], [2.0, 0.3]], np.float32)
MEAN = np.array([[0.0, -0.5], [1.5, 0.9]], np.float32)
STD = np.array([[0.2, 0.7], [1.3, 0.4]], np.float32)


def test_squared_error_by_hand():
    assert losses.squared_error(jnp.array([1.0, 2.0]), jnp.array([0.0, 5.0])) == 5.0


@pytest.mark.parametrize('std', [STD, STD[0], np.float32(0.3)], ids=['entry', 'dimension', 'one'])
def test_gaussian_log_prob_is_scipys(std):
    expected = stats.norm.logpdf(X, MEAN, std).sum()
    np.testing.assert_allclose(losses.gaussian_log_prob(X, MEAN, std), expected, rtol=1e-5)


def test_gaussian_nll_is_the_mean_over_entries():
    expected = -stats.norm.logpdf(X, MEAN, STD).mean()
    np.testing.assert_allclose(losses.gaussian_nll(MEAN, STD, X), expected, rtol=1e-5)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(AssertionError):
        losses.squared_error(jnp.zeros((2, 1)), jnp.zeros(2))
    with pytest.raises(AssertionError):
        losses.gaussian_nll(jnp.zeros((2, 1)), jnp.ones(()), jnp.zeros(2))
