"""A file is written whole or not at all."""

import os

import pytest

from postbc_jax.atomic import replacing, write


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


@pytest.mark.parametrize(('content', 'found'), [('½\n', '½\n'.encode()), (b'\x00', b'\x00')])
def test_text_and_bytes(tmp_path, content, found):
    write(tmp_path / 'a', content)
    assert (tmp_path / 'a').read_bytes() == found


def test_it_is_on_the_disk_before_it_takes_the_place(tmp_path, monkeypatch):
    done = []
    for name in ('fsync', 'replace'):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (done.append(name), real(*args))[1])
    write(tmp_path / 'a', 'new')
    assert done == ['fsync', 'replace']
