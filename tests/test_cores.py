"""How many cores there are (cores), and what the launchers make of them (parallel.one_device_a_core)."""

import os

import pytest

from postbc_jax import cores


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


V2, V1 = '0::/job/step\n', '4:memory:/job\n1:cpu,cpuacct:/job\n'
CPU = 'sys/fs/cgroup/cpu/'


@pytest.mark.parametrize(
    ('groups', 'files', 'expected'),
    [
        (None, {}, 8),  # no control groups
        (V2, {}, 8),
        (V2, {'sys/fs/cgroup/cpu.max': 'max 100000\n'}, 8),
        (V2, {'sys/fs/cgroup/cpu.max': '200000 100000\n'}, 2),  # a container: it sees its own group as the root
        (V2, {'sys/fs/cgroup/job/cpu.max': '350000 100000\n'}, 3),
        (V2, {'sys/fs/cgroup/job/step/cpu.max': '600000 100000\n', 'sys/fs/cgroup/job/cpu.max': '400000 100000\n'}, 4),
        (V2, {'sys/fs/cgroup/cpu.max': '50000 100000\n'}, 1),
        (V2, {'sys/fs/cgroup/cpu.max': '9900000 100000\n'}, 8),
        (V1, {f'{CPU}job/cpu.cfs_quota_us': '300000\n', f'{CPU}job/cpu.cfs_period_us': '100000\n'}, 3),
        (V1, {f'{CPU}cpu.cfs_quota_us': '200000\n', f'{CPU}cpu.cfs_period_us': '50000\n'}, 4),
        (V1, {f'{CPU}job/cpu.cfs_quota_us': '-1\n', f'{CPU}job/cpu.cfs_period_us': '100000\n'}, 8),
        (V1, {'sys/fs/cgroup/memory/job/cpu.cfs_quota_us': '1\n', 'sys/fs/cgroup/cpu.max': '1 1\n'}, 8),
    ],
)
def test_cores_are_bounded_by_the_quotas_of_control_groups(tmp_path, monkeypatch, groups, files, expected):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: set(range(8)), raising=False)
    write(tmp_path, files | ({'proc/self/cgroup': groups} if groups else {}))
    assert cores.available(tmp_path) == expected


CORES = """
    import json, os, jax
    from postbc_jax import cores, parallel
    parallel.one_device_a_core()
    shapes = [dict(parallel.mesh(learners).shape) for learners in (1, 2 * len(jax.devices()))]
    print(json.dumps([cores.available(), len(jax.devices()), shapes]))
    """


def test_every_core_is_a_device_and_only_learners_take_one(start_python, finish_python):
    there, devices, (one, many) = finish_python(start_python(CORES, XLA_FLAGS=''))
    assert there == devices
    assert one == {'learner': 1, 'data': 1}  # the other cores are its threads
    assert many == {'learner': there, 'data': 1}


@pytest.mark.parametrize('asked', [{'devices': 3}, {'XLA_FLAGS': '', 'JAX_NUM_CPU_DEVICES': '3'}])
def test_a_number_of_devices_that_was_asked_for_stays(start_python, finish_python, asked):
    _, devices, (one, many) = finish_python(start_python(CORES, **asked))
    assert (devices, one, many) == (3, {'learner': 1, 'data': 3}, {'learner': 3, 'data': 1})
