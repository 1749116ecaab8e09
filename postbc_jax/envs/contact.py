"""MuJoCo's contact physics in JAX: MJX's kinematics, collisions and constraint rows, and a Newton solver of our own.

Below the tasks with physics. MJX's own step would do but for its solver, which factors matrices by LAPACK: that takes
half of the time on a CPU, and with jaxlib 0.10.2 (the newest on Python 3.11) batched factorisations that run side by
side can wait for each other's threads for ever: on two cores, two of 700 matrices each do. NPROC=8 in the environment
gives jax threads enough.
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from flax import struct
from mujoco import mjx

ITERATIONS = 5  # of Newton: a grasp converges; 1 in 100 steps of random pushing is off by more than 1 mm/s


@struct.dataclass
class Motion:
    """All that moves: qpos (nq,), qvel (nv,), and qacc (nv,), the last acceleration, from which the solver starts."""

    qpos: jax.Array
    qvel: jax.Array
    qacc: jax.Array


class Physics:
    """A MuJoCo model and how it moves in one time step.

    The model has soft contacts and joint limits and no other constraints, a pyramidal cone, the Euler integrator and
    `eulerdamp` disabled: damping is explicit, so a joint's damping times the time step must stay below its inertia.
    """

    def __init__(self, xml: str):
        """Args: xml, a model in MuJoCo's format.

        Raises:
          ValueError: not a model, or one with options or constraints that the solver does not know.
        """
        model = mujoco.MjModel.from_xml_string(xml)
        option = model.opt
        explicit = option.disableflags & mujoco.mjtDisableBit.mjDSBL_EULERDAMP
        euler = option.integrator == mujoco.mjtIntegrator.mjINT_EULER and explicit
        if not euler or option.cone != mujoco.mjtCone.mjCONE_PYRAMIDAL:
            raise ValueError('Physics: the model must choose integrator Euler, eulerdamp disable and cone pyramidal')
        if model.neq or model.dof_frictionloss.any() or model.tendon_frictionloss.any():
            raise ValueError('Physics: the model has equalities or frictionloss, which the solver does not know')
        self.model = model
        self._model, self._data = mjx.put_model(model, impl='jax'), mjx.make_data(model, impl='jax')

    def start(self, qpos: jax.Array) -> Motion:
        """At rest at qpos (nq,)."""
        still = jnp.zeros(self.model.nv)
        return Motion(qpos, still, still)

    def step(self, motion: Motion, ctrl: jax.Array, steps: int = 1) -> Motion:
        """`steps` time steps under constant controls (nu,)."""
        return jax.lax.fori_loop(0, steps, lambda _, motion: self._step(motion, ctrl), motion)

    def _step(self, motion: Motion, ctrl: jax.Array) -> Motion:
        model, data = self._model, self._data.replace(qpos=motion.qpos, qvel=motion.qvel, ctrl=ctrl)
        for part in (
            mjx.kinematics,
            mjx.com_pos,
            mjx.crb,
            mjx.collision,
            mjx.make_constraint,
            mjx.transmission,
            mjx.fwd_velocity,
            mjx.fwd_actuation,
        ):
            data = part(model, data)
        rows = data._impl
        qacc = constrained(
            mjx.full_m(model, data),
            data.qfrc_passive - data.qfrc_bias + data.qfrc_actuator,
            rows.efc_J,
            rows.efc_D,
            rows.efc_aref,
            motion.qacc,
        )
        data = mjx.euler(model, data.replace(qacc=qacc))
        return Motion(data.qpos, data.qvel, qacc)


def constrained(
    mass: jax.Array,
    force: jax.Array,
    jacobian: jax.Array,
    stiffness: jax.Array,
    reference: jax.Array,
    start: jax.Array,
) -> jax.Array:
    """The acceleration a that minimises 1/2 a'Ma - a'f + 1/2 sum_i D_i min((Ja - r)_i, 0)^2.

    MuJoCo's soft inequality constraints (the manual's chapter on computation), by Newton's method with whole steps: the
    function is quadratic wherever the same constraints push, and a line search was seen to take more iterations.

    Args:
      mass: M (n, n); force: f (n,).
      jacobian: J (m, n); stiffness: D (m,); reference: r (m,). Unused rows of J are zeros.
      start: (n,), where Newton's method starts; without contacts any start gives M^-1 f.

    Returns:
      (n,).
    """

    def newton(_, a):
        residual = jacobian @ a - reference
        active = stiffness * (residual < 0)
        gradient = mass @ a - force + jacobian.T @ (active * residual)
        return a - solve(mass + (jacobian.T * active) @ jacobian, gradient)

    return jax.lax.fori_loop(0, ITERATIONS, newton, start)


def solve(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """matrix^-1 vector for a positive definite matrix (n, n), n small: Gauss-Jordan elimination without pivots."""
    n = len(vector)
    rows = jnp.column_stack([matrix, vector])
    for i in range(n):
        others = jnp.where(np.arange(n) == i, rows[i, i] - 1.0, rows[:, i])
        rows = rows - jnp.outer(others, rows[i] / rows[i, i])
    return rows[:, -1]
