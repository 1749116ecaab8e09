"""parallel.initialize: which launchers it recognises, by what they leave in the environment."""

import importlib.util

import jax
import pytest

from postbc_jax import parallel

MARKERS = (
    'SLURM_STEP_NUM_TASKS',
    'OMPI_COMM_WORLD_SIZE',
    'MEGASCALE_NUM_SLICES',
    'TPU_WORKER_HOSTNAMES',
    'TPU_PROCESS_ADDRESSES',
    'TPU_SKIP_MDS_QUERY',
    'JAX_COORDINATOR_ADDRESS',
    'JAX_PLATFORMS',
)


@pytest.fixture
def calls(monkeypatch):
    """The arguments of every call of jax.distributed.initialize; no launcher is seen."""
    for name in MARKERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('TPU_SKIP_MDS_QUERY', '1')  # as jax leaves it where there are no chips
    found = []
    monkeypatch.setattr(jax.distributed, 'initialize', lambda *args: found.append(args))
    monkeypatch.setattr(jax.config, 'update', lambda name, value: None)
    return found


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({}, []),
        ({'SLURM_STEP_NUM_TASKS': '1'}, []),
        ({'OMPI_COMM_WORLD_SIZE': '1'}, []),
        ({'MEGASCALE_NUM_SLICES': '1'}, []),
        ({'TPU_WORKER_HOSTNAMES': 'localhost'}, []),
        ({'SLURM_STEP_NUM_TASKS': '2'}, [()]),
        ({'OMPI_COMM_WORLD_SIZE': '2'}, [()]),
        ({'TPU_WORKER_HOSTNAMES': 'a,b'}, [()]),
        ({'TPU_PROCESS_ADDRESSES': 'a:1,b:1'}, [()]),
        ({'MEGASCALE_NUM_SLICES': '2'}, [()]),
        ({'TPU_WORKER_HOSTNAMES': 'a,b', 'MEGASCALE_NUM_SLICES': '2', 'JAX_PLATFORMS': 'cpu'}, []),
        ({'SLURM_STEP_NUM_TASKS': '2', 'JAX_PLATFORMS': 'cpu'}, [()]),
        ({'JAX_COORDINATOR_ADDRESS': 'h:1', 'JAX_NUM_PROCESSES': '4', 'JAX_PROCESS_ID': '3'}, [('h:1', 4, 3)]),
    ],
)
def test_a_launcher_is_recognised(monkeypatch, calls, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parallel.initialize()
    assert calls == expected


@pytest.mark.parametrize('chip', ['accel0', 'vfio/0'])
def test_a_cloud_tpu_machine_asks_about_its_pod(monkeypatch, calls, tmp_path, chip):
    """Nothing in its environment says whether it is alone."""
    (tmp_path / chip).parent.mkdir(exist_ok=True)
    (tmp_path / chip).touch()
    (tmp_path / 'vfio').mkdir(exist_ok=True)
    (tmp_path / 'vfio' / 'vfio').touch()  # there on any machine
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name if name == 'libtpu' else None)
    assert parallel._cluster(str(tmp_path)) == ''
    monkeypatch.delenv('TPU_SKIP_MDS_QUERY')
    assert parallel._cluster(str(tmp_path)) == str(tmp_path / chip)
    assert parallel._cluster(str(tmp_path / 'vfio' / 'none')) == ''
    monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
    assert parallel._cluster(str(tmp_path)) == ''
    monkeypatch.delenv('JAX_PLATFORMS')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    assert parallel._cluster(str(tmp_path)) == ''


def test_processes_that_jax_cannot_find_are_refused(monkeypatch, calls):
    def initialize(*args):
        raise ValueError('coordinator_address should be defined.')

    monkeypatch.setattr(jax.distributed, 'initialize', initialize)
    monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')
    with pytest.raises(ValueError, match='OMPI_COMM_WORLD_SIZE: .* set JAX_COORDINATOR_ADDRESS'):
        parallel.initialize()


@pytest.mark.parametrize(
    ('name', 'environment'),
    [
        ('JAX_NUM_PROCESSES', {'JAX_COORDINATOR_ADDRESS': 'h:1', 'JAX_NUM_PROCESSES': 'two'}),
        ('SLURM_STEP_NUM_TASKS', {'SLURM_STEP_NUM_TASKS': 'two'}),
    ],
)
def test_a_bad_variable_is_named(monkeypatch, calls, name, environment):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{name}='two'"):
        parallel.initialize()
