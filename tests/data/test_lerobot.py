"""LeRobot v2.1 and v3.0, written to the published layouts: what is read, what is left out, and every refusal."""

import sys

import numpy as np
import pytest

from postbc_jax import data
from postbc_jax.data import lerobot, robomimic
from tests.data.written_lerobot import FEATURES, episodes, pa, parquet, write

LENGTHS = {0: 4, 1: 3, 2: 5, 3: 2, 10: 3}
FILES = [[0, 1, 2], [3, 10]]


@pytest.fixture(scope='module')
def made():
    return episodes(LENGTHS)


@pytest.fixture(params=['v2.1', 'v3.0'])
def root(tmp_path, made, request):
    write(tmp_path, request.param, made, FILES, splits={'train': '0:2', 'val': '2:11', 'none': '4:9'})
    return tmp_path


def column(made, key, indices=LENGTHS):
    return np.concatenate([made[i][key] for i in indices]).astype(np.float32)


def test_what_was_written_is_what_is_held(root, made):
    demos = data.load(root, action_bound=None)
    written = {'obs': 'observation.state', 'actions': 'action', 'rewards': 'next.reward', 'dones': 'next.done'}
    for ours, theirs in written.items():
        assert getattr(demos, ours).tobytes() == column(made, theirs).tobytes(), ours
    np.testing.assert_array_equal(demos.episode, np.repeat(range(5), list(LENGTHS.values())))
    assert demos.names == ('demo_0', 'demo_1', 'demo_2', 'demo_3', 'demo_10')
    assert demos.obs_keys == (('observation.state', 3),)
    assert demos.env_args == '{}'


def test_a_recording_says_what_else_there_is(root):
    recording = data.read(root, action_bound=None)
    assert recording.faults == ()
    assert recording.masks == {
        'train': ('demo_0', 'demo_1'),
        'val': ('demo_2', 'demo_3', 'demo_10'),
        'none': (),
    }
    assert recording.other_keys['observation.images.top'] == 'an image, video of shape (480, 640, 3) a step'
    assert recording.other_keys['observation.effort'] == 'float64 of dimension 1'
    assert 'so100' in recording.notes[0]


def test_obs_keys_select_and_order(root, made):
    demos = data.load(root, ('observation.effort', 'observation.state'), action_bound=90)
    assert demos.obs_keys == (('observation.effort', 1), ('observation.state', 3))
    np.testing.assert_array_equal(demos.obs[:, 0], column(made, 'observation.effort'))
    np.testing.assert_array_equal(demos.obs[:, 1:], column(made, 'observation.state'))


def test_a_split_is_a_mask(root, made, refusal):
    demos = data.load(root, mask='val', action_bound=90)
    assert demos.names == ('demo_2', 'demo_3', 'demo_10')
    np.testing.assert_array_equal(demos.actions, column(made, 'action', (2, 3, 10)))
    refusal(lerobot, root, "mask 'test': not a split", 'train, val', mask='test')
    refusal(lerobot, root, "mask 'none': names 0 episodes", mask='none')


@pytest.mark.parametrize(
    ('without', 'rewards', 'dones', 'notes'),
    [
        ((), 'next.reward', 'next.done', 0),
        (('next.reward', 'next.done'), 'next.success', 'next.success', 0),
        (('next.reward', 'next.done', 'next.success'), None, None, 2),
    ],
)
def test_rewards_and_dones_are_what_the_dataset_has(tmp_path, made, without, rewards, dones, notes):
    left = {i: {key: x for key, x in episode.items() if key not in without} for i, episode in made.items()}
    features = {key: feature for key, feature in FEATURES.items() if key not in without}
    write(tmp_path, 'v3.0', left, features=features)
    demos = data.load(tmp_path, action_bound=None)
    for x, key in ((demos.rewards, rewards), (demos.dones, dones)):
        np.testing.assert_array_equal(x, column(made, key) if key else np.zeros(17))
    assert len(data.read(tmp_path).notes) == 1 + notes


def test_without_observation_state_every_vector_is_taken(tmp_path, made):
    features = {key: feature for key, feature in FEATURES.items() if key != 'observation.state'}
    write(tmp_path, 'v3.0', made, features=features)
    assert data.load(tmp_path, action_bound=None).obs_keys == (('observation.effort', 1),)


@pytest.mark.parametrize('lists', [False, True])
def test_lists_of_any_length_are_vectors_where_they_are_equally_long(tmp_path, made, lists):
    write(tmp_path, 'v2.1', made, lists=lists)
    np.testing.assert_array_equal(data.load(tmp_path, action_bound=None).actions, column(made, 'action'))


def test_files_are_read_in_the_order_of_their_numbers(tmp_path):
    made = episodes(dict.fromkeys(range(12), 2))
    write(tmp_path, 'v3.0', made, [[i] for i in made])
    for file in (tmp_path / 'data' / 'chunk-000').iterdir():
        file.rename(file.with_name(f'file-{int(file.stem[5:])}.parquet'))  # 'file-10' is before 'file-2' as text
    np.testing.assert_array_equal(data.load(tmp_path, action_bound=None).actions, column(made, 'action', range(12)))


def test_round_trip_through_robomimic(root, tmp_path, same):
    demos = data.load(root, action_bound=None)
    robomimic.save(tmp_path / 'copy.hdf5', demos, action_bound=None)
    same(data.load(tmp_path / 'copy.hdf5', action_bound=None), demos)


def test_degrees_are_beyond_the_default_bound(root, refusal):
    refusal(lerobot, root, 'demo_0: actions: step 0', 'outside [-1, 1]', 'rescale the actions, or set action_bound')


def test_only_the_columns_that_are_needed_are_read(root, monkeypatch):
    asked, plain = [], parquet.ParquetFile.read
    monkeypatch.setattr(
        parquet.ParquetFile, 'read', lambda x, columns: asked.append(columns) or plain(x, columns=columns)
    )
    data.load(root, action_bound=None)
    needed = {'observation.state', 'action', 'next.reward', 'next.done', 'episode_index', 'frame_index'}
    assert set(asked[-1]) == needed


def changed(made, index, key, x):
    return made | {index: made[index] | {key: x}}


WRONG = {
    'gap': (lambda m: changed(m, 1, 'frame_index', np.array([0, 1, 3])), {}, ['demo_1: frame_index: step 2 is 3']),
    'order': (
        lambda m: changed(m, 3, 'episode_index', np.array([1, 1])),
        {},
        ['demo_1: follows demo_2: rows out of order'],
    ),
    'short': (lambda m: m, {'lengths': LENGTHS | {2: 6}}, ['demo_2: 5 frames, but meta/episodes says 6']),
    'absent': (lambda m: m, {'lengths': LENGTHS | {7: 4}}, ['demo_7: 0 frames, but meta/episodes says 4']),
    'unknown': (lambda m: m, {'lengths': {i: LENGTHS[i] for i in (0, 1, 2, 3)}}, ['demo_10: in the data, but not in']),
    'dimension': (
        lambda m: m,
        {'features': FEATURES | {'action': {'dtype': 'float32', 'shape': [4]}}},
        ['file-000.parquet: action: row 0 holds 2 numbers', 'info.json says 4'],
    ),
    'discrete': (
        lambda m: m,
        {'features': FEATURES | {'action': {'dtype': 'int64', 'shape': [1]}}},
        ['int64: discrete'],
    ),
    'no action': (lambda m: m, {'features': {k: f for k, f in FEATURES.items() if k != 'action'}}, ['no action']),
    'nan': (lambda m: changed(m, 3, 'action', np.full((2, 2), np.nan, np.float32)), {}, ['demo_3: actions: step 0']),
    'version': (lambda m: m, {'codebase_version': 'v1.6'}, ['codebase_version v1.6', 'v2.0, v2.1, v3.0']),
    'features': (lambda m: m, {'features': None}, ['cannot be read']),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_content_is_refused_by_name(tmp_path, made, refusal, name):
    change, settings, words = WRONG[name]
    write(tmp_path, 'v3.0', change(made), FILES, **settings)
    refusal(lerobot, tmp_path, *words, action_bound=None)


def test_a_dataset_of_nothing_is_refused(tmp_path, refusal):
    write(tmp_path, 'v2.1', {})
    refusal(lerobot, tmp_path, 'holds 0 demonstrations')


def test_a_feature_that_the_files_lack_is_refused(tmp_path, made, refusal):
    write(tmp_path, 'v3.0', made, features=FEATURES | {'observation.x': {'dtype': 'float32', 'shape': [1]}})
    words = ("file-000.parquet: no column 'observation.x'", 'observation.state, ')
    refusal(lerobot, tmp_path, *words, obs_keys=('observation.x',), action_bound=None)


@pytest.mark.parametrize('key', ['observation.images.top', 'observation.map'])
def test_images_are_refused_where_they_are_asked_for(root, refusal, key):
    refusal(lerobot, root, f'obs/{key}', 'low-dimensional', 'choose from observation.state', obs_keys=(key,))
    refusal(lerobot, root, "no key 'action'", obs_keys=('action',))


def test_ragged_and_missing_numbers_are_refused(tmp_path, made, refusal):
    write(tmp_path, 'v3.0', {0: made[0]})
    file = tmp_path / 'data' / 'chunk-000' / 'file-000.parquet'
    table = parquet.read_table(file)
    at = table.column_names.index('action')
    for rows, words in (
        ([[1.0, 2.0], [1.0], [1.0, 2.0], [1.0, 2.0]], ['row 1 holds 1 numbers']),
        ([[1.0, 2.0], [1.0, 2.0], None, [1.0, 2.0]], ['row 2 holds 0 numbers']),
        ([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [None, 2.0]], ['demo_0: actions: step 3, dimension 0 is nan']),
    ):
        parquet.write_table(table.set_column(at, 'action', pa.array(rows, pa.list_(pa.float32()))), file)
        refusal(lerobot, tmp_path, *words, action_bound=None)


@pytest.mark.parametrize(
    'name', ['meta/info.json', 'meta/episodes/chunk-000/file-000.parquet', 'data/chunk-000/file-001.parquet']
)
def test_damaged_datasets_are_read_or_refused_in_one_line(tmp_path, made, name):
    write(tmp_path, 'v3.0', made, FILES)
    good, rng, refused = (tmp_path / name).read_bytes(), np.random.default_rng(0), 0
    for _ in range(100):
        content, at = bytearray(good), rng.integers(len(good))
        content[at : at + 8] = rng.integers(0, 256, len(content[at : at + 8]), dtype=np.uint8).tobytes()
        (tmp_path / name).write_bytes(content)
        try:
            data.load(tmp_path, action_bound=None)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f'{tmp_path}: ') and '\n' not in str(error)
    assert refused


def test_a_missing_file_is_named(tmp_path, made, refusal):
    write(tmp_path, 'v2.1', made)
    (tmp_path / 'data' / 'chunk-000' / 'episode_000002.parquet').unlink()
    refusal(lerobot, tmp_path, 'demo_2: 0 frames, but meta/episodes says 5', action_bound=None)
    (tmp_path / 'meta' / 'episodes.jsonl').unlink()
    refusal(lerobot, tmp_path, 'episodes.jsonl', 'copy or download')


def test_a_file_of_a_dataset_names_the_folder_to_give(root, refusal):
    refusal(data, next((root / 'data' / 'chunk-000').iterdir()), 'Parquet', 'meta/info.json')


def test_without_pyarrow_the_remedy_is_named(root, refusal, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    refusal(data, root, 'pip install postbc_jax[parquet]')


def test_splits_of_other_words_are_left_out(tmp_path, made):
    write(tmp_path, 'v3.0', made, splits={'train': '80%', 'val': '0:1', 'odd': 3})
    assert list(data.read(tmp_path).masks) == ['val']
