"""OGBench npz: told from our own npz by content, a terminal ends a trajectory and nothing else."""

import numpy as np
import pytest

from postbc_jax import data
from postbc_jax.data import npz, ogbench, robomimic

RNG = np.random.default_rng(0)
FLAT = {
    'observations': RNG.normal(size=(7, 4)).astype(np.float32),
    'actions': RNG.uniform(-1, 1, (7, 5)).astype(np.float32),
    'terminals': np.array([0, 0, 0, 1, 0, 0, 1], bool),
}
EXTRAS = {'qpos': np.zeros((7, 9), np.float32), 'qvel': np.zeros((7, 8), np.float32)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'cube-single-play-v0-val.npz'


@pytest.mark.parametrize('savez', [np.savez, np.savez_compressed])
def test_what_was_written_is_what_is_held(path, savez):
    savez(path, **FLAT, **EXTRAS)
    demos = data.load(path)
    assert demos.obs.tobytes() == FLAT['observations'].tobytes()
    assert demos.actions.tobytes() == FLAT['actions'].tobytes()
    np.testing.assert_array_equal(demos.episode, [0, 0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(demos.dones, np.zeros(7))  # a trajectory's end is no failure and no success
    np.testing.assert_array_equal(demos.rewards, np.zeros(7))
    assert demos.names == ('demo_0', 'demo_1')
    assert demos.obs_keys == (('obs', 4),)
    assert 'no rewards' in data.read(path).notes[1]


def test_against_ogbenchs_own_reader(path):
    """It drops the rows without a successor; all others are ours."""
    reason = 'compares with the reader of the package ogbench'
    theirs = pytest.importorskip('ogbench.utils', reason=reason, exc_type=ImportError)
    np.savez(path, **FLAT)
    demos, flat = data.load(path), theirs.load_dataset(path)
    kept = np.diff(demos.episode, append=-1) == 0
    np.testing.assert_array_equal(demos.obs[kept], flat['observations'])
    np.testing.assert_array_equal(demos.actions[kept], flat['actions'])


def test_rewards_are_read_where_there_are_any(path):
    np.savez(path, **FLAT, rewards=np.arange(7) / 8)
    np.testing.assert_array_equal(data.load(path).rewards, np.arange(7) / 8)
    assert len(data.read(path).notes) == 1


def test_our_own_npz_is_ours(path, demos, same):
    npz.save(path, demos)
    same(data.load(path), demos)
    with np.load(path) as file:
        np.savez(path, **(FLAT | dict(file)))  # whatever else it holds
    same(data.load(path), demos)


def test_round_trip_through_robomimic(path, tmp_path, same):
    np.savez(path, **FLAT)
    demos = data.load(path)
    robomimic.save(tmp_path / 'copy.hdf5', demos)
    same(data.load(tmp_path / 'copy.hdf5'), demos)


CHANGES = {
    'ragged': ({'terminals': np.zeros(6)}, ['terminals: 6 rows, but actions has 7']),
    'discrete': ({'actions': np.zeros(7, np.int32)}, ['actions: int32: discrete actions']),
    'nan': ({'observations': np.full((7, 4), np.inf)}, ['demo_0: obs/obs: step 0, dimension 0 is inf']),
    'bound': ({'actions': np.full((7, 5), 2.0)}, ['demo_0: actions', 'outside [-1, 1]']),
    'objects': ({'observations': np.array([[None]] * 7)}, ['obs (object of dimension 1)']),
}


@pytest.mark.parametrize('name', CHANGES)
def test_wrong_content_is_refused_by_name(path, refusal, name):
    change, words = CHANGES[name]
    np.savez(path, **(FLAT | change))
    refusal(ogbench, path, *words)


def test_masks_and_keys_are_refused(path, refusal):
    np.savez(path, **FLAT)
    refusal(ogbench, path, "mask 'val'", 'no masks', mask='val')
    refusal(ogbench, path, "no key 'qpos'", 'choose from obs', obs_keys=('qpos',))


def test_images_are_refused_without_being_read(path, refusal, monkeypatch):
    np.savez(path, **(FLAT | {'observations': np.zeros((7, 8, 8, 3), np.uint8)}))
    monkeypatch.setattr(np.lib.npyio.NpzFile, '__getitem__', lambda file, key: pytest.fail(f'{key} is read'))
    refusal(ogbench, path, 'obs (an image, uint8 of shape (8, 8, 3) a step)')
