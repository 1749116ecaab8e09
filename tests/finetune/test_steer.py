import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.envs.gate import Gate
from postbc_jax.envs.wrappers import wrap
from postbc_jax.finetune import actor
from postbc_jax.finetune.actor import ActorConfig
from postbc_jax.finetune.steer import SteeredPolicy, steer
from tests.finetune.probes import Affine, Shape

POLICY = Affine(jnp.float32(0.3))  # chunks of 3 for Gate
NOISE = jnp.array([0.5, 4.0, -4.0])


def test_plays_what_the_policy_decodes_from_clipped_noise():
    env, plain = steer(Gate(), POLICY, bound=1.5), PlayChunks(Gate(), 3)
    steered, played = env.reset(jax.random.PRNGKey(1)), plain.reset(jax.random.PRNGKey(1))
    for _ in range(2):  # the second decision is made where the first one led
        np.testing.assert_array_equal(steered.obs, played.obs / 2)
        clipped = jnp.array([[0.5], [1.5], [-1.5]])
        steered = jax.jit(env.step)(steered, NOISE)
        played = jax.jit(plain.step)(played, POLICY.decode(played.obs, clipped).ravel())
        np.testing.assert_allclose(steered.info['env_obs'], played.obs, rtol=1e-6)
        assert steered.info['played'] == played.info['played'] == 3


def test_sizes_are_those_of_noise_and_decisions():
    env = steer(Gate(), POLICY, bound=1.5)
    assert (env.action_size, env.observation_size, env.horizon, env.bound) == (3, 4, 7, 1.5)


def test_decodes_at_the_new_start_after_an_episode():
    env = wrap(steer(Gate(), POLICY, bound=1.5), 2)
    state = env.reset(jax.random.split(jax.random.PRNGKey(0), 5))
    for _ in range(2):
        before, state = state, env.step(state, jnp.zeros((5, 3)))
    assert state.done.all() and (state.info['played'] == 3).all()
    np.testing.assert_array_equal(state.obs, state.info['env_obs'] / 2)
    np.testing.assert_array_equal(state.info['env_obs'][:, 0], -1.0)  # every episode starts there
    assert (state.info['final_obs'][:, 0] > before.obs[:, 0]).all()


@pytest.mark.parametrize(
    ('shape', 'bound', 'message'),
    [
        (Shape(4, 1, 3), 0.0, 'bound=0.0'),
        (Shape(4, 2, 3), 1.0, 'the policy has 2 actions, the environment 1'),
        (Shape(5, 1, 3), 1.0, 'the policy reads 5 observations, the environment gives 4'),
    ],
)
def test_refuses(shape, bound, message):
    with pytest.raises(ValueError, match=message):
        steer(Gate(), Affine(jnp.float32(0.3), shape), bound)


def steered(distribution, bound, **kwargs):
    config = ActorConfig(distribution, 3, bound, (16, 16), 'tanh')
    return SteeredPolicy(POLICY, actor.init(config, jax.random.key(0), 4), config, **kwargs)


def draws(policy):
    keys = jax.random.split(jax.random.key(1), 20_000)
    obs = jax.random.normal(jax.random.key(2), (20_000, 4))
    return jax.vmap(policy)(obs, keys)[1]['noise']


def test_untouched_gaussian_draws_standard_noise():
    noise = draws(steered('gaussian', bound=9.0, stochastic=True))
    assert noise.shape == (20_000, 3, 1)
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.03)
    np.testing.assert_allclose(noise.std(0), 1.0, atol=0.03)
    np.testing.assert_allclose(jnp.mean(jnp.abs(noise) < 1.0), 0.6827, atol=0.01)


@pytest.mark.parametrize('distribution', ['gaussian', 'squashed'])
def test_noise_stays_within_the_bound(distribution):
    noise = jnp.abs(draws(steered(distribution, bound=1.5, stochastic=True)))
    assert 1.4 < noise.max() <= 1.5
    assert jnp.mean(noise == 1.5) == pytest.approx(0.1336 if distribution == 'gaussian' else 0.0, abs=0.01)


@pytest.mark.parametrize('distribution', ['gaussian', 'squashed'])
def test_steered_policy_acts_by_its_mode_unless_told_otherwise(distribution):
    policy, obs = steered(distribution, bound=1.5), jnp.array([0.1, 0.2, 0.3, 0.4])
    chunk, extras = policy(obs, jax.random.key(0))
    np.testing.assert_array_equal(chunk, policy(obs, jax.random.key(1))[0])
    np.testing.assert_allclose(extras['noise'], 0.0, atol=0.05)
    np.testing.assert_array_equal(extras['noise'].ravel(), actor.mode(policy.actor_config, policy.params, obs / 2))
    np.testing.assert_allclose(chunk, POLICY.decode(obs, extras['noise']), rtol=1e-6)
