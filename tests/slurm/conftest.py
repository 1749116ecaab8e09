"""The cluster, its sweeps, and a sweep on it that nothing disturbs."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.launch.tiny_runs import TINY
from tests.slurm.cluster import MISSING, Cluster

SWEEP = """

def sweep(arg):
    points = [{'seed': seed} for seed in range(int(arg.removesuffix('f')))]
    return points + [{'pretrain.learning_rate': 1e30}] * arg.endswith('f')
"""


@pytest.fixture(scope='session')
def cluster():
    if MISSING:
        pytest.skip(f'Slurm is not installed here: no {", ".join(MISSING)}; make install-slurm')
    directory = Path(tempfile.mkdtemp(prefix='slurm_'))  # pytest's own would be too long for the name of a socket
    try:
        started = Cluster(directory)
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope='session')
def submit(cluster, tmp_path_factory):
    """submit(which, workdir, *flags) -> what is printed; '4' is a sweep of 4 seeds, '4f' that and one failing."""
    folder = tmp_path_factory.mktemp('slurm')
    file, cache = folder / 'seeds.py', folder / 'cache'
    shorter = TINY.replace('get_config()', "get_config(arg='')", 1).replace('steps=400', 'steps=200')
    file.write_text(shorter + SWEEP)

    def launched(which, workdir, *flags, **settings):
        command = f'--config={file}:{which}', f'--workdir={workdir}', f'--compilation_cache={cache}', *flags
        return cluster.launch('launch.slurm', *command, **settings)

    return launched


@pytest.fixture(scope='session')
def undisturbed(cluster, submit, tmp_path_factory):
    """(work directory, what launch.slurm said) of six points that finish, and one, number 6, that fails."""
    workdir = tmp_path_factory.mktemp('sweep') / 'it\'s "a" sweep; $(touch 100% #ran)'
    said, _ = submit('6f', workdir, '--array_parallelism=2')
    cluster.wait_for_jobs(seconds=400)
    return workdir, said
