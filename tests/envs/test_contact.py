"""The solver of contacts against closed forms and scipy, and what models it takes. Motions: test_lift_mjx."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from postbc_jax.envs import contact

BALL = """
<mujoco>
  <option integrator="{integrator}" cone="{cone}" timestep=".01"><flag eulerdamp="{damping}"/></option>
  <worldbody>
    <geom type="plane" size="1 1 1"/>
    <body pos="0 0 1">
      <joint type="slide" axis="0 0 1" frictionloss="{loss}"/>
      <geom size=".1" mass="2"/>
    </body>
  </worldbody>
</mujoco>"""
KNOWN = {'integrator': 'Euler', 'cone': 'pyramidal', 'damping': 'disable', 'loss': 0}


def problem(seed, n=6, m=12):
    random = np.random.default_rng(seed)
    root = random.normal(size=(n, n))
    mass = root @ root.T + 0.1 * np.eye(n)
    return mass, random.normal(size=n), random.normal(size=(m, n)), random.uniform(0.1, 10, m), random.normal(size=m)


@pytest.mark.parametrize('n', [1, 2, 11])
def test_solve_is_numpys(n):
    mass, force, *_ = problem(n, n)
    np.testing.assert_allclose(contact.solve(jnp.asarray(mass), jnp.asarray(force)), np.linalg.solve(mass, force), 1e-3)


@pytest.mark.parametrize(('reference', 'expected'), [(-2.0, 1.5), (4.0, (3 + 5 * 4) / (2 + 5))])
def test_one_constraint_is_a_spring_that_only_pushes(reference, expected):
    """Mass 2, force 3, stiffness 5: a = 1.5 where that is allowed, else the minimum of both quadratics."""
    one = jnp.ones(1)
    a = contact.constrained(2 * one[None], 3 * one, one[None], 5 * one, reference * one, 100 * one)
    np.testing.assert_allclose(a, [expected], rtol=1e-5)


@pytest.mark.parametrize('seed', range(8))
def test_many_constraints_are_scipys_minimum(seed, monkeypatch):
    monkeypatch.setattr(contact, 'ITERATIONS', 12)
    mass, force, jacobian, stiffness, reference = arrays = problem(seed)

    def cost(a):
        return a @ mass @ a / 2 - a @ force + stiffness @ np.minimum(jacobian @ a - reference, 0) ** 2 / 2

    expected = optimize.minimize(cost, np.zeros(6), method='BFGS', options={'gtol': 1e-8}).x
    found = contact.constrained(*map(jnp.asarray, arrays), jnp.zeros(6))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert (jacobian @ expected < reference).any()  # some of the constraints push


def test_a_ball_falls_freely_and_then_rests():
    physics = contact.Physics(BALL.format(**KNOWN))
    step = jax.jit(physics.step)
    start = physics.start(jnp.zeros(1))
    n = jnp.int32(20)
    fallen = step(start, jnp.zeros(0), n)
    np.testing.assert_allclose(fallen.qpos, [-9.81 * 0.01**2 * 20 * 21 / 2], rtol=1e-5)
    np.testing.assert_allclose(fallen.qvel, [-9.81 * 0.2], rtol=1e-5)
    rested = step(start, jnp.zeros(0), jnp.int32(400))
    np.testing.assert_allclose(rested.qpos, [-0.9], atol=2e-3)  # its radius above the plane
    np.testing.assert_allclose(rested.qvel, [0.0], atol=1e-4)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'integrator': 'implicitfast'}, 'integrator Euler'),
        ({'damping': 'enable'}, 'eulerdamp disable'),
        ({'cone': 'elliptic'}, 'cone pyramidal'),
        ({'loss': 1}, 'frictionloss'),
    ],
)
def test_models_that_the_solver_does_not_know_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        contact.Physics(BALL.format(**KNOWN | change))
