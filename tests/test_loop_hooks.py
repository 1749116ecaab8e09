"""loop/: a hook that changes the state and writes a file of its own, interrupted anywhere, ends with the same bits."""

import jax.numpy as jnp
import pytest

from postbc_jax import loop, metrics, parallel
from tests.regression import CHUNKS, LABELS, evaluate, files, numbers, regression, run

HALVED = 2  # after this chunk


class Killed(BaseException):
    """Stands for a death without notice."""


@pytest.fixture(scope='module')
def trainer():
    return parallel.population(regression(), parallel.mesh(len(LABELS)))


def hook(chunk, state, values):
    changed = state.replace(params=state.params * jnp.float32(0.5)) if chunk in (0, HALVED) else state
    seen = [{'halved': chunk in (0, HALVED)}]
    return loop.After(evaluate(chunk, changed, values), changed, {'seen': seen})


def hooked(directory, trainer, after_chunk=hook, **kwargs):
    seen = metrics.JsonLines(directory / 'seen.jsonl')
    return run(directory, trainer, after_chunk=after_chunk, others={'seen': seen}, **kwargs)


@pytest.fixture(scope='module')
def whole(tmp_path_factory, trainer):
    directory = tmp_path_factory.mktemp('whole')
    return directory, numbers(hooked(directory, trainer).state)


def test_what_the_hook_leaves_is_what_goes_on(whole, trainer, tmp_path):
    directory, bits = whole
    assert numbers(run(tmp_path, trainer).state) != bits
    rows = metrics.read(directory / 'seen.jsonl')
    assert rows == [{'stage': 'fit', 'chunk': c, 'halved': c in (0, HALVED)} for c in range(CHUNKS + 1)]


@pytest.mark.parametrize('save_chunks', [1, 3])
@pytest.mark.parametrize('moment', range(CHUNKS + 1))
def test_killed_in_the_hook_of_any_chunk(whole, trainer, tmp_path, moment, save_chunks):
    def dies(chunk, state, values):
        if chunk == moment:
            raise Killed
        return hook(chunk, state, values)

    with pytest.raises(Killed):
        hooked(tmp_path, trainer, dies, save_chunks=save_chunks)
    assert numbers(hooked(tmp_path, trainer, save_chunks=save_chunks).state) == whole[1]
    assert files(tmp_path) == files(whole[0])
    assert (tmp_path / 'seen.jsonl').read_bytes() == (whole[0] / 'seen.jsonl').read_bytes()


def test_rows_for_a_file_that_is_not_there_are_refused(trainer, tmp_path):
    with pytest.raises(ValueError, match='no `seen` to write them to'):
        run(tmp_path, trainer, after_chunk=hook)
