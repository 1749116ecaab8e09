"""The text of a Slurm job that runs points of a sweep, and requeues each until it is done.

Between launch.slurm's command line and sbatch. Reads and writes nothing.
"""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

_WHOLE = {'array_parallelism': 0, 'nodes': 1, 'gpus_per_node': 0, 'cpus': 0, 'grace': 0}


@dataclasses.dataclass(frozen=True)
class Resources:
    """What one point gets; '' and 0 leave it to the cluster's defaults.

    Attributes:
      array_parallelism: points that run at once; 0 for as many as there is room for.
      nodes: of one point.
      gpus_per_node: each is a task, and so a process, of its own.
      cpus: of one task.
      mem: of one node, '32G'.
      time: limit of one stretch, '4:00:00'; a point that is not done by then goes on in another.
      partition, account, constraint: as sbatch takes them.
      grace: seconds before the limit at which a point is told to save. Slurm may do so a minute earlier.

    Raises:
      ValueError: a number is too small, or a text cannot stand in a line of a script.
    """

    array_parallelism: int = 0
    nodes: int = 1
    gpus_per_node: int = 0
    cpus: int = 0
    mem: str = ''
    time: str = ''
    partition: str = ''
    account: str = ''
    constraint: str = ''
    grace: int = 120

    def __post_init__(self):
        for name, least in _WHOLE.items():
            if getattr(self, name) < least:
                raise ValueError(f'--{name}={getattr(self, name)}: must be at least {least}')
        for name in ('mem', 'time', 'partition', 'account', 'constraint'):
            if not getattr(self, name).isprintable():
                raise ValueError(f'--{name}={getattr(self, name)!r}: a line of a job holds no control characters')

    @property
    def tasks_per_node(self) -> int:
        return max(1, self.gpus_per_node)


@dataclasses.dataclass(frozen=True)
class Job:
    """What the points run.

    Attributes:
      workdir: the sweep's, absolute; logs/ and code/ are in it.
      directory: where the points run, so that relative paths in settings mean what they did at the submission.
      command: python and all its arguments but --point.
      setup: lines of shell before it ('module load cuda'), run as they are.

    Raises:
      ValueError: one of the paths cannot be used, or setup holds what sbatch would pass over.
    """

    workdir: Path
    directory: Path
    command: tuple[str, ...]
    setup: str = ''

    def __post_init__(self):
        for name in ('workdir', 'directory'):
            text = str(getattr(self, name))
            if not text.isprintable() or '\\' in text:
                raise ValueError(f'{name} {text!r}: Slurm takes no path with control characters or a backslash')
        if ':' in str(self.workdir):
            raise ValueError(f'--workdir={self.workdir}: Python finds no code in a path with a colon: choose another')
        if any(line.startswith('#SBATCH') for line in self.setup.splitlines()):
            raise ValueError(
                '--setup: sbatch passes over #SBATCH lines there: give them as flags, or as variables (SBATCH_QOS=...)'
            )


def render(points: Sequence[int], resources: Resources, job: Job) -> str:
    """The script that sbatch is given. A task of the array is a point of the sweep, by its number.

    A point runs in one step of the job, whose tasks get the signal before the time limit; launch.run then saves and
    exits with 75, and the task requeues itself. Any other exit is the task's own.
    """
    each = resources
    parallel = f'%{each.array_parallelism}' if each.array_parallelism else ''
    options = {
        'job-name': job.workdir.name,
        'array': f'{indices(points)}{parallel}',
        'nodes': each.nodes,
        'ntasks-per-node': each.tasks_per_node,
        'gpus-per-node': each.gpus_per_node,
        'cpus-per-task': each.cpus,
        'mem': each.mem,
        'time': each.time,
        'partition': each.partition,
        'account': each.account,
        'constraint': each.constraint,
        'signal': f'TERM@{each.grace}',
        'chdir': job.directory,
        'output': f'{str(job.workdir).replace("%", "%%")}/logs/%A_%a.out',
        'open-mode': 'append',
    }
    lines = [f'#SBATCH --{name}={_quoted(str(value))}' for name, value in options.items() if value]
    cpus = f' --cpus-per-task={each.cpus}' if each.cpus else ''  # srun does not take it over from the job
    tasks = f'--nodes={each.nodes} --ntasks={each.nodes * each.tasks_per_node}{cpus}'
    return '\n'.join(
        [
            '#!/bin/bash',
            *lines,
            '#SBATCH --requeue',
            '',
            *job.setup.splitlines(),
            '',
            f'export PYTHONPATH={shlex.quote(f"{job.workdir}/code")}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONSAFEPATH=1',
            'trap : TERM  # this shell waits to see how its point ends; srun, told to stop, would kill it at once',
            'status=0',
            f"(trap '' TERM; exec srun {tasks} --mpi=none --kill-on-bad-exit=0 --wait=60 \\",
            f'    {shlex.join(job.command)} --point="$SLURM_ARRAY_TASK_ID") || status=$?',
            '',
            '# 75: stopped, and saved. A job that Slurm itself ends (scancel, preemption) is RUNNING no more.',
            'task="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"',
            'if [ "$status" -eq 75 ] && [ "$(squeue --noheader --jobs="$task" --format=%T)" = RUNNING ]; then',
            '    exec scontrol requeue "$task"',
            'fi',
            'exit "$status"',
            '',
        ]
    )


def indices(points: Sequence[int]) -> str:
    """Numbers as sbatch --array has them: [0, 1, 2, 5] becomes '0-2,5'."""
    spans: list[list[int]] = []
    for point in sorted(points):
        if spans and point == spans[-1][1] + 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return ','.join(f'{first}-{last}' if last > first else str(first) for first, last in spans)


def _quoted(text: str) -> str:
    """As sbatch reads a value: in double quotes, in which a backslash comes before a quote or a backslash."""
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'
