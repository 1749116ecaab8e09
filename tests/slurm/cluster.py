"""A Slurm cluster of one node on this machine: its configuration, its daemons, and what its tests ask of it.

Everything lies in one directory, listens on loopback alone, and has ports and a munge socket of its own, so that it
stands beside any other cluster. Two GPUs are pretended. Fixture: conftest.py.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.launch.tiny_runs import ROOT, environment

MISSING = [name for name in ('munged', 'slurmctld', 'slurmd', 'sbatch') if not shutil.which(name)]
CONFIG = """
ClusterName=tested
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={here}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd.pid
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=1
MaxArraySize=100
OverTimeLimit=1
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """Started, and stopped by `stop`."""

    def __init__(self, directory: Path):
        self.directory = directory
        ports, host = _free_ports(2), socket.gethostname().partition('.')[0]
        for name in ('state', 'spool'):
            (directory / name).mkdir()
        text = CONFIG.format(host=host, ports=ports, user=getpass.getuser(), here=directory)
        (directory / 'slurm.conf').write_text(text)
        (directory / 'gres.conf').write_text('Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n')
        (directory / 'cgroup.conf').write_text('')
        (directory / 'munge.key').write_bytes(os.urandom(1024))
        (directory / 'munge.key').chmod(0o600)
        self.environment = environment() | {'SLURM_CONF': str(directory / 'slurm.conf')}
        files = {'socket': 'munge.socket', 'key-file': 'munge.key', 'pid-file': 'munge.pid', 'seed-file': 'munge.seed'}
        munge = [f'--{option}={directory / name}' for option, name in (files | {'log-file': 'munge.log'}).items()]
        self._daemons = [self._daemon('munged', '--foreground', '--force', *munge)]
        self.wait(lambda: (directory / 'munge.socket').exists(), 'munged', seconds=30)
        self._daemons += [self._daemon('slurmctld', '-D'), self._daemon('slurmd', '-D')]
        self.wait(lambda: self.ask('sinfo', '--noheader', '--format=%T') == 'idle', 'an idle node', seconds=60)

    def _daemon(self, *command):
        with open(self.directory / f'{command[0]}.out', 'ab') as out:
            return subprocess.Popen(command, env=self.environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def restart_slurmd(self):
        self._end(self._daemons.pop())
        self._daemons.append(self._daemon('slurmd', '-D'))

    def stop(self):
        self.ask('scancel', f'--user={getpass.getuser()}')
        try:
            self.wait_for_jobs(seconds=60)
        finally:
            for daemon in reversed(self._daemons):
                self._end(daemon)

    @staticmethod
    def _end(daemon):
        daemon.terminate()
        try:
            daemon.wait(timeout=20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def ask(self, *command):
        """What a command of Slurm prints, whatever its status."""
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
        return subprocess.run(command, env=self.environment, **pipes, timeout=60).stdout.strip()

    def launch(self, module, *arguments, status=0):
        """(stdout, stderr) of python -m module."""
        command = [sys.executable, '-m', module, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == status, f'{done.stdout}\n{done.stderr}'
        return done.stdout, done.stderr

    def wait_for_jobs(self, seconds=300):
        self.wait(lambda: self.ask('squeue', '--noheader') == '', 'an empty queue', seconds)

    def wait(self, condition, name, seconds=300):
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, f'{name}: not after {seconds} s\n{self.ask("squeue", "--array")}'
            time.sleep(0.2)


def _free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(('127.0.0.1', 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
