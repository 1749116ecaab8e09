"""robomimic HDF5: bit-exact round trips, robomimic's own layout and order, and every refusal of a user's file."""

import json
import os

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.data import robomimic


@pytest.fixture
def path(tmp_path, demos):
    """A good file, for a test to break."""
    path = str(tmp_path / 'demos.hdf5')
    robomimic.save(path, demos, masks={'train': ['demo_10', 'demo_0'], 'valid': ['demo_2']})
    return path


def replace(file, name, value):
    del file[name]
    if value is not None:
        file[name] = value


def refusal(path, *words, **kwargs):
    """Asserts that loading is refused in one line that names the file and every word."""
    with pytest.raises(ValueError) as error:
        robomimic.load(path, **kwargs)
    line = str(error.value)
    assert '\n' not in line
    for word in (path, *words):
        assert word in line, f'{word!r} is not in {line!r}'


def test_round_trip_is_bit_exact(path, demos, same):
    same(robomimic.load(path), demos)


def test_round_trip_of_extreme_floats_and_device_arrays(tmp_path, demos, same):
    obs = demos.obs.copy()
    obs[:4, 0] = [-0.0, 1e-45, np.finfo(np.float32).max, np.nextafter(np.float32(1), np.float32(2))]
    demos = demos.replace(obs=obs)
    path = tmp_path / 'a.hdf5'  # a pathlib.Path
    robomimic.save(path, demos.replace(actions=jnp.asarray(demos.actions), episode=jnp.asarray(demos.episode)))
    same(robomimic.load(path), demos)


def test_written_as_robomimic_writes(path, demos):
    with h5py.File(path) as file:
        assert file['data'].attrs['total'] == 15
        assert json.loads(file['data'].attrs['env_args'])['env_name'] == 'gate'
        demo = file['data/demo_2']
        assert demo.attrs['num_samples'] == 3
        np.testing.assert_array_equal(demo['obs/position'], demos.obs[5:8, :3])
        np.testing.assert_array_equal(demo['obs/context'], demos.obs[5:8, 3:])
        np.testing.assert_array_equal(demo['next_obs/position'], demos.obs[[6, 7, 7], :3])
        np.testing.assert_array_equal(demo['actions'], demos.actions[5:8])
        assert demo['rewards'].shape == demo['dones'].shape == (3,)
        # as SequenceDataset reads a filter key
        assert [name.decode('utf-8') for name in np.array(file['mask/train'][:])] == ['demo_10', 'demo_0']


def test_mask_selects_in_the_order_of_numbers(path, demos):
    loaded = robomimic.load(path, mask='train')
    assert loaded.names == ('demo_0', 'demo_10')
    np.testing.assert_array_equal(loaded.episode, [0] * 5 + [1] * 7)
    np.testing.assert_array_equal(loaded.actions, demos.actions[[*range(5), *range(8, 15)]])


def test_obs_keys_select_and_order(path, demos):
    loaded = robomimic.load(path, obs_keys=('context', 'position'))
    assert loaded.obs_keys == (('context', 2), ('position', 3))
    np.testing.assert_array_equal(loaded.obs, demos.obs[:, [3, 4, 0, 1, 2]])


def write(path, obs, demos=('demo_0', 'demo_1'), steps=4, **attributes):
    """A file as somebody else writes it: float64, float actions of 0, no attribute of ours."""
    with h5py.File(path, 'w') as file:
        file.create_group('data').attrs['env_args'] = '{"env_name": "Lift"}'
        for name in demos:
            for key, shape in obs.items():
                dtype = np.uint8 if len(shape) == 3 else np.float64
                file[f'data/{name}/obs/{key}'] = np.ones((steps, *shape), dtype)
            file[f'data/{name}/actions'] = np.zeros((steps, 7))
            file[f'data/{name}/rewards'] = np.zeros(steps)
            file[f'data/{name}/dones'] = np.zeros(steps, np.int64)
            file[f'data/{name}'].attrs.update(attributes)


ARM = {'robot0_eef_quat': (4,), 'robot0_eef_pos': (3,), 'robot0_gripper_qpos': (2,), 'object': (10,)}
OTHER_ARM = {'robot1_eef_quat': (4,), 'robot1_eef_pos': (3,), 'robot1_gripper_qpos': (2,)}


def test_default_keys_are_robomimics_low_dimensional_ones(tmp_path):
    path = str(tmp_path / 'lift.hdf5')
    write(path, ARM | {'robot0_joint_pos': (7,), 'agentview_image': (8, 8, 3)})
    loaded = robomimic.load(path)
    assert [k for k, _ in loaded.obs_keys] == ['robot0_eef_pos', 'robot0_eef_quat', 'robot0_gripper_qpos', 'object']
    assert loaded.obs.shape == (8, 19)
    assert loaded.obs.dtype == loaded.dones.dtype == np.float32


def test_default_keys_of_two_arms(tmp_path):
    path = str(tmp_path / 'transport.hdf5')
    write(path, ARM | OTHER_ARM)
    names = [name for name, _ in robomimic.load(path).obs_keys]
    one, two = list(ARM)[1::-1] + ['robot0_gripper_qpos'], list(OTHER_ARM)[1::-1] + ['robot1_gripper_qpos']
    assert names == [*one, *two, 'object']


def test_default_keys_without_robomimics_are_sorted_and_low_dimensional(tmp_path):
    path = str(tmp_path / 'own.hdf5')
    write(path, {'b': (2,), 'a': (1,), 'camera': (8, 8, 3), 'scalar': ()})
    assert robomimic.load(path).obs_keys == (('a', 1), ('b', 2), ('scalar', 1))


def test_a_first_demo_without_a_default_key_is_refused(tmp_path):
    path = str(tmp_path / 'lift.hdf5')
    write(path, ARM)
    with h5py.File(path, 'a') as file:
        del file['data/demo_0/obs/object']
    refusal(path, "demo_0: obs: no key 'object'")


def test_demos_are_sorted_by_number(tmp_path):
    path = str(tmp_path / 'a.hdf5')
    write(path, {'a': (1,)}, demos=('demo_10', 'demo_9', 'demo_1', 'demo_100'))
    assert robomimic.load(path).names == ('demo_1', 'demo_9', 'demo_10', 'demo_100')


def test_operators_from_attributes_and_from_masks(tmp_path):
    path = str(tmp_path / 'mh.hdf5')
    write(path, {'a': (1,)}, demos=('demo_0', 'demo_1', 'demo_2'))
    with h5py.File(path, 'a') as file:
        file['mask/better'] = np.array(['demo_0'], 'S')
        file['mask/worse'] = np.array(['demo_1', 'demo_2'], 'S')
        file['mask/worse_better'] = np.array(['demo_0', 'demo_1', 'demo_2'], 'S')
        file['data/demo_2'].attrs['operator'] = 'carol'
    assert robomimic.load(path).operators == ('better', 'worse', 'carol')


# what breaks the good file, and what the line must name besides the file
BREAKS = {
    'no data': (lambda f: replace(f, 'data', None), ["no group 'data'", 'mask']),
    'no demos': (lambda f: [f['data'].pop(name) for name in list(f['data'])], ['0 demonstrations']),
    'demo no group': (lambda f: replace(f, 'data/demo_2', 1.0), ['demo_2: not a group']),
    'no obs': (
        lambda f: replace(f, 'data/demo_2/obs', None),
        ['demo_2', "no group 'obs'", 'actions', 'dataset_states'],
    ),
    'no key': (lambda f: replace(f, 'data/demo_2/obs/context', None), ['demo_2', "no key 'context'", 'position']),
    'no actions': (lambda f: replace(f, 'data/demo_0/actions', None), ['demo_0', 'no actions', 'dones, next_obs, obs']),
    'no rewards': (lambda f: replace(f, 'data/demo_0/rewards', None), ['demo_0', 'no rewards']),
    'no dones': (lambda f: replace(f, 'data/demo_10/dones', None), ['demo_10', 'no dones']),
    'ragged obs': (
        lambda f: replace(f, 'data/demo_2/obs/position', np.zeros((4, 3))),
        ['demo_2: obs/position', '4', '3'],
    ),
    'ragged rewards': (lambda f: replace(f, 'data/demo_2/rewards', np.zeros(2)), ['demo_2: rewards: 2 steps', '3']),
    'num_samples': (lambda f: f['data/demo_2'].attrs.modify('num_samples', 9), ['demo_2', 'num_samples says 9', '3']),
    'nan': (
        lambda f: put(f, 'data/demo_10/obs/context', (4, 1), np.nan),
        ['demo_10: obs/context: step 4, dimension 1', 'nan'],
    ),
    'inf': (lambda f: put(f, 'data/demo_0/rewards', 3, -np.inf), ['demo_0: rewards: step 3 is -inf']),
    'beyond float32': (
        lambda f: replace(f, 'data/demo_2/obs/context', np.full((3, 2), 1e300)),
        ['demo_2: obs/context: step 0', '1e+300'],
    ),
    'bound': (
        lambda f: put(f, 'data/demo_2/actions', (1, 0), 1.5),
        ['demo_2: actions: step 1, dimension 0 is 1.5', '[-1, 1]'],
    ),
    'obs dims': (
        lambda f: replace(f, 'data/demo_2/obs/position', np.zeros((3, 4))),
        ['demo_2: obs/position: dimension 4', 'demo_0 has 3'],
    ),
    'action dims': (
        lambda f: replace(f, 'data/demo_10/actions', np.zeros((7, 3))),
        ['demo_10: actions: dimension 3', 'demo_0 has 2'],
    ),
    'vector actions': (lambda f: replace(f, 'data/demo_0/actions', np.zeros(5)), ['demo_0: actions: shape (5,)']),
    'column rewards': (
        lambda f: replace(f, 'data/demo_0/rewards', np.zeros((5, 1))),
        ['demo_0: rewards: shape (5, 1)'],
    ),
    'text': (
        lambda f: replace(f, 'data/demo_0/obs/position', np.full((5, 3), 'x', 'S1')),
        ['demo_0: obs/position', '|S1'],
    ),
    'env_args': (lambda f: f['data'].attrs.modify('env_args', 'Lift'), ['env_args', 'JSON']),
    'zero length': (lambda f: shorten(f, 'data/demo_2', 0), ['demo_2: actions: 0 steps']),
}


def put(file, name, where, value):
    x = file[name][()]
    x[where] = value
    replace(file, name, x)


def shorten(file, name, steps):
    file[name].attrs['num_samples'] = steps
    for key in ('actions', 'rewards', 'dones', 'obs/position', 'obs/context'):
        replace(file, f'{name}/{key}', file[f'{name}/{key}'][:steps])


@pytest.mark.parametrize('name', BREAKS)
def test_wrong_content_is_refused_by_name(path, name):
    breaks, words = BREAKS[name]
    with h5py.File(path, 'a') as file:
        breaks(file)
    refusal(path, *words)


def test_every_fault_is_collected(path):
    with h5py.File(path, 'a') as file:
        for name in ('nan', 'bound', 'no rewards'):
            BREAKS[name][0](file)
    refusal(path, '(and 2 more faults)')


def test_image_keys_are_refused(tmp_path):
    path = str(tmp_path / 'image.hdf5')
    write(path, ARM | {'agentview_image': (8, 8, 3)})
    words = ('demo_0: obs/agentview_image', 'an image, uint8 of shape (8, 8, 3)', 'low-dimensional', 'robot0_eef_pos')
    refusal(path, *words, obs_keys=('object', 'agentview_image'))


def test_only_images_are_refused(tmp_path):
    path = str(tmp_path / 'image.hdf5')
    write(path, {'agentview_image': (8, 8, 3)})
    refusal(path, 'every demo', 'no low-dimensional key', 'agentview_image', 'uint8')


def test_masks_are_refused(path):
    with h5py.File(path, 'a') as file:
        file['mask/none'] = np.array([], 'S8')
        file['mask/dangling'] = np.array(['demo_0', 'demo_7'], 'S')
    refusal(path, "mask 'test': not in the file", 'dangling, none, train, valid', mask='test')
    refusal(path, "mask 'none': names 0 demos", 'dangling, none, train, valid', mask='none')
    refusal(path, 'demo_7', "mask 'dangling'", '3 demos', mask='dangling')
    assert robomimic.load(path).episodes == 3  # what is not asked for does not matter


def test_action_bound_is_an_argument_with_a_tolerance(path):
    with h5py.File(path, 'a') as file:
        put(file, 'data/demo_0/actions', (0, 0), 1.0005)
    robomimic.load(path)
    with h5py.File(path, 'a') as file:
        put(file, 'data/demo_0/actions', (0, 0), -3.0)
    refusal(path, 'is -3, outside [-2, 2]', 'action_bound', action_bound=2)
    robomimic.load(path, action_bound=3)
    robomimic.load(path, action_bound=None)


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(path, share):
    os.truncate(path, int(os.path.getsize(path) * share))
    refusal(path, 'HDF5', 'again')


def test_save_leaves_nothing_when_refused(tmp_path, demos):
    path = str(tmp_path / 'new.hdf5')
    bad = {
        "'a', which is not": {'masks': {'m': ['a']}},
        'names 0 demos': {'masks': {'m': []}},
        "'a/b'": {'masks': {'a/b': ['demo_0']}},
    }
    for words, arguments in bad.items():
        with pytest.raises(ValueError, match=words):
            robomimic.save(path, demos, **arguments)
    with pytest.raises(ValueError, match='order of their numbers'):
        robomimic.save(path, demos.replace(names=('demo_0', 'demo_10', 'demo_2')))
    with pytest.raises(ValueError, match='order of their numbers'):
        robomimic.save(path, demos.replace(names=('a', 'b', 'c')))
    with pytest.raises(ValueError, match='outside'):
        robomimic.save(path, demos.replace(actions=2 * np.ones_like(demos.actions)))
    assert os.listdir(tmp_path) == []
