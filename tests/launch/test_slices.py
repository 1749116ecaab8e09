"""Slices by name: what Google Cloud's documentation says of each."""

import pytest

from launch import slices


@pytest.mark.parametrize(
    ('topology', 'chips', 'hosts', 'accelerator', 'runtime'),
    [
        ('v5e:1x1', 1, 1, 'v5litepod-1', 'v2-alpha-tpuv5-lite'),
        ('v5e:2x4', 8, 1, 'v5litepod-8', 'v2-alpha-tpuv5-lite'),
        ('v5e:4x4', 16, 4, 'v5litepod-16', 'v2-alpha-tpuv5-lite'),
        ('v5e:16x16', 256, 64, 'v5litepod-256', 'v2-alpha-tpuv5-lite'),
        ('v6e:8x8', 64, 16, 'v6e-64', 'v2-alpha-tpuv6e'),
        ('v4:2x2x1', 4, 1, 'v4-8', 'tpu-ubuntu2204-base'),
        ('v4:2x2x4', 16, 4, 'v4-32', 'tpu-ubuntu2204-base'),
        ('v5p:4x4x8', 128, 32, 'v5p-256', 'v2-alpha-tpuv5'),
    ],
)
def test_a_slice(topology, chips, hosts, accelerator, runtime):
    found = slices.parse(topology)
    assert (found.chips, found.hosts, found.accelerator, found.runtime) == (chips, hosts, accelerator, runtime)
    assert found.name == topology


@pytest.mark.parametrize(
    ('topology', 'said'),
    [
        ('v5e', 'give one such as v5e:4x8'),
        ('v7:2x2', 'give one such as v5e:4x8'),
        ('v5e:4x8\n', 'give one such as v5e:4x8'),
        ('v5e:2x8', 'of v5e there are 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16'),
        ('v6e:2x2x2', 'of v6e there are 1x1'),
        ('v4:4x4', 'of v4 give three sides, the first two even: v4:2x2x1, v4:4x4x8'),
        ('v5p:3x2x2', 'of v5p give three sides'),
        ('v5p:2x2x0', 'of v5p give three sides'),
    ],
)
def test_no_such_slice(topology, said):
    with pytest.raises(ValueError, match=f'^--topology={topology}: {said}'):
        slices.parse(topology)
