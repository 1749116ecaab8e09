"""Best-of-N: nested draws, the frozen policy at N = 1, the sweep over N, and what is stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import checkpoint, evaluate, parallel
from postbc_jax.envs.gate import Gate
from postbc_jax.finetune import critics
from postbc_jax.finetune.best_of_n import BestOfNPolicy
from postbc_jax.finetune.critics import CriticConfig
from tests.populations import LEARNERS, POLICY, frozen_policies

OBS, SIZE = jnp.array([-0.2, 0.1, 0.3, -0.4]), POLICY.chunk * POLICY.action_size


def policies(candidates=8, **settings):
    """A population with critics that were never trained."""
    config = CriticConfig(hidden=(8,), **settings)
    keys = jax.random.split(jax.random.key(0), LEARNERS)
    params = jax.vmap(lambda key: critics.init(config, key, POLICY.obs_size, SIZE)['q'])(keys)
    return BestOfNPolicy(frozen_policies(), jax.tree.map(np.asarray, params), config, candidates)


def one(stack, learner=0):
    return jax.tree.map(lambda x: jnp.asarray(x[learner]), stack)


@jax.jit
def act(policy, key):
    return policy(OBS, key)


def values(policy, draws):
    """The smaller head's value of every draw (N, T, A), by hand."""
    frozen = policy.policy

    @jax.jit
    def both(w):
        chunk, obs = frozen.normaliser.action(frozen.decode(OBS, w)), frozen.normaliser.obs(OBS)
        return critics.action_values(policy.critic_config, policy.params, obs, chunk.ravel(), w.ravel())

    return np.min([both(w) for w in draws], axis=1)


@pytest.mark.parametrize('action', ['chunk', 'noise'])
def test_plays_the_draw_that_the_smaller_head_values_most(action):
    policy, key = one(policies(action=action, bound=1.5)), jax.random.key(7)
    keys = [key] + [jax.random.fold_in(key, i) for i in range(1, 8)]
    draws = [jax.random.normal(k, (POLICY.chunk, POLICY.action_size)) for k in keys]
    value = values(policy, draws)
    for n in (1, 3, 8):  # nested: those of a smaller N are the first
        chunk, extras = act(policy.replace(candidates=n), key)
        best = draws[0] if n == 1 else draws[np.argmax(value[:n])]
        np.testing.assert_allclose(extras['noise'], best, rtol=1e-6)
        np.testing.assert_allclose(chunk, policy.policy.decode(OBS, best), rtol=1e-5, atol=1e-6)
    assert len(set(np.maximum.accumulate(value))) > 2  # a larger N found something better


def test_one_candidate_is_the_frozen_policy_bit_for_bit():
    policy = one(policies(candidates=1))
    for seed in range(3):
        key = jax.random.key(seed)
        jax.tree.map(np.testing.assert_array_equal, act(policy, key), act(policy.policy, key))


def test_all_numbers_of_candidates_meet_the_same_episodes():
    """N = 1 is evaluate.rollouts of the frozen policy; every column is that of the N alone."""
    mesh, episodes, numbers = parallel.mesh(LEARNERS), 16, (1, 4)
    stack = parallel.shard(policies(), mesh, P('learner'))
    keys = parallel.learner_keys(jax.random.key(1), [0] * LEARNERS, mesh)

    def run(fn):
        mapped = parallel.pmap(fn, mesh, (P('learner'), P('learner')), P(parallel.LEARNER, parallel.DATA))
        return parallel.gather(mapped(stack, keys), LEARNERS)

    swept = run(lambda policy, key: evaluate.candidates(Gate(), policy, key, episodes, numbers))
    frozen, four = run(
        lambda policy, key: tuple(
            evaluate.rollouts(Gate(), p, key, episodes) for p in (policy.policy, policy.replace(candidates=4))
        )
    )
    for name in ('success', 'region', 'steps'):
        assert swept[name].shape == (LEARNERS, episodes, 2)
        np.testing.assert_array_equal(swept[name][..., 0], frozen[name])
        np.testing.assert_array_equal(swept[name][..., 1], four[name])
    assert (swept['steps'][..., 0] != swept['steps'][..., 1]).any()


def test_candidate_rates():
    success, region = np.array([[0, 1], [0, 1], [1, 1], [0, 0]]), np.array([[0, 0], [1, 1], [1, 1], [1, 1]])
    assert evaluate.candidate_rates(success, region, (1, 16), ('a', 'b')) == [
        {'n': 1, 'success_rate': 0.25, 'episodes': 4, 'regions': {'a': 0.0, 'b': pytest.approx(1 / 3)}},
        {'n': 16, 'success_rate': 0.75, 'episodes': 4, 'regions': {'a': 1.0, 'b': pytest.approx(2 / 3)}},
    ]


def test_stored_and_loaded_it_acts_the_same(tmp_path):
    stack = policies(action='noise', bound=1.5, layer_norm=True)
    checkpoint.save_policy(tmp_path / 'best', stack, [{'seed': i} for i in range(LEARNERS)])
    loaded = checkpoint.load_policy(tmp_path / 'best', {'seed': 1}, BestOfNPolicy)
    assert (loaded.critic_config, loaded.candidates) == (stack.critic_config, 8)
    key = jax.random.key(2)
    jax.tree.map(np.testing.assert_array_equal, act(loaded, key), act(one(stack, 1), key))
