"""Acting by a policy's own denoising steps: the loss against an independent one, the policy handed on, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import checkpoint
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.finetune import ppo
from postbc_jax.finetune.dppo import ChainPolicy, DPPOConfig, acting
from postbc_jax.finetune.samples import Samples
from postbc_jax.networks import MLP, DenoisingMLP
from postbc_jax.policies import FAMILIES, Policy, PolicyConfig, build, sampler
from postbc_jax.policies.flow import clean_from_velocity, schedule

NORMALISER = Normaliser(
    obs_low=jnp.array([0.0, -2.0, -1.0]),
    obs_high=jnp.array([4.0, 2.0, 1.0]),
    action_low=jnp.array([-1.0, 5.0]),
    action_high=jnp.array([1.0, 15.0]),
)
OBS = jnp.array([3.0, -0.5, 0.2])
CRITIC = MLP((8,), 1, 'tanh')


def policy(family, seed=0):
    config = PolicyConfig(family, 3, 2, chunk=4, hidden=(16,), inference_steps=6)
    return Policy(build(config).init(jax.random.key(seed)), NORMALISER, config)


def config(family='flow', **kwargs):
    steps = 1 if family == 'gaussian' else 3
    return DPPOConfig(1, **{'finetuned_steps': steps, 'denoising_steps': 5, 'min_std': 0.2} | kwargs)


def moved(params, seed=4, size=0.02):
    keys = iter(jax.random.split(jax.random.key(seed), 100))
    return jax.tree.map(lambda x: x + size * jax.random.normal(next(keys), x.shape), params)


def value(params, obs):
    return CRITIC.apply(params['critic'], obs)[0]


def batch(made, params, rows=32):
    """Decisions as an unroll by `params` leaves them, with made-up advantages and targets."""
    keys = jax.random.split(jax.random.key(5), 4)
    obs = jax.random.uniform(keys[0], (rows, 3), minval=-1.0)
    acts = jax.vmap(made.act, (None, 0, 0))(params, obs, jax.random.normal(keys[1], (rows, made.draws)))
    advantage, target = jax.random.normal(keys[2], (2, rows))
    return Samples(obs, acts.record, acts.log_prob, advantage, target), acts


@pytest.mark.parametrize('family', FAMILIES)
def test_what_was_done_is_as_probable_as_it_was(family):
    """Also with floors of their own for drawing and for densities."""
    start = policy(family)
    made = acting(start, config(family, min_log_prob_std=0.05))
    params = moved(start.params)
    samples, acts = batch(made, params)
    again, _ = jax.vmap(made.log_prob, (None, 0, 0))(params, samples.obs, samples.record)
    assert again.shape == (32, 1 if family == 'gaussian' else 3) and acts.action.shape == (32, 8)
    np.testing.assert_allclose(again, acts.log_prob, atol=1e-5)
    np.testing.assert_array_equal(acts.action, samples.record[:, -8:])  # the last step's result is what is played


def by_hand(params, sample, family, finetuned):
    """PPO's loss of one sample by lines of its own, for a Gaussian policy (from its outputs) or a flow's last steps."""
    steps, points, total = schedule(5), sample.record.reshape(finetuned + 1, 4, 2), 0.0
    kept, fresh = sampler.ancestral_noise(steps)
    for k in range(finetuned):
        if family == 'gaussian':
            decode = build(policy(family).config).decode
            mean = decode(params['actor'], sample.obs, jnp.zeros((4, 2)))
            std = decode(params['actor'], sample.obs, jnp.ones((4, 2))) - mean
        else:
            j, x = 5 - finetuned + k, points[k]
            chunk = x + steps.noise[j] * velocity(params['actor'], x, steps.time[j], sample.obs)
            z = (x - steps.signal[j] * chunk) / steps.noise[j]
            mean, std = steps.next_signal[j] * chunk + kept[j] * z, fresh[j]
        std = jnp.maximum(std, 0.1)
        density = -0.5 * ((points[k + 1] - mean) / std) ** 2 - jnp.log(std * jnp.sqrt(2 * jnp.pi))
        ratio = jnp.exp(density.mean() - sample.log_prob[k])
        t = k / (finetuned - 1) if finetuned > 1 else 1.0
        clip = 0.002 + 0.028 * (np.exp(3 * t) - 1) / (np.exp(3) - 1)
        advantage = 0.9 ** (finetuned - 1 - k) * sample.advantage
        total -= jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage) / finetuned
    return total + 0.5 * 0.5 * (value(params, sample.obs) - sample.target) ** 2


def velocity(params, x, time, obs):
    return DenoisingMLP((16,)).apply(params, x, time, obs)


@pytest.mark.parametrize(('family', 'finetuned'), [('gaussian', 1), ('flow', 3)])
def test_loss_and_gradient_are_those_of_an_independent_ppo(family, finetuned):
    settings = config(family, clip=0.03, clip_base=0.002, denoising_discount=0.9)
    start = policy(family)
    made = acting(start, settings)
    samples, _ = batch(made, start.params)
    params = {'actor': moved(start.params), 'critic': CRITIC.init(jax.random.key(1), OBS)}
    reference = lambda p: jax.vmap(lambda s: by_hand(p, s, family, finetuned))(samples).mean()  # noqa: E731
    found = jax.jit(jax.value_and_grad(lambda p: ppo.loss(p, samples, made, value, settings), has_aux=True))
    (loss, metrics), gradient = found(params)
    expected, expected_gradient = jax.jit(jax.value_and_grad(reference))(params)
    assert 0.05 < metrics['clipped'] < 0.95  # on both sides of the clip
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), gradient, expected_gradient)


@pytest.mark.parametrize('log_probability', ['mean', 'sum'])
def test_log_probability_is_a_mean_or_a_sum_over_the_chunk(log_probability):
    start = policy('flow')
    mean = acting(start, config())
    made = acting(start, config(log_probability=log_probability))
    normal = jax.random.normal(jax.random.key(0), (made.draws,))
    ratio = made.act(start.params, OBS, normal).log_prob / mean.act(start.params, OBS, normal).log_prob
    np.testing.assert_allclose(ratio, 8.0 if log_probability == 'sum' else 1.0, rtol=1e-5)


def test_entropy_is_that_of_a_step_of_floored_stds():
    start = policy('flow')
    made = acting(start, config(finetuned_steps=1, min_log_prob_std=0.3))
    act = made.act(start.params, OBS, jnp.ones(made.draws))
    _, metrics = made.log_prob(start.params, OBS, act.record)  # the last step: nothing but the floor
    np.testing.assert_allclose(metrics['entropy'], 8 * 0.5 * np.log(2 * np.pi * np.e * 0.3**2), rtol=1e-5)
    np.testing.assert_allclose(metrics['std'], 0.3, rtol=1e-6)


def test_the_gaussian_policy_that_is_handed_on_plays_its_mean():
    start = policy('gaussian')
    params = moved(start.params)
    handed = acting(start, config('gaussian')).policy(params)
    chunk, _ = handed(OBS, jax.random.key(0))
    np.testing.assert_allclose(chunk, start.replace(params=params).decode(OBS, jnp.zeros((4, 2))), rtol=1e-5)


def test_the_denoiser_that_is_handed_on_plays_the_chain_without_the_floor():
    """Frozen steps, then finetuned ones; each with the path's own noise, the last with none."""
    start = policy('flow')
    params, steps = moved(start.params, size=0.2), schedule(5)
    handed = acting(start, config()).policy(params)
    chunk, extras = handed(OBS, jax.random.key(0))
    x, (kept, fresh) = extras['noise'][0], sampler.ancestral_noise(steps)
    for j in range(5):
        by = start.params if j < 2 else params
        clean = clean_from_velocity(lambda x, t, by=by: velocity(by, x, t, NORMALISER.obs(OBS)))
        step = jax.tree.map(lambda values, j=j: values[j], steps)
        c = clean(x, step)
        x = step.next_signal * c + kept[j] * (x - step.signal * c) / step.noise + fresh[j] * extras['noise'][j + 1]
    np.testing.assert_allclose(chunk, NORMALISER.unnormalise_action(x), rtol=1e-4)
    assert handed.policy.config.inference_steps == 5 and fresh[-1] == 0
    assert not np.allclose(chunk, handed(OBS, jax.random.key(1))[0])


@pytest.mark.parametrize('family', FAMILIES)
def test_it_acts_the_same_after_a_checkpoint(family, tmp_path):
    stack = jax.tree.map(lambda *x: jnp.stack(x), *(policy(family, seed) for seed in (0, 1)))
    finetuned = jax.vmap(lambda p: acting(p, config(family)).policy(moved(p.params)))(stack)
    checkpoint.save_policy(tmp_path / 'p', finetuned, [{'seed': 0}, {'seed': 1}])
    loaded = checkpoint.load_policy(tmp_path / 'p', {'seed': 1}, ChainPolicy)
    original = jax.tree.map(lambda x: x[1], finetuned)
    assert jax.tree.structure(loaded) == jax.tree.structure(original)
    np.testing.assert_array_equal(loaded(OBS, jax.random.key(2))[0], original(OBS, jax.random.key(2))[0])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'finetuned_steps': 0}, 'dppo.finetuned_steps=0: must be at least 1'),
        ({'denoising_steps': -1}, 'dppo.denoising_steps=-1: must be at least 1, or 0'),
        ({'clip_base': 0.05}, r'dppo.clip_base=0.05: must lie in \(0, dppo.clip=0.01\]'),
        ({'denoising_discount': 1.5}, 'dppo.denoising_discount=1.5'),
        ({'log_probability': 'max'}, 'dppo.log_probability=max: choose one of mean, sum'),
        ({'min_std': -0.1}, 'dppo.min_std=-0.1'),
        ({'min_log_prob_std': 0.0}, 'dppo.min_log_prob_std=0.0: must be above 0'),
        ({'target_kl': -1.0}, 'dppo.target_kl=-1.0'),
        ({'environments': 55}, 'dppo.environments=55: must be a multiple of dppo.groups=10'),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        DPPOConfig(1, **change)


@pytest.mark.parametrize(
    ('family', 'change', 'message'),
    [
        (
            'gaussian',
            {'finetuned_steps': 2},
            'dppo.finetuned_steps=2: must be at most 1, the steps of the gaussian policy',
        ),
        ('flow', {'denoising_steps': 0, 'finetuned_steps': 7}, 'dppo.finetuned_steps=7: must be at most 6, the steps'),
        ('diffusion', {'denoising_steps': 101}, 'dppo.denoising_steps=101: must be at most the 100 noise levels'),
    ],
)
def test_a_policy_without_the_steps_is_refused(family, change, message):
    with pytest.raises(ValueError, match=message):
        acting(policy(family), config(family, **change))
