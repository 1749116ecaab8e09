"""evaluate: counted by hand in a corridor whose outcomes are known, on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State
from jax.sharding import PartitionSpec as P

from postbc_jax import evaluate, parallel
from postbc_jax.envs.gate import Gate

ROWS = P(parallel.LEARNER, parallel.DATA)


class Corridor(Env):
    """Walk from `start` (region: near 2, far 5 cells away) to 0; action -1 steps ahead, +1 falls off (done, failed).
    obs: (distance, a draw of the start's own)."""

    horizon = 6
    regions = ('near', 'far')
    observation_size = 2
    action_size = 1
    backend = 'none'

    def reset(self, rng):
        region, draw = jax.random.split(rng)
        far = jax.random.bernoulli(region)
        distance = jnp.where(far, 5.0, 2.0)
        zero = jnp.zeros(())
        return State(
            pipeline_state=distance,
            obs=jnp.stack([distance, jax.random.uniform(draw)]),
            reward=zero,
            done=zero,
            metrics={'success': zero},
            info={'region': far.astype(jnp.int32)},
        )

    def step(self, state, action):
        distance = state.pipeline_state + jnp.where(action[0] < 0, -1.0, 0.0)
        success = (distance == 0).astype(jnp.float32)
        fell = (action[0] > 0).astype(jnp.float32)
        return state.replace(
            pipeline_state=distance,
            obs=state.obs.at[0].set(distance),
            reward=success,
            done=jnp.maximum(success, fell),
            metrics={'success': success},
        )


def ahead(obs, key):
    """Two steps ahead."""
    return -jnp.ones((2, 1)), {}


def run(fn, *policy_arrays, learners=1, seed=0):
    """fn(key, *policy_arrays) for a population in which every learner has the same key; host arrays (L, rows)."""
    mesh = parallel.mesh(learners)
    keys = parallel.learner_keys(jax.random.key(seed), [0] * learners, mesh)
    arrays = [parallel.shard(a, mesh, P(parallel.LEARNER)) for a in policy_arrays]
    mapped = parallel.pmap(fn, mesh, (P(parallel.LEARNER),) * (1 + len(arrays)), ROWS)
    return parallel.gather(mapped(keys, *arrays), learners)


def test_rollouts_count_steps_successes_and_regions():
    played = run(lambda key: evaluate.rollouts(Corridor(), ahead, key, 32))
    assert played['success'].shape == (1, 32) and played['success'].all()
    assert set(played['region'][0]) == {0, 1}
    np.testing.assert_array_equal(played['steps'], np.where(played['region'] == 1, 5, 2))


def test_rollouts_end_at_failure_and_at_the_horizon():
    """Learner 0 falls off in its second step; learner 1 stands still."""
    chunks = jnp.array([[[-1.0], [1.0], [-1.0], [-1.0]], [[0.0]] * 4])
    played = run(
        lambda key, chunk: evaluate.rollouts(Corridor(), lambda obs, k: (chunk, {}), key, 8), chunks, learners=2
    )
    assert not played['success'].any()
    np.testing.assert_array_equal(played['steps'][0], 2)
    np.testing.assert_array_equal(played['steps'][1], 8)  # two decisions of four: the last chunk is played whole


def test_learners_with_one_key_face_the_same_starts_and_other_keys_others():
    def started(key):
        """The start's own draw, smuggled out as the success of a policy that walks where it is above .5."""
        return evaluate.rollouts(
            Corridor(), lambda obs, k: (jnp.where(obs[1] > 0.5, -1.0, 0.0)[None, None], {}), key, 64
        )

    both = run(started, learners=2)
    np.testing.assert_array_equal(both['success'][0], both['success'][1])
    assert 0.2 < both['success'].mean() < 0.8
    assert (run(started, seed=1)['success'] != both['success'][:1]).any()


def test_every_decision_has_its_own_key():
    """Falls with chance .3 a step, so a far start succeeds with .7^5 and a near one with .7^2."""

    def brave(obs, key):
        return jnp.where(jax.random.uniform(key, (1, 1)) < 0.3, 1.0, -1.0), {}

    played = run(lambda key: evaluate.rollouts(Corridor(), brave, key, 4096))
    near, far = (played['success'][played['region'] == r].mean() for r in (0, 1))
    assert near == pytest.approx(0.7**2, abs=0.04) and far == pytest.approx(0.7**5, abs=0.04)


def test_coverage_repeats_one_start_with_other_draws():
    """Succeeds from near starts with chance .5, decided by the policy's key; from far ones by the start alone."""

    def policy(obs, key):
        lucky = jnp.where(obs[0] < 3, jax.random.bernoulli(key), obs[1] > 0.5)
        return jnp.where(lucky, -jnp.ones((6, 1)), jnp.ones((6, 1))), {}

    played = run(lambda key: evaluate.coverage(Corridor(), policy, key, 64, 40))
    near, far = (played['successes'][played['region'] == r] for r in (0, 1))
    assert set(far) == {0, 40}
    assert near.min() > 0 and near.max() < 40 and near.mean() == pytest.approx(20, abs=2)


def test_coverage_reseeds_the_dynamics():
    """gate's only chance is its drift: one deterministic policy, one start, outcomes that differ."""

    def climb(obs, key):
        return jnp.clip(-0.6 * obs[1] / 0.15, -1, 1)[None, None], {}

    played = run(lambda key: evaluate.coverage(Gate(), climb, key, 16, 64))
    assert ((played['successes'] > 0) & (played['successes'] < 64)).any()


def test_success_rates_and_pass_at_n_rows():
    rates = evaluate.success_rates(np.array([1, 0, 1, 1]), np.array([0, 0, 2, 2]), ('a', 'b', 'c'))
    assert rates == {'success_rate': 0.75, 'episodes': 4, 'regions': {'a': 0.5, 'c': 1.0}}
    rows = evaluate.pass_at_n(np.array([1, 2, 0]), np.array([0, 0, 1]), 2, (1, 2), ('a', 'b'))
    assert rows == [
        {'region': 'all', 'n': 1, 'pass_at_n': 0.5, 'starts': 3},
        {'region': 'a', 'n': 1, 'pass_at_n': 0.75, 'starts': 2},
        {'region': 'b', 'n': 1, 'pass_at_n': 0.0, 'starts': 1},
        {'region': 'all', 'n': 2, 'pass_at_n': pytest.approx(2 / 3), 'starts': 3},
        {'region': 'a', 'n': 2, 'pass_at_n': 1.0, 'starts': 2},
        {'region': 'b', 'n': 2, 'pass_at_n': 0.0, 'starts': 1},
    ]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r'chunks \(2, 3\), the environment takes \(T, 1\)'):
        run(lambda key: evaluate.rollouts(Corridor(), lambda obs, k: (jnp.zeros((2, 3)), {}), key, 4))
    with pytest.raises(ValueError, match='episodes=0'):
        run(lambda key: evaluate.rollouts(Corridor(), ahead, key, 0))
    with pytest.raises(ValueError, match='rollouts=0'):
        run(lambda key: evaluate.coverage(Corridor(), ahead, key, 4, 0))
