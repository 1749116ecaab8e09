"""record: successes only, operators in turn, and demonstrations that say truly what was played."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import State
from flax import struct

from postbc_jax import envs
from postbc_jax.envs import Operator, Task, record

HORIZON = 60


@pytest.fixture(scope='module')
def lift():
    return envs.make('lift', horizon=HORIZON)


@pytest.fixture(scope='module')
def demos(lift):
    return record(lift, lift.operators(), 12, jax.random.key(0), noise=0.05)


class Line(Task):
    """Place in [-1, 1); success is to stand beyond 1, failure to stand below -2."""

    name, obs_keys, horizon, action_size = 'line', (('place', 1),), 12, 1

    def settings(self):
        return {}

    def operators(self):
        return {'away': Away()}

    def reset(self, rng):
        place = jax.random.uniform(rng, (1,), minval=-1.0, maxval=1.0)
        zero = jnp.zeros(())
        return State(place, place, zero, zero, {'success': zero}, {'region': jnp.int32(0)})

    def step(self, state, action):
        place = state.pipeline_state + 0.5 * action
        success = (place[0] > 1).astype(jnp.float32)
        done = jnp.maximum(success, place[0] < -2)
        return state.replace(pipeline_state=place, obs=place, reward=success, done=done, metrics={'success': success})


@struct.dataclass
class Away(Operator):
    """Walks away from `origin` at full pace, twice as fast as can be: it succeeds from the right half alone."""

    origin: float = 0.0

    def init(self, state, key):
        return ()

    def __call__(self, state, memory, key):
        return 2 * jnp.sign(state.obs - self.origin), memory


def test_takes_operators_in_turn_and_names_them(lift, demos):
    names = list(lift.operators())
    assert demos.operators == tuple(names * 2)
    assert demos.names == tuple(f'demo_{i}' for i in range(12))
    assert demos.episodes == 12
    assert demos.obs_keys == lift.obs_keys
    args = json.loads(demos.env_args)
    assert args['env_name'] == 'lift'
    assert envs.make(args['env_name'], **args['env_kwargs']).env_args() == args


def test_every_episode_ends_with_its_one_success(demos):
    np.testing.assert_array_equal(np.unique(demos.episode), np.arange(12))
    assert (np.diff(demos.episode) >= 0).all()
    last = np.append(np.diff(demos.episode) > 0, True)
    np.testing.assert_array_equal(demos.rewards, last)
    np.testing.assert_array_equal(demos.dones, last)
    assert {x.dtype.name for x in (demos.obs, demos.actions, demos.rewards, demos.dones)} == {'float32'}
    assert demos.obs.shape == (len(last), 19)
    assert demos.actions.shape == (len(last), 7)


def test_observation_and_action_of_a_row_belong_together(demos, lift):
    """The hand moves from each row to the next by the row's own action."""
    inside = demos.episode[1:] == demos.episode[:-1]
    moved = (demos.obs[1:, :3] - demos.obs[:-1, :3])[inside]
    np.testing.assert_allclose(moved, lift.speed * demos.actions[:-1, :3][inside], atol=1e-6)


def test_the_same_key_gives_the_same_demonstrations_and_more_of_them(demos, lift):
    again = record(lift, lift.operators(), 5, jax.random.key(0), noise=0.05)
    rows = demos.episode < 5
    np.testing.assert_allclose(again.obs, demos.obs[rows], atol=1e-6)
    other = record(lift, lift.operators(), 5, jax.random.key(1), noise=0.05)
    assert not np.array_equal(other.obs[0], again.obs[0])


def test_keeps_only_successes_and_clips_what_is_played():
    env = Line()
    demos = record(env, env.operators(), 40, jax.random.key(0))
    first = np.append(True, np.diff(demos.episode) > 0)
    assert (demos.obs[first] > 0).all()
    assert np.abs(demos.actions).max() == 1
    assert demos.rewards.sum() == 40


def test_says_who_cannot_succeed():
    env = Line()
    operators = {'able': Away(origin=-5.0), 'lost': Away(origin=5.0)}
    with pytest.raises(ValueError, match=r'5 of 10 episodes failed 3 times .* \(operators lost\)'):
        record(env, operators, 10, jax.random.key(0), attempts=3)


@struct.dataclass
class Other(Operator):
    pass


@pytest.mark.parametrize(
    ('operators', 'arguments', 'message'),
    [
        ({}, {}, 'no operators'),
        ({'a': Away(), 'b': Other()}, {}, 'not one class'),
        ({'a': Away()}, {'episodes': 0}, 'episodes=0'),
        ({'a': Away()}, {'noise': -1.0}, 'noise=-1.0'),
        ({'a': Away()}, {'attempts': 0}, 'attempts=0'),
    ],
)
def test_refuses_what_cannot_be_recorded(operators, arguments, message):
    with pytest.raises(ValueError, match=message):
        record(Line(), operators, key=jax.random.key(0), **({'episodes': 2} | arguments))
