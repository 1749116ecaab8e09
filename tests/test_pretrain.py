"""Pretraining: arms that are one another's special cases, pairing, and the variance that posterior noise leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel, policies, pretrain
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.posterior import noise

STEPS = 12


def make_data(mesh, alphas, sigmas, sources=None, residual=0.3, n=24, k=4, chunk=2, seeds=2, dropouts=None, betas=None):
    """Two episodes of 12 steps; obs (2,), action (1,); factors alike at every state, noise of rms `residual`."""
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(2, dtype=np.int32), n // 2)
    windows = Windows(
        obs=rng.uniform(-1, 1, (n, 2)).astype(np.float32),
        actions=rng.uniform(-1, 1, (n, 1)).astype(np.float32),
        last=(episode + 1) * (n // 2) - 1,
        time=np.tile(np.arange(n // 2, dtype=np.int32), 2),
        episode=episode,
        chunk=chunk,
    )
    sign = np.resize(np.array([1.0, -1.0]), k)[None, None, :, None, None]
    factors = np.broadcast_to(residual / np.sqrt(k) * sign, (seeds, n, k, chunk, 1)).astype(np.float32)
    learners = len(alphas)
    arm = pretrain.Arm(
        alpha=np.array(alphas, np.float32),
        sigma=np.array(sigmas, np.float32),
        learning_rate=np.full(learners, 1e-2, np.float32),
        weight_decay=np.zeros(learners, np.float32),
        source=np.array(sources or [0] * learners, np.int32),
        dropout=np.array(dropouts or [0] * learners, np.float32),
        beta=np.array(betas or [0] * learners, np.float32),
    )
    ones = np.ones(1, np.float32)
    return pretrain.PretrainData(
        windows=parallel.shard(windows, mesh),
        normaliser=parallel.shard(Normaliser(-np.ones(2, np.float32), np.ones(2, np.float32), -ones, ones), mesh),
        factors=parallel.shard(factors, mesh),
        mask=parallel.shard(np.ones((seeds, n), np.float32), mesh),
        quality=parallel.shard(np.where(episode == 1, 0.0, -np.log(3)) * np.ones((seeds, 1), np.float32), mesh),
        arm=parallel.shard(arm, mesh, P(parallel.LEARNER)),
    )


def config(family='flow', steps=STEPS, warmup=5, **changes):
    policy = policies.PolicyConfig(
        family=family, obs_size=2, action_size=1, chunk=2, hidden=(16,), train_steps=10, inference_steps=2
    )
    changes = {'steps_per_chunk': steps, 'batch_size': 16} | changes
    return pretrain.PretrainConfig(policy=policy, steps=steps, warmup=warmup, **changes)


def train(alphas, sigmas, seeds, settings=None, **data):
    """Trains a population in one chunk; policies with numpy leaves (learners, ...)."""
    mesh = parallel.mesh(len(alphas), jax.devices()[:1])
    trainer = parallel.population(pretrain.pretrain(settings or config()), mesh)
    shared = make_data(mesh, alphas, sigmas, **data)
    state = trainer.init(parallel.learner_keys(jax.random.key(1), seeds, mesh), shared)
    state, metrics = trainer.run_chunk(state, shared)
    return parallel.gather(trainer.policy(state, shared)), parallel.gather(metrics)


def learner(policy, i):
    return jax.tree.leaves(jax.tree.map(lambda x: x[i], policy.params))


@pytest.mark.parametrize('family', ['gaussian', 'flow', 'diffusion'])
def test_no_noise_is_behavioural_cloning_bit_for_bit(family):
    """alpha > 0 with a posterior of no width, and alpha = 0 with a wide one, are both BC."""
    bc_narrow, _ = train([0.0, 1.0], [0.0, 0.0], [0, 0], config(family), residual=0.0)
    bc_wide, _ = train([0.0, 1.0], [0.0, 0.0], [0, 0], config(family), residual=0.3)
    for narrow, post, wide, noised in zip(
        learner(bc_narrow, 0), learner(bc_narrow, 1), learner(bc_wide, 0), learner(bc_wide, 1), strict=True
    ):
        np.testing.assert_array_equal(narrow, post)
        np.testing.assert_array_equal(narrow, wide)
        assert not np.array_equal(wide, noised)


def test_learners_do_not_depend_on_their_neighbours():
    """A learner alone is the same learner as in a population: only its key, arm and data count."""
    together, _ = train([0.0, 0.5, 1.0], [0.2, 0.0, 0.0], [3, 3, 5])
    alone, _ = train([0.5], [0.0], [3])
    for a, b in zip(learner(together, 1), learner(alone, 0), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_arms_of_a_seed_begin_alike_and_seeds_do_not():
    policy, _ = train(
        [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0, 0, 1], config(steps=6, steps_per_chunk=1)
    )  # the first rate is 0
    for bc, post, other in zip(learner(policy, 0), learner(policy, 1), learner(policy, 2), strict=True):
        np.testing.assert_array_equal(bc, post)
        assert bc.size < 3 or not np.array_equal(bc, other) or not bc.any()


@pytest.mark.parametrize(
    ('alpha', 'sigma', 'residual'), [(1.0, 0.0, 0.3), (0.5, 0.0, 0.6), (0.0, 0.3, 0.6)], ids=['post', 'half', 'sigma']
)
def test_the_gaussian_policy_learns_the_noise_it_was_given(alpha, sigma, residual):
    """Maximum likelihood of deterministic actions under noise of std .3 has std .3."""
    settings = config('gaussian', steps=1500)
    policy, _ = train([alpha], [sigma], [0], settings, residual=residual, n=2, chunk=2)
    one = jax.tree.map(lambda x: jnp.asarray(x[0]), policy)
    obs = make_data(parallel.mesh(1, jax.devices()[:1]), [0.0], [0.0], n=2).windows.obs
    low, high = (jax.vmap(lambda o, w=w: one.decode(o, jnp.full((2, 1), w)))(obs) for w in (-1.0, 1.0))
    np.testing.assert_allclose((high - low) / 2, 0.3, rtol=0.2)


def test_full_covariance_moves_a_chunk_together_and_diagonal_does_not():
    """Factors equal over the chunk are perfectly correlated noise: a linear statistic tells."""
    factor = jnp.broadcast_to(jnp.array([0.3, -0.3])[:, None, None], (2, 2, 1))
    keys = jax.random.split(jax.random.key(0), 2000)
    full = jax.vmap(lambda k: noise.sample(k, factor, 'full'))(keys)[..., 0]
    diagonal = jax.vmap(lambda k: noise.sample(k, factor, 'diagonal'))(keys)[..., 0]
    assert np.corrcoef(full.T)[0, 1] > 0.999
    assert abs(np.corrcoef(diagonal.T)[0, 1]) < 4 / np.sqrt(2000)


def test_the_seeds_mask_decides_what_is_seen():
    """A learner whose seed's mask holds one episode never sees the other: its NaN actions do no harm."""
    mesh = parallel.mesh(1, jax.devices()[:1])
    trainer = parallel.population(pretrain.pretrain(config()), mesh)
    data = make_data(mesh, [0.0], [0.0], sources=[1])
    actions = data.windows.actions.at[12:].set(jnp.nan)
    data = data.replace(windows=data.windows.replace(actions=actions), mask=data.mask.at[1, 12:].set(0.0))
    state = trainer.init(parallel.learner_keys(jax.random.key(1), [0], mesh), data)
    _, metrics = trainer.run_chunk(state, data)
    assert np.isfinite(metrics['loss']).all()


def test_a_step_draws_from_its_own_factor():
    """Rows of factors are the steps that the mask holds, in order: 18 of 24 here, and those beyond are not read.

    Every other one's noise has std .4, the rest have none; steps that are left out have NaN for an action.
    """
    mesh = parallel.mesh(1, jax.devices()[:1])
    data = make_data(mesh, [1.0], [0.0], sources=[1], k=2)
    held = np.r_[2:14, 18:24]
    mask = np.zeros((2, 24), np.float32)
    mask[1, held] = 1
    actions = data.windows.actions.at[np.setdiff1d(np.arange(24), held)].set(jnp.nan).at[held].set(0.0)
    obs = np.zeros((24, 2), np.float32)
    obs[held, 0] = np.resize([-1.0, 1.0], len(held))  # all that the policy can tell the steps apart by
    factors = np.full((2, 24, 2, 2, 1), np.nan, np.float32)
    factors[1, :18] = np.resize([0.0, 0.4], 18)[:, None, None, None] / np.sqrt(2)
    windows = data.windows.replace(actions=actions, obs=jnp.asarray(obs), last=jnp.arange(24, dtype=jnp.int32))
    data = data.replace(windows=windows, mask=jnp.asarray(mask), factors=jnp.asarray(factors))
    trainer = parallel.population(pretrain.pretrain(config('gaussian', steps=1000)), mesh)
    state = trainer.init(parallel.learner_keys(jax.random.key(1), [0], mesh), data)
    state, _ = trainer.run_chunk(state, data)
    policy = jax.tree.map(lambda x: jnp.asarray(x[0]), parallel.gather(trainer.policy(state, data)))
    quiet, loud = (policy.decode(jnp.array([side, 0.0]), jnp.ones((2, 1))) for side in (-1.0, 1.0))
    np.testing.assert_allclose(loud, 0.4, rtol=0.25)
    assert np.abs(quiet).max() < 0.1
