"""status.json and the lock of a point: what they say while a run goes on, and after it, however it ended."""

import json
import os
import subprocess
import sys

import pytest

from launch import status_file
from launch.progress import Progress
from postbc_jax import loop


def test_what_the_file_says_while_a_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(status_file, 'EVERY', 0.0)
    monkeypatch.setenv('SLURM_JOB_ID', '77')
    with status_file.StatusFile(tmp_path) as status:
        shown = Progress(5, status)
        shown.stage('posterior')
        shown.stage('policies')
        shown.chunk(0, 8, {})
        shown.chunk(3, 8, {'loss': 0.5, 'other': 2.0})
        shown.chunk(4, 8, {})
        said = status_file.read(tmp_path)
    assert {k: said[k] for k in ('state', 'stage', 'stages', 'chunk', 'chunks', 'metric', 'job', 'pid', 'error')} == {
        'state': 'running',
        'stage': 'policies',
        'stages': [2, 5],
        'chunk': 4,
        'chunks': 8,
        'metric': {'loss': 0.5},
        'job': '77',
        'pid': os.getpid(),
        'error': None,
    }
    after = status_file.read(tmp_path)
    assert after['state'] == 'done' and after['begun'] == said['begun'] <= after['updated']


def test_a_stage_that_hurries_writes_seldom(tmp_path):
    with status_file.StatusFile(tmp_path) as status:
        status.stage('posterior', 1, 5)
        status.chunk(1, 1000, {'loss': 1.0})
        assert status_file.read(tmp_path)['chunk'] == 0


@pytest.mark.parametrize(
    ('error', 'state', 'text'),
    [
        (loop.Preempted('saved'), 'preempted', None),
        (KeyError('a fault'), 'failed', "KeyError: 'a fault'"),
        (KeyboardInterrupt('^C'), 'preempted', 'KeyboardInterrupt: ^C'),
    ],
)
def test_how_a_run_ended(tmp_path, error, state, text):
    with pytest.raises(type(error)), status_file.StatusFile(tmp_path) as status:
        status.stage('posterior', 1, 5)
        raise error
    said = status_file.read(tmp_path)
    assert said['state'] == state
    assert said['error'] is None if text is None else said['error'].splitlines()[-1] == text
    if state == 'failed':
        assert said['error'].startswith('Traceback (most recent call last):')


@pytest.mark.parametrize('error', [None, ValueError('another config')])
def test_a_start_that_does_nothing_leaves_a_finished_point_as_it_is(tmp_path, error):
    with status_file.StatusFile(tmp_path) as status:
        status.stage('posterior', 1, 1)
    before = (tmp_path / 'status.json').read_bytes()
    try:
        with status_file.StatusFile(tmp_path):
            if error:
                raise error
    except ValueError:
        pass
    assert (tmp_path / 'status.json').read_bytes() == before


def test_a_point_never_runs_twice_at_once(tmp_path):
    with status_file.alone(tmp_path), status_file.StatusFile(tmp_path) as status:
        status.stage('posterior', 1, 1)
        with (
            pytest.raises(ValueError, match=rf'^{tmp_path}: another process .*: process {os.getpid()} on .*; wait'),
            status_file.alone(tmp_path),
        ):
            raise AssertionError('two at once')
    with status_file.alone(tmp_path):
        assert status_file.read(tmp_path)['state'] == 'done'


def test_a_killed_process_holds_no_lock(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from launch.status_file import StatusFile, alone
with alone(Path({str(tmp_path)!r})), StatusFile(Path({str(tmp_path)!r})) as status:
    status.stage('posterior', 1, 1)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, '-c', script], check=False)
    assert json.loads((tmp_path / 'status.json').read_text())['state'] == 'running'
    with status_file.alone(tmp_path):
        pass


@pytest.mark.parametrize(
    ('environment', 'name'),
    [
        ({}, None),
        ({'SLURM_JOB_ID': '12'}, '12'),
        ({'SLURM_JOB_ID': '14', 'SLURM_ARRAY_JOB_ID': '12', 'SLURM_ARRAY_TASK_ID': '2'}, '12_2'),
    ],
)
def test_the_job_as_squeue_names_it(monkeypatch, environment, name):
    for key in ('SLURM_JOB_ID', 'SLURM_ARRAY_JOB_ID', 'SLURM_ARRAY_TASK_ID'):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert status_file.job() == name
