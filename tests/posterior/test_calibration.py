"""Calibration against closed forms: ranks by hand, Gaussian demonstrators, a linear ensemble, and what is monotone."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats as scipy_stats

from postbc_jax.posterior import calibration, gaussian
from postbc_jax.posterior.calibration import LEVELS, HeldOut

DRAWS = 64
RNG = np.random.default_rng


def held_out(rng, n, error, spread, noise):
    """Held-out actions at distance N(0, error^2) from BC's centre, BC's draws and the noise with those deviations."""
    normal = lambda scale, *shape: (scale * rng.normal(size=shape)).astype(np.float32)  # noqa: E731
    base, noise = normal(spread, n, DRAWS, 1, 1), normal(noise, n, DRAWS, 1, 1)
    return HeldOut(normal(error, n, 1, 1), base, noise, calibration.weights(base, noise), np.arange(n) // 4)


def test_coverage_of_ranks_worked_by_hand():
    """Three draws: x below all has its quantile in [0, 1/4], after one of them in [1/4, 1/2]; the central half is
    [1/4, 3/4], the central .8 [.1, .9]."""
    draws = np.array([[1.0, 2.0, 3.0]] * 4)
    found = calibration.coverage(np.array([0.0, 1.5, 2.5, 9.0]), draws, (0.5, 0.8))
    np.testing.assert_allclose(found, [[0, 0.6], [1, 1], [1, 1], [0, 0.6]])
    equal = calibration.coverage(np.array([2.0, 3.0]), draws[:2], (0.5, 0.8))  # [1/4, 3/4], and [1/2, 1]
    np.testing.assert_allclose(equal, [[1, 1], [0.5, 0.8]])
    same = calibration.coverage(np.zeros(1), np.zeros((1, 3)), (0.5, 0.8))  # all alike: nothing is known of the rank
    np.testing.assert_allclose(same, [[0.5, 0.8]])


@pytest.mark.parametrize('draws', [1, 4, 64])
def test_exchangeable_draws_are_covered_exactly_whatever_their_number(draws):
    values = RNG(0).normal(size=(20_000, draws + 1))
    found = calibration.coverage(values[:, 0], values[:, 1:]).mean(axis=0)
    np.testing.assert_allclose(found, LEVELS, atol=4 * 0.5 / np.sqrt(20_000))


@pytest.mark.parametrize(
    ('error', 'spread', 'expected'),
    [
        (np.hypot(0.3, 0.1), 0.3, 1.0),  # BC knows the demonstrator's noise: what is left is the posterior's variance
        (0.25, 0.0, 2.5),  # BC is a point: error / noise
        (0.5, 0.3, 4.0),  # sqrt(error^2 - spread^2) / noise
    ],
)
def test_alpha_is_the_closed_form_of_a_gaussian(error, spread, expected):
    """Draws are N(0, spread^2 + alpha^2 .1^2): of the error's own distribution at one alpha, and at no other."""
    choice = calibration.choose(held_out(RNG(1), 6000, error, spread, 0.1), most=8.0)
    assert choice.found == 'inside' and choice.low <= choice.alpha <= choice.high
    assert choice.alpha == pytest.approx(expected, rel=0.06)


def test_a_curve_is_the_closed_form_of_a_gaussian():
    """Noise of twice the error's deviation: |x| is below the quantile of N(0, 2^2) with chance 2 Phi(2 z) - 1."""
    found = calibration.curve(held_out(RNG(2), 6000, 0.2, 0.0, 0.1), alpha=4.0)
    z = scipy_stats.norm.ppf(0.5 + np.array(LEVELS) / 2)
    expected = 2 * scipy_stats.norm.cdf(2 * z) - 1
    np.testing.assert_allclose(found.coverage.value, expected, atol=0.03)  # 64 draws blur it
    assert found.excess.value == pytest.approx((expected - LEVELS).mean(), abs=0.015)


def test_verdicts_follow_the_interval():
    """The alpha that is right is refused at one of twenty sets of trajectories."""
    sets = [held_out(RNG(seed), 400, 0.2, 0.0, 0.1) for seed in range(100, 140)]
    verdicts = np.array([[calibration.curve(held, alpha).verdict for alpha in (1.0, 2.0, 4.0)] for held in sets])
    assert set(verdicts[:, 0]) == {'too narrow'} and set(verdicts[:, 2]) == {'too broad'}
    assert np.mean(verdicts[:, 1] == 'sound') >= 0.85
    held = held_out(RNG(3), 800, 0.2, 0.0, 0.1)
    one = held._replace(trajectory=np.zeros(800))  # one trajectory has no interval: nothing is refused
    assert calibration.curve(one, 4.0).verdict == 'sound' and np.isnan(calibration.curve(one, 4.0).excess.low)
    assert np.isnan(calibration.choose(one, 8.0).high)


def test_a_sure_demonstrator_that_bc_has_learnt_needs_no_noise():
    """BC's own draws have the held-out error's spread, and a little more."""
    choice = calibration.choose(held_out(RNG(4), 2000, 0.01, 0.0102, 0.1), most=4.0)
    assert choice.alpha == 0 and choice.found == 'nil' and choice.low == 0 and 0 < choice.high < 0.1


def test_no_noise_is_enough_where_bc_errs_for_another_reason():
    choice = calibration.choose(held_out(RNG(5), 500, 1.0, 0.0, 0.01), most=4.0)
    assert choice.alpha == 4.0 and choice.found == 'most' and choice.low == choice.high == 4.0
    with pytest.raises(ValueError, match='most=0: must be positive'):
        calibration.choose(held_out(RNG(5), 4, 1.0, 0.0, 0.01), most=0)


def test_weights_are_the_noises_share_of_the_variance():
    base, noise = np.zeros((1, 4, 1, 3)), np.zeros((1, 4, 1, 3))
    base[0, :, 0, 0], noise[0, :, 0, 0] = [-1, 1, -1, 1], [-3, 3, 3, -3]  # 9 of 10
    noise[0, :, 0, 1] = [-1, 1, -1, 1]  # all of it; and 0 of 0
    np.testing.assert_allclose(calibration.weights(base, noise), [[[0.9, 1.0, 0.0]]])
    np.testing.assert_array_equal(calibration.weights(base, 0 * noise), np.ones((1, 1, 3)))


def test_an_action_that_the_noise_does_not_reach_has_no_say():
    """Beside the dimension whose alpha is 2.5, one in which BC is far too broad and the noise next to nothing."""
    alone = held_out(RNG(9), 2000, 0.25, 0.0, 0.1)
    broad = held_out(RNG(10), 2000, 0.1, 1.0, 0.01)
    both = HeldOut(
        *(np.concatenate([one, other], axis=-1) for one, other in zip(alone[:4], broad[:4], strict=True)),
        alone.trajectory,
    )
    expected, found = (calibration.choose(held, most=8.0) for held in (alone, both))
    np.testing.assert_allclose(found[:3], expected[:3], rtol=0.01)
    alike = both._replace(weights=np.ones_like(both.weights))
    assert calibration.choose(alike, most=8.0).alpha < 1  # what a mean of both would choose


def test_coverage_grows_with_alpha():
    held = held_out(RNG(6), 1000, 0.3, 0.1, 0.1)
    excess = [calibration.curve(held, alpha).excess.value for alpha in np.linspace(0, 8, 30)]
    assert np.diff(excess).min() > 0


def test_steps_of_one_trajectory_are_one_witness():
    """Repeated 25 times over, the same evidence has the same interval."""
    held = held_out(RNG(7), 40, 0.25, 0.0, 0.1)
    repeated = HeldOut(*(np.repeat(x, 25, axis=0) for x in held))
    once, often = (calibration.curve(one, 2.0).excess for one in (held, repeated))
    np.testing.assert_allclose(once, often, rtol=1e-6)
    apart = calibration.curve(repeated._replace(trajectory=np.arange(1000)), 2.0).excess
    assert apart.high - apart.low < 0.3 * (once.high - once.low)


def test_a_linear_ensemble_of_its_own_demonstrations_is_calibrated_at_one():
    """60 seeds of 8 actions theta' phi + N(0, .3^2), 3 features: BC plays its fit and the demonstrator's own noise, the
    members fit perturbed targets. Under a flat prior the posterior's variance gaussian.linear_covariance is what BC's
    fit errs by, exactly: alpha is sqrt(K / (K - 1)) for the K members' own variance. It has 60 x 3 degrees of freedom,
    and half the demonstrator's variance: alpha's standard error is about .08."""
    rng, members, std, parts = RNG(8), 100, 0.3, []
    for seed in range(60):
        features = np.c_[rng.uniform(-1, 1, (48, 2)), np.ones(48)]
        actions = features @ rng.normal(size=3) + std * rng.normal(size=48)
        fit = features[8:] @ np.linalg.pinv(features[:8])  # (40, 8): least squares is linear in the targets
        members_fits = fit @ (actions[:8, None] + std * rng.normal(size=(8, members)))
        residuals = (members_fits - members_fits.mean(axis=1, keepdims=True)) / np.sqrt(members)
        if seed == 0:
            closed = gaussian.linear_covariance(*map(jnp.float32, (features[:8], std**2 * np.eye(1), features[8:])))
            np.testing.assert_allclose(np.square(residuals).sum(axis=1), closed[:, 0, 0], rtol=5 * np.sqrt(2 / members))
        base = (fit @ actions[:8])[:, None] + std * rng.normal(size=(40, DRAWS))
        noise = np.einsum('nmk,nk->nm', rng.normal(size=(40, DRAWS, members)), residuals)
        parts.append((actions[8:, None, None], base[..., None, None], noise[..., None, None], np.full(40, seed)))
    chunks, base, noise, trajectory = map(np.concatenate, zip(*parts, strict=True))
    choice = calibration.choose(HeldOut(chunks, base, noise, calibration.weights(base, noise), trajectory), most=4.0)
    assert abs(choice.alpha - 1) < 0.3 and choice.low < 1 < choice.high and choice.high - choice.low < 0.8, choice


def test_alpha_of_an_rms_makes_it_exactly():
    assert calibration.of_rms(0.1, 0.37) * 0.37 == 0.1
    with pytest.raises(ValueError, match=r'rms=0\.0: no weight makes 0\.1 of noise that is 0'):
        calibration.of_rms(0.1, 0.0)


def test_shapes_that_do_not_fit_are_refused():
    for x, draws in (((3,), (3,)), ((3, 2), (3, 5, 1)), ((3,), (3, 0))):
        with pytest.raises(ValueError, match=r'must be \(n, \.\.\.\) and \(n, M, \.\.\.\)'):
            calibration.coverage(np.zeros(x), np.zeros(draws))
