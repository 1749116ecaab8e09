"""Runs an experiment on a TPU pod, from a machine outside of it:
python -m launch.tpu_pod --config=experiments/NAME.py[:arg] --workdir=gs://BUCKET/PATH --topology=v5e:16x16
--zone=ZONE --name=NAME [--spot] [--cluster=GKE_CLUSTER] [--max_restarts=N] [--dry_run] [--config.key=value].

The experiment is checked here, frozen with the code, and copied into the bucket. On TPU VMs (gcloud) a queued resource
is asked for and waited for, its machines are set up and run every point, one after the other; a preemption or a lost
machine begins again, where the last checkpoint is. On GKE (--cluster, xpk) the cluster does so. --delete gives back.
"""

import shlex
import sys
import tempfile
from pathlib import Path

import jax
from absl import flags
from ml_collections import config_flags

from launch import freeze, run, slices
from launch.tpu_pod import commands, supervise

_TOPOLOGY = flags.DEFINE_string('topology', 'v5e:4x8', 'the slice, such as v5e:16x16')
_NAME = flags.DEFINE_string('name', 'postbc-jax', 'of the queued resource, or of the workload')
_ZONE = flags.DEFINE_string('zone', '', 'of the TPUs, or of the cluster')
_PROJECT = flags.DEFINE_string('project', '', "of Google Cloud; gcloud's own where not given")
_SPOT = flags.DEFINE_bool('spot', False, 'TPUs that may be taken away')
_RESERVED = flags.DEFINE_bool('reserved', False, 'TPUs of a reservation')
_RUNTIME = flags.DEFINE_string('runtime', '', "a TPU VM's image; the slice's usual one where not given")
_PYTHON = flags.DEFINE_string('python', '3.11', 'its version on the machines')
_CLUSTER = flags.DEFINE_string('cluster', '', "GKE's, for xpk; TPU VMs where not given")
_IMAGE = flags.DEFINE_string('image', 'python:3.11-bookworm', "of GKE's containers")
_RESTARTS = flags.DEFINE_integer('max_restarts', 10, 'how often a run is begun again at most', lower_bound=0)
_DRY_RUN = flags.DEFINE_bool('dry_run', False, 'print the commands, run none')
_DELETE = flags.DEFINE_bool('delete', False, 'give the TPU VMs back, and nothing else')


def main() -> None:
    jax.config.update('jax_platforms', 'cpu')  # a TPU, if there is one here, is for the run
    config, points = run.load()
    pod = _pod()
    commands.check(pod)
    if _DELETE.value:
        _run(commands.delete(pod))
        return
    for index in {*range(len(points)), flags.FLAGS.point}:
        run.prepare(config, points, index, run.STAGE.value)
    name = config_flags.get_config_filename(flags.FLAGS['config'])
    asked = freeze.describe(name, sys.argv[1:], run.STAGE.value, points)
    script = _script(pod, asked)
    if _DRY_RUN.value:
        print('\n'.join(map(shlex.join, _steps(pod, script))))
        return
    with tempfile.TemporaryDirectory() as folder:
        _freeze(pod, asked, Path(folder))
    if pod.cluster:
        _run(commands.workload(pod, script))
        _note(f'{pod.name}: given to {pod.cluster}, see xpk workload list; results in {pod.workdir}')
        return
    supervise.supervise(pod, script, _RESTARTS.value, _note)
    _note(f'{pod.name}: done; results in {pod.workdir}; the machines are kept, --delete gives them back')


def _pod() -> commands.Pod:
    return commands.Pod(
        name=_NAME.value,
        slice=slices.parse(_TOPOLOGY.value),
        workdir=run.WORKDIR.value.rstrip('/'),
        zone=_ZONE.value,
        project=_PROJECT.value,
        spot=_SPOT.value,
        reserved=_RESERVED.value,
        runtime=_RUNTIME.value,
        python=_PYTHON.value,
        cluster=_CLUSTER.value,
        image=_IMAGE.value,
        max_restarts=_RESTARTS.value,
    )


def _script(pod: commands.Pod, asked: freeze.Sweep) -> str:
    """What every machine runs: all points, or the one that --point names. A GKE container is set up at every start."""
    point = flags.FLAGS['point']
    module = 'launch.run' if point.present else 'launch.local'
    arguments = [f'--stage={asked.stage}'] * bool(asked.stage) + [f'--point={point.value}'] * point.present
    runs = commands.run(pod, module, asked.frozen, arguments + asked.overrides)
    return f'{commands.prepare(pod)}\n{runs}' if pod.cluster else runs


def _steps(pod: commands.Pod, script: str) -> list[list[str]]:
    """All commands of a run in which nothing is lost, in order."""
    begin = [commands.download(pod, 'sweep.json', 'FOLDER'), *commands.upload(pod, 'FOLDER')]
    if pod.cluster:
        return [*begin, commands.workload(pod, script)]
    waits = [commands.describe(pod), commands.create(pod), commands.describe(pod), commands.health(pod)]
    return [*begin, *waits, commands.on_workers(pod, commands.prepare(pod)), commands.on_workers(pod, script)]


def _freeze(pod: commands.Pod, asked: freeze.Sweep, folder: Path) -> None:
    """Copies the sweep and its code into the bucket, or holds it against the one that is frozen there."""
    there = supervise.call(commands.download(pod, 'sweep.json', str(folder)), read=True)
    if not there.status:
        freeze.agree(folder, asked)
        return
    if 'matched no objects' not in there.error:
        raise ValueError(f'--workdir={pod.workdir}: {(there.error.splitlines() or ["gcloud failed"])[-1]}')
    freeze.freeze(folder, asked)
    for command in commands.upload(pod, str(folder)):
        _run(command)


def _run(command: list[str]) -> None:
    status = supervise.call(command).status
    if status:
        raise ValueError(f'{" ".join(command[:4])}: exit status {status}: see above')


def _note(text: str) -> None:
    print(text, flush=True)


if __name__ == '__main__':
    run.launch(main)
