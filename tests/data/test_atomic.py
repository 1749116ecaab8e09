"""A file is written whole or not at all."""

import os

import pytest

from postbc_jax.data.atomic import replacing


def test_success_replaces(tmp_path):
    path = tmp_path / 'a'
    path.write_text('old')
    with replacing(str(path)) as temporary, open(temporary, 'w') as file:
        file.write('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert os.listdir(tmp_path) == ['a']


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_what_was(tmp_path, error):
    path = tmp_path / 'a'
    path.write_text('old')
    with pytest.raises(error), replacing(str(path)) as temporary, open(temporary, 'w') as file:
        file.write('half')
        raise error
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a']


def test_wrong_places_are_refused(tmp_path):
    with pytest.raises(ValueError, match='folder .* does not exist'), replacing(str(tmp_path / 'b' / 'a')):
        pass
    with pytest.raises(ValueError, match='is a folder'), replacing(str(tmp_path)):
        pass
