import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from postbc_jax.finetune import actor
from postbc_jax.finetune.actor import ActorConfig

LOC, STD = jnp.array([0.3, -0.2]), jnp.array([0.8, 1.2])


def config(distribution, **kwargs):
    return ActorConfig(distribution, 2, **({'bound': 1.5, 'hidden': (8,), 'activation': 'tanh'} | kwargs))


def test_gaussian_log_prob_is_scipys():
    raw = np.array([2.0, -1.0])
    expected = stats.norm(LOC, STD).logpdf(raw).sum()
    np.testing.assert_allclose(actor.log_prob(config('gaussian'), LOC, STD, raw), expected, rtol=1e-5)


def test_squashed_density_integrates_to_one_over_the_unit_square():
    grid = np.linspace(-7, 7, 141)
    raw = jnp.asarray(np.stack(np.meshgrid(grid, grid), -1), jnp.float32)
    log_prob = jax.vmap(jax.vmap(lambda u: actor.log_prob(config('squashed'), LOC, STD, u)))(raw)
    area = np.prod(1 / np.cosh(raw) ** 2, axis=-1)  # of tanh(raw), for each unit of raw
    total = integrate.trapezoid(integrate.trapezoid(jnp.exp(log_prob) * area, grid), grid)
    assert total == pytest.approx(1.0, abs=1e-3)


def test_draw_reports_the_density_of_what_it_drew():
    for name in ('gaussian', 'squashed'):
        params = actor.init(config(name), jax.random.key(0), 3)
        obs, normal = jnp.ones(3), jnp.array([0.5, -2.5])
        drawn = actor.draw(config(name), params, obs, normal)
        loc, std = actor.parameters(config(name), params, obs)
        np.testing.assert_allclose(drawn.raw, loc + std * normal)
        np.testing.assert_allclose(drawn.log_prob, actor.log_prob(config(name), loc, std, drawn.raw))
        np.testing.assert_allclose(std, 1.0, atol=0.03)
        assert (jnp.abs(drawn.noise) <= 1.5).all()
