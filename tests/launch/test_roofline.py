"""Estimates in closed form: FLOP of traced programs, and what bounds a call."""

import jax
import jax.numpy as jnp
import pytest

from launch import roofline
from launch.compiled import Collective

X, W = jnp.ones((3, 5)), jnp.ones((5, 7))
ONE = 2 * 3 * 5 * 7


def flops(function, *arguments):
    return roofline.matmul_flops(jax.make_jaxpr(function)(*arguments).jaxpr)


@pytest.mark.parametrize(
    ('function', 'expected'),
    [
        (lambda x, w: x + 1, 0),
        (lambda x, w: x @ w, ONE),
        (jax.jit(lambda x, w: x @ w), ONE),
        (jax.grad(lambda x, w: ((x @ w) ** 2).sum(), (0, 1)), 3 * ONE),
        (lambda x, w: jax.lax.scan(lambda c, _: (c @ w @ w.T, None), x, length=11)[0], 22 * ONE),
        (lambda x, w: jax.vmap(lambda x: x @ w)(jnp.stack([x] * 4)), 4 * ONE),
        (lambda x, w: jax.lax.cond(x.sum() > 0, lambda: x @ w @ w.T, lambda: x), 2 * ONE),
        (lambda x, w: jnp.matmul(x, w, precision='highest'), 6 * ONE),
        (lambda x, w: jnp.matmul(x, w, precision='high'), 3 * ONE),
    ],
)
def test_matmul_flops(function, expected):
    assert flops(function, X, W) == expected


CHIP = roofline.Chip(flops=1e12, hbm=1e9, bandwidth=1e11, ring=1e10, hertz=1e9)
GRADIENT = Collective('all-reduce', 'data', chips=4, bytes=10**6, times=10)


def test_an_estimate():
    found = roofline.estimate(CHIP, 3e9, 1e8, [GRADIENT], cycles=2_000_000)
    assert found.compute == pytest.approx(3e-3)
    assert found.memory == pytest.approx(1e-3)
    assert found.communication == pytest.approx(10 * 2 * (1e6 * 3 / 4 / 1e10 + 3e-6))
    assert found.compiler == pytest.approx(2e-3)
    assert found.seconds == pytest.approx(3e-3 + found.communication)


def test_what_is_gathered_goes_round_once():
    once = roofline.estimate(CHIP, 0, 0, [GRADIENT._replace(kind='all-gather')], 0)
    assert once.communication == pytest.approx(10 * (1e6 * 3 / 4 / 1e10 + 3e-6))


@pytest.mark.parametrize(
    ('flop', 'moved', 'collectives', 'cycles', 'bound'),
    [
        (1e9, 1e6, [], 0, 'compute'),
        (1e6, 1e9, [], 0, 'memory'),
        (1e6, 1e6, [GRADIENT], 0, 'communication'),
        (1e6, 1e6, [], 10**6, 'small operations'),
        (1e9, 1e6, [], 1_900_000, 'compute'),
    ],
)
def test_what_bounds(flop, moved, collectives, cycles, bound):
    assert roofline.estimate(CHIP, flop, moved, collectives, cycles).bound == bound


def test_without_a_clock_cycles_say_nothing():
    assert roofline.estimate(CHIP._replace(hertz=None), 1e9, 0, [], 10**9).compiler is None


def test_the_chips_clocks_are_those_that_are_public():
    """940 MHz of v5e would be another chip: cloud.google.com says v4 runs at 1050 MHz, and v5p at 1750."""
    assert roofline.CHIPS['v4'].hertz == pytest.approx(1.05e9, rel=0.01)
    assert roofline.CHIPS['v5p'].hertz == pytest.approx(1.75e9, rel=0.01)
    assert roofline.CHIPS['v5e'].hertz == pytest.approx(1.50e9, rel=0.01)
