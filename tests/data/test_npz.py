"""Flat npz: bit-exact round trips, the least that a file must hold, and every refusal."""

import os

import numpy as np
import pytest

from postbc_jax.data import npz

LEAST = {
    'obs': np.zeros((5, 2)),
    'actions': np.zeros((5, 1)),
    'rewards': np.zeros(5),
    'dones': np.zeros(5),
    'episode': np.array([3, 3, 3, 8, 8]),
}


def refusal(path, *words, **kwargs):
    with pytest.raises(ValueError) as error:
        npz.load(path, **kwargs)
    line = str(error.value)
    assert '\n' not in line
    for word in (path, *words):
        assert word in line, f'{word!r} is not in {line!r}'


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'demos.npz')


def test_round_trip_is_bit_exact(path, demos, same):
    npz.save(path, demos)
    same(npz.load(path), demos)
    same(npz.load(path, action_bound=None), demos)


def test_names_need_not_be_robomimics(path, demos, same):
    demos = demos.replace(names=('höhe', 'a/b', ''), operators=())
    npz.save(path, demos)
    same(npz.load(path), demos.replace(operators=('', '', '')))


def test_obs_keys_select(path, demos):
    npz.save(path, demos)
    loaded = npz.load(path, obs_keys=('context', 'position'))
    assert loaded.obs_keys == (('context', 2), ('position', 3))
    np.testing.assert_array_equal(loaded.obs, demos.obs[:, [3, 4, 0, 1, 2]])
    refusal(path, "no key 'object'", 'position, context', obs_keys=('object',))


def test_the_least_a_file_must_hold(path):
    np.savez(path, **LEAST)
    loaded = npz.load(path)
    np.testing.assert_array_equal(loaded.episode, [0, 0, 0, 1, 1])
    assert loaded.names == ('demo_3', 'demo_8')
    assert loaded.obs_keys == (('obs', 2),)
    assert loaded.env_args == '{}'
    assert {x.dtype for x in (loaded.obs, loaded.actions, loaded.rewards, loaded.dones)} == {np.dtype(np.float32)}


CHANGES = {
    'ragged': ({'obs': np.zeros((4, 2))}, ['obs: 4 rows', '5']),
    'one axis': ({'actions': np.zeros(5)}, ['actions: shape (5,)']),
    'no axis': ({'actions': np.zeros(())}, ['actions: shape ()']),
    'nan': (
        {'obs': np.where(np.arange(10).reshape(5, 2) == 9, np.nan, 0)},
        ['demo_8: obs/obs: step 1, dimension 1 is nan'],
    ),
    'bound': ({'actions': np.full((5, 1), -7)}, ['demo_3: actions: step 0, dimension 0 is -7']),
    'float episode': ({'episode': np.zeros(5)}, ['episode', 'float64', 'whole numbers']),
    'back': ({'episode': np.array([0, 1, 1, 0, 1])}, ['episode: step 3 goes back from 1 to 0']),
    'names': ({'names': np.array(['a', 'b'])}, ['episode: holds 8, but there are 2 names']),
    'zero length': (
        {'names': np.array(['a', 'b', 'c']), 'episode': np.array([0, 0, 0, 2, 2])},
        ['b: actions: 0 steps'],
    ),
    'same names': ({'names': np.array(['a', 'a']), 'episode': np.array([0, 0, 0, 1, 1])}, ['a: names 2 episodes']),
    'unprintable': ({'names': np.array(['a\nb', 'c']), 'episode': np.array([0, 0, 0, 1, 1])}, ["'a\\nb'", 'printable']),
    'operators': ({'operators': np.array(['x'])}, ['operators: 1 entries for 2']),
    'obs_dims': (
        {'obs_keys': np.array(['a', 'b']), 'obs_dims': np.array([1, 2])},
        ['dimension 2', 'a 1 + b 2', 'make 3'],
    ),
    'env_args': ({'env_args': np.array('[]')}, ['env_args', 'JSON object']),
    'objects': ({'obs': np.array([[1, None]] * 5)}, ['obs: cannot be read', 'pickle', 'not objects']),
    'no steps': ({k: x[:0] for k, x in LEAST.items()}, ['0 demonstrations']),
}


@pytest.mark.parametrize('name', CHANGES)
def test_wrong_content_is_refused_by_name(path, name):
    change, words = CHANGES[name]
    np.savez(path, **(LEAST | change))
    refusal(path, *words)


@pytest.mark.parametrize('key', LEAST)
def test_missing_arrays_are_refused(path, key):
    np.savez(path, **{k: x for k, x in LEAST.items() if k != key})
    refusal(path, f'no {key}', next(k for k in LEAST if k != key))


def test_masks_are_refused(path):
    np.savez(path, **LEAST)
    refusal(path, "mask 'train'", 'no masks', mask='train')


@pytest.mark.parametrize('share', [0.2, 0.7, 0.99])
def test_truncated_files_are_refused(path, demos, share):
    npz.save(path, demos)
    os.truncate(path, int(os.path.getsize(path) * share))
    refusal(path, 'again')


def test_flipped_bytes_are_refused(path):
    np.savez_compressed(path, **(LEAST | {'obs': np.random.default_rng(0).normal(size=(5, 2))}))
    with open(path, 'r+b') as file:
        content = bytearray(file.read())
        content[60:120] = bytes(60)
        file.seek(0)
        file.write(content)
    refusal(path, 'again')


def test_save_leaves_nothing_when_refused(tmp_path, path, demos):
    with pytest.raises(ValueError, match='demo_2: obs/position: step 0'):
        npz.save(path, demos.replace(obs=np.where(np.arange(15)[:, None] == 5, np.inf, demos.obs)))
    assert os.listdir(tmp_path) == []
