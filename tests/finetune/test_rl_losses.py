import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.finetune import losses


@pytest.mark.parametrize(
    ('ratio', 'advantage', 'expected'),
    [(1.1, 2.0, -2.2), (1.5, 2.0, -2.4), (0.5, 2.0, -1.0), (1.5, -2.0, 3.0), (0.5, -2.0, 1.6)],
)
def test_clipped_surrogate_by_hand(ratio, advantage, expected):
    loss = losses.clipped_surrogate(jnp.log(ratio) - 1.0, jnp.float32(-1.0), jnp.float32(advantage), clip=0.2)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_clipped_surrogate_has_no_gradient_beyond_the_clip():
    slope = jax.grad(lambda x: losses.clipped_surrogate(x, jnp.float32(0.0), jnp.float32(1.0), clip=0.2))
    assert slope(jnp.log(1.3)) == 0.0
    np.testing.assert_allclose(slope(jnp.log(1.1)), -1.1, rtol=1e-5)


def test_kl_estimate_averages_to_the_divergence():
    old = np.random.default_rng(0).standard_normal(100_000)  # N(0, 1) against N(.5, 1): KL = .125
    log_prob, old_log_prob = -0.5 * (old - 0.5) ** 2, -0.5 * old**2
    estimates = jax.vmap(losses.kl_estimate)(jnp.asarray(log_prob), jnp.asarray(old_log_prob))
    assert estimates.min() >= 0
    np.testing.assert_allclose(estimates.mean(), 0.125, atol=0.003)


def test_clips_rise_from_the_base_to_the_last_steps():
    clips = losses.clip_schedule(0.2, 0.01, 3)  # at t = 1/2 by (e^1.5 - 1) / (e^3 - 1) = .182426 of the way
    np.testing.assert_allclose(clips, [0.01, 0.01 + 0.19 * 0.182426, 0.2], rtol=1e-5)
    np.testing.assert_allclose(losses.clip_schedule(0.2, 0.01, 1), [0.2], rtol=1e-6)


def test_denoising_discounts_leave_the_last_step_whole():
    np.testing.assert_allclose(losses.denoising_discounts(0.9, 3), [0.81, 0.9, 1.0], rtol=1e-6)


@pytest.mark.parametrize(('error', 'expected'), [(2.0, 3.6), (-2.0, 0.4), (0.0, 0.0)])
def test_expectile_by_hand(error, expected):
    np.testing.assert_allclose(losses.expectile(jnp.float32(error), 0.9), expected, rtol=1e-6)


@pytest.mark.parametrize('tau', [0.5, 0.7, 0.9])
def test_expectile_is_least_at_the_expectile(tau):
    """Of a coin that pays 1 with chance p = .3: tau p / (tau p + (1 - tau)(1 - p))."""
    v = jnp.linspace(0.0, 1.0, 1001)
    loss = 0.3 * jax.vmap(lambda v: losses.expectile(1 - v, tau))(v) + 0.7 * jax.vmap(
        lambda v: losses.expectile(-v, tau)
    )(v)
    np.testing.assert_allclose(v[jnp.argmin(loss)], tau * 0.3 / (tau * 0.3 + (1 - tau) * 0.7), atol=2e-3)


def test_value_target_is_clipped_and_has_no_gradient():
    def target(v):
        return losses.value_target(jnp.float32(1.0), jnp.float32(0.9), v, -3.0, 3.0)

    np.testing.assert_allclose([target(jnp.float32(v)) for v in (1.0, 5.0, -9.0)], [1.9, 3.0, -3.0], rtol=1e-6)
    assert jax.grad(target)(jnp.float32(1.0)) == 0.0


@pytest.mark.parametrize(('low', 'high', 'expected'), [(-10.0, 10.0, 2.89), (-10.0, 2.5, 2.5), (3.0, 10.0, 3.0)])
def test_soft_target_by_hand(low, high, expected):
    scalars = [jnp.float32(x) for x in (1.0, 0.9, -0.5, 0.2)]
    reward, discount, log_prob, temperature = scalars
    target = losses.soft_target(reward, discount, jnp.array([3.0, 2.0]), log_prob, temperature, low, high)
    np.testing.assert_allclose(target, expected, rtol=1e-6)  # 1 + .9 (2 + .2 x .5)


def test_soft_target_of_a_terminal_step_is_its_reward():
    q, zero = jnp.array([30.0, 20.0]), jnp.float32(0.0)
    assert losses.soft_target(jnp.float32(1.0), zero, q, jnp.float32(-0.5), jnp.float32(0.2), -9.0, 9.0) == 1.0


def test_soft_policy_takes_the_smaller_critic():
    loss = losses.soft_policy(jnp.array([3.0, 2.0]), jnp.float32(-0.5), jnp.float32(0.2))
    np.testing.assert_allclose(loss, -0.1 - 2.0, rtol=1e-6)


def test_temperature_rises_while_entropy_is_below_target():
    def slope(entropy):
        return jax.grad(losses.temperature_loss)(jnp.float32(0.3), jnp.float32(-entropy), 1.0)

    assert slope(entropy=0.5) < 0 < slope(entropy=1.5)


def test_losses_refuse_batches():
    with pytest.raises(AssertionError):
        losses.clipped_surrogate(jnp.zeros(3), jnp.zeros(3), jnp.zeros(3), 0.2)
