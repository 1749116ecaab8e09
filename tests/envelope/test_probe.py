"""What the monitor measures, of policies and an envelope whose answers are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from scipy import stats

from postbc_jax import parallel
from postbc_jax.envelope.monitor import Measured
from postbc_jax.envelope.probe import probe
from tests.envelope.plain import Centre, Interval, Plain, guide

EPISODES, STATES, DRAWS = 32, 512, 16


def measure(policy, exploring, pretrained, envelope=None):
    """Measured of each learner; policies lead with the learners."""
    learners = len(policy.centre)
    mesh, learner = parallel.mesh(learners), P(parallel.LEARNER)
    keys = parallel.learner_keys(jax.random.key(0), [0] * learners, mesh)
    run = parallel.pmap(
        lambda *learner: probe(Centre(), *learner, EPISODES, STATES, DRAWS), mesh, (learner,) * 5, learner
    )
    return Measured(*parallel.gather(run(policy, exploring, pretrained, envelope, keys), learners))


def plain(centres, gains):
    return Plain(jnp.array(centres, jnp.float32), jnp.array(gains, jnp.float32))


@pytest.fixture(scope='module')
def without():
    """Pretrained: mean 0, spread .2. Learners: itself; shifted by .6; half as broad; shifted so that it fails."""
    centres, gains = [0.0, 0.6, 0.0, 3.0], [0.2, 0.2, 0.1, 0.2]
    return measure(plain(centres, [0.0] * 4), plain(centres, gains), plain([0.0] * 4, [0.2] * 4))


def test_spread_and_distance_are_in_units_of_the_pretrained_policy_where_no_envelope_was_fitted(without):
    np.testing.assert_allclose(without.spread, [1, 1, 0.5, 1], rtol=0.03)
    np.testing.assert_allclose(without.distance, [0, 3, 0, 15], rtol=0.03, atol=0.12)
    assert np.isnan(without.outside).all()


def test_success_is_of_the_policy_as_it_is_deployed(without):
    np.testing.assert_array_equal(without.success, [1, 0, 1, 0])


def test_with_an_envelope_they_are_in_its_units_and_what_leaves_it_is_counted():
    learners = jnp.arange(2)
    envelope = jax.vmap(lambda i: Interval(guide(), 0.4 + 0.0 * i))(learners)
    found = measure(plain([0, 0], [0, 0]), plain([0.0, 0.4], [0.2, 0.2]), plain([0, 0], [0.2, 0.2]), envelope)
    np.testing.assert_allclose(found.spread, 0.2 / np.log(2), rtol=0.03)
    np.testing.assert_allclose(found.distance, [0, 0.4 / np.log(2)], rtol=0.03, atol=0.04)
    outside = [2 * stats.norm.sf(2), stats.norm.sf(0) + stats.norm.cdf(-4)]
    np.testing.assert_allclose(found.outside, outside, atol=0.02)
