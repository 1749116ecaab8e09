"""SAC: what its parts compute by hand, and what it learns on probes whose values are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import parallel
from postbc_jax.finetune import actor, sac
from postbc_jax.finetune.sac import SACConfig
from postbc_jax.networks import MLP
from tests.finetune import probes
from tests.finetune.probes import Probe

CONFIG = SACConfig(
    decisions_per_chunk=600,
    environments=2,
    warmup_decisions=100,
    replay=1000,
    updates_per_step=4,
    batch_size=32,
    hidden=(32,),
    learning_rate=5e-3,
    discount=probes.DISCOUNT,
    tau=0.05,
    temperature=0.1,
    target_entropy=-1.0,
    reward='env',
)


@pytest.fixture(scope='module')
def trainer():
    """Of one learner; conftest.py trains one a probe with it."""
    return sac.sac(Probe, CONFIG)


def error(params, kind):
    """How far the learner is from the known value or action of its probe."""
    critic = MLP(CONFIG.hidden, 1, CONFIG.activation, layer_norm=True)
    actor_config = actor.ActorConfig('squashed', 1, Probe.bound, CONFIG.hidden, CONFIG.activation)

    @jax.jit
    def mode(obs):
        return actor.mode(actor_config, params['actor'], obs)

    @jax.jit
    def value(obs):
        inputs = jnp.concatenate([obs, mode(obs)])
        return jax.vmap(critic.apply, in_axes=(0, None))(params['critics'], inputs).mean()

    return probes.wrong(value, kind, mode)


@pytest.mark.parametrize('kind', range(probes.PROBES))
def test_probe(trained, kind):
    """The worst of 20 seeds was .053."""
    state, _ = trained[-1]
    assert error(jax.tree.map(lambda x: x[kind], state.params), kind) < 0.15


def test_warm_up_fills_the_rings_with_standard_noise_and_does_not_learn(population, start):
    state = jax.tree.map(probes.to_numpy, start())
    np.testing.assert_array_equal(state.env_steps, CONFIG.warmup_decisions)
    np.testing.assert_array_equal(state.replay.insert_position, CONFIG.warmup_decisions // CONFIG.environments)
    np.testing.assert_array_equal(state.params['log_temperature'], np.float32(np.log(CONFIG.temperature)))
    rows = state.replay.data[:, :, : CONFIG.warmup_decisions // CONFIG.environments]
    obs, action, reward, discount, following = np.split(rows, [2, 3, 4, 5], axis=-1)
    assert np.abs(action).max() == 1.0  # w ~ N(0, 1), clipped to the bound of 1
    np.testing.assert_allclose(np.mean(np.abs(action) == 1.0), 0.3173, atol=0.1)
    np.testing.assert_array_equal(reward[probes.OBSERVED, ..., 0], obs[probes.OBSERVED, ..., 1])
    np.testing.assert_allclose(reward[probes.ACTION], -((action[probes.ACTION] - probes.BEST) ** 2), atol=1e-6)
    assert (discount[probes.CONSTANT] == 0).all() and (discount[probes.TIME_OUT] == 1).all()
    ends = discount[probes.TWO_STEPS, ..., 0]
    np.testing.assert_array_equal(ends[:, :4], [[1, 0, 1, 0]] * CONFIG.environments)
    # What follows is of the same episode, also where it has ended: same side, next step.
    np.testing.assert_array_equal(following[..., 1], obs[..., 1])
    np.testing.assert_array_equal(following[probes.TWO_STEPS, ..., 0], obs[probes.TWO_STEPS, ..., 0] + 1)


@pytest.mark.parametrize(
    ('warmup', 'chunk', 'chunks'),
    [(100, 600, 1), (600, 600, 1), (1200, 600, 2), (1000, 600, 2), (902, 600, 11), (1202, 600, 601), (2, 600, 1)],
)
def test_the_warm_up_is_cut_into_equal_chunks(warmup, chunk, chunks):
    """902 decisions of 2 environments are 451 = 11 x 41 steps; 1202 are 601, a prime."""
    config = dataclasses.replace(CONFIG, warmup_decisions=warmup, decisions_per_chunk=chunk)
    assert config.warm_chunks == chunks


def test_a_warm_up_in_pieces_through_numpy_is_one_in_a_whole(population, start):
    """Five chunks of it, each state as a checkpoint gives it back, bit for bit."""
    mapped, mesh, kinds = population
    config = dataclasses.replace(CONFIG, decisions_per_chunk=26)
    assert (config.warm_chunks, CONFIG.warm_chunks) == (5, 1)
    pieces = parallel.population(sac.sac(Probe, config), mesh)
    state = pieces.init(parallel.learner_keys(jax.random.key(0), [0] * probes.PROBES, mesh), kinds)
    for chunk in range(1, config.warm_chunks + 1):
        state, metrics = pieces.warm_chunk(probes.through_numpy(state), kinds)
        np.testing.assert_array_equal(metrics['env_steps'], chunk * CONFIG.warmup_decisions / config.warm_chunks)
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(probes.to_numpy, s) for s in (state, start())))


def test_counts_steps_and_episodes(trained):
    (_, first), (state, second) = trained
    played = CONFIG.warmup_decisions + 2 * CONFIG.decisions_per_chunk
    np.testing.assert_array_equal(second['env_steps'], played)
    held = CONFIG.replay // CONFIG.environments
    np.testing.assert_array_equal(state.replay.insert_position, played // CONFIG.environments)
    np.testing.assert_array_equal(state.replay.sample_position, played // CONFIG.environments - held)
    lengths = np.ones(probes.PROBES)
    lengths[[probes.TWO_STEPS, probes.TIME_OUT]] = 2
    np.testing.assert_array_equal(first['episodes'], CONFIG.decisions_per_chunk / lengths)
    np.testing.assert_array_equal(first['success'], np.arange(probes.PROBES) != probes.TIME_OUT)


def test_resumed_from_numpy_goes_on_bit_for_bit(population, start, trained):
    trainer, _, kinds = population
    state, _ = trainer.run_chunk(start(), kinds)
    state, metrics = trainer.run_chunk(probes.through_numpy(state), kinds)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(probes.to_numpy, (state, metrics)), trained[-1])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'batch_size': 255}, 'dsrl_sac.batch_size=255: must be a positive multiple of dsrl_sac.environments=4'),
        ({'warmup_decisions': 0}, 'dsrl_sac.warmup_decisions=0'),
        ({'environments': 0}, 'dsrl_sac.environments=0'),
        ({'updates_per_step': 0}, 'dsrl_sac.updates_per_step=0'),
        ({'tau': 0.0}, 'dsrl_sac.tau=0.0'),
        ({'tau': 1.5}, 'dsrl_sac.tau=1.5'),
        ({'discount': 1.0}, 'dsrl_sac.discount=1.0: must be below 1'),
        ({'hidden': (0,)}, r'hidden=\(0,\)'),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        SACConfig(**{'decisions_per_chunk': 4} | change)
