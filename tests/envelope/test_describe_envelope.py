"""The envelope's description: regions of hand-made states, quantiles, modes, and variance split as the law says."""

import numpy as np
import pytest

from postbc_jax.envelope import describe, regions


@pytest.fixture
def blobs():
    """Three clusters that every one of 4 episodes of 12 steps comes through in turn, the last first in the array."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.9, -0.9], [-0.8, 0.1], [0.5, 0.8]])
    obs = np.concatenate([np.repeat(centres, 4, axis=0) for _ in range(4)]) + 0.02 * rng.normal(size=(48, 2))
    return obs, np.repeat(np.arange(4), 12), centres


def test_progress_runs_from_0_to_1_in_each_episode_and_is_0_in_one_of_one_step():
    np.testing.assert_allclose(regions.progress(np.array([0, 0, 0, 1, 2, 2])), [0, 0.5, 1, 0, 0, 1])


def test_regions_are_the_clusters_in_the_order_of_time(blobs):
    obs, episode, centres = blobs
    found = regions.by_states(obs, episode, 3, seed=5)
    np.testing.assert_array_equal(found.index, np.tile(np.repeat([0, 1, 2], 4), 4))
    np.testing.assert_allclose(found.centres, centres, atol=0.05)
    np.testing.assert_array_equal(regions.nearest(obs, found.centres), found.index)
    again = regions.by_states(obs, episode, 3, seed=5)
    np.testing.assert_array_equal(again.centres, found.centres)


def test_no_more_regions_than_different_states_and_none_empty():
    obs, episode = np.repeat([[0.0, 0.0], [1.0, 1.0]], 3, axis=0), np.zeros(6, int)
    found = regions.by_states(obs, episode, 6)
    assert found.count == 2 and sorted(np.bincount(found.index)) == [3, 3]


def test_given_labels_are_numbered_by_time_and_may_have_gaps():
    obs, episode = np.arange(6.0)[:, None], np.zeros(6, int)
    found = regions.by_labels(obs, episode, np.array([7, 7, 2, 2, 2, 4]))
    np.testing.assert_array_equal(found.index, [0, 0, 1, 1, 1, 2])
    np.testing.assert_allclose(found.centres[:, 0], [0.5, 3.0, 5.0])


def test_regions_refuse_what_they_cannot_part():
    with pytest.raises(ValueError, match='count=0, 2 states'):
        regions.by_states(np.zeros((2, 1)), np.zeros(2, int), 0)


def test_ranges_are_the_quantiles_of_each_region():
    actions = np.concatenate([np.arange(101.0), 1000 + np.arange(101.0)])[:, None]
    found = describe.ranges(actions, np.repeat([0, 1], 101), 2)
    np.testing.assert_allclose(found[:, :, 0], [[5, 1005], [50, 1050], [95, 1095]])


def test_modes_of_two_normals_and_their_shares():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(-0.6, 0.05, 300), rng.normal(0.5, 0.05, 100)])
    low, high = describe.modes(values, 40)
    assert low.at == pytest.approx(-0.6, abs=0.03) and high.at == pytest.approx(0.5, abs=0.03)
    assert (low.share, high.share) == (0.75, 0.25)


def test_one_mode_where_there_is_one():
    rng = np.random.default_rng(2)
    (mode,) = describe.modes(rng.normal(0.2, 0.1, 500), 30)
    assert mode.at == pytest.approx(0.2, abs=0.05) and mode.share == 1.0
    assert describe.modes(np.full(7, 0.3), 2) == [describe.Mode(0.3, 1.0)]
    closed, opened = describe.modes(np.array([-1.0] * 9 + [1.0] * 3), 4)  # a gripper: quartiles that are alike
    assert (closed.share, opened.share) == (0.75, 0.25)
    few = np.append(np.linspace(0, 1, 96), np.full(4, 2.0))  # a peak, but of 4% of the values
    assert [mode.share for mode in describe.modes(few, 200)] == [1.0]
    with pytest.raises(ValueError, match='0 values'):
        describe.modes(np.zeros(0), 3)


def test_the_split_by_hand():
    """Two operators at -1 and 1, members .1 beside them on either side, of variance .04."""
    mean = np.array([[[-1.1], [0.9]], [[-0.9], [1.1]]])[..., None]  # (K, P, n, A)
    found = describe.split(mean, np.full_like(mean, 0.04), np.ones((1, 2)), np.ones((2, 1)))
    np.testing.assert_allclose([x.item() for x in found], [0.0, 1.0, 0.04, 0.01], atol=1e-12)
    alone = describe.split(mean, np.full_like(mean, 0.04), np.array([[3.0, 0.0]]), np.array([[1.0], [0.0]]))
    np.testing.assert_allclose([x.item() for x in alone], [-1.1, 0.0, 0.04, 0.0], atol=1e-12)


def test_the_parts_add_up_to_the_variance_of_the_mixture():
    rng = np.random.default_rng(3)
    mean, variance = rng.normal(size=(5, 3, 4, 2)), rng.uniform(0.1, 1, size=(5, 3, 4, 2))
    who, which = rng.uniform(size=(4, 3)), rng.uniform(size=(5, 4))
    found = describe.split(mean, variance, who, which)
    weight = (who / who.sum(1, keepdims=True)).T[None] * (which / which.sum(0))[:, None]  # (K, P, n)
    first = np.einsum('kpn,kpna->na', weight, mean)
    second = np.einsum('kpn,kpna->na', weight, mean**2 + variance)
    np.testing.assert_allclose(found.between + found.within + found.unknown, second - first**2)
    parts = describe.by_region(found, np.array([0, 0, 1, 1]), 2)
    np.testing.assert_allclose(sum(parts)[0], (second[:2] - first[:2] ** 2).mean(0) + first[:2].var(0))


def test_the_split_refuses_a_state_that_nobody_speaks_for():
    mean = np.zeros((2, 1, 3, 1))
    with pytest.raises(ValueError, match='no operator or no member'):
        describe.split(mean, mean, np.ones((3, 1)), np.array([[1.0, 1, 0], [1, 1, 0]]))
    with pytest.raises(ValueError, match=r'operators \(3, 2\)'):
        describe.split(mean, mean, np.ones((3, 2)), np.ones((2, 3)))
