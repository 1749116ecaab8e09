"""Rotations of the kinematic tasks without trigonometry: unit quaternions (xyzw) and half-angle vectors.

A half-angle (Gibbs) vector h = tan(angle/2) * axis is a rotation: the unit quaternion (h, 1) / sqrt(1 + |h|^2). Taking
h = rotation vector / 2 agrees with the exponential map to second order and is exactly orthogonal.
"""

import jax
import jax.numpy as jnp
import numpy as np

DOWN = np.array([1.0, 0.0, 0.0, 0.0], np.float32)  # a hand that points down: half a turn about x


def yaw(tangent: jax.Array) -> jax.Array:
    """The quaternion (4,) of a turn about z by 2 atan(tangent)."""
    zero = jnp.zeros_like(tangent)
    return jnp.stack([zero, zero, tangent, jnp.ones_like(tangent)]) * jax.lax.rsqrt(1 + tangent**2)


def multiply(a: jax.Array, b: jax.Array) -> jax.Array:
    """The Hamilton product a b: first b, then a; (4,) each."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return jnp.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def conjugate(q: jax.Array) -> jax.Array:
    """The inverse of a unit quaternion (4,)."""
    return q * jnp.array([-1.0, -1.0, -1.0, 1.0])


def turn(h: jax.Array, q: jax.Array) -> jax.Array:
    """q (4,) turned about world axes by the half-angle vector h (3,); renormalised, so that rounding never adds up."""
    turned = multiply(jnp.append(h, 1.0), q)
    return turned * jax.lax.rsqrt(turned @ turned)


def rotate_half(h: jax.Array, v: jax.Array) -> jax.Array:
    """v (3,) rotated by the half-angle vector h (3,): v + 2 (h x v + h x (h x v)) / (1 + |h|^2)."""
    once = _cross(h, v)
    return v + (2 / (1 + h @ h)) * (once + _cross(h, once))


def rotate(q: jax.Array, v: jax.Array) -> jax.Array:
    """v (3,) rotated by the unit quaternion q (4,): v + 2 (w u x v + u x (u x v)), u the vector part."""
    once = _cross(q[:3], v)
    return v + 2 * (q[3] * once + _cross(q[:3], once))


def within(a: jax.Array, b: jax.Array, angle: float) -> jax.Array:
    """Whether the rotation from one unit quaternion (4,) to the other is less than `angle` (rad)."""
    return jnp.abs(a @ b) > np.cos(angle / 2)


def error(target: jax.Array, q: jax.Array) -> jax.Array:
    """The half-angle vector (3,), to first order, of the shorter world turn that brings q (4,) to target (4,)."""
    relative = multiply(target, conjugate(q))
    return relative[:3] * jnp.where(relative[3] < 0, -1.0, 1.0)


def _cross(a: jax.Array, b: jax.Array) -> jax.Array:
    ax, ay, az = a
    bx, by, bz = b
    return jnp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
