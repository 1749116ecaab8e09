"""Scenarios: what reaches the environment and what the policy sees, by hand; a grid is paired and one program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.envelope import scenarios
from postbc_jax.envelope.scenarios import Perturbed, Scenario, grid
from postbc_jax.envs.chunks import PlayChunks

STEPS, CHUNK, LONGEST = 6, 2, 4
# Half-ranges: 2 of the first observation, .5 of the second (constant: the floor), 4 of the action.
SCALING = Normaliser(*(np.array(x, np.float32) for x in ([-2, 1], [2, 1], [-4], [4])), floor=np.float32(0.5))


class Tape(Env):
    """Writes down the actions that reach it; obs (step, region); success at the end if all were positive."""

    horizon, regions, backend = STEPS, ('low', 'high'), 'none'
    action_size, observation_size = 1, 2

    def reset(self, rng):
        region = jax.random.bernoulli(rng).astype(jnp.int32)
        inner = {'step': jnp.int32(0), 'tape': jnp.zeros(STEPS), 'region': region}
        zero = jnp.zeros(())
        return State(inner, self._obs(inner), zero, zero, {'success': zero}, {'region': region})

    def step(self, state, action):
        inner = state.pipeline_state
        inner = inner | {'step': inner['step'] + 1, 'tape': inner['tape'].at[inner['step']].set(action[0])}
        done = (inner['step'] == STEPS).astype(jnp.float32)
        success = done * (inner['tape'] > 0).all()
        return state.replace(pipeline_state=inner, obs=self._obs(inner), done=done, metrics={'success': success})

    def _obs(self, inner):
        return jnp.stack([inner['step'].astype(jnp.float32), inner['region'].astype(jnp.float32)])


def scenario(gain=1.0, bias=0.0, noise=0.0, delay=0):
    return Scenario(jnp.float32(gain), jnp.float32(bias), jnp.float32(noise), jnp.int32(delay))


@jax.jit
def rolled(scenario, key):
    """(tape (STEPS,), observations (decisions + 1, O)) of the actions 1, 2, ..., STEPS."""
    env = Perturbed(PlayChunks(Tape(), CHUNK), scenario, SCALING, LONGEST)
    state, seen = env.reset(jax.random.key_data(key)), []
    for decision in range(STEPS // CHUNK):
        seen.append(state.obs)
        state = env.step(state, jnp.arange(1.0, CHUNK + 1) + CHUNK * decision)
    return state.pipeline_state['tape'], jnp.stack([*seen, state.obs])


@pytest.mark.parametrize(
    ('perturbed', 'tape'),
    [
        (scenario(), [1, 2, 3, 4, 5, 6]),
        (scenario(gain=0.5), [0.5, 1, 1.5, 2, 2.5, 3]),
        (scenario(bias=0.25), [2, 3, 4, 5, 6, 7]),  # a quarter of half a range of 4
        (scenario(delay=1), [0, 1, 2, 3, 4, 5]),
        (scenario(delay=4), [0, 0, 0, 0, 1, 2]),  # longer than a chunk
        (scenario(delay=2, gain=-1), [0, 0, -1, -2, -3, -4]),
    ],
)
def test_what_reaches_the_environment(perturbed, tape):
    played, seen = rolled(perturbed, jax.random.key(0))
    np.testing.assert_allclose(played, tape)
    np.testing.assert_array_equal(seen[:, 0], [0, 2, 4, 6])  # sensors are as they were


def test_what_is_seen_is_noisy_in_units_of_the_demonstrated_range_and_the_task_is_not():
    keys = jax.random.split(jax.random.key(0), 400)
    played, seen = jax.vmap(rolled, in_axes=(None, 0))(scenario(noise=0.3), keys)
    np.testing.assert_array_equal(played, np.tile(np.arange(1, STEPS + 1), (400, 1)))
    error = seen - jax.vmap(rolled, in_axes=(None, 0))(scenario(), keys)[1]
    np.testing.assert_allclose(error.std(axis=(0, 1)), [0.6, 0.15], rtol=0.06)
    first, later = error[:, 0, 0], error[:, 1, 0]
    assert abs(np.corrcoef(first, later)[0, 1]) < 0.15  # fresh at every decision


def play(centre, found):
    mesh, learner = parallel.mesh(1), P(parallel.LEARNER)
    keys = parallel.learner_keys(jax.random.key(3), [0], mesh)

    def one(centre, key, found):
        def policy(obs, key):  # one that reads what it sees
            return jnp.full((CHUNK, 1), centre) + 0 * obs[0] + 0.5 * jnp.sign(obs[1] - 0.5), {}

        return scenarios.play(Tape(), policy, SCALING, key, 16, found, LONGEST)

    run = parallel.pmap(one, mesh, (learner, learner, P()), P(parallel.LEARNER, parallel.DATA))
    return parallel.gather(run(jnp.array([centre], jnp.float32), keys, parallel.shard(found, mesh)), 1)


def test_a_grid_is_every_combination_on_the_same_episodes():
    found = grid([1.0, -1.0], [0.0], [0.0, 9.0], [0, 3])
    np.testing.assert_array_equal(found.gain, [1] * 4 + [-1] * 4)
    np.testing.assert_array_equal(found.delay, [0, 3] * 4)
    played = play(0.3, found)  # .8 from the high region, -.2 from the low one: there nothing succeeds
    success, region = played['success'][0], played['region'][0]
    np.testing.assert_array_equal(region, region[:, :1] + np.zeros((1, 8), np.int32))
    assert 0 < region.mean() < 1
    np.testing.assert_array_equal(success[:, 0], region[:, 0])  # as it was learnt
    np.testing.assert_array_equal(success[:, 4], 1 - region[:, 0])  # turned round, the other region succeeds
    assert not success[:, 1].any() and not success[:, 5].any()  # a delay begins with 0
    assert (success[:, 2] != success[:, 0]).any()  # noise hides the region


def test_what_the_grid_keeps():
    rows = [{'gain': g, 'bias': 0, 'noise': 0, 'delay': 0, 'success_rate': s} for g, s in ((1, 0.8), (0.5, 0.2))]
    assert scenarios.kept(rows) == pytest.approx(0.625)
    assert np.isnan(scenarios.kept(rows[1:]))
    assert scenarios.kept([rows[0] | {'success_rate': 0.0}]) == 0


@pytest.mark.parametrize(
    ('axes', 'message'),
    [
        (([], [0.0], [0.0], [0]), r'scenarios.gains=\(\): give at least one'),
        (([1.0], [0.0], [-0.1], [0]), r'scenarios.noises=\(-0.1,\): must be at least 0'),
        (([1.0], [0.0], [0.0], [-1]), r'scenarios.delays=\(-1,\)'),
    ],
)
def test_grids_that_cannot_be_are_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        grid(*axes)
