"""Transitions of trajectories with rewards, by hand on episodes of a few steps."""

import numpy as np
import pytest

from postbc_jax import data
from postbc_jax.data import npz
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.finetune.transitions import from_demos
from postbc_jax.types import Demos

# Twice the identity on observations, the identity on actions.
NORMALISER = Normaliser(*(np.full(1, x, np.float32) for x in (-0.5, 0.5, -1, 1)))


def trajectories(*episodes):
    """Demos of (rewards, dones) an episode; the observation of a step is its index over all, the action a hundredth."""
    lengths = [len(rewards) for rewards, _ in episodes]
    index = np.arange(sum(lengths), dtype=np.float32)[:, None]
    return Demos(
        obs=index,
        actions=index / 100,
        rewards=np.concatenate([rewards for rewards, _ in episodes]).astype(np.float32),
        dones=np.concatenate([dones for _, dones in episodes]).astype(np.float32),
        episode=np.repeat(np.arange(len(episodes), dtype=np.int32), lengths),
        names=tuple(f'demo_{i}' for i in range(len(episodes))),
        obs_keys=(('x', 1),),
    )


def cut(demos, reward, chunk=2, discount=0.9):
    return from_demos(demos, 'log.npz', NORMALISER, chunk, reward, discount)


SUCCESS = [0, 0, 0, 1], [0, 0, 0, 1]
SPOILT = [0, 0, 0], [0, 0, 1]
TIME_OUT = [0, 0, 0], [0, 0, 0]


def test_success_by_hand():
    """A success after four steps, an attempt spoilt after three, and a log of three that breaks off; chunks of two."""
    t = cut(trajectories(SUCCESS, SPOILT, TIME_OUT), 'success')
    np.testing.assert_array_equal(t.obs[:, 0], 2 * np.arange(10))
    np.testing.assert_array_equal(t.reward, [0, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(t.discount, [1, 1, 0, 0, 1, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(t.weight, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0])  # nobody saw what followed the last two
    going_on = (t.weight * t.discount) == 1
    np.testing.assert_array_equal(t.next_obs[going_on, 0], 2 * (np.arange(10) + 2)[going_on])
    np.testing.assert_allclose(100 * t.chunk, [[i, min(i + 1, last)] for i, last in zip(range(10), LAST, strict=True)])
    assert {x.dtype.name for x in vars(t).values()} == {'float32'} and not t.noise.any()


LAST = [3] * 4 + [6] * 3 + [9] * 3


def test_success_minus_one_by_hand():
    """-1 a step played; what is spoilt pays .9 x 2 / (1 - .9) more."""
    t = cut(trajectories(SUCCESS, SPOILT, TIME_OUT), 'success_minus_one')
    np.testing.assert_allclose(t.reward, [-2, -2, -1, 0, -2, -2 - 18, -1 - 18, -2, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(t.discount, [1, 1, 0, 0, 1, 0, 0, 1, 1, 1])


def test_without_a_discount_a_time_out_is_the_end():
    t = cut(trajectories(SUCCESS, TIME_OUT), 'success', discount=1.0)
    np.testing.assert_array_equal(t.weight, 1)
    np.testing.assert_array_equal(t.discount, [1, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(t.reward, [0, 0, 1, 1, 0, 0, 0])


def test_the_environments_own_rewards_are_summed_over_what_is_played():
    demos = trajectories(([1, 2, 4, 8], [0, 0, 1, 0]), ([16, 32, 64], [0, 0, 0]))
    t = cut(demos, 'env', chunk=3)
    np.testing.assert_array_equal(t.reward * t.weight, [7, 6, 4, 0, 0, 0, 0])
    np.testing.assert_array_equal(t.weight, [1, 1, 1, 0, 0, 0, 0])  # after a done; and no window of three is followed
    np.testing.assert_array_equal(t.discount[:3], 0)


def test_what_follows_a_success_is_no_part_of_the_task():
    """A success that is held, as robomimic's operators do, counts once; its dones may say nothing of it."""
    t = cut(trajectories(([0, 1, 1, 1], [0, 0, 0, 0])), 'success', chunk=1)
    np.testing.assert_array_equal(t.weight, [1, 1, 0, 0])
    np.testing.assert_array_equal(t.reward, [0, 1, 0, 0])
    np.testing.assert_array_equal(t.discount[:2], [1, 0])


def test_rewards_of_minus_one_and_zero_say_the_same():
    shifted = [np.array(rewards) - 1 for rewards, _ in (SUCCESS, SPOILT, TIME_OUT)]
    other = trajectories(*zip(shifted, [dones for _, dones in (SUCCESS, SPOILT, TIME_OUT)], strict=True))
    ours = cut(trajectories(SUCCESS, SPOILT, TIME_OUT), 'success_minus_one')
    for x, y in zip(vars(cut(other, 'success_minus_one')).values(), vars(ours).values(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_logged_file_becomes_transitions(tmp_path):
    path = str(tmp_path / 'log.npz')
    demos = trajectories(SUCCESS, SPOILT)
    npz.save(path, demos)
    read = from_demos(data.load(path), path, NORMALISER, 2, 'success', 0.9)
    np.testing.assert_array_equal(read.reward, cut(demos, 'success').reward)


@pytest.mark.parametrize(
    ('episode', 'arguments', 'message'),
    [
        (TIME_OUT, ('success',), 'log.npz: every demo: rewards: all 0: nothing says which steps succeeded'),
        (([0, 0.5, 1], [0, 0, 1]), ('success',), "log.npz: rewards: hold 0.5, .* reward='env'"),
        (([1, 2, 3], [0, 0, 0]), ('env', 3), 'log.npz: every demo: no window of 3 steps'),
        (SUCCESS, ('dense',), "reward='dense'"),
    ],
)
def test_refuses_in_one_line(episode, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        cut(trajectories(episode), *arguments)
    assert '\n' not in str(error.value)
