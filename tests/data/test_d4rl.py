"""D4RL HDF5: episodes end at terminals and timeouts; nothing but what is learnt from is read."""

import h5py
import numpy as np
import pytest

from postbc_jax import data
from postbc_jax.data import d4rl, robomimic

RNG = np.random.default_rng(0)
FLAT = {
    'observations': RNG.normal(size=(9, 3)).astype(np.float32),
    'actions': RNG.uniform(-1, 1, (9, 2)).astype(np.float32),
    'rewards': RNG.normal(size=9).astype(np.float32),
    'terminals': np.isin(np.arange(9), [3]),
    'timeouts': np.isin(np.arange(9), [5]),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'hopper.hdf5'


def write(path, **changes):
    """A D4RL file with the extras of published ones; None leaves an array out."""
    with h5py.File(path, 'w') as file:
        for key, x in (FLAT | {'next_observations': np.zeros((9, 3))} | changes).items():
            if x is not None:
                file[key] = x
        file['infos/qpos'] = np.zeros((9, 5))
        file['metadata/algorithm'] = np.bytes_('SAC')


def test_what_was_written_is_what_is_held(path):
    write(path)
    demos = data.load(path)
    for key, x in {'obs': 'observations', 'actions': 'actions', 'rewards': 'rewards', 'dones': 'terminals'}.items():
        assert getattr(demos, key).tobytes() == FLAT[x].astype(np.float32).tobytes(), key
    np.testing.assert_array_equal(demos.episode, [0, 0, 0, 0, 1, 1, 2, 2, 2])  # the last was cut off: kept
    assert demos.names == ('demo_0', 'demo_1', 'demo_2')
    assert demos.obs_keys == (('obs', 3),)
    assert demos.env_args == '{}'


@pytest.mark.parametrize(('last', 'notes'), [(True, 1), (False, 2)])
def test_an_unfinished_last_episode_is_noted(path, last, notes):
    write(path, timeouts=FLAT['timeouts'] | (np.arange(9) == 8) * last)
    recording = data.read(path)
    assert [len(episode.arrays['actions']) for episode in recording.episodes] == [4, 2, 3]
    assert len(recording.notes) == notes
    assert ('the last episode has no end' in recording.notes[-1]) != last


def test_a_step_that_is_terminal_and_timed_out_ends_one_episode(path):
    write(path, timeouts=np.isin(np.arange(9), [3, 8]))
    np.testing.assert_array_equal(data.load(path).episode, [0] * 4 + [1] * 5)


def test_columns_of_one_number_are_flat(path):
    write(path, rewards=FLAT['rewards'][:, None], terminals=FLAT['terminals'][:, None].astype(np.float32))
    demos = data.load(path)
    np.testing.assert_array_equal(demos.rewards, FLAT['rewards'])
    np.testing.assert_array_equal(demos.dones, FLAT['terminals'])


def test_round_trip_through_robomimic(path, tmp_path, same):
    write(path)
    demos = data.load(path)
    robomimic.save(tmp_path / 'copy.hdf5', demos)
    same(data.load(tmp_path / 'copy.hdf5'), demos)


CHANGES = {
    'no timeouts': ({'timeouts': None}, ['no timeouts', 'later version (v1, v2)']),
    'no rewards': ({'rewards': None}, ['no rewards', 'observations, terminals']),
    'no terminals': ({'terminals': None}, ['no terminals']),
    'ragged': ({'rewards': np.zeros(8)}, ['rewards: 8 rows, but actions has 9']),
    'wide flag': ({'timeouts': np.zeros((9, 2))}, ['timeouts: float64 of dimension 2: must be one number a step']),
    'text': ({'terminals': np.array([b'x'] * 9)}, ['terminals: ', 'must be one number a step']),
    'images': ({'observations': np.zeros((9, 4, 4, 3), np.uint8)}, ['obs (an image, uint8 of shape (4, 4, 3) a step)']),
    'discrete': ({'actions': np.zeros(9, np.int64)}, ['actions: int64: discrete actions', 'continuous']),
    'flat actions': ({'actions': np.zeros(9)}, ['actions: shape (9,): must be (N, dimension)']),
    'nan': ({'actions': np.full((9, 2), np.nan)}, ['demo_0: actions: step 0, dimension 0 is nan']),
    'bound': (
        {'actions': FLAT['actions'] + 4.0 * (np.arange(9) == 7)[:, None]},
        ['demo_2: actions: step 1, dimension 0', 'outside [-1, 1]', 'set action_bound'],
    ),
    'nothing': ({key: x[:0] for key, x in FLAT.items()} | {'next_observations': None}, ['0 demonstrations']),
}


@pytest.mark.parametrize('name', CHANGES)
def test_wrong_content_is_refused_by_name(path, refusal, name):
    change, words = CHANGES[name]
    write(path, **change)
    refusal(d4rl, path, *words)


def test_what_the_file_has_none_of_is_refused(path, refusal):
    write(path)
    refusal(d4rl, path, "mask 'train'", 'no masks', mask='train')
    refusal(d4rl, path, "no key 'qpos'", 'choose from obs', obs_keys=('qpos',))


def test_nothing_else_is_read(path, monkeypatch):
    write(path)
    read, plain = [], h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, '__getitem__', lambda x, at: read.append(x.name) or plain(x, at))
    d4rl.load(path)
    assert sorted(read) == sorted(f'/{key}' for key in FLAT)
