"""IQL: values that are known in closed form, on its own rollouts of the probes and on given transitions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.finetune import critics
from postbc_jax.finetune.iql import IQLConfig, IQLData, iql
from postbc_jax.finetune.transitions import Transitions
from tests.finetune import priors, probes
from tests.finetune.probes import Probe

CONFIG = IQLConfig(
    steps_per_chunk=600,
    episodes=2000,
    episodes_per_chunk=2000,
    candidates=64,
    hidden=(32,),
    learning_rate=5e-3,
    batch_size=64,
    discount=probes.DISCOUNT,
    tau=0.05,
    reward='env',
)
SHORT = dataclasses.replace(CONFIG, steps_per_chunk=1000, episodes=0, learning_rate=1e-2)
SPEC = {'given': P(), 'mask': P('learner')}


@pytest.fixture(scope='module')
def trainer():
    """Of one learner; conftest.py trains one a probe with it."""
    return iql(lambda data: Probe(data.policy.kind), CONFIG)


@pytest.fixture(scope='module')
def population(trainer):
    """conftest's, of frozen policies in their probes."""
    mesh = parallel.mesh(probes.PROBES)
    policies = parallel.shard(priors.priors(np.arange(probes.PROBES)), mesh, P('learner'))
    return parallel.population(trainer, mesh), mesh, IQLData(policies)


def value(params, obs):
    return float(critics.state_value(CONFIG.critics(), params['v'], jnp.array(obs)))


def q_values(params, obs, action):
    """Both heads, (2,)."""
    return critics.action_values(CONFIG.critics(), params['q'], jnp.array(obs), jnp.array([action]), jnp.zeros(1))


def of(state, learner):
    return jax.tree.map(lambda x: x[learner], state.params)


@pytest.mark.parametrize('kind', range(probes.PROBES))
def test_v_is_the_expectile_of_q_over_the_policys_actions(trained, kind):
    """The worst of 20 seeds was .014, and .193 where the reward is the action's. There the .9-expectile is -.46, the
    .8-expectile -.73, the mean -1.49."""
    params = of(trained[-1][0], kind)
    wrong = max(abs(value(params, obs) - v) for obs, v in priors.known(kind, CONFIG.expectile))
    assert wrong < (0.25 if kind in (probes.ACTION, probes.ACTION_AT_OBSERVATION) else 0.1)


@pytest.mark.parametrize('kind', [probes.ACTION, probes.ACTION_AT_OBSERVATION])
def test_q_is_the_reward_of_the_action(trained, kind):
    """The worst of 20 seeds was .276, beyond most draws."""
    params = of(trained[-1][0], kind)
    for side in (-1.0, 1.0):
        best = probes.BEST * (side if kind == probes.ACTION_AT_OBSERVATION else 1.0)
        for action in np.linspace(-1.5, 1.5, 7):
            np.testing.assert_allclose(q_values(params, [0.0, side], action), -((action - best) ** 2), atol=0.45)


def test_the_best_of_64_is_close_to_the_optimum_and_one_is_the_prior(population, trained):
    """The prior earns -(1 + .7^2) on average; of 64 draws the nearest to the best is .02 off."""
    (state, _), kind = trained[-1], probes.ACTION_AT_OBSERVATION
    _, _, data = population
    frozen = jax.tree.map(lambda x: jnp.asarray(probes.to_numpy(x)[kind]), data.policy)
    policy = iql(None, CONFIG).policy(state.replace(params=of(state, kind)), IQLData(frozen))
    keys, obs = jax.random.split(jax.random.key(5), 1000), jnp.array([0.0, -1.0])

    def earned(candidates):
        chunks, _ = jax.jit(jax.vmap(policy.replace(candidates=candidates), in_axes=(None, 0)))(obs, keys)
        return -float(jnp.mean((chunks[:, 0, 0] + probes.BEST) ** 2))

    assert earned(1) == pytest.approx(-1.49, abs=0.15)
    assert earned(1) < earned(4) < -0.1 < earned(64)


def test_counts_steps_and_episodes(population, start, trained):
    mapped, mesh, data = population
    state = mapped.init(parallel.learner_keys(jax.random.key(0), [0] * probes.PROBES, mesh), data)
    state, metrics = mapped.warm_chunk(state, data)
    lengths = np.ones(probes.PROBES)
    lengths[[probes.TWO_STEPS, probes.TIME_OUT]] = 2
    np.testing.assert_array_equal(metrics['env_steps'], CONFIG.episodes * lengths)
    np.testing.assert_array_equal(state.collected.weight.sum(1), CONFIG.episodes * lengths)
    np.testing.assert_array_equal(metrics['success'], np.arange(probes.PROBES) != probes.TIME_OUT)
    np.testing.assert_allclose(metrics['reward'][jnp.array([probes.CONSTANT, probes.TWO_STEPS])], 1.0)
    final, metrics = trained[-1]
    np.testing.assert_array_equal(final.step, 2 * CONFIG.steps_per_chunk)
    np.testing.assert_array_equal(metrics['env_steps'], CONFIG.episodes * lengths)


def test_a_warm_up_in_pieces_through_numpy_is_one_in_a_whole(population, start):
    _, mesh, data = population
    config = dataclasses.replace(CONFIG, episodes_per_chunk=1000)
    pieces = parallel.population(iql(lambda data: Probe(data.policy.kind), config), mesh)
    assert pieces.warm_chunks == 2
    state = pieces.init(parallel.learner_keys(jax.random.key(0), [0] * probes.PROBES, mesh), data)
    for _ in range(pieces.warm_chunks):
        state, _ = pieces.warm_chunk(probes.through_numpy(state), data)
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.map(probes.to_numpy, s) for s in (state, start())))


def test_resumed_from_numpy_goes_on_bit_for_bit(population, start, trained):
    mapped, _, data = population
    state, _ = mapped.run_chunk(start(), data)
    state, metrics = mapped.run_chunk(probes.through_numpy(state), data)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(probes.to_numpy, (state, metrics)), trained[-1])


def lottery():
    """One state; action 1 wins 1 and was taken in a quarter of the 4 rows; a fifth row, of weight 0, would win 100."""
    action = np.array([[1.0], [-1.0], [-1.0], [-1.0], [0.0]], np.float32)
    reward, weight = np.array([1, 0, 0, 0, 100], np.float32), np.array([1, 1, 1, 1, 0], np.float32)
    zeros = np.zeros(5, np.float32)
    return Transitions(np.zeros((5, 2), np.float32), action, 0 * action, reward, zeros, np.zeros((5, 2)), weight)


def fit(config, given, mask, learners=2):
    """Params of a population of `learners` on the given transitions, after one chunk."""
    mesh = parallel.mesh(learners)
    mapped = parallel.population(iql(lambda data: Probe(data.policy.kind), config), mesh)
    policies = priors.priors(np.full(learners, probes.CONSTANT))
    parts = {name: parallel.shard(part, mesh, SPEC[name]) for name, part in (('given', given), ('mask', mask))}
    data = IQLData(parallel.shard(policies, mesh, P('learner')), **parts)
    state = mapped.init(parallel.learner_keys(jax.random.key(0), [0] * learners, mesh), data)
    for _ in range(mapped.warm_chunks):
        state, _ = mapped.warm_chunk(state, data)
    state, _ = mapped.run_chunk(state, data)
    return jax.tree.map(np.asarray, state.params)


def test_given_transitions_alone_and_what_a_learner_may_see_of_them():
    """The tau-expectile of a coin that pays 1 with chance p is tau p / (tau p + (1 - tau)(1 - p)); the second learner
    sees one loss of the three."""
    params = fit(SHORT, lottery(), np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 1]], np.float32))
    for learner, expected in ((0, 0.9 * 0.25 / (0.9 * 0.25 + 0.1 * 0.75)), (1, 0.9)):
        mine = jax.tree.map(lambda x, i=learner: x[i], params)
        assert value(mine, [0.0, 0.0]) == pytest.approx(expected, abs=0.05)
        np.testing.assert_allclose(q_values(mine, [0.0, 0.0], 1.0), 1.0, atol=0.05)
        np.testing.assert_allclose(q_values(mine, [0.0, 0.0], -1.0), 0.0, atol=0.05)


def test_own_and_given_transitions_count_alike():
    """CONSTANT's own episodes pay 1 where side is -1 or 1; the lottery's rows are at side 0. Both are learnt."""
    config = dataclasses.replace(SHORT, episodes=4, episodes_per_chunk=4)
    params = jax.tree.map(lambda x: x[0], fit(config, lottery(), None, learners=1))
    assert value(params, [0.0, 0.0]) == pytest.approx(0.75, abs=0.1)
    assert max(abs(value(params, [0.0, side]) - 1.0) for side in (-1.0, 1.0)) < 0.1


def test_targets_stay_within_the_possible_returns():
    """A reward of 100 under the convention 'success' cannot be: it counts as 1."""
    config = dataclasses.replace(SHORT, reward='success')
    given = jax.tree.map(lambda x: x[4:], lottery()).replace(weight=np.ones(1, np.float32))
    params = jax.tree.map(lambda x: x[0], fit(config, given, None, learners=1))
    np.testing.assert_allclose(q_values(params, [0.0, 0.0], 0.0), 1.0, atol=0.05)


@pytest.mark.parametrize(
    ('change', 'given', 'message'),
    [
        ({'episodes': 0}, None, 'iql.episodes=0: nothing to learn from'),
        ({'action': 'noise'}, lottery(), "iql.action='noise': given trajectories hold no noise"),
        ({}, lottery().replace(chunk=np.zeros((5, 3), np.float32)), r'\(2, 3\), the policy reads and makes \(2, 1\)'),
    ],
)
def test_refuses_data_that_cannot_be_learnt_from(change, given, message):
    with pytest.raises(ValueError, match=message):
        fit(dataclasses.replace(CONFIG, **change), given, None)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'episodes': 150}, 'iql.episodes=150: must be 0 or a multiple of iql.episodes_per_chunk=100'),
        ({'candidates': 0}, 'iql.candidates=0'),
        ({'expectile': 1.0}, 'iql.expectile=1.0: must lie between 0 and 1'),
        ({'tau': 0.0}, 'iql.tau=0.0'),
        ({'learning_rate': 0.0}, 'iql.learning_rate=0.0'),
        ({'action': 'state'}, "critics.action='state': choose one of chunk, noise"),
        ({'bound': 0.0}, 'critics.bound=0.0'),
        ({'reward': 'success_minus_one', 'discount': 1.0}, 'discount=1.0: success_minus_one'),
        ({'hidden': (0,)}, r'hidden=\(0,\)'),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        IQLConfig(**{'steps_per_chunk': 1} | change)
