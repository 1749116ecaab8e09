"""What rewards amount to, by hand: generalised advantages around an episode's end, and the running scale of returns."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.finetune import returns


def gae(end=None, truncated=False, discount=0.5):
    """Advantages and targets of values 1, 2, 3, then 4, and rewards 1, 1, 1, where an episode may end after step 1, at
    an observation worth 6."""
    done = jnp.array([[float(end == t)] for t in range(3)])
    advantage, target = returns.advantages(
        done=done,
        truncation=done * truncated,
        reward=jnp.ones((3, 1)),
        values=jnp.array([[1.0], [2.0], [3.0]]),
        final_values=jnp.array([[2.0], [6.0], [4.0]]),
        bootstrap=jnp.array([4.0]),
        discount=discount,
        gae_lambda=0.5,
    )
    return advantage[:, 0], target[:, 0]


def test_gae_within_an_episode():
    advantage, target = gae()  # errors 1, .5, 0; each advantage adds 1/4 of the next one
    np.testing.assert_allclose(advantage, [1.125, 0.5, 0.0])
    np.testing.assert_allclose(target, [2.125, 2.5, 3.0])


def test_gae_at_a_terminal_step():
    advantage, _ = gae(end=1)  # errors 1, 1 - 2, 0
    np.testing.assert_allclose(advantage, [0.75, -1.0, 0.0])


def test_gae_bootstraps_a_time_out_from_where_it_led():
    advantage, target = gae(end=1, truncated=True)  # errors 1, 1 + 6 / 2 - 2, 0; none passes the end
    np.testing.assert_allclose(advantage, [1.5, 2.0, 0.0])
    np.testing.assert_allclose(target, [2.5, 4.0, 3.0])


def test_gae_without_discount_ends_at_a_time_out():
    np.testing.assert_allclose(gae(1, truncated=True, discount=1.0)[0], gae(1, truncated=False, discount=1.0)[0])


def scaled(*unrolls):
    """Scaled rewards (U, E) of each unroll (rewards, done) in turn, at discount 1/2, and the last state."""

    def run(unrolls):
        state, found = returns.unseen(len(unrolls[0][0][0])), []
        for reward, done in unrolls:
            state, reward = returns.scale(state, reward, done, 0.5)
            found.append(reward)
        return found, state

    whole = [tuple(jnp.array(x, jnp.float32)[None] for x in unroll) for unroll in unrolls]  # of one learner
    spec = P(parallel.LEARNER)
    found, state = parallel.pmap(run, parallel.mesh(1), (spec,), spec)(whole)
    return jax.tree.map(lambda x: np.asarray(x[0]), (found, state))


def test_rewards_are_divided_by_the_standard_deviation_of_returns_so_far():
    (found,), state = scaled(([[2.0], [0.0], [4.0]], [[0.0], [1.0], [0.0]]))  # returns 2, 1, then 4 anew
    np.testing.assert_allclose(state.variance, np.var([2.0, 1.0, 4.0]), rtol=1e-6)
    np.testing.assert_allclose(found[:, 0], np.array([2.0, 0.0, 4.0]) / np.std([2.0, 1.0, 4.0]), rtol=1e-6)
    np.testing.assert_array_equal(state.running, [4.0])


def test_the_scale_remembers_every_unroll_and_the_episodes_under_way():
    first = [[2.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]  # returns 2, 1 and 1, .5
    second = [[4.0, 3.0]], [[0.0, 0.0]]  # 4 + 1/2; 3 anew
    (_, found), state = scaled(first, second)
    seen = [2.0, 1.0, 1.0, 0.5, 4.5, 3.0]
    np.testing.assert_allclose([state.count, state.mean, state.variance], [6, np.mean(seen), np.var(seen)], rtol=1e-6)
    np.testing.assert_allclose(found[0], np.array([4.0, 3.0]) / np.std(seen), rtol=1e-6)


def test_scaled_rewards_are_bounded_and_nothing_stays_nothing():
    (found,), _ = scaled(([[0.0]] * 1000 + [[1.0]], [[1.0]] * 1001))  # standard deviation .0316
    np.testing.assert_array_equal(found[-2:, 0], [0.0, 10.0])
    (found,), _ = scaled(([[0.0], [0.0]], [[0.0], [0.0]]))
    np.testing.assert_array_equal(found, 0.0)
