"""The critics that other finetuners begin with: of their very networks, with the values that were fitted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.finetune import critics
from postbc_jax.finetune.dsrl_ppo import dsrl_ppo
from postbc_jax.finetune.iql import IQLConfig, IQLData, iql
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.finetune.sac import SACConfig, sac
from postbc_jax.networks import MLP
from tests.finetune import priors, probes
from tests.finetune.probes import Probe

SAC = SACConfig(decisions_per_chunk=4, hidden=(16, 16), discount=0.9, reward='env')
PPO = PPOConfig(iterations_per_chunk=1, environments=8, groups=2, hidden=(12,), discount=1.0, reward='env')
BOUND = 1.5


@pytest.fixture(scope='module')
def fitted():
    """(config, params) of one learner in the probe whose reward is the action's, with SAC's critics."""
    config = settings(SAC)
    mesh = parallel.mesh(1)
    trainer = parallel.population(iql(lambda data: Probe(data.policy.kind), config), mesh)
    data = IQLData(parallel.shard(priors.priors([probes.ACTION]), mesh, P('learner')))
    state = trainer.init(parallel.learner_keys(jax.random.key(0), [0], mesh), data)
    state, _ = trainer.warm_chunk(state, data)
    state, _ = trainer.run_chunk(state, data)
    return config, jax.tree.map(lambda x: jnp.asarray(x)[0], state.params)


def settings(finetuner, **kwargs):
    warm = critics.warm_start(finetuner, BOUND, **kwargs)
    return IQLConfig(steps_per_chunk=20, episodes=8, episodes_per_chunk=8, batch_size=8, **warm)


def shapes(params):
    return jax.tree.map(lambda x: (x.shape, x.dtype), params)


def initial(trainer):
    """Shapes of the params that the finetuner itself would begin with, of one learner."""
    mesh = parallel.mesh(1)
    keys, kinds = parallel.learner_keys(jax.random.key(0), [0], mesh), np.array([probes.ACTION], np.int32)
    params = jax.eval_shape(parallel.population(trainer, mesh).init, keys, kinds).params
    return jax.tree.map(lambda x: (x.shape[1:], x.dtype), params)


def test_q_is_the_critic_of_sac(fitted):
    """On noise / bound, as sac's own reads it."""
    config, params = fitted
    assert (config.discount, config.reward, config.action) == (0.9, 'env', 'noise')
    assert shapes(params['q']) == initial(sac(Probe, SAC))['critics']
    for obs, chunk, noise in np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32):
        theirs = of_sac(params['q'], obs, noise[:1] / BOUND)
        ours = critics.action_values(config.critics(), params['q'], obs, chunk[:1], noise[:1])
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        assert theirs[0] != theirs[1]


def test_q_on_chunks_reads_them_as_they_are(fitted):
    _, params = fitted
    config = settings(SAC, action='chunk').critics()
    for obs, chunk, noise in np.random.default_rng(1).normal(size=(20, 3, 2)).astype(np.float32):
        ours = critics.action_values(config, params['q'], obs, chunk[:1], noise[:1])
        np.testing.assert_allclose(ours, of_sac(params['q'], obs, chunk[:1]), rtol=1e-5, atol=1e-6)


@jax.jit
def of_sac(q, obs, action):
    """(2,) by the network that sac builds."""
    network = MLP(SAC.hidden, 1, SAC.activation, layer_norm=True)
    return jax.vmap(network.apply, in_axes=(0, None))(q, jnp.concatenate([obs, action]))[:, 0]


def test_v_is_the_critic_of_ppo():
    config = settings(PPO).critics()
    v = critics.init(config, jax.random.key(0), obs_size=2, action_size=1)['v']
    assert shapes(v) == initial(dsrl_ppo(Probe, PPO))['critic']
    network = MLP(PPO.hidden, 1, PPO.activation)
    for obs in np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32):
        np.testing.assert_allclose(network.apply(v, obs)[0], critics.state_value(config, v, obs), rtol=1e-6)
