"""How many CPU cores this process may use: fewer than the machine has, where a scheduler or a container says so."""

import os
from collections.abc import Iterator
from pathlib import Path


def available(root: Path = Path('/')) -> int:
    """Cores by affinity (taskset, Slurm, cpusets) and by the quota of the control groups (containers), rounded down.

    Args:
      root: where /proc and /sys are found.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """The quotas, in cores, of this process's control groups and all that hold them."""
    for line in _read(root / 'proc/self/cgroup').splitlines():
        hierarchy, controllers, path = line.split(':', 2)
        unified = hierarchy == '0' and not controllers
        if not unified and 'cpu' not in controllers.split(','):
            continue
        top = root / 'sys/fs/cgroup' / ('' if unified else 'cpu')
        group = top / path.lstrip('/')
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            if unified:
                quota, _, period = _read(folder / 'cpu.max').strip().partition(' ')
            else:
                quota, period = (_read(folder / f'cpu.cfs_{name}_us').strip() for name in ('quota', 'period'))
            if quota.isdigit() and period.isdigit() and int(period) > 0:  # 'max' and -1 are no quota
                yield int(quota) / int(period)


def _read(path: Path) -> str:
    """'' where there is no such file: other systems, and groups that a container does not see."""
    try:
        return path.read_text()
    except OSError:
        return ''
