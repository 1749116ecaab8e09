"""Submits the points of an experiment that are not done to Slurm, as one array job:
python -m launch.slurm --config=experiments/NAME.py[:arg] --workdir=DIR --array_parallelism=P [--dry_run] [...].

Every point is checked first, here. The code and the config are frozen in DIR at the first submission (launch.freeze);
a later one submits again what failed or was stopped, and leaves alone what is done or in the queue. A preempted point
requeues itself. `launch.status` says how far they are, `launch.report` what came out.
"""

import contextlib
import json
import os
import re
import sys
from pathlib import Path

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from launch import config as settings
from launch import fold, freeze, run, status
from launch.slurm import queue, script
from launch.workdir import directory_of
from postbc_jax import atomic

_RESOURCES = [
    flags.DEFINE_integer('array_parallelism', 0, 'points that run at once; 0: as many as there is room for'),
    flags.DEFINE_integer('nodes', 1, 'of one point'),
    flags.DEFINE_integer('gpus_per_node', 0, 'of one point; more than one are a process each'),
    flags.DEFINE_integer('cpus', 0, "of one process; 0: the cluster's default, as in all that follows where not given"),
    flags.DEFINE_string('mem', '', 'of a node: 32G'),
    flags.DEFINE_string('time', '', 'limit of one stretch, 4:00:00; what is not done by then is saved and goes on'),
    flags.DEFINE_string('partition', '', 'as of sbatch'),
    flags.DEFINE_string('account', '', 'as of sbatch'),
    flags.DEFINE_string('constraint', '', 'as of sbatch'),
    flags.DEFINE_integer('grace', 120, 'seconds before the limit at which a point is told to save'),
]
_SETUP = flags.DEFINE_string('setup', '', 'file of shell lines to run first in every job: module load, source venv')
_DRY_RUN = flags.DEFINE_bool('dry_run', False, 'print the job, write and submit nothing')


def main() -> None:
    jax.config.update('jax_platforms', 'cpu')  # where jobs are submitted there is no accelerator
    (config, points), workdir = run.load(), Path(run.WORKDIR.value)
    resources = script.Resources(**{flag.name: flag.value for flag in _RESOURCES})
    run.check_all(config, points, run.STAGE.value)
    directory_of(workdir, 0, len(points))
    name = config_flags.get_config_filename(flags.FLAGS['config'])
    asked = freeze.describe(name, sys.argv[1:], run.STAGE.value, points)
    begun = freeze.agree(workdir, asked)
    sweep, jobs = begun or asked, None
    with contextlib.suppress(ValueError) if _DRY_RUN.value else contextlib.nullcontext():
        jobs = queue.jobs(workdir)
    found = status.read(workdir, sweep, jobs)
    ours = [point for point in found if not (point.queue or point.state == 'running')]
    ours = [point for point in ours if point.state != 'done' or not (begun or _as_asked(point, config, points))]
    numbers = [point.point for point in ours]
    if not ours:
        print(f'{workdir}: nothing to submit: {_others(found, numbers)} of {len(found)} points')
        return
    text = script.render(numbers, resources, _job(workdir, sweep))
    if _DRY_RUN.value:
        print(text, end='')
        return
    for line in fold.explain(config, points) if any(point.get('fold') for point in points) else ():
        print(line)
    frozen = freeze.freeze(workdir, asked)
    try:
        job, file = _submit(workdir, text)
    except ValueError:
        if not begun:
            freeze.forget(workdir)
        raise
    others = ''.join(f'; {text}' for text in [_others(found, numbers)] if text)
    code = f'code of commit {(frozen.commit or "unknown")[:10]}{" with edits" * frozen.changed}'
    print(f'job {job}: points {script.indices(numbers)} ({len(numbers)} of {len(found)}){others}; {code}; {file}')


def _job(workdir: Path, sweep: freeze.Sweep) -> script.Job:
    setup = ''
    if _SETUP.value:
        try:
            setup = Path(_SETUP.value).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f'--setup={_SETUP.value}: cannot be read: {error}') from None
    python = 'python' if setup else sys.executable  # a setup may choose another
    cache = flags.FLAGS['compilation_cache']
    kept = [f'--compilation_cache={os.path.abspath(cache.value) if cache.value else ""}'] * cache.present
    command = (python, '-m', 'launch.run', *freeze.command(workdir, sweep), *kept)
    return script.Job(workdir=workdir.resolve(), directory=Path.cwd(), command=command, setup=setup)


def _as_asked(point: status.Status, config: ConfigDict, points: list[dict]) -> bool:
    """Whether a finished point was run with the settings that it has now."""
    file = Path(point.directory, 'config.json')
    now = settings.at_point(config, points[point.point]).to_dict()
    return file.exists() and json.loads(file.read_text()) == json.loads(json.dumps(now))


def _others(found: list[status.Status], submitted: list[int]) -> str:
    """'3 done, 2 in the queue' of the points that are not submitted."""
    rest = [point for point in found if point.point not in set(submitted)]
    states = ['in the queue' if point.queue else point.state for point in rest]
    return ', '.join(f'{states.count(state)} {state}' for state in sorted(set(states)))


def _submit(workdir: Path, text: str) -> tuple[str, Path]:
    """Writes workdir/submit_NNN.sh and gives it to sbatch; returns the job's number and the file.

    Raises:
      ValueError: sbatch does not take it; the file is gone again.
    """
    number = 1 + max((int(path.stem[7:]) for path in workdir.glob('submit_[0-9]*.sh')), default=-1)
    file = workdir.resolve() / f'submit_{number:03d}.sh'
    (workdir / 'logs').mkdir(exist_ok=True)
    atomic.write(file, text)
    # A shell that is itself a job has that job's SLURM_* in its environment, which ours must not take for theirs.
    environment = {name: value for name, value in os.environ.items() if not re.match(r'SLURM_(?!CONF$)', name)}
    try:
        return queue.call('sbatch', '--parsable', str(file), env=environment).strip().partition(';')[0], file
    except ValueError as error:
        file.unlink()
        if 'array' not in str(error):
            raise
        with contextlib.suppress(ValueError):
            limit = re.search(r'MaxArraySize\s*=\s*(\d+)', queue.call('scontrol', 'show', 'config'))
            error = f'{error}: points are numbered from 0, and numbers must be below MaxArraySize={limit[1]} here'
        raise ValueError(f'{error}') from None


if __name__ == '__main__':
    run.launch(main)
