"""The real trainers on several devices and processes: the same numbers, and learners that never communicate.

parallel.py itself is tested in test_parallel with a regression; here are the ensemble, pretraining and the finetuners.
"""

import numpy as np
import pytest

from tests.populations import LEARNERS, MAKE

# Whole numbers (keys, steps, counters, regions, done) are the same. Floats are, but for rounding: devices sum a
# gradient in another order. That is 1e-7 of a number, which one step of Adam can enlarge where a gradient is near 0:
# the largest difference seen in a parameter was 5e-7. Few steps, so that it cannot grow; each moves the
# parameters by about 1e-2, so that a wrong gradient, key or row is far outside.
RTOL, ATOL = 1e-4, 1e-5


@pytest.fixture(scope='module')
def devices(start_python, finish_python, tmp_path_factory):
    """(directory of the numbers, what the compiled programs say), of 8 devices in one process."""
    directory = tmp_path_factory.mktemp('devices')
    code = f'from tests import populations; populations.train_on_8({str(directory)!r})'
    return directory, finish_python(start_python(code, 8), seconds=600)  # most of it compiles; a minute if left alone


@pytest.fixture(scope='module', params=[2, 1], ids=['2x2', '1x4'])
def processes(request, run_in_processes, tmp_path_factory):
    """The directory of the numbers of two processes with two devices each.

    2 x 2: the processes hold different learners. 1 x 4: they share the rows of each, and average every gradient.
    """
    directory = tmp_path_factory.mktemp('processes')
    code = f'from tests import populations; populations.train_in_processes({request.param}, {str(directory)!r})'
    assert run_in_processes(2, 2, code) == [[2, 4]] * 2
    return directory


def assert_same(path, expected):
    """Compares every array of the state, and every metric, of two trained populations."""
    with np.load(path) as actual, np.load(expected) as expected:
        assert actual.files == expected.files
        for name in expected.files:
            assert actual[name].dtype == expected[name].dtype, name
            if np.issubdtype(expected[name].dtype, np.floating):
                np.testing.assert_allclose(actual[name], expected[name], RTOL, ATOL, err_msg=name)
            else:
                np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


@pytest.mark.parametrize('name', MAKE)
@pytest.mark.parametrize('count', [2, 8])
def test_devices_give_the_numbers_of_one(devices, name, count):
    """2 is 2 x 1, learner x data; 8 is 4 x 2. Three learners are padded to four."""
    directory, _ = devices
    assert_same(directory / f'{name}.{count}.npz', directory / f'{name}.1.npz')


@pytest.mark.parametrize('name', MAKE)
def test_a_run_moves_from_8_devices_to_1(devices, name):
    """Half of it there, then through a checkpoint."""
    directory, _ = devices
    assert_same(directory / f'{name}.moved.npz', directory / f'{name}.1.npz')


@pytest.mark.parametrize('name', MAKE)
def test_two_processes_give_the_numbers_of_one_device(devices, processes, name):
    directory, _ = devices
    for process in (0, 1):
        assert_same(processes / f'{name}.{process}.npz', directory / f'{name}.1.npz')


@pytest.mark.parametrize('name', MAKE)
def test_what_is_compared_is_not_trivial(devices, name):
    """All parameters have been trained, and no two learners are alike, by far more than the tolerance."""
    directory, _ = devices
    with np.load(directory / f'{name}.start.npz') as start, np.load(directory / f'{name}.1.npz') as end:
        trained = [key for key in start.files if key.startswith('[0].params')]
        assert trained
        for key in trained:
            assert end[key].shape[0] == LEARNERS
            moved = np.abs(end[key] - start[key]).reshape(LEARNERS, -1).max(1)
            assert (moved > 100 * ATOL).all(), key
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert max(np.abs(end[key][a] - end[key][b]).max() for key in trained) > 100 * ATOL


@pytest.mark.parametrize('name', MAKE)
def test_learners_never_communicate(devices, name):
    """The compiled text: on 8 x 1 there is no collective; elsewhere those there are stay among a learner's devices."""
    _, said = devices
    assert {program: crossing for program, (crossing, _) in said[name].items() if crossing} == {}
    counts = {program: count for program, (_, count) in said[name].items()}
    assert counts['run_chunk 8 x 1'] == 0
    assert counts['run_chunk 4 x 2'] > 0  # the gradients' mean, or nothing was looked at
