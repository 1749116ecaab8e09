import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.finetune import rewards


class Count(Env):
    """Ends after 3 steps with the action's sign: success or not; its own reward is 7."""

    observation_size = action_size = 1
    backend = 'none'
    horizon = 9

    def reset(self, rng):
        zero = jnp.zeros(())
        return State(zero, jnp.zeros(1), zero, zero, {'success': zero})

    def step(self, state, action):
        steps = state.pipeline_state + 1
        done = (steps == 3).astype(jnp.float32)
        return state.replace(
            pipeline_state=steps, reward=jnp.float32(7.0), done=done, metrics={'success': done * (action[0] > 0)}
        )


def play(kind, action, discount=0.9):
    env = rewards.Reward(PlayChunks(Count(), 2), kind, discount)
    state, earned = env.reset(jax.random.PRNGKey(0)), []
    for _ in range(2):
        state = env.step(state, jnp.full(2, action))
        earned.append(float(state.reward))
    return earned


def test_rewards_of_a_success_in_the_third_step():
    assert play('success', 1.0) == [0.0, 1.0]
    assert play('success_minus_one', 1.0) == [-2.0, 0.0]
    assert play('env', 1.0) == [14.0, 7.0]


def test_a_spoilt_attempt_pays_for_ever():
    assert play('success', -1.0) == [0.0, 0.0]
    np.testing.assert_allclose(play('success_minus_one', -1.0), [-2.0, -1.0 - 0.9 * 2 / (1 - 0.9)], rtol=1e-5)


def test_return_bounds():
    env = PlayChunks(Count(), 2)
    np.testing.assert_allclose(rewards.return_bounds(env, 'success_minus_one', 0.9), (-20.0, 0.0))
    assert rewards.return_bounds(env, 'success', 0.9) == (0.0, 1.0)
    assert rewards.return_bounds(env, 'env', 0.9) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ('kind', 'discount', 'message'),
    [
        ('sparse', 0.9, "reward='sparse': choose one of success, success_minus_one, env"),
        ('success', 1.1, 'discount=1.1'),
        ('success_minus_one', 1.0, 'choose a discount below 1'),
    ],
)
def test_refuses(kind, discount, message):
    with pytest.raises(ValueError, match=message):
        rewards.Reward(Count(), kind, discount)
