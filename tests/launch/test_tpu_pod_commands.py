"""The commands of a pod run as data, and the workers' scripts run by a real bash among stubs."""

import os
import shlex
import subprocess
import sys
import time

import pytest

from launch import slices
from launch.tpu_pod import commands
from launch.tpu_pod.commands import Pod
from tests.launch.stub_clouds import Clouds

POD = Pod('run-1', slices.parse('v5e:16x16'), 'gs://bucket/a/b', 'us-west4-b')
TPUS = ['gcloud', 'compute', 'tpus']


def test_a_request():
    queued = [*TPUS, 'queued-resources']
    assert commands.create(POD._replace(spot=True, project='p')) == [
        *(*queued, 'create', 'run-1', '--zone=us-west4-b', '--project=p', '--node-id=run-1'),
        *('--accelerator-type=v5litepod-256', '--runtime-version=v2-alpha-tpuv5-lite', '--spot'),
    ]
    assert commands.describe(POD) == [*queued, 'describe', 'run-1', '--zone=us-west4-b', '--format=value(state.state)']
    assert commands.delete(POD) == [*queued, 'delete', 'run-1', '--zone=us-west4-b', '--force', '--quiet']
    machines = [*TPUS, 'tpu-vm', 'describe', 'run-1', '--zone=us-west4-b', '--format=value(state)']
    assert commands.health(POD) == machines


def test_a_v4_is_asked_for_by_its_shape():
    pod = POD._replace(slice=slices.parse('v4:2x2x4'), reserved=True, runtime='mine')
    assert commands.create(pod)[-4:] == ['--type=v4', '--topology=2x2x4', '--runtime-version=mine', '--reserved']


def test_the_bucket():
    assert commands.download(POD, 'sweep.json', '/f') == [
        'gcloud',
        'storage',
        'cp',
        'gs://bucket/a/b/sweep.json',
        '/f/',
    ]
    assert commands.upload(POD, '/f') == [
        ['gcloud', 'storage', 'rsync', '--recursive', '/f/code', 'gs://bucket/a/b/code'],
        ['gcloud', 'storage', 'cp', '/f/sweep.json', 'gs://bucket/a/b/sweep.json'],
    ]
    assert POD.mounted == '/mnt/gcs/bucket/a/b'


SCRIPT = 'echo \'a b\' "$HOME"\nexit 3'


def test_a_script_reaches_every_machine_whole():
    command = commands.on_workers(POD, SCRIPT)
    ssh = [*TPUS, 'tpu-vm', 'ssh', 'run-1', '--zone=us-west4-b', '--worker=all', '--quiet']
    assert command[:-1] == ssh
    # ssh gives the text to a shell there
    done = subprocess.run(['sh', '-c', command[-1].removeprefix('--command=')], env={'HOME': '/h'}, capture_output=True)
    assert (done.returncode, done.stdout) == (3, b'a b /h\n')


def test_a_workload():
    pod = POD._replace(cluster='c', image='python:3.11', max_restarts=4, spot=True)
    assert commands.workload(pod, SCRIPT) == [
        *('xpk', 'workload', 'create', '--cluster=c', '--workload=run-1', '--zone=us-west4-b'),
        *('--tpu-type=v5litepod-256', '--num-slices=1', '--docker-image=python:3.11', '--spot'),
        *('--max-restarts=4', '--restart-on-exit-codes=75', f'--command=bash -c {shlex.quote(SCRIPT)}'),
    ]


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'workdir': '/home/me/runs'}, '--workdir=/home/me/runs: 64 machines must see the same folder: give gs://buck'),
        ({'workdir': 'gs://bucket'}, '--workdir=gs://bucket: 64 machines must see the same folder'),
        ({'workdir': 'gs://bucket/a b'}, '--workdir=gs://bucket/a b: 64 machines'),
        ({'name': 'Run_1'}, '--name=Run_1: small letters, digits and hyphens, at most 40'),
        ({'zone': ''}, '--zone: give the zone of the TPUs'),
        ({'spot': True, 'reserved': True}, '--spot, --reserved: choose one'),
        ({'cluster': 'c', 'reserved': True}, '--reserved: a GKE cluster has its own'),
    ],
)
def test_refusals(change, said):
    with pytest.raises(ValueError, match='^' + said.replace('(', r'\(')):
        commands.check(POD._replace(**change))


def test_what_is_not_refused():
    commands.check(POD)
    commands.check(POD._replace(workdir='gs://my.bucket-1/runs/', spot=True, cluster='c'))


def bash(script, folder, path):
    return subprocess.run(
        ['bash', '-c', script], env={'HOME': str(folder), 'PATH': path}, capture_output=True, text=True, timeout=60
    )


WORKER = ('id', 'sudo', 'mountpoint', 'gcsfuse', 'cp', 'rm', 'python3', 'curl')


def test_machines_are_set_up(tmp_path):
    stubs = Clouds(tmp_path / 'bin', WORKER)
    stubs.plan({'id -u': [(0, '1000')], 'mountpoint': [1], 'pip install': [1, 0]})
    done = bash(commands.prepare(POD), tmp_path, stubs.path)
    assert done.returncode == 0, done.stderr
    mount = [words for words in stubs.log if words[0] == 'gcsfuse']
    assert mount == [['gcsfuse', *commands._MOUNT, 'bucket', '/mnt/gcs/bucket']]
    assert ['sudo', 'mkdir', '-p', '/mnt/gcs/bucket'] in stubs.log
    assert ['cp', '-r', '/mnt/gcs/bucket/a/b/code', 'postbc_jax'] in stubs.log
    python = [words[2:] for words in stubs.log if words[0] == 'python3']
    assert python[1] == ['pip', 'install', '--quiet', '--user', '--break-system-packages', 'uv']  # the first failed
    assert python[2] == ['uv', 'venv', '--quiet', '--python', '3.11', 'venv']
    assert python[3][-1] == f'postbc_jax[tpu] @ file://{tmp_path}/postbc_jax'


def test_a_machine_that_is_set_up_stays_as_it_is(tmp_path):
    stubs = Clouds(tmp_path / 'bin', WORKER)
    stubs.plan({'id -u': [(0, '1000')]})
    (tmp_path / 'venv' / 'bin').mkdir(parents=True)
    (tmp_path / 'venv' / 'bin' / 'python').symlink_to(sys.executable)
    assert bash(commands.prepare(POD), tmp_path, stubs.path).returncode == 0
    assert not [words for words in stubs.log if words[0] == 'gcsfuse' or 'venv' in words[2:4]]


def test_a_failure_ends_the_set_up(tmp_path):
    stubs = Clouds(tmp_path / 'bin', WORKER)
    stubs.plan({'id -u': [(0, '1000')], 'mountpoint': [1], 'gcsfuse': [5]})
    assert bash(commands.prepare(POD), tmp_path, stubs.path).returncode == 5
    assert not [words for words in stubs.log if words[0] == 'cp']


@pytest.fixture
def machine(tmp_path):
    """(home, stubs) of a machine that is set up; its Python is a stub."""
    (tmp_path / 'postbc_jax').mkdir()
    (tmp_path / 'venv').mkdir()
    return tmp_path, Clouds(tmp_path / 'venv' / 'bin', ('python',))


RUN = commands.run(POD, 'launch.local', 'experiments/a b.py:x', ['--stage=pretrain', "--config.env='q"])


def test_the_frozen_experiment_is_run(machine):
    home, stubs = machine
    stubs.plan({'launch.local': [75]})
    assert bash(RUN, home, stubs.path).returncode == 75
    assert stubs.log == [
        [
            *('python', '-m', 'launch.local', '--config=experiments/a b.py:x', '--workdir=/mnt/gcs/bucket/a/b'),
            *('--stage=pretrain', "--config.env='q"),
        ]
    ]


@pytest.mark.parametrize(('name', 'ended'), [('launch.local', True), ('another', False)])
def test_what_an_earlier_start_left_is_ended(machine, name, ended):
    home, stubs = machine
    with subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', name]) as left:
        time.sleep(0.2)
        (home / 'run.pid').write_text(str(left.pid))
        assert bash(RUN, home, stubs.path).returncode == 0
        assert (left.poll() is not None) == ended
        left.kill()
    assert (home / 'run.pid').read_text().strip() != str(left.pid)
    assert not os.path.exists(f'/proc/{left.pid}/cmdline')
