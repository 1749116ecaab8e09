"""A full disk: said in one line, with all that was saved before it whole, and gone on from once there is room."""

import json
import shutil
import subprocess

import jax.numpy as jnp
import pytest

from launch import errors
from postbc_jax import checkpoint
from tests.launch.tiny_runs import assert_same, finish


def test_found_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr('shutil.disk_usage', lambda path: shutil._ntuple_diskusage(2**30, 2**30 - 2**19, 2**19))
    with (
        checkpoint.Checkpoints(tmp_path, {}, 1) as checkpoints,
        pytest.raises(ValueError, match=rf'^{tmp_path}: no room to save chunk 4: 0.5 MiB are left, 1.0 are needed'),
    ):
        checkpoints.save(4, {'x': jnp.zeros((1, 3))})
    assert list(tmp_path.iterdir()) == []


def test_what_is_said_of_other_writes_that_fail():
    cause = OSError(28, 'No space left on device', '/data/run/results.jsonl')
    fault = RuntimeError('a library says something else')
    fault.__cause__ = cause
    assert errors.full(fault)
    assert errors.refusal(fault) == (
        '/data/run/results.jsonl: No space left on device: make room and run the same command again; what was saved is '
        'whole'
    )
    assert not errors.full(RuntimeError('something else'))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    made = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', folder], capture_output=True)
    if made.returncode:
        pytest.skip('making a small file system takes the right to mount one')
    yield folder
    subprocess.run(['umount', folder], check=True)


def test_in_mid_run(whole, tiny, start, small_disk):
    command = f'--config={tiny}', f'--workdir={small_disk / "run"}'
    finish(start(*command, '--stage=pretrain'))
    (small_disk / 'other').write_bytes(bytes(shutil.disk_usage(small_disk).free - 2**20))
    _, err = finish(start(*command), status=1)
    assert len(err) == 1 and err[0].startswith(f'error: {small_disk}/run/checkpoints/') and 'no room to save' in err[0]
    assert json.loads((small_disk / 'run' / 'status.json').read_text())['state'] == 'failed'
    (small_disk / 'other').unlink()
    finish(start(*command))
    assert_same(small_disk / 'run', whole[0])
