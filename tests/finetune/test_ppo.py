"""PPO: what its parts compute by hand, and what it learns on probes whose values are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.finetune import actor, samples
from postbc_jax.finetune.dsrl_ppo import dsrl_ppo
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.networks import MLP
from tests.finetune import probes
from tests.finetune.probes import Probe

CONFIG = PPOConfig(
    iterations_per_chunk=30,
    environments=64,
    hidden=(32,),
    learning_rate=3e-3,
    minibatches=2,
    groups=4,
    discount=probes.DISCOUNT,
    reward='env',
)


@pytest.fixture(scope='module')
def trainer():
    """Of one learner; conftest.py trains one a probe with it."""
    return dsrl_ppo(Probe, CONFIG)


def error(params, kind):
    """How far the learner is from the known value or action of its probe."""
    critic = MLP(CONFIG.hidden, 1, CONFIG.activation)
    actor_config = actor.ActorConfig('gaussian', 1, Probe.bound, CONFIG.hidden, CONFIG.activation)
    value = jax.jit(lambda obs: critic.apply(params['critic'], obs)[0])
    return probes.wrong(value, kind, jax.jit(lambda obs: actor.mode(actor_config, params['actor'], obs)))


@pytest.mark.parametrize('kind', range(probes.PROBES))
def test_probe(trained, kind):
    """The worst of 20 seeds was .059."""
    state, _ = trained[-1]
    assert error(jax.tree.map(lambda x: x[kind], state.params), kind) < 0.15


def test_counts_steps_and_episodes(trained):
    (_, first), (state, second) = trained
    unroll = CONFIG.iterations_per_chunk * CONFIG.environments * Probe.horizon
    np.testing.assert_array_equal(first['env_steps'], unroll)
    np.testing.assert_array_equal(second['env_steps'], 2 * unroll)
    np.testing.assert_array_equal(state.env_steps, 2 * unroll)
    lengths = np.ones(probes.PROBES)
    lengths[[probes.TWO_STEPS, probes.TIME_OUT]] = 2
    np.testing.assert_array_equal(first['episodes'], unroll / lengths)
    np.testing.assert_array_equal(first['success'], np.arange(probes.PROBES) != probes.TIME_OUT)
    np.testing.assert_allclose(second['reward'][[probes.CONSTANT, probes.TWO_STEPS, probes.TIME_OUT]], [1, 1, 2])
    assert abs(second['reward'][probes.OBSERVED]) < 0.1
    assert -1.5 < first['reward'][probes.ACTION] < second['reward'][probes.ACTION] < 0


def test_resumed_from_numpy_goes_on_bit_for_bit(population, start, trained):
    trainer, _, kinds = population
    state, _ = trainer.run_chunk(start(), kinds)
    state, metrics = trainer.run_chunk(probes.through_numpy(state), kinds)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(probes.to_numpy, (state, metrics)), trained[-1])


def on_data_axis(fn, arg):
    """fn(arg) for one learner on the mesh of one device."""
    return parallel.pmap(fn, parallel.mesh(1), (P('learner'),), P('learner'))(arg[None])[0]


def test_standardise():
    standard = on_data_axis(samples.standardise, jnp.array([1.0, 2.0, 3.0, 6.0]))
    np.testing.assert_allclose(standard, np.array([-2, -1, 0, 3]) / np.sqrt(3.5), rtol=1e-6)


def test_minibatches_permute_every_group_in_every_epoch():
    rows = on_data_axis(lambda key: samples.minibatches(key, 3, 8, epochs=2, count=4), jax.random.key(0))
    assert rows.shape == (8, 3, 2)
    epochs = np.moveaxis(np.asarray(rows).reshape(2, 4, 3, 2), 2, 1).reshape(2, 3, 8)
    np.testing.assert_array_equal(np.sort(epochs), np.broadcast_to(np.arange(8), epochs.shape))
    assert len({tuple(order) for order in epochs.reshape(6, 8)}) == 6


def test_minibatches_must_divide_a_group():
    config = PPOConfig(iterations_per_chunk=1, environments=8, groups=2, minibatches=4)
    assert config.group_samples(horizon=3) == 12
    assert dataclasses.replace(config, unroll=2).group_samples(horizon=3) == 8
    with pytest.raises(ValueError, match=r'minibatches=5: must divide the 12 samples of a group \(3 decisions x 8 env'):
        dataclasses.replace(config, minibatches=5).group_samples(horizon=3)


def test_groups_and_packing_lose_nothing():
    decisions, environments = 2, 6
    index = jnp.arange(decisions * environments, dtype=jnp.float32).reshape(decisions, environments)
    batch = samples.Samples(index[..., None] + jnp.array([0.0, 0.5]), index[..., None], index, index + 100, -index)
    grouped = samples.by_group(batch, 3)
    np.testing.assert_array_equal(grouped.log_prob, [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]])
    packed, unpack = samples.pack(grouped)
    back = unpack(packed[:, 1:3])
    assert back.obs.shape == (6, 2)
    np.testing.assert_array_equal(back.log_prob, [1, 6, 3, 8, 5, 10])
    np.testing.assert_array_equal(back.obs[:, 1], back.log_prob + 0.5)
    np.testing.assert_array_equal(back.record[:, 0], back.log_prob)
    np.testing.assert_array_equal(back.advantage, back.log_prob + 100)
    np.testing.assert_array_equal(back.target, -back.log_prob)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'environments': 10}, 'dsrl_ppo.environments=10: must be a multiple of dsrl_ppo.groups=8'),
        ({'epochs': 0}, 'dsrl_ppo.epochs=0'),
        ({'learning_rate': 0.0}, 'dsrl_ppo.learning_rate=0.0'),
        ({'unroll': -1}, 'dsrl_ppo.unroll=-1'),
        ({'value_cost': -0.5}, 'dsrl_ppo.value_cost=-0.5'),
        ({'gae_lambda': 1.5}, 'dsrl_ppo.gae_lambda=1.5'),
        ({'reward': 'dense'}, "reward='dense'"),
        ({'activation': 'sine'}, "activation='sine'"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        PPOConfig(iterations_per_chunk=1, **change)
