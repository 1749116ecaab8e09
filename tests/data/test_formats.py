"""Recognising a file by its content, whatever its name."""

import pickle

import h5py
import numpy as np
import pytest

from postbc_jax import data
from postbc_jax.data import npz, robomimic

STEPS = np.arange(40)
OGBENCH = {
    'observations': np.sin(STEPS[:, None] * [1.0, 2.0, 3.0]),
    'actions': np.cos(STEPS[:, None] * [1.0, 2.0]),
    'terminals': STEPS % 10 == 9,
}


def write_d4rl(path, _):
    with h5py.File(path, 'w') as file:
        for key, x in (OGBENCH | {'rewards': 0.1 * STEPS, 'timeouts': STEPS == 14}).items():
            file[key] = x


def write_minari(path, _):
    with h5py.File(path, 'w') as file:
        for n in range(3):
            file[f'episode_{n}/observations/a'] = OGBENCH['observations'][: n + 6]
            file[f'episode_{n}/actions'] = OGBENCH['actions'][: n + 5]
            for key in ('rewards', 'terminations', 'truncations'):
                file[f'episode_{n}/{key}'] = np.zeros(n + 5)


def write_ogbench(path, _):
    with open(path, 'wb') as file:
        np.savez(file, **OGBENCH)


WRITERS = {
    'robomimic HDF5': robomimic.save,
    'npz': npz.save,
    'Minari HDF5': write_minari,
    'D4RL HDF5': write_d4rl,
    'OGBench npz': write_ogbench,
}


def test_formats_are_told_apart_by_content(tmp_path, demos, same):
    hdf5, zipped = tmp_path / 'a.npz', tmp_path / 'b.hdf5'  # names that mislead
    robomimic.save(hdf5, demos)
    npz.save(zipped, demos)
    same(data.load(hdf5), demos)
    same(data.load(str(zipped)), demos)


@pytest.mark.parametrize('name', WRITERS)
def test_every_format_is_told_by_content(tmp_path, demos, name):
    path = tmp_path / 'demos'
    WRITERS[name](path, demos)
    recording = data.read(path)
    assert recording.format == name
    assert recording.faults == ()


def test_hdf5_and_npz_of_no_format_are_refused_with_what_they_hold(tmp_path, refusal):
    with h5py.File(tmp_path / 'a.hdf5', 'w') as file:
        file['states'] = np.zeros(3)
    np.savez(tmp_path / 'b.npz', states=np.zeros(3))
    refusal(data, tmp_path / 'a.hdf5', "no group 'data'", 'the file holds: states')
    refusal(data, tmp_path / 'b.npz', 'no obs', 'the file holds: states')


def test_user_block_before_hdf5(tmp_path, demos, same):
    plain, path = tmp_path / 'plain.hdf5', str(tmp_path / 'block.hdf5')
    robomimic.save(plain, demos)
    with h5py.File(plain) as source, h5py.File(path, 'w', userblock_size=1024) as target:
        source.copy('data', target)
    same(data.load(path), demos)


FILES = {
    'empty': (b'', ['empty', '0 bytes']),
    'text': (b'obs,action\n1,2\n', ['neither HDF5 nor npz', '15 bytes']),
    'lfs': (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', ['Git LFS pointer', 'git lfs pull']),
    'page': (b'\n<!DOCTYPE html><html></html>', ['web page']),
    'pickle': (pickle.dumps({'obs': 1}), ['pickle', 'never opened']),
    'npy': (b'\x93NUMPY\x01\x00', ['npz']),
    'signature alone': (b'\x89HDF\r\n\x1a\n', ['HDF5 that cannot be read']),
    'zip alone': (b'PK\x03\x04 and so on', ['zip file that cannot be opened']),
}


@pytest.mark.parametrize('name', FILES)
def test_other_files_are_refused(tmp_path, name):
    content, words = FILES[name]
    path = tmp_path / 'demos.hdf5'
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        data.load(path)
    for word in (str(path), *words):
        assert word in str(error.value)
    assert '\n' not in str(error.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match='nowhere.hdf5: no such file'):
        data.load(tmp_path / 'nowhere.hdf5')
    with pytest.raises(ValueError, match='a folder'):
        data.load(tmp_path)


def test_obs_keys_must_be_distinct_names(tmp_path, demos):
    path = tmp_path / 'demos.hdf5'
    robomimic.save(path, demos)
    for keys in ('position', ('position', 'position')):
        with pytest.raises(ValueError, match='sequence of distinct names'):
            data.load(path, keys)


def test_arguments_reach_the_reader(tmp_path, demos):
    path = tmp_path / 'demos.hdf5'
    robomimic.save(path, demos.replace(actions=3 * np.ones_like(demos.actions)), {'m': ['demo_2']}, action_bound=3)
    loaded = data.load(path, ('context',), 'm', action_bound=None)
    assert loaded.names == ('demo_2',)
    assert loaded.obs_keys == (('context', 2),)
    with pytest.raises(ValueError, match=r'outside \[-1, 1\]'):
        data.load(path)


@pytest.mark.parametrize('name', WRITERS)
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, demos, name):
    """Random bytes anywhere in the file: never another exception, never a second line."""
    path = tmp_path / 'demos'
    WRITERS[name](path, demos)
    good, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(150):
        content, at = bytearray(good), rng.integers(len(good))
        damage = rng.integers(0, 256, min(rng.integers(1, 20), len(good) - at), dtype=np.uint8)
        content[at : at + len(damage)] = damage.tobytes()
        path.write_bytes(content)
        try:
            data.load(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f'{path}: ') and '\n' not in str(error)
    assert refused
