"""What sac and dsrl_na share: fixed transitions in the batches, and critics to start from."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.finetune import actor, twin_critics
from postbc_jax.finetune.dsrl_na import NAConfig, dsrl_na
from postbc_jax.finetune.off_policy import Learned, Method, off_policy
from postbc_jax.finetune.sac import SACConfig, sac
from postbc_jax.finetune.transitions import Transitions
from tests.finetune import probes
from tests.finetune.probes import Probe

SHARED = {
    'decisions_per_chunk': 16,
    'environments': 8,
    'warmup_decisions': 16,
    'replay': 80,
    'updates_per_step': 3,
    'batch_size': 32,
    'hidden': (16,),
    'learning_rate': 5e-3,
    'discount': probes.DISCOUNT,
    'temperature': 0.1,
    'target_entropy': -1.0,
    'reward': 'env',
}
MARK = 1000.0  # rewards of fixed transitions: MARK + row + offset of the learner
ROWS, WEIGHTLESS = 37, 5  # the first rows and the last hold nothing, the last but one counts twice
NOWHERE = np.array([0.5, 3.0], np.float32)  # an observation that no probe makes


def marked(data):
    """Fixed transitions that can be told by their reward."""
    n = jnp.arange(ROWS, dtype=jnp.float32)
    obs, one = jnp.zeros((ROWS, 2)), jnp.ones((ROWS, 1))
    weight = (n >= WEIGHTLESS) * (1 + (n == ROWS - 2)) * (n != ROWS - 1)
    return Transitions(obs, one, -one, MARK + n + data['offset'], jnp.zeros(ROWS), obs, weight)


@functools.cache
def watcher(share: float):
    """A population that learns nothing and reports what its batches hold of the fixed transitions."""
    config = SACConfig(**SHARED, offline_share=share)

    def init(keys, data, obs_size, actor_config):
        return Learned({'actor': actor.init(actor_config, keys[0], obs_size)}, {}, {})

    def learn(learned, data, problem, batches, normal):
        fixed = batches.reward >= MARK
        shares = parallel.data_mean(fixed.mean(axis=1))
        row = jnp.where(fixed, batches.reward - MARK - data['offset'], 0)
        found = {
            'least': shares.min(),
            'most': shares.max(),
            'rows': parallel.data_mean((row * normal[:, 0, :, 0]).sum()),  # which row met which draw
            'smallest': jnp.where(fixed, row, ROWS).min(),
            'largest': row.max(),
            'twice': (row == ROWS - 2).sum() / fixed.sum(),
            'action': (batches.action * fixed[..., None]).sum() / fixed.sum(),
            'rings': parallel.data_mean((batches.observation * ~fixed[..., None]).sum()),
        }
        return learned, found

    method = Method(init, lambda data, config, obs, noise: noise, lambda fixed, config: 0.5 * fixed.noise, learn, 3)
    trainer = off_policy(lambda data: Probe(data['kind']), config, method, lambda data: data, marked)
    return parallel.population(trainer, parallel.mesh(1, jax.devices()[:1]))


def on_mesh(data):
    """The mesh of one device, and data on it."""
    mesh = parallel.mesh(1, jax.devices()[:1])
    return mesh, parallel.shard(data, mesh, P('learner'))


def run(mapped, data, seeds=(0, 0)):
    """State and metrics of one chunk of a population."""
    mesh, data = on_mesh(data)
    state = mapped.init(parallel.learner_keys(jax.random.key(0), seeds, mesh), data)
    state, _ = mapped.warm_chunk(state, data)
    state, metrics = mapped.run_chunk(state, data)
    return jax.tree.map(probes.to_numpy, (state, metrics))


def two(offset=(0.0, 0.0)):
    return {'kind': np.full(2, probes.OBSERVED, np.int32), 'offset': np.float32(offset)}


@pytest.mark.parametrize('share', [0.25, 0.75])
def test_every_batch_holds_the_share_exactly(share):
    _, found = run(watcher(share), two())
    np.testing.assert_array_equal(found['least'], np.float32(share))
    np.testing.assert_array_equal(found['most'], np.float32(share))
    np.testing.assert_array_equal(found['action'], np.float32(-0.5))  # what `known` makes of the noise


def test_rows_are_drawn_as_often_as_they_weigh():
    """Metrics are the mean of two steps: with 144 rows a step both ends are met in each."""
    _, found = run(watcher(0.75), two())
    np.testing.assert_array_equal(found['smallest'], WEIGHTLESS)
    np.testing.assert_array_equal(found['largest'], ROWS - 2)
    np.testing.assert_allclose(found['twice'], 2 / 32, atol=0.04)


def test_learners_of_one_seed_draw_the_same_rows_whatever_these_hold():
    _, found = run(watcher(0.25), two(offset=(0.0, 64.0)))
    for name in ('rows', 'rings'):
        assert found[name][0] == found[name][1] != 0
    _, other = run(watcher(0.25), two(), seeds=(0, 1))
    assert other['rows'][0] != other['rows'][1]


def config_of(make, **changes):
    return (SACConfig if make is sac else NAConfig)(**SHARED | changes)


def trainer_of(make, config, **sources):
    decode = {} if make is sac else {'decode': lambda data, obs, noise: noise}
    return make(lambda data: Probe(data['kind']), config, **decode, policy_of=lambda data: None, **sources)


@pytest.mark.parametrize('make', [sac, dsrl_na])
def test_no_share_is_the_program_without_fixed_transitions(make):
    mesh, data = on_mesh(two())
    keys = parallel.learner_keys(jax.random.key(0), [0, 0], mesh)
    text = []
    for sources in ({}, {'offline': marked}):
        mapped = parallel.population(trainer_of(make, config_of(make), **sources), mesh)
        text.append(mapped.run_chunk.lower(jax.eval_shape(mapped.init, keys, data), data).as_text())
    assert text[0] == text[1]


@pytest.mark.parametrize(('make', 'at'), [(sac, 'noise'), (dsrl_na, 'chunk')])
def test_learns_values_of_what_only_fixed_transitions_have(make, at):
    """Two rows at an observation that is never met; SAC knows them by their noise, DSRL-NA by their chunk."""
    chunk = np.array([[0.5], [-0.5]], np.float32)
    obs = np.stack([NOWHERE] * 2)
    fixed = Transitions(
        obs, chunk, -chunk, np.array([1.0, -1.0], np.float32), np.zeros(2, np.float32), obs, np.ones(2, np.float32)
    )
    config = config_of(make, decisions_per_chunk=1600, offline_share=0.5)
    trainer = trainer_of(make, config, offline=lambda data: jax.tree.map(jnp.asarray, fixed))
    state, _ = run(parallel.population(trainer, on_mesh(two())[0]), two())
    params = jax.tree.map(lambda x: x[0], state.params['critics'])
    network = twin_critics.network(config.hidden, config.activation, config.layer_norm)
    for row in range(2):
        q = twin_critics.values(network, params, NOWHERE, getattr(fixed, at)[row])
        np.testing.assert_allclose(q, fixed.reward[row], atol=0.1)


@pytest.mark.parametrize('make', [sac, dsrl_na])
def test_critics_and_targets_start_from_those_given(make):
    config = config_of(make)
    given = twin_critics.init(
        twin_critics.network(config.hidden, config.activation, config.layer_norm), jax.random.key(7), 2, 1
    )
    mesh, data = on_mesh(two())
    keys = parallel.learner_keys(jax.random.key(0), [0, 1], mesh)
    state = parallel.population(trainer_of(make, config, initial_critics=lambda data: given), mesh).init(keys, data)
    for learner in range(2):
        for found in (state.params['critics'], state.target):
            jax.tree.map(lambda x, y, i=learner: np.testing.assert_array_equal(x[i], y), found, given)


@pytest.mark.parametrize('make', [sac, dsrl_na])
def test_refuses_critics_of_other_widths(make):
    other = twin_critics.init(twin_critics.network((8,), 'tanh', True), jax.random.key(7), 2, 1)
    trainer = trainer_of(make, config_of(make), initial_critics=lambda data: other)
    with pytest.raises(ValueError, match=r'dsrl_\w+\.hidden: the critics to start from have .* of shape \(2, 8\)'):
        run(parallel.population(trainer, on_mesh(two())[0]), two())


def test_refuses_a_share_of_nothing():
    config = config_of(sac, offline_share=0.5)
    with pytest.raises(ValueError, match=r'dsrl_sac.offline_share=0.5: there are no transitions to draw'):
        trainer_of(sac, config)


@pytest.mark.parametrize(
    ('share', 'message'),
    [
        (1.0, r'must lie in \[0, 1\)'),
        (-0.1, r'must lie in \[0, 1\)'),
        (0.3, '9.6 rows of dsrl_sac.batch_size=32; must be a multiple of dsrl_sac.environments=8'),
        (0.125, '4 rows of'),
    ],
)
def test_config_refuses_a_share(share, message):
    with pytest.raises(ValueError, match=f'dsrl_sac.offline_share={share}: {message}'):
        SACConfig(**SHARED, offline_share=share)


def test_settings_are_named_by_their_algorithm():
    for make in (sac, dsrl_na):
        with pytest.raises(ValueError, match=f'dsrl_{make.__name__.removeprefix("dsrl_")}.tau=2: must be at most 1'):
            dataclasses.replace(config_of(make), tau=2)
