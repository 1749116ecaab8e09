"""Points in processes of their own, with a command in the place of launch.run: when they run, and what is told."""

import json
import os
import sys

import pytest

from launch import processes
from postbc_jax import loop

SAYS = """
import json, os, pathlib, signal, sys, time
point = int(sys.argv[-1].removeprefix('--point='))
folder = pathlib.Path(sys.argv[1])
begun = time.monotonic()
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
(folder / f'begun_{point}').touch()
if point in json.loads(sys.argv[2]):
    sys.exit('error: it cannot be run')
for _ in range(int(sys.argv[3])):
    time.sleep(0.05)
    if stopped:
        sys.exit(75)
cores, devices = sorted(os.sched_getaffinity(0)), os.environ.get('CUDA_VISIBLE_DEVICES')
(folder / f'{point}.json').write_text(json.dumps([begun, time.monotonic(), cores, devices]))
"""


def run(tmp_path, points, count, fails=(), steps=4, stop=lambda: False, **environment):
    """(failed, lines told)."""
    told = []
    command = [sys.executable, '-c', SAYS, str(tmp_path), json.dumps(fails), str(steps)]
    variables = os.environ | environment
    return processes.run(command, variables, points, count, tmp_path / 'logs', told.append, stop), told


def test_as_many_at_a_time_as_asked_for_and_each_point_once(tmp_path):
    failed, told = run(tmp_path, [0, 2, 3, 5, 6], 2)
    assert failed == []
    spans = [json.loads((tmp_path / f'{point}.json').read_text())[:2] for point in (0, 2, 3, 5, 6)]
    at_once = [sum(begun <= moment < ended for begun, ended in spans) for moment, _ in spans]
    assert max(at_once) == 2
    assert [line for line in told if 'begins' in line] == [
        f'point {point}: begins, {n} of 5' for n, point in enumerate((0, 2, 3, 5, 6), 1)
    ]
    assert sum('done' in line for line in told) == 5


def test_a_point_that_fails_is_named_and_the_others_run(tmp_path):
    failed, told = run(tmp_path, [0, 1, 2], 2, fails=[1])
    assert failed == [1]
    assert (tmp_path / '0.json').exists() and (tmp_path / '2.json').exists()
    line = next(line for line in told if 'failed' in line)
    assert line.endswith(f'error: it cannot be run; {tmp_path}/logs/point_0001.out')


def test_sigterm_is_passed_on_and_nothing_more_begins(tmp_path):
    with pytest.raises(loop.Preempted, match='2 points stopped and saved, 1 not begun'):
        run(tmp_path, [0, 1, 2], 2, steps=1200, stop=lambda: len(list(tmp_path.glob('begun_*'))) == 2)
    assert list(tmp_path.glob('*.json')) == []


def test_each_has_its_share_of_devices(tmp_path):
    run(tmp_path, [0, 1], 2, CUDA_VISIBLE_DEVICES='4,5,6')
    assert sorted(json.loads((tmp_path / f'{i}.json').read_text())[3] for i in (0, 1)) == ['4,6', '5']


def test_shares():
    assert [processes.share(range(5), slot, 2) for slot in range(2)] == [[0, 2, 4], [1, 3]]
    assert [processes.share(['a', 'b'], slot, 3) for slot in range(3)] == [['a'], ['b'], ['a']]
