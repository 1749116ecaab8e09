"""The commands of a pod run, as argument lists: gcloud's for TPU VMs, xpk's for GKE, and the workers' own scripts.

Pure functions of a Pod; launch.tpu_pod.supervise runs them. Nothing is a shell's but the workers' scripts, which ssh
hands to one there: every word in them that is given from outside is quoted.
"""

import re
import shlex
from typing import NamedTuple

from launch.slices import Slice

# Every machine must see at once what process 0 has written, so nothing about files is remembered. Orbax names a
# finished checkpoint by renaming its folder, which a bucket without a hierarchical namespace does file by file.
_MOUNT = (
    '--implicit-dirs',
    '--metadata-cache-ttl-secs=0',
    '--metadata-cache-negative-ttl-secs=0',
    '--rename-dir-limit=100000',
)
# github.com/GoogleCloudPlatform/gcsfuse, docs/installing.md
_INSTALL_GCSFUSE = """if ! command -v gcsfuse > /dev/null; then
  $sudo apt-get update --quiet --quiet && $sudo apt-get install --quiet --quiet --yes curl fuse > /dev/null
  . /etc/os-release
  curl --silent --show-error https://packages.cloud.google.com/apt/doc/apt-key.gpg |
    $sudo tee /usr/share/keyrings/cloud.google.asc > /dev/null
  key='[signed-by=/usr/share/keyrings/cloud.google.asc]'
  echo "deb $key https://packages.cloud.google.com/apt gcsfuse-$VERSION_CODENAME main" |
    $sudo tee /etc/apt/sources.list.d/gcsfuse.list > /dev/null
  $sudo apt-get update --quiet --quiet && $sudo apt-get install --quiet --quiet --yes gcsfuse > /dev/null
fi"""


class Pod(NamedTuple):
    """Where an experiment is run.

    Attributes:
      name: of the queued resource and its node, or of the GKE workload.
      slice: the TPUs.
      workdir: 'gs://BUCKET/PATH'.
      zone: of the TPUs, or of the cluster.
      project: '' for gcloud's own.
      spot, reserved: at which price; neither is on demand.
      runtime: a TPU VM's image.
      python: its version on the workers.
      cluster: of GKE; '' for TPU VMs.
      image: of a GKE container, with Debian or Ubuntu and Python.
      max_restarts: of GKE's, which counts by itself.
    """

    name: str
    slice: Slice
    workdir: str
    zone: str
    project: str = ''
    spot: bool = False
    reserved: bool = False
    runtime: str = ''
    python: str = '3.11'
    cluster: str = ''
    image: str = ''
    max_restarts: int = 0

    @property
    def place(self) -> list[str]:
        return [f'--zone={self.zone}', *[f'--project={self.project}'] * bool(self.project)]

    @property
    def bucket(self) -> str:
        return self.workdir.removeprefix('gs://').partition('/')[0]

    @property
    def mounted(self) -> str:
        """The work directory on a worker."""
        return f'/mnt/gcs/{self.workdir.removeprefix("gs://").rstrip("/")}'


def upload(pod: Pod, folder: str) -> list[list[str]]:
    """Copies what freeze has made in a folder into the work directory; sweep.json, last, says the code is whole."""
    storage = ['gcloud', 'storage']
    return [
        [*storage, 'rsync', '--recursive', f'{folder}/code', f'{pod.workdir}/code'],
        [*storage, 'cp', f'{folder}/sweep.json', f'{pod.workdir}/sweep.json'],
    ]


def download(pod: Pod, name: str, folder: str) -> list[str]:
    """Copies a file of the work directory into a local folder; fails where there is none."""
    return ['gcloud', 'storage', 'cp', f'{pod.workdir}/{name}', f'{folder}/']


def create(pod: Pod) -> list[str]:
    """Asks for the TPUs; they come when there are some."""
    price = ['--spot'] * pod.spot + ['--reserved'] * pod.reserved
    wanted = [f'--accelerator-type={pod.slice.accelerator}']
    if pod.slice.kind == 'v4':  # as large in several shapes
        wanted = ['--type=v4', f'--topology={"x".join(map(str, pod.slice.sides))}']
    runtime = f'--runtime-version={pod.runtime or pod.slice.runtime}'
    return [*_queued('create', pod), f'--node-id={pod.name}', *wanted, runtime, *price]


def describe(pod: Pod) -> list[str]:
    """Prints the request's state: WAITING_FOR_RESOURCES, PROVISIONING, ACTIVE, FAILED, SUSPENDING, SUSPENDED ..."""
    return [*_queued('describe', pod), '--format=value(state.state)']


def health(pod: Pod) -> list[str]:
    """Prints the machines' state, READY where they can be used."""
    return ['gcloud', 'compute', 'tpus', 'tpu-vm', 'describe', pod.name, *pod.place, '--format=value(state)']


def delete(pod: Pod) -> list[str]:
    """Gives the TPUs back, and takes the request out of the queue."""
    return [*_queued('delete', pod), '--force', '--quiet']


def _queued(verb: str, pod: Pod) -> list[str]:
    return ['gcloud', 'compute', 'tpus', 'queued-resources', verb, pod.name, *pod.place]


def on_workers(pod: Pod, script: str) -> list[str]:
    """Runs a script on every machine at once. It fails as the first of them that failed."""
    ssh = ['gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', pod.name, *pod.place, '--worker=all', '--quiet']
    return [*ssh, f'--command=bash -c {shlex.quote(script)}']


def workload(pod: Pod, script: str) -> list[str]:
    """Asks a GKE cluster for the TPUs and runs a script on every machine; again where it was preempted or lost."""
    return [
        *('xpk', 'workload', 'create', f'--cluster={pod.cluster}', f'--workload={pod.name}', *pod.place),
        *(f'--tpu-type={pod.slice.accelerator}', '--num-slices=1', f'--docker-image={pod.image}'),
        *['--spot'] * pod.spot,
        *(f'--max-restarts={pod.max_restarts}', '--restart-on-exit-codes=75'),
        f'--command=bash -c {shlex.quote(script)}',
    ]


def prepare(pod: Pod) -> str:
    """A worker's first script: the bucket as a folder, the frozen code beside it, and what it needs installed.

    Run again it changes nothing but what is missing.
    """
    folder, frozen = shlex.quote(f'/mnt/gcs/{pod.bucket}'), shlex.quote(f'{pod.mounted}/code')
    lines = [
        'set -euo pipefail; cd',
        'sudo=$([ "$(id -u)" = 0 ] || echo sudo)',
        _INSTALL_GCSFUSE,
        f'$sudo mkdir -p {folder} && $sudo chown "$(id -u)" {folder}',
        f'mountpoint -q {folder} || gcsfuse {" ".join(_MOUNT)} {shlex.quote(pod.bucket)} {folder}',
        f'rm -rf postbc_jax && cp -r {frozen} postbc_jax',
        'python3 -m pip install --quiet --user uv || python3 -m pip install --quiet --user --break-system-packages uv',
        f'[ -x venv/bin/python ] || python3 -m uv venv --quiet --python {shlex.quote(pod.python)} venv',
        'python3 -m uv pip install --quiet --python venv/bin/python \'postbc_jax[tpu] @ file://\'"$HOME/postbc_jax"',
    ]
    return '\n'.join(lines)


def run(pod: Pod, module: str, frozen: str, arguments: list[str]) -> str:
    """A worker's second script: runs the frozen experiment in the mounted work directory.

    What an earlier start may have left running holds the chips: it is ended first.

    Args:
      pod: where.
      module: 'launch.local' or 'launch.run'.
      frozen: --config inside the copy of the code.
      arguments: --stage, --point and overrides.
    """
    command = ['-m', module, f'--config={frozen}', f'--workdir={pod.mounted}', *arguments]
    lines = [
        'set -euo pipefail; cd ~/postbc_jax',
        'if grep --quiet --text launch "/proc/$(cat ~/run.pid 2> /dev/null)/cmdline" 2> /dev/null; then',
        '  kill -9 "$(cat ~/run.pid)"; sleep 2',
        'fi',
        'echo $$ > ~/run.pid',
        f'exec ~/venv/bin/python {shlex.join(command)}',
    ]
    return '\n'.join(lines)


def check(pod: Pod) -> None:
    """Refuses what no command could be built of.

    Raises:
      ValueError: names the flag and what it may be.
    """
    if not re.fullmatch(r'gs://[a-z0-9][a-z0-9._-]+(/[^/\s]+)+/?', pod.workdir):
        raise ValueError(
            f'--workdir={pod.workdir}: {pod.slice.hosts} machines must see the same folder: give '
            "gs://bucket/path; a bucket's name is in lower case"
        )
    if not re.fullmatch(r'[a-z]([a-z0-9-]{0,38}[a-z0-9])?', pod.name):
        raise ValueError(f'--name={pod.name}: small letters, digits and hyphens, at most 40, beginning with a letter')
    if not pod.zone:
        raise ValueError('--zone: give the zone of the TPUs, such as us-west4-b')
    if pod.spot and pod.reserved:
        raise ValueError('--spot, --reserved: choose one, or neither')
    if pod.cluster and pod.reserved:
        raise ValueError('--reserved: a GKE cluster has its own reservation: leave it out')
