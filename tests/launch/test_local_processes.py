"""launch.local --processes: the files and bits of points that run one after the other, and what is told of them."""

import json

from launch import status
from tests.launch.tiny_runs import TINY, assert_same, finish, rows

SWEEP = """

def sweep():
    return [{'seed': 0}, {'pretrain.learning_rate': 1e30}, {'seed': 1}]
"""
SMALL = '--config.seeds=1', '--config.pretrain.steps=20', '--config.finetune.chunks=1', '--config.fold_sweep=False'


def test_points_at_once_are_those_one_after_the_other(start, tmp_path):
    file = tmp_path / 'seeds.py'
    file.write_text(TINY + SWEEP)
    here, apart = tmp_path / 'here', tmp_path / 'apart'
    for directory, flags in ((here, ()), (apart, ('--processes=2',))):
        out, err = finish(start(f'--config={file}', f'--workdir={directory}', *SMALL, *flags), status=1)
        assert err[-1] == 'error: 1 of 3 points failed: 1'
        assert [one.state for one in status.read(directory)] == ['done', 'failed', 'done']
    begun = [line for line in out if 'begins' in line]
    assert begun == [f'point {index}: begins, {index + 1} of 3' for index in range(3)]
    said = next(line for line in out if 'point 1: failed' in line)
    assert 'pretrain: learner 0' in said and said.endswith(f'{apart}/logs/point_0001.out')
    for point in ('point_0000', 'point_0002'):
        assert_same(apart / point, here / point)
    assert rows(apart) == rows(here) and {row['point'] for row in rows(here)} == {0, 2}
    frozen = json.loads((apart / 'sweep.json').read_text())
    assert [len(frozen['points']), frozen['overrides']] == [3, list(SMALL)]
    file.write_text('an edit in mid-run')
    assert (apart / 'code' / 'given' / 'seeds.py').read_text() == TINY + SWEEP


def test_one_point_is_one_process(tiny, start, tmp_path):
    _, err = finish(start(f'--config={tiny}', f'--workdir={tmp_path}', '--processes=2'), status=1)
    assert err == ['error: --processes=2: the experiment has one point, which is one process']
