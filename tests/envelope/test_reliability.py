"""Verdicts by region: broad in one and narrow in another are told apart, where the whole is in between."""

import numpy as np
import pytest

from postbc_jax.envelope import reliability
from postbc_jax.posterior import calibration


def held(rng, scale):
    """40 trajectories of 10 standard normal chunks; draws `scale` times as wide, by step."""
    chunks = rng.normal(size=(400, 1, 2))
    base = scale[:, None, None, None] * rng.normal(size=(400, 64, 1, 2))
    return calibration.HeldOut(chunks, base, np.zeros_like(base), np.ones_like(chunks), np.repeat(np.arange(40), 10))


def test_each_region_has_its_own_verdict():
    region = np.tile(np.repeat([0, 1, 2], [4, 4, 2]), 40)
    found = held(np.random.default_rng(1), np.array([2.0, 0.5, 1.0])[region])
    broad, narrow, sound, none = reliability.by_region(found, region, 4)
    assert (broad.verdict, narrow.verdict, sound.verdict) == ('too broad', 'too narrow', 'sound')
    assert none is None
    own = calibration.HeldOut(*(array[region == 0] for array in found))
    np.testing.assert_array_equal(broad.coverage.value, calibration.curve(own, 0.0).coverage.value)


def test_every_state_needs_a_region():
    with pytest.raises(ValueError, match=r'\(3,\) regions of \(400,\) states'):
        reliability.by_region(held(np.random.default_rng(0), np.ones(400)), np.zeros(3, int), 1)
