"""What every family's decode and chain promise (types.Family, types.Steps), whatever its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from postbc_jax.policies import FAMILIES, PolicyConfig, build, diffusion, flow, sampler

OBS = jnp.array([0.2, -1.0, 0.5])
STEPS = {'gaussian': 1, 'diffusion': 5, 'flow': 5}


@pytest.fixture(scope='module', params=FAMILIES)
def made(request):
    family = build(PolicyConfig(request.param, 3, 2, chunk=4, hidden=(16, 16), inference_steps=5, chain_std=0.2))
    params = family.init(jax.random.key(0))
    chunks, steps = jax.jit(jax.vmap(lambda key: family.chain(params, OBS, key)))(
        jax.random.split(jax.random.key(1), 500)
    )
    return request.param, family, params, np.asarray(chunks), jax.tree.map(np.asarray, steps)


def test_log_probs_are_scipys_of_the_recorded_steps(made):
    name, _, _, _, steps = made
    assert all(np.isfinite(x).all() for x in steps)
    expected = stats.norm.logpdf(steps.after, steps.mean, steps.std).sum((-1, -2))
    assert steps.log_prob.shape == (500, STEPS[name])
    np.testing.assert_allclose(steps.log_prob, expected, rtol=1e-4, atol=1e-3)


def test_each_step_starts_where_the_last_ended_and_the_last_is_the_chunk(made):
    _, family, _, chunks, steps = made
    assert family.noise_shape == (4, 2) == chunks.shape[1:]
    np.testing.assert_array_equal(steps.after[:, -1], chunks)
    np.testing.assert_array_equal(steps.before[:, 1:], steps.after[:, :-1])


def test_draws_are_standard_normal_and_independent_over_steps(made):
    name, _, _, _, steps = made
    z = ((steps.after - steps.mean) / steps.std).reshape(500, STEPS[name], 8)
    errors = 4 / np.sqrt(z[:, 0].size)
    assert np.abs(z.mean((0, 2))).max() < errors and np.abs(z.std((0, 2)) - 1).max() < errors
    assert np.abs((z[:, 1:] * z[:, :-1]).mean((0, 2))).max(initial=0) < errors


def test_std_is_the_paths_own_or_the_floor(made):
    name, _, _, _, steps = made
    path = {'diffusion': diffusion.schedule(100, 5), 'flow': flow.schedule(5)}.get(name)
    if path is None:
        assert (steps.std == steps.std[0]).all()  # one observation, one standard deviation
    else:
        expected = np.maximum(sampler.ancestral_noise(path)[1], 0.2)[:, None, None]
        np.testing.assert_allclose(steps.std[0], np.broadcast_to(expected, (5, 4, 2)), rtol=1e-5)
        assert (steps.std[0, -1] == np.float32(0.2)).all() and (steps.std[0, 0] > 0.2).all()


def test_decode_is_deterministic_and_depends_on_noise_and_observation(made):
    _, family, params, _, _ = made
    noise = jax.random.normal(jax.random.key(5), (4, 2))
    chunk = np.asarray(family.decode(params, OBS, noise))
    assert np.isfinite(chunk).all() and chunk.shape == (4, 2)
    np.testing.assert_array_equal(family.decode(params, OBS, noise), chunk)
    assert np.abs(family.decode(params, OBS, -noise) - chunk).max() > 1e-2
    assert np.abs(family.decode(params, -OBS, noise) - chunk).max() > 1e-3


def test_init_and_loss_are_reproducible_and_differ_by_key(made):
    name, family, params, _, _ = made
    again = family.init(jax.random.key(0))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a == b).all(), params, again)))
    chunk = jnp.zeros((4, 2))
    loss = [family.loss(params, jax.random.key(seed), OBS, chunk)[0] for seed in (0, 0, 1)]
    assert loss[0] == loss[1] and (loss[0] == loss[2]) == (name == 'gaussian')
