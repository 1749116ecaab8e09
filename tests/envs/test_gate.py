"""gate: its dynamics by hand, its demonstrator, and what random actions reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.envs import gate

ENV = gate.Gate()


@pytest.fixture(scope='module')
def step():
    return jax.jit(ENV.step)


def rollouts(policy, episodes, seed=0):
    """policy(state, key) -> action; success (episodes,) and whether the gate was passed (episodes,)."""

    def one(key):
        start, key = jax.random.split(key)
        state = ENV.reset(jax.random.key_data(start))

        def play(state, t):
            after = ENV.step(state, policy(state, jax.random.fold_in(key, t)))
            after = jax.tree.map(lambda new, old: jnp.where(state.done > 0, old, new), after, state)
            return after, None

        state, _ = jax.lax.scan(play, state, jnp.arange(ENV.horizon))
        return state.metrics['success'], state.metrics['gate'], state.done

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), episodes)))


def placed(y, t, context=(0.2, -0.4)):
    state = ENV.reset(jax.random.PRNGKey(0))
    inner = state.pipeline_state.replace(y=jnp.float32(y), step=jnp.int32(t), context=jnp.array(context))
    return state.replace(pipeline_state=inner)


def test_the_operator_succeeds_and_random_actions_do_not():
    operator = ENV.operators()['steady']
    success, passed, done = rollouts(lambda state, key: operator(state, (), key)[0], 1000)
    assert success.mean() >= 0.95
    assert passed.mean() >= 0.97
    assert (done == 1).all()
    success, _, done = rollouts(lambda state, key: jax.random.uniform(key, (1,), minval=-1, maxval=1), 1000)
    assert success.mean() <= 0.05
    assert (done == 1).all()


def test_one_step_by_hand(step):
    states = jax.vmap(lambda rng: ENV.reseed(placed(0.1, 3), rng))(jax.random.split(jax.random.PRNGKey(1), 4000))
    after = jax.vmap(step, in_axes=(0, None))(states, jnp.array([-5.0]))
    y = np.asarray(after.pipeline_state.y)  # the action is clipped to -1: 0.1 - 0.15 + N(0, 0.02)
    assert abs(y.mean() + 0.05) < 4 * 0.02 / np.sqrt(4000)
    assert abs(y.std() - 0.02) < 4 * 0.02 / np.sqrt(2 * 4000)
    np.testing.assert_allclose(after.obs[0, 0], -1 + 2 * 4 / 20, rtol=1e-6)


@pytest.mark.parametrize(('y', 'stuck'), [(0.0, False), (0.2, True), (-0.2, True)])
def test_the_gate_stops_who_is_beside_it(step, y, stuck):
    after = step(placed(y, 9), jnp.zeros(1))
    assert bool(after.done) == stuck
    assert float(after.metrics['gate']) == 1.0 - stuck
    assert float(after.metrics['success']) == 0.0


@pytest.mark.parametrize(('offset', 'success'), [(0.0, 1.0), (0.2, 0.0), (-0.2, 0.0)])
def test_success_is_judged_at_the_end_against_the_contexts_goal(step, offset, success):
    context = (0.5, -0.6)
    target = 0.7 * np.sin(2.5 * 0.5 + 1.5 * 0.36)
    after = step(placed(target + offset, 19, context), jnp.zeros(1))
    assert float(after.done) == 1.0
    assert float(after.metrics['success']) == float(after.reward) == success


def test_reseeded_copies_share_the_start_and_nothing_after_it(step):
    start = placed(0.1, 0)
    first, second = (step(ENV.reseed(start, jax.random.PRNGKey(i)), jnp.zeros(1)) for i in (1, 2))
    assert first.pipeline_state.y != second.pipeline_state.y
    again = step(ENV.reseed(start, jax.random.PRNGKey(1)), jnp.zeros(1))
    assert first.pipeline_state.y == again.pipeline_state.y
