"""Quaternion arithmetic against scipy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from postbc_jax.envs import rotations


@pytest.fixture
def pair():
    return Rotation.random(2, random_state=0)


def close(quat, rotation):
    """Whether a quaternion is a scipy rotation, either sign."""
    np.testing.assert_allclose(Rotation.from_quat(np.asarray(quat)).as_matrix(), rotation.as_matrix(), atol=1e-5)


def test_product_is_first_the_right_factor(pair):
    close(rotations.multiply(*jnp.asarray(pair.as_quat())), pair[0] * pair[1])


def test_conjugate_is_the_inverse(pair):
    close(rotations.conjugate(jnp.asarray(pair.as_quat()[0])), pair[0].inv())


def test_rotate_applies_the_rotation(pair):
    v = np.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(rotations.rotate(jnp.asarray(pair.as_quat()[0]), v), pair[0].apply(v), atol=1e-5)


def test_turn_and_rotate_half_agree_with_the_exact_half_angle_rotation(pair):
    axis, angle = np.array([2.0, -1.0, 2.0]) / 3, 0.4
    h = jnp.asarray(np.tan(angle / 2) * axis)
    exact = Rotation.from_rotvec(angle * axis)
    close(rotations.turn(h, jnp.asarray(pair.as_quat()[0])), exact * pair[0])
    v = np.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(rotations.rotate_half(h, v), exact.apply(v), atol=1e-5)


def test_yaw_is_twice_the_arctangent():
    close(rotations.yaw(jnp.float32(0.4)), Rotation.from_rotvec([0, 0, 2 * np.arctan(0.4)]))


def test_error_turns_the_short_way_whatever_the_signs():
    target = Rotation.from_rotvec([0, 0, 0.2])
    for sign in (1.0, -1.0):
        h = rotations.error(sign * jnp.asarray(target.as_quat()), jnp.array([0.0, 0.0, 0.0, 1.0]))
        np.testing.assert_allclose(h, [0, 0, np.sin(0.1)], atol=1e-6)


def test_within_compares_the_angle_between():
    straight = jnp.array([0.0, 0.0, 0.0, 1.0])
    turned = -jnp.asarray(Rotation.from_rotvec([0.3, 0, 0]).as_quat())
    assert bool(rotations.within(turned, straight, 0.31))
    assert not bool(rotations.within(turned, straight, 0.29))
