"""launch.local --processes: what points that run at once leave, and what is told of them."""

import json

from launch import status
from tests.launch.tiny_runs import TINY, finish, rows

SWEEP = """

def sweep():
    return [{'seed': 0}, {'pretrain.learning_rate': 1e30}, {'seed': 1}]
"""
SMALL = '--config.seeds=1', '--config.pretrain.steps=20', '--config.finetune.chunks=1', '--config.fold_sweep=False'


def test_points_at_once(start, tmp_path):
    file, workdir = tmp_path / 'seeds.py', tmp_path / 'run'
    file.write_text(TINY + SWEEP)
    out, err = finish(start(f'--config={file}', f'--workdir={workdir}', *SMALL, '--processes=2'), status=1)
    assert err == ['error: 1 of 3 points failed: 1']
    assert [one.state for one in status.read(workdir)] == ['done', 'failed', 'done']
    begun = [line for line in out if 'begins' in line]
    assert begun == [f'point {index}: begins, {index + 1} of 3' for index in range(3)]
    said = next(line for line in out if 'point 1: failed' in line)
    assert 'pretrain: learner 0' in said and said.endswith(f'{workdir}/logs/point_0001.out')
    assert {row['point'] for row in rows(workdir)} == {0, 2}
    frozen = json.loads((workdir / 'sweep.json').read_text())
    assert [len(frozen['points']), frozen['overrides']] == [3, list(SMALL)]
    assert (workdir / 'code' / 'given' / 'seeds.py').read_text() == TINY + SWEEP


def test_one_point_is_one_process(tiny, start, tmp_path):
    _, err = finish(start(f'--config={tiny}', f'--workdir={tmp_path}', '--processes=2'), status=1)
    assert err == ['error: --processes=2: the experiment has one point, which is one process']
