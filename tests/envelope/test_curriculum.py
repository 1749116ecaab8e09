"""The curriculum: stages by hand, starts in order of their distance, and the environment's own at the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.envelope.curriculum import CurriculumConfig, NearStarts, advance, begin, ordered, setting
from postbc_jax.envs.gate import Gate

CONFIG = CurriculumConfig(starts=(0.25, 1.0), bounds=(1.0, 0.5), success=0.6, hold=2)
KEYS = jax.random.key_data(jax.random.split(jax.random.key(0), 64))


def height(obs):
    """How far gate's start is from y = 0, its second observation."""
    return jnp.abs(obs[1])


def test_a_stage_is_left_for_success_that_holds_and_never_for_time():
    progress, stages = begin(), []
    for success in (0.5, 0.6, 0.59, 0.7, 0.6, 0.0, 1.0, 1.0, 1.0):
        progress = advance(CONFIG, progress, jnp.float32(success))
        stages.append(int(progress.stage))
    assert stages == [0, 0, 0, 0, 1, 1, 1, 1, 1]  # the last stays
    for _ in range(100):
        late = advance(CONFIG, begin(), jnp.float32(0.59))
    assert late.stage == 0


def test_a_stage_sets_starts_and_bound():
    assert [float(x) for x in setting(CONFIG, begin())] == [0.25, 1.0]
    assert [float(x) for x in setting(CONFIG, begin().replace(stage=jnp.int32(1)))] == [1.0, 0.5]


def test_learners_advance_alone():
    progress = jax.tree.map(lambda x: jnp.stack([x, x]), begin())
    for _ in range(2):
        progress = jax.vmap(lambda own, success: advance(CONFIG, own, success))(progress, jnp.array([0.9, 0.1]))
    np.testing.assert_array_equal(progress.stage, [1, 0])


@pytest.fixture(scope='module')
def bank():
    return ordered(Gate(), KEYS, height)


def starts(keys):
    return jax.vmap(lambda key: Gate().reset(key).obs)(keys)


def test_start_states_are_in_order_and_all_there(bank):
    found = np.asarray(jax.vmap(height)(starts(bank)))
    assert (np.diff(found) >= 0).all() and found[0] < found[-1]
    np.testing.assert_array_equal(np.sort(bank, axis=0), np.sort(KEYS, axis=0))


def test_a_share_of_the_nearest_is_drawn_from(bank):
    near = jax.jit(lambda key: NearStarts(Gate(), bank, jnp.float32(0.25)).reset(key))
    states = jax.vmap(near)(jax.random.key_data(jax.random.split(jax.random.key(1), 200)))
    nearest = {tuple(obs) for obs in np.asarray(starts(bank[:16])).tolist()}
    assert {tuple(obs) for obs in np.asarray(states.obs).tolist()} == nearest  # all 16, and no other
    assert len(np.unique(states.pipeline_state.rng, axis=0)) == 200  # each with a future of its own


def test_the_whole_share_is_the_environment_s_own(bank):
    keys = jax.random.key_data(jax.random.split(jax.random.key(2), 5))
    wrapped = jax.vmap(NearStarts(Gate(), bank, jnp.float32(1.0)).reset)(keys)
    jax.tree.map(np.testing.assert_array_equal, wrapped, jax.vmap(Gate().reset)(keys))


def test_a_share_of_less_than_one_start_is_one(bank):
    state = NearStarts(Gate(), bank, jnp.float32(1e-3)).reset(KEYS[5])
    np.testing.assert_array_equal(state.obs, starts(bank)[0])


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ({'starts': (0.5, 0.25, 1.0)}, r'curriculum.starts=\(0.5, 0.25, 1.0\): stages widen'),
        ({'starts': (0.5, 0.9)}, 'curriculum.starts'),
        ({'starts': ()}, 'curriculum.starts'),
        ({'bounds': (1.0, 0.5)}, 'one for each of the 3 stages'),
        ({'bounds': (1.0, 1.5, 1.0)}, r'curriculum.bounds=.*\(0, 1\]'),
        ({'success': 0.0}, 'curriculum.success=0.0'),
        ({'hold': 0}, 'curriculum.hold=0'),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        CurriculumConfig(**setting)
