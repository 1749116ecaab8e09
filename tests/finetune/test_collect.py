"""Collected rollouts: the very episodes that evaluation plays, and what is kept of each decision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State
from jax.sharding import PartitionSpec as P

from postbc_jax import evaluate, parallel
from postbc_jax.envs.gate import Gate
from postbc_jax.finetune.collect import collect
from tests.finetune import priors, probes
from tests.populations import POLICY, frozen_policies

ROWS = P(parallel.LEARNER, parallel.DATA)
EPISODES = 24
HORIZON = 7  # decisions of POLICY's chunks of 3 in gate


def on_one(fn, policies):
    """fn(policy, key) of the first learner, on the host."""
    mesh = parallel.mesh(1)
    one = parallel.shard(jax.tree.map(lambda x: np.asarray(x)[:1], policies), mesh, P('learner'))
    mapped = parallel.pmap(fn, mesh, (P('learner'), P('learner')), ROWS)
    found = parallel.gather(mapped(one, parallel.learner_keys(jax.random.key(3), [0], mesh)))
    return jax.tree.map(lambda x: x[0], found)


def played(env, first=0, episodes=EPISODES):
    return on_one(lambda p, k: collect(env, p, k, episodes, first, 'success_minus_one', 0.9), frozen_policies())


@pytest.fixture(scope='module')
def collected():
    return played(Gate())


def test_episodes_are_those_of_evaluation(collected):
    expected = on_one(lambda p, k: evaluate.rollouts(Gate(), p, k, EPISODES), frozen_policies())
    jax.tree.map(np.testing.assert_array_equal, collected[1], expected)


def test_rows_are_the_decisions_that_were_played(collected):
    """Untrained policies miss the gate at step 10, in their fourth decision, or end after 20 steps, in the seventh."""
    transitions, outcome = collected
    by_episode = jax.tree.map(lambda x: x.reshape(EPISODES, HORIZON, *x.shape[1:]), transitions)
    decisions = -(-outcome['steps'] // 3)
    assert set(decisions) == {4, 7}
    np.testing.assert_array_equal(by_episode.weight, np.arange(HORIZON) < decisions[:, None])
    rows = np.arange(EPISODES)
    last = np.zeros((EPISODES, HORIZON))
    last[rows, decisions - 1] = 1
    live = by_episode.weight == 1
    np.testing.assert_array_equal(by_episode.discount[live], (1 - last)[live])
    # -1 a step played but the one that succeeded; a failure pays for ever after, 3 a decision.
    spoilt = (1 - outcome['success']) * 0.9 * 3 / (1 - 0.9)
    np.testing.assert_allclose(by_episode.reward.sum(1), outcome['success'] - outcome['steps'] - spoilt, rtol=1e-5)
    np.testing.assert_array_equal(by_episode.next_obs[:, :3], by_episode.obs[:, 1:4])
    np.testing.assert_allclose(by_episode.next_obs[rows, decisions - 1, 0], outcome['steps'] / 10 - 1, atol=1e-5)


def test_chunks_are_what_the_noise_decodes_to(collected):
    transitions, _ = collected
    policy = jax.tree.map(lambda x: jnp.asarray(x[0]), frozen_policies())
    noise = transitions.noise.reshape(-1, POLICY.chunk, POLICY.action_size)
    chunks = jax.vmap(policy.decode)(transitions.obs, noise)  # the normaliser is the identity
    np.testing.assert_allclose(transitions.chunk, np.reshape(chunks, transitions.chunk.shape), atol=1e-5)
    live = transitions.noise[transitions.weight == 1]
    assert abs(live.mean()) < 0.2 and abs(live.std() - 1) < 0.1


def test_waves_are_parts_of_the_whole(collected):
    """By `first`, and by a simulator's at_once."""

    class Slow(Gate):
        at_once = 3

    part, _ = played(Slow(), first=16, episodes=8)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[16 * HORIZON :], atol=1e-5), part, collected[0])


@pytest.mark.parametrize(('discount', 'last'), [(0.9, 1.0), (1.0, 0.0)])
def test_a_time_out_ends_the_task_only_without_a_discount(discount, last):
    def fn(policy, key):
        return collect(probes.Probe(policy.kind), policy, key, 4, 0, 'env', discount)

    transitions, outcome = on_one(fn, priors.priors([probes.TIME_OUT]))
    np.testing.assert_array_equal(transitions.discount, [1.0, last] * 4)
    np.testing.assert_array_equal(transitions.weight, 1.0)
    np.testing.assert_array_equal(outcome['steps'], 2)


class Cut(Env):
    """A simulator that cuts its episode in the first step."""

    horizon, observation_size, action_size, backend = 2, 2, 1, 'none'

    def reset(self, rng):
        zero = jnp.zeros(())
        return State(None, jnp.zeros(2), zero, zero, {'success': zero}, {'truncated': zero})

    def step(self, state, action):
        return state.replace(done=jnp.ones(()), info=state.info | {'truncated': jnp.ones(())})


@pytest.mark.parametrize(('discount', 'goes_on'), [(0.9, 1.0), (1.0, 0.0)])
def test_an_episode_that_a_simulator_cut_is_a_time_out(discount, goes_on):
    kind = 'success_minus_one' if discount < 1 else 'success'

    def fn(policy, key):
        return collect(Cut(), policy, key, 2, 0, kind, discount)

    transitions, _ = on_one(fn, priors.priors([0]))
    np.testing.assert_array_equal(transitions.weight, [1, 0, 1, 0])
    np.testing.assert_array_equal(transitions.discount[::2], goes_on)
    np.testing.assert_array_equal(transitions.reward[::2], -1.0 if discount < 1 else 0.0)  # not spoilt
