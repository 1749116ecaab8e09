"""Chains: what every family's decode and transitions promise (types.Family, types.Steps), whatever its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from postbc_jax.policies import FAMILIES, PolicyConfig, build, chain, diffusion, flow, sampler

OBS = jnp.array([0.2, -1.0, 0.5])
STEPS = {'gaussian': 1, 'diffusion': 5, 'flow': 5}
FLOOR = 0.2


def normals(family, seed, rows=500):
    return jax.random.normal(jax.random.key(seed), (rows, family.transitions + 1, *family.noise_shape))


def roll(family, frozen, params, finetuned, draws, **kwargs):
    """Chunks and Steps of a batch of draws, as numpy."""
    one = lambda normal: chain.roll(family, frozen, params, finetuned, OBS, normal, **kwargs)  # noqa: E731
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(draws))


@pytest.fixture(scope='module', params=FAMILIES)
def made(request):
    """(name, family, two sets of parameters, draws, chunks, steps) of whole chains by the first set."""
    family = build(PolicyConfig(request.param, 3, 2, chunk=4, hidden=(16, 16), inference_steps=5))
    params, other = (family.init(jax.random.key(seed)) for seed in (0, 9))
    draws = normals(family, 1)
    chunks, steps = roll(family, params, params, family.transitions, draws, min_std=FLOOR)
    return request.param, family, (params, other), np.asarray(draws), chunks, steps


def test_log_probs_are_scipys_of_the_recorded_steps_with_a_floor_of_their_own(made):
    name, _, _, _, _, steps = made
    log_prob = jax.vmap(lambda s: chain.log_prob(s, 0.3))(steps)
    expected = stats.norm.logpdf(steps.after, steps.mean, np.maximum(steps.std, 0.3)).sum((-1, -2))
    assert log_prob.shape == (500, STEPS[name])
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-3)


def test_each_step_starts_where_the_last_ended_and_the_last_is_the_chunk(made):
    _, family, _, draws, chunks, steps = made
    assert family.noise_shape == (4, 2) == chunks.shape[1:]
    np.testing.assert_array_equal(steps.before[:, 0], draws[:, 0])
    np.testing.assert_array_equal(steps.after[:, -1], chunks)
    np.testing.assert_array_equal(steps.before[:, 1:], steps.after[:, :-1])


def test_steps_draw_around_their_means_with_no_less_than_the_floor(made):
    _, _, _, draws, _, steps = made
    np.testing.assert_allclose(steps.after, steps.mean + np.maximum(steps.std, FLOOR) * draws[:, 1:], atol=1e-5)
    assert (steps.std < FLOOR).any() or steps.std.shape[1] == 1  # the floor was felt


def test_std_is_the_paths_own(made):
    name, _, _, _, _, steps = made
    path = {'diffusion': diffusion.schedule(100, 5), 'flow': flow.schedule(5)}.get(name)
    if path is None:
        assert (steps.std == steps.std[0]).all()  # one observation, one standard deviation
    else:
        expected = sampler.ancestral_noise(path)[1][:, None, None]
        np.testing.assert_allclose(steps.std[0], np.broadcast_to(expected, (5, 4, 2)), rtol=1e-5)
        assert (steps.std[0, -1] == 0).all() and (steps.std[0, 0] > 0.2).all()


def test_without_a_floor_a_denoisers_chunk_is_its_last_mean(made):
    name, family, (params, _), draws, _, _ = made
    chunks, steps = roll(family, params, params, 1, draws)
    assert np.allclose(chunks, steps.mean[:, -1], atol=1e-6) == (name != 'gaussian')


@pytest.mark.parametrize('finetuned', [1, 2, 5])
def test_a_chain_in_two_parts_with_the_same_parameters_is_the_whole_one(made, finetuned):
    _, family, (params, _), draws, chunks, steps = made
    finetuned = min(finetuned, family.transitions)
    again, last = roll(family, params, params, finetuned, draws, min_std=FLOOR)
    np.testing.assert_allclose(again, chunks, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[:, -finetuned:], atol=1e-5), last, steps)


def test_the_frozen_parameters_play_the_first_part_alone(made):
    name, family, (params, other), draws, _, whole = made
    if name == 'gaussian':
        return
    _, last = roll(family, params, other, 2, draws, min_std=FLOOR)
    np.testing.assert_allclose(last.before[:, 0], whole.before[:, -2], atol=1e-5)  # by params up to here
    assert np.abs(last.mean[:, 0] - whole.mean[:, -2]).max() > 1e-2


def test_steps_looked_at_again_are_as_when_they_were_made(made):
    _, family, (params, other), draws, _, _ = made
    finetuned = min(3, family.transitions)
    _, steps = roll(family, params, other, finetuned, draws, min_std=FLOOR)
    look = lambda p: jax.jit(jax.vmap(lambda s: chain.again(family, p, OBS, s.before, s.after)))(steps)  # noqa: E731
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), look(other), steps)
    assert np.abs(look(params).mean - steps.mean).max() > 1e-2


def test_decode_is_deterministic_and_depends_on_noise_and_observation(made):
    _, family, (params, _), _, _, _ = made
    noise = jax.random.normal(jax.random.key(5), (4, 2))
    chunk = np.asarray(family.decode(params, OBS, noise))
    assert np.isfinite(chunk).all() and chunk.shape == (4, 2)
    np.testing.assert_array_equal(family.decode(params, OBS, noise), chunk)
    assert np.abs(family.decode(params, OBS, -noise) - chunk).max() > 1e-2
    assert np.abs(family.decode(params, -OBS, noise) - chunk).max() > 1e-3


def test_init_and_loss_are_reproducible_and_differ_by_key(made):
    name, family, (params, _), _, _, _ = made
    again = family.init(jax.random.key(0))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a == b).all(), params, again)))
    chunk = jnp.zeros((4, 2))
    loss = [family.loss(params, jax.random.key(seed), OBS, chunk)[0] for seed in (0, 0, 1)]
    assert loss[0] == loss[1] and (loss[0] == loss[2]) == (name == 'gaussian')
