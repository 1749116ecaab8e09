"""The share of wild chunks that an envelope catches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.envelope import wild
from postbc_jax.envelope.contexts import Context, Contexts
from tests.envelope import guides

TWO = Contexts((Context('left', 0, below=0.0),))


def test_it_is_the_share_of_the_range_that_lies_beyond_the_radius():
    """Six entries uniform in [-1, 1] about a centre of -.5 or .5: their distance is drawn here too."""
    rng = np.random.default_rng(0)
    distances = np.sqrt(np.mean(np.square((rng.uniform(-1, 1, (200_000, 6)) - 0.5) / guides.STD), axis=1))
    radius = np.quantile(distances, [0.1, 0.6])  # by symmetry those of the left state too
    made = guides.envelope(TWO, radius=jnp.asarray(radius, jnp.float32))
    obs = np.repeat([[-0.5, 0.0], [0.5, 0.0]], 2000, axis=0).astype(np.float32)
    shares = wild.caught(made, obs, jax.random.key(0))
    error = np.sqrt(0.25 / (2000 * wild.DRAWS))
    assert shares.shape == (4000,)
    assert shares[:2000].mean() == pytest.approx(0.9, abs=4 * error)
    assert shares[2000:].mean() == pytest.approx(0.4, abs=4 * error)


def test_a_tight_envelope_catches_all_and_a_loose_one_none():
    obs = np.zeros((3, 2), np.float32)
    for radius, share in ((0.0, 1.0), (1e3, 0.0)):
        made = guides.envelope(radius=jnp.array([radius]))
        np.testing.assert_array_equal(wild.caught(made, obs, jax.random.key(1)), [share] * 3)
