"""Pod runs among stubs of gcloud and xpk: what is asked, what is run again, and where it ends."""

import json
import os
import subprocess
import sys

import pytest

from launch import slices
from launch.tpu_pod import commands, supervise
from tests.launch.stub_clouds import Clouds
from tests.launch.tiny_runs import ROOT, environment

POD = commands.Pod('run-1', slices.parse('v5e:4x4'), 'gs://bucket/a', 'us-west4-b', spot=True)
NONE = (1, '', 'ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND: no such thing')
REQUEST, MACHINES, SET_UP, RUN = 'queued-resources describe', 'tpu-vm describe', 'apt-get', 'the script'
ACTIVE, READY = (0, 'ACTIVE\n'), (0, 'READY\n')


@pytest.fixture
def clouds(tmp_path, monkeypatch):
    found = Clouds(tmp_path / 'clouds')
    monkeypatch.setenv('PATH', found.path)
    return found


def follow(clouds, answers, max_restarts=2):
    """(the verbs of what was run, without looks at states; the notes; the refusal) of a supervised run."""
    clouds.plan({MACHINES: [READY]} | answers)
    notes, refusal = [], ''
    try:
        supervise.supervise(POD, RUN, max_restarts, notes.append, poll=0)
    except ValueError as error:
        refusal = str(error)
    verbs = []
    for words in clouds.log:
        if words[4] == 'ssh':
            verbs.append('set up' if SET_UP in words[-1] else 'run')
        elif words[4] != 'describe':
            verbs.append(words[4])
    return verbs, notes, refusal


def test_machines_are_asked_for_waited_for_set_up_and_used(clouds):
    waiting = [NONE, (0, 'WAITING_FOR_RESOURCES'), (0, 'WAITING_FOR_RESOURCES'), (0, 'PROVISIONING'), ACTIVE]
    verbs, notes, refusal = follow(clouds, {REQUEST: waiting})
    assert verbs == ['create', 'set up', 'run']
    assert notes == ['run-1: asked for', 'run-1: WAITING_FOR_RESOURCES', 'run-1: PROVISIONING']
    assert refusal == ''


def test_a_preempted_run_goes_on_where_the_machines_are_kept(clouds):
    verbs, notes, refusal = follow(clouds, {REQUEST: [ACTIVE], RUN: [75, 0]})
    assert verbs == ['set up', 'run', 'run']
    assert notes == ['run-1: start 1 of at most 3: preempted and saved']
    assert refusal == ''


def test_machines_that_were_taken_away_are_asked_for_again(clouds):
    states = [ACTIVE, (0, 'SUSPENDED'), (0, 'PROVISIONING'), ACTIVE]
    verbs, notes, _ = follow(clouds, {REQUEST: states, RUN: [255, 0]})
    assert verbs == ['set up', 'run', 'delete', 'create', 'set up', 'run']
    assert notes[:2] == [
        'run-1: start 1 of at most 3: a machine was lost (exit status 255)',
        'run-1: SUSPENDED: given back',
    ]


@pytest.mark.parametrize('lost', ['PREEMPTED', 'TERMINATED'])
def test_a_request_outlives_its_machines(clouds, lost):
    verbs, _, _ = follow(clouds, {REQUEST: [ACTIVE], MACHINES: [READY, (0, lost), READY], RUN: [134, 0]})
    assert verbs == ['set up', 'run', 'delete', 'create', 'set up', 'run']


def test_a_machine_that_restarts_is_waited_for(clouds):
    machines = [READY, (0, 'RESTARTING'), (0, 'RESTARTING'), READY]
    verbs, notes, _ = follow(clouds, {REQUEST: [ACTIVE], MACHINES: machines, RUN: [255, 0]})
    assert verbs == ['set up', 'run', 'run']
    assert 'run-1: RESTARTING' in notes


def test_a_failed_run_is_not_run_again(clouds):
    verbs, _, refusal = follow(clouds, {REQUEST: [ACTIVE], RUN: [1]})
    assert verbs == ['set up', 'run']
    assert refusal == 'run-1: the run failed: see above; its machines are kept, --delete gives them back'


def test_a_run_that_fails_because_its_machines_went_is(clouds):
    """A process whose peers are gone ends with a traceback, and status 1."""
    verbs, _, refusal = follow(clouds, {REQUEST: [ACTIVE, (0, 'SUSPENDING'), (0, 'SUSPENDED'), ACTIVE], RUN: [1, 0]})
    assert verbs == ['set up', 'run', 'delete', 'create', 'set up', 'run']
    assert refusal == ''


def test_restarts_are_bounded(clouds):
    verbs, notes, refusal = follow(clouds, {REQUEST: [ACTIVE], RUN: [75]}, max_restarts=3)
    assert verbs == ['set up', 'run', 'run', 'run', 'run']
    assert notes[-1] == 'run-1: start 4 of at most 4: preempted and saved'
    assert refusal == 'run-1: not done after 4 starts: the same command goes on'


def test_requests_that_fail_are_bounded(clouds):
    verbs, _, refusal = follow(clouds, {REQUEST: [NONE, (0, 'FAILED')]}, max_restarts=1)
    assert verbs == ['create', 'delete', 'create']
    assert refusal == 'run-1: not done after 2 starts: the same command goes on'


def test_a_set_up_that_fails_is_begun_again(clouds):
    verbs, notes, _ = follow(clouds, {REQUEST: [ACTIVE], SET_UP: [255, 0]})
    assert verbs == ['set up', 'set up', 'run']
    assert notes == ['run-1: start 1 of at most 3: no machines that could be set up']


def test_a_request_that_is_refused_ends_it(clouds):
    verbs, _, refusal = follow(clouds, {REQUEST: [NONE], 'queued-resources create': [1]})
    assert verbs == ['create']
    assert refusal == 'run-1: gcloud does not take the request: see above'


def test_gcloud_is_believed_after_a_while(clouds):
    broken = (1, '', 'ERROR: (gcloud) there is\nno network')
    assert follow(clouds, {REQUEST: [broken, broken, ACTIVE]})[0] == ['set up', 'run']
    verbs, _, refusal = follow(clouds, {REQUEST: [broken]})
    assert (verbs, refusal) == ([], 'gcloud: no network')


NO_SWEEP = (
    1,
    '',
    'ERROR: (gcloud.storage.cp) The following URLs matched no objects or files:\ngs://bucket/a/sweep.json',
)


@pytest.fixture
def pod(clouds, tiny):
    """pod(*arguments, path=...) -> (status, stdout, stderr) of python -m launch.tpu_pod."""

    def start(*arguments, path=clouds.path):
        asked = [f'--config={tiny}', '--workdir=gs://bucket/a', '--zone=us-west4-b', '--topology=v5e:4x4', *arguments]
        command = [sys.executable, '-m', 'launch.tpu_pod', *asked]
        done = subprocess.run(
            command, cwd=ROOT, env=environment() | {'PATH': path}, capture_output=True, text=True, timeout=200
        )
        return done.returncode, done.stdout, done.stderr

    return start


def test_a_whole_run(clouds, pod):
    clouds.plan({'cp gs://': [NO_SWEEP], REQUEST: [ACTIVE], MACHINES: [READY]})
    status, out, err = pod('--name=run-1', '--config.seeds=3', '--stage=pretrain')
    assert status == 0, err
    assert out.splitlines()[-1].startswith('run-1: done; results in gs://bucket/a')
    assert [words[1:4] for words in clouds.log] == [
        ['storage', 'cp', 'gs://bucket/a/sweep.json'],
        ['storage', 'rsync', '--recursive'],
        ['storage', 'cp', clouds.log[2][3]],
        *[['compute', 'tpus', 'queued-resources'], ['compute', 'tpus', 'tpu-vm']],
        *[['compute', 'tpus', 'tpu-vm']] * 2,
    ]
    assert os.path.basename(clouds.log[2][3]) == 'sweep.json'
    script = clouds.log[-1][-1]
    assert 'launch.local --config=given/tiny.py --workdir=/mnt/gcs/bucket/a --stage=pretrain --config.seeds=3' in script


def test_a_sweep_that_is_frozen_there_is_held_against_this_one(clouds, pod, tiny):
    config = {'config': str(tiny), 'frozen': 'given/tiny.py', 'commit': None, 'changed': False, 'stage': ''}
    frozen = json.dumps(config | {'overrides': ['--config.seeds=4'], 'points': [{}]})
    clouds.plan({'cp gs://': [(0, '', '', frozen)], REQUEST: [ACTIVE], MACHINES: [READY]})
    status, _, err = pod('--config.seeds=3')
    assert status == 1
    assert 'this sweep was begun with other overrides: then --config.seeds=4, now --config.seeds=3' in err
    assert [words[1] for words in clouds.log] == ['storage']
    assert pod('--config.seeds=4')[0] == 0
    assert [words[1] for words in clouds.log][1:3] == ['storage', 'compute']  # nothing is copied again


def test_a_gke_run(clouds, pod):
    clouds.plan({'cp gs://': [NO_SWEEP]})
    status, out, err = pod('--name=run-1', '--cluster=c', '--max_restarts=4', '--point=0')
    assert status == 0, err
    xpk = clouds.log[-1]
    assert xpk[:5] == ['xpk', 'workload', 'create', '--cluster=c', '--workload=run-1']
    assert '--max-restarts=4' in xpk and 'gcsfuse' in xpk[-1] and '--point=0' in xpk[-1] and 'launch.run ' in xpk[-1]
    assert out == 'run-1: given to c, see xpk workload list; results in gs://bucket/a\n'


def test_a_dry_run_runs_nothing(clouds, pod):
    status, out, err = pod('--dry_run', '--name=run-1')
    assert status == 0, err
    assert clouds.log == []
    lines = [line for line in out.splitlines() if line.startswith('gcloud')]
    assert lines[0] == 'gcloud storage cp gs://bucket/a/sweep.json FOLDER/'
    assert '--accelerator-type=v5litepod-16' in out and out.count('--worker=all') == 2


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--topology=v5e:9x9'], 'error: --topology=v5e:9x9: of v5e there are 1x1'),
        (['--workdir=/home/me'], 'error: --workdir=/home/me: 4 machines must see the same folder'),
        (['--zone='], 'error: --zone: give the zone'),
        (['--config.pretrain.steps=7'], 'error: config.pretrain.steps=7: must be a positive multiple'),
        (['--point=3'], 'error: --point=3: the sweep has points 0 to 0'),
    ],
)
def test_refusals_are_one_line(clouds, pod, arguments, said):
    status, out, err = pod(*arguments)
    assert (status, out) == (1, '')
    assert err.startswith(said) and err.count('\n') == 1
    assert clouds.log == []


def test_no_gcloud_is_one_line(pod, tmp_path):
    assert pod(path=str(tmp_path)) == (1, '', 'error: gcloud: not found: install the Google Cloud CLI\n')


def test_giving_back(clouds, pod):
    assert pod('--delete', '--name=run-1')[0] == 0
    assert clouds.log == [commands.delete(POD)]
    clouds.plan({'delete': [2]})
    assert pod('--delete', '--name=run-1')[::2] == (
        1,
        'error: gcloud compute tpus queued-resources: exit status 2: see above\n',
    )
