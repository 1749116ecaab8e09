"""Minari HDF5, in a layout written by hand: T + 1 observations, named ones in any order, and every refusal."""

import json

import h5py
import numpy as np
import pytest

from postbc_jax import data
from postbc_jax.data import minari, robomimic

RNG = np.random.default_rng(0)
LENGTHS = {10: 4, 2: 3, 0: 5}  # written out of order, and not in the order of the text
SPEC = {'id': 'FetchReach-v4', 'kwargs': {'reward_type': 'dense'}, 'max_episode_steps': 50}


def episode(steps, dimensions):
    """What Minari stores of an episode: {name: array}, float64 as its environments compute."""
    goal = {key: RNG.normal(size=(steps + 1, size)) for key, size in dimensions.items()}
    last = np.arange(steps) == steps - 1
    return {f'observations/{key}' if key else 'observations': x for key, x in goal.items()} | {
        'actions': RNG.uniform(-1, 1, (steps, 2)).astype(np.float32),
        'rewards': RNG.normal(size=steps),
        'terminations': last & (steps == 3),
        'truncations': last & (steps != 3),
        'infos/success': last,
    }


def write(folder, episodes, metadata=None):
    """A dataset's folder."""
    (folder / 'data').mkdir(exist_ok=True)
    with h5py.File(folder / 'data' / 'main_data.hdf5', 'w') as file:
        for number, arrays in episodes.items():
            for key, x in arrays.items():
                file[f'episode_{number}/{key}'] = x
    if metadata is not None:
        (folder / 'data' / 'metadata.json').write_text(json.dumps(metadata))


GOAL = {'observation': 3, 'achieved_goal': 2, 'desired_goal': 2}


@pytest.fixture
def goal_episodes():
    return {number: episode(steps, GOAL) for number, steps in LENGTHS.items()}


@pytest.fixture
def folder(tmp_path, goal_episodes):
    write(tmp_path, goal_episodes, {'data_format': 'hdf5', 'env_spec': json.dumps(SPEC)})
    return tmp_path


def column(episodes, key):
    """An entry over all episodes in the order of their numbers, as float32."""
    return np.concatenate([episodes[number][key] for number in sorted(episodes)]).astype(np.float32)


def test_what_was_written_is_what_is_held(folder, goal_episodes):
    demos = data.load(folder)
    assert demos.obs_keys == (('achieved_goal', 2), ('desired_goal', 2), ('observation', 3))
    expected = [
        np.concatenate([goal_episodes[n][f'observations/{key}'][:-1] for key in sorted(GOAL)], axis=1)
        for n in sorted(LENGTHS)
    ]
    assert demos.obs.tobytes() == np.concatenate(expected).astype(np.float32).tobytes()
    for ours, theirs in {'actions': 'actions', 'rewards': 'rewards', 'dones': 'terminations'}.items():
        assert getattr(demos, ours).tobytes() == column(goal_episodes, theirs).tobytes(), ours
    np.testing.assert_array_equal(demos.episode, [0] * 5 + [1] * 3 + [2] * 4)
    assert demos.names == ('demo_0', 'demo_2', 'demo_10')
    assert demos.dones.sum() == 1  # a truncation is no terminal step
    assert json.loads(demos.env_args) == {
        'env_name': 'gymnasium:FetchReach-v4',
        'type': 'gymnasium',
        'env_kwargs': {'reward_type': 'dense'},
    }


def test_the_folder_its_data_and_the_file_are_the_same(folder, same):
    for place in ('data', 'data/main_data.hdf5'):
        same(data.load(folder / place), data.load(folder))


def test_obs_keys_select_and_order(folder, goal_episodes):
    demos = data.load(folder, ('observation', 'desired_goal'))
    assert demos.obs_keys == (('observation', 3), ('desired_goal', 2))
    first = [goal_episodes[10][f'observations/{key}'][0] for key in ('observation', 'desired_goal')]
    np.testing.assert_array_equal(demos.obs[8], np.concatenate(first).astype(np.float32))
    assert data.read(folder, ('observation',)).other_keys == {
        'achieved_goal': 'float64 of dimension 2',
        'desired_goal': 'float64 of dimension 2',
    }


@pytest.mark.parametrize(
    ('dimensions', 'keys'),
    [
        ({'': 3}, (('obs', 3),)),
        ({'arm/angle': 2, 'arm/speed': 2, 'time': 1}, (('arm/angle', 2), ('arm/speed', 2), ('time', 1))),
        ({'_index_0': 2, '_index_1/a': 1}, (('_index_0', 2), ('_index_1/a', 1))),
    ],
)
def test_keys_of_flat_nested_and_tuple_observations(tmp_path, dimensions, keys):
    write(tmp_path, {0: episode(4, dimensions)})
    assert data.load(tmp_path).obs_keys == keys


def test_a_number_a_step_is_a_vector_of_one(tmp_path):
    arrays = episode(4, {}) | {'observations': np.arange(5)}
    write(tmp_path, {0: arrays})
    np.testing.assert_array_equal(data.load(tmp_path).obs, [[0], [1], [2], [3]])


def test_round_trip_through_robomimic(folder, tmp_path, same):
    demos = data.load(folder)
    robomimic.save(tmp_path / 'copy.hdf5', demos)
    same(data.load(tmp_path / 'copy.hdf5'), demos)


@pytest.mark.parametrize('metadata', [None, {}, [], {'env_spec': '{'}, {'env_spec': '[]'}, {'env_spec': 3}])
def test_an_unknown_environment_is_noted(tmp_path, metadata):
    write(tmp_path, {0: episode(4, {'': 2})}, metadata)
    recording = data.read(tmp_path)
    assert recording.faults == ()
    assert recording.env_args == '{}'
    assert 'which environment' in recording.notes[0]


def jpegs(count, equal):
    """JPEG files as Minari stores them: rows of bytes where they are equally long, else ragged."""
    files = [np.array([255, 216, 255, *range(7 if equal else 7 + i)], np.uint8) for i in range(count)]
    if equal:
        return np.stack(files)
    ragged = np.empty(count, h5py.vlen_dtype(np.uint8))
    ragged[:] = files
    return ragged


@pytest.mark.parametrize('image', [jpegs(5, True), jpegs(5, False), np.zeros((5, 40, 40, 3), np.uint8)])
def test_images_are_left_out_and_refused_where_they_are_asked_for(tmp_path, refusal, image):
    arrays = episode(4, {'state': 2}) | {'observations/pixels': np.zeros(0)}
    write(tmp_path, {0: arrays})
    with h5py.File(tmp_path / 'data' / 'main_data.hdf5', 'a') as file:
        del file['episode_0/observations/pixels']
        file.create_dataset('episode_0/observations/pixels', data=image, dtype=image.dtype)
    assert data.load(tmp_path).obs_keys == (('state', 2),)
    refusal(minari, tmp_path, 'obs/pixels', 'low-dimensional', 'choose from state', obs_keys=('pixels',))


CHANGES = {
    'no last observation': ({'observations': np.zeros((4, 2))}, ['obs/obs: 4 rows', '4 actions', '5']),
    'no actions': ({'actions': None}, ['no actions', 'infos, observations']),
    'no terminations': ({'terminations': None}, ['no terminations']),
    'no observations': ({'observations': None}, ['no observations']),
    'discrete': ({'actions': np.zeros(4, np.int64)}, ['actions: int64: discrete actions', 'continuous']),
    'many discrete': ({'actions': np.zeros((4, 2), np.int64)}, ['discrete actions']),
    'dict of actions': ({'actions': None, 'actions/arm': np.zeros((4, 2))}, ['no actions']),
    'flat actions': ({'actions': np.zeros(4)}, ['actions: shape (4,)']),
    'short rewards': ({'rewards': np.zeros(3)}, ['rewards: 3 steps', '4']),
    'nan': ({'observations': np.full((5, 2), np.nan)}, ['obs/obs: step 0, dimension 0 is nan']),
    'bound': ({'actions': np.full((4, 2), 3.0)}, ['outside [-1, 1]', 'set action_bound']),
    'empty': (
        {'observations': np.zeros((1, 2)), 'actions': np.zeros((0, 2)), 'rewards': [], 'terminations': []},
        ['actions: 0 steps'],
    ),
}


@pytest.mark.parametrize('name', CHANGES)
def test_wrong_content_is_refused_by_name(tmp_path, refusal, name):
    change, words = CHANGES[name]
    arrays = {key: x for key, x in (episode(4, {'': 2}) | change).items() if x is not None}
    write(tmp_path, {3: arrays})
    refusal(minari, tmp_path, *words)


def test_the_last_observation_need_not_be_finite(tmp_path):
    arrays = episode(4, {'': 2})
    arrays['observations'][-1] = np.nan  # no action follows it
    write(tmp_path, {0: arrays})
    assert len(data.load(tmp_path).obs) == 4


def test_the_episode_that_is_wrong_is_named_among_others(folder, goal_episodes, refusal):
    del goal_episodes[2]['observations/desired_goal']
    goal_episodes[10]['observations/observation'] = np.zeros((5, 4))
    write(folder, goal_episodes)
    refusal(minari, folder, 'demo_2: no obs/desired_goal', 'and 1 more fault')
    refusal(minari, folder, 'demo_10: obs/observation: dimension 4, but demo_0 has 3', obs_keys=('observation',))


def test_what_the_dataset_has_none_of_is_refused(folder, refusal):
    refusal(minari, folder, "mask 'train'", 'no masks', mask='train')
    refusal(minari, folder, "no key 'object'", 'choose from achieved_goal', obs_keys=('object',))


def test_another_storage_is_refused(tmp_path, refusal):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'metadata.json').write_text('{"data_format": "arrow"}')
    refusal(data, tmp_path, "data_format 'arrow'", "data_format='hdf5'")


def test_infos_and_other_keys_are_not_read(folder, monkeypatch):
    read, plain = set(), h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, '__getitem__', lambda x, at: read.add(x.name.split('/', 2)[2]) or plain(x, at))
    data.load(folder, ('observation',))
    assert read == {'observations/observation', 'actions', 'rewards', 'terminations'}
