"""The normaliser: onto [-1, 1], exact where it must be, tame where the demonstrations do not move."""

import jax
import numpy as np
import pytest

from postbc_jax.data.normaliser import FLOOR, Normaliser, fit


def with_constants(demos):
    """Every float32 pattern of a constant that halving or a floor could round: one an action dimension."""
    constants = np.array([0.3, -1 / 3, 1e-7, 0.999999, 0.0], np.float32)
    actions = np.concatenate([demos.actions, np.tile(constants, (len(demos.actions), 1))], axis=1)
    return demos.replace(actions=actions), constants


def test_by_hand(demos):
    obs = np.zeros((15, 5), np.float32)
    obs[:, 0] = np.linspace(2, 6, 15)
    normaliser = fit(demos.replace(obs=obs))
    np.testing.assert_allclose(normaliser.obs(np.array([2, 0, 0, 0, 0.0]))[0], -1)
    np.testing.assert_allclose(normaliser.obs(np.array([5, 0, 0, 0, 0.0]))[0], 0.5)
    np.testing.assert_allclose(normaliser.obs(np.array([8, 0, 0, 0, 0.0]))[0], 2)  # beyond the range: no clipping


def test_demos_fill_the_range(demos):
    normaliser = fit(demos)
    for x in (normaliser.obs(demos.obs), normaliser.action(demos.actions)):
        np.testing.assert_allclose(x.min(0), -1, atol=1e-6)
        np.testing.assert_allclose(x.max(0), 1, atol=1e-6)


def test_actions_invert(demos):
    demos, _ = with_constants(demos)
    normaliser = fit(demos)
    again = normaliser.unnormalise_action(normaliser.action(demos.actions))
    np.testing.assert_allclose(again, demos.actions, atol=2e-7)


def test_constant_dimensions_are_zero_and_invert_exactly(demos):
    demos, constants = with_constants(demos)
    normaliser = fit(demos)
    normalised = normaliser.action(demos.actions)[:, 2:]
    np.testing.assert_array_equal(normalised, 0)
    np.testing.assert_array_equal(normaliser.unnormalise_action(np.zeros(7))[2:], constants)
    np.testing.assert_array_equal(jax.jit(Normaliser.unnormalise_action)(normaliser, np.zeros(7))[2:], constants)


@pytest.mark.parametrize('floor', [FLOOR, 0.1])
def test_small_ranges_do_not_explode(demos, floor):
    obs = np.full((15, 5), 0.5, np.float32)
    obs[:, 1] += np.linspace(-1e-4, 1e-4, 15)
    obs[:, 2] += np.linspace(-0.2, 0.2, 15)
    normaliser = fit(demos.replace(obs=obs), floor)
    departure = normaliser.obs(obs[7] + np.float32(0.02))
    np.testing.assert_allclose(departure[:3], [0.02 / floor, 0.02 / floor, 0.1], rtol=1e-4)
    np.testing.assert_allclose(normaliser.obs(obs)[:, 1].max(), 1e-4 / floor, rtol=1e-2)


def test_action_scale_turns_noise_into_action_units(demos):
    demos, _ = with_constants(demos)
    normaliser = fit(demos)
    half = (demos.actions.max(0) - demos.actions.min(0)) / 2
    np.testing.assert_allclose(normaliser.action_scale(), np.maximum(half, FLOOR), rtol=1e-6)
    noise = np.full(7, 0.1, np.float32)
    moved = normaliser.unnormalise_action(noise) - normaliser.unnormalise_action(0 * noise)
    np.testing.assert_allclose(moved, noise * normaliser.action_scale(), atol=1e-6)


def test_a_stack_of_normalisers_is_vmapped(demos):
    first, second = fit(demos), fit(demos.replace(obs=3 * demos.obs))
    stacked = jax.tree.map(lambda *x: np.stack(x), first, second)
    both = jax.vmap(Normaliser.obs, in_axes=(0, None))(stacked, demos.obs)
    np.testing.assert_allclose(both[0], first.obs(demos.obs), atol=1e-6)
    np.testing.assert_allclose(both[1], second.obs(demos.obs), atol=1e-6)


@pytest.mark.parametrize('floor', [0.0, -1.0, np.nan])
def test_the_floor_must_be_positive(demos, floor):
    with pytest.raises(ValueError, match=f'floor={floor}'):
        fit(demos, floor)
