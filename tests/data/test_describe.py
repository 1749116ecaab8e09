"""The description: the facts of a good file by hand, and every fault of a broken one."""

import h5py
import numpy as np
import pytest

from postbc_jax import data
from postbc_jax.data import describe, robomimic


@pytest.fixture
def path(tmp_path, demos):
    path = str(tmp_path / 'demos.hdf5')
    actions = np.stack([np.linspace(-1, 0.5, 15), np.full(15, 0.25)], 1).astype(np.float32)
    robomimic.save(path, demos.replace(actions=actions), masks={'train': ['demo_0', 'demo_2']})
    return path


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_facts(path):
    text = describe.text(data.read(path))
    lines = rows(text)
    assert text.startswith(f'{path}: robomimic HDF5')
    assert ['environment', 'gate,', 'version', '1'] in lines
    assert ['episodes', '3', 'of', '15', 'steps'] in lines
    assert 'lengths 3 to 7 steps, median 5, mean 5.0' in ' '.join(text.split())
    assert ['observations', '5', '=', 'position', '3', '+', 'context', '2'] in lines
    assert ['operators', '(not', 'said)', '1,', 'ann', '1,', 'bo', '1'] in lines
    assert ['masks', 'train', '2'] in lines
    assert ['0', '-1', '0.5', '-0.25', '0.4629', '13.3%'] in lines
    assert ['1', '0.25', '0.25', '0.25', '0', 'constant'] in lines
    assert text.splitlines()[-1] == '  wrong, so that the file is refused: nothing'


def test_everything_wrong_is_listed(path):
    with h5py.File(path, 'a') as file:
        file['data/demo_0/obs/position'][1, 2] = np.nan
        file['data/demo_2/actions'][0, 0] = 4
        del file['data/demo_10/rewards'], file['data/demo_10/obs/context']
        file['mask/old'] = np.array(['demo_77'], 'S')
        del file['data'].attrs['env_args']
    recording = data.read(path)
    text = describe.text(recording)
    assert len(recording.faults) == 4
    for words in ('demo_0: obs/position: step 1', 'demo_2: actions: step 0', 'demo_10: no rewards', "no key 'context'"):
        assert sum(words in fault for fault in recording.faults) == 1
    assert all(fault in text for fault in recording.faults)
    assert 'refused: 4' in text
    assert 'odd, but read: 2' in text
    assert 'demo_77' in text


def test_other_keys_are_named(path):
    with h5py.File(path, 'a') as file:
        file['data/demo_0/obs/camera'] = np.zeros((5, 8, 8, 3), np.uint8)
    text = describe.text(data.read(path, ('context',)))
    assert 'camera (an image, uint8 of shape (8, 8, 3) a step); position (float32 of dimension 3)' in text


def test_files_that_cannot_be_read_at_all(tmp_path):
    path = tmp_path / 'a.hdf5'
    path.write_bytes(b'hello')
    assert rows(describe.text(data.read(path)))[-1][:4] == [f'{path}:', 'neither', 'HDF5', 'nor']


def test_broken_arrays_are_described_nevertheless(path):
    """Ragged, textual, empty, of other dimensions and infinite: a description, not an exception."""
    with h5py.File(path, 'a') as file:
        for name, value in {
            'demo_0/actions': np.zeros((5, 3)),
            'demo_0/rewards': np.array([b'x'] * 5),
            'demo_2/actions': np.zeros((0, 2)),
            'demo_2/obs/position': np.zeros((3, 4)),
            'demo_10/actions': np.full((7, 2), np.inf),
            'demo_10/dones': np.zeros(()),
        }.items():
            del file['data'][name]
            file['data'][name] = value
    text = describe.text(data.read(path))
    assert 'position 3/4' in text
    assert 'demo_10: actions: step 0, dimension 0 is inf (14 such values)' in text
