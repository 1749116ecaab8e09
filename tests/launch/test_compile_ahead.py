"""launch.compile_ahead on real topologies, compiled by libtpu; what it says of a program, without."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from launch import compile_ahead, roofline
from tests.launch.tiny_runs import ROOT, environment

BESIDE = ROOT / '.venv-tpu' / 'bin' / 'python'
PYTHON = sys.executable if find_spec('libtpu') else BESIDE
needs_libtpu = pytest.mark.skipif(not os.path.exists(PYTHON), reason='no libtpu: make install-tpu')
SLICES = {'v5e:2x4': 8, 'v5e:4x8': 32, 'v5e:16x16': 256}


def compile_for(topology, *arguments):
    """(exit status, stdout, last line of stderr)."""
    command = [PYTHON, '-m', 'launch.compile_ahead', f'--topology={topology}', *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=400)
    return done.returncode, done.stdout, (done.stderr.strip().splitlines() or [''])[-1]


@pytest.fixture(scope='module')
def compiled(tiny, tmp_path_factory):
    """(stdout, rows) of the tiny experiment on 8, 32 and 256 chips."""
    file = tmp_path_factory.mktemp('ahead') / 'rows.json'
    settings = ('--config.posterior.members=16', '--config.finetune.algorithm=dsrl_sac')
    status, out, last = compile_for(','.join(SLICES), f'--config={tiny}', f'--json={file}', *settings)
    assert status == 0, last
    return out, json.loads(file.read_text())


@needs_libtpu
def test_every_stage_is_compiled_for_every_slice(compiled):
    _, rows = compiled
    stages = ['posterior', 'pretrain', 'dsrl_sac (warm-up)', 'dsrl_sac']
    assert [(row['topology'], row['stage']) for row in rows] == [(name, stage) for name in SLICES for stage in stages]
    for row in rows:
        width, data = row['mesh']
        assert width * data == row['chips'] == SLICES[row['topology']]
        assert row['learners'] == {'posterior': 2 * 16}.get(row['stage'], 6)
        assert 0 < row['memory'] < row['hbm'] == 16 * 2**30
        assert row['seconds'] > 0 and row['unbounded_loops'] == 0


@needs_libtpu
def test_learners_never_communicate_and_the_rows_of_one_do(compiled):
    for row in compiled[1]:
        assert {of['axis'] for of in row['collectives']} <= {'data'}
        assert bool(row['collectives']) == (row['mesh'][1] > 1), row['stage']


@needs_libtpu
def test_flop_are_those_of_the_network(compiled):
    """An ensemble member of width 8: obs 4 -> 8 -> 1 action, and twice that backwards but for the observation's."""
    (row,) = [row for row in compiled[1] if (row['stage'], row['topology']) == ('posterior', 'v5e:4x8')]
    assert row['mesh'] == [32, 1]
    forwards, backwards = 4 * 8 + 8 * 1, 4 * 8 + 2 * 8 * 1
    assert row['flops'] / row['steps'] == 2 * 16 * (forwards + backwards)  # a batch of 16


@needs_libtpu
def test_the_table_says_where_the_demonstrations_come_from(compiled):
    lines = compiled[0].splitlines()
    assert lines[0] == 'demonstrations: 6 recorded episodes of at most 20 steps, 120 in all'
    assert lines[1].split()[:4] == ['stage', 'topology', 'learners', 'mesh']
    assert len(lines) == 2 + 12


@needs_libtpu
def test_members_a_chip_make_the_posterior_as_large_as_the_slice(tiny, tmp_path):
    file = tmp_path / 'rows.json'
    asked = ('--members_per_chip=2', '--config.seeds=1', f'--json={file}')
    status, _, last = compile_for('v5e:1x1,v5e:2x2', f'--config={tiny}', *asked)
    assert status == 0, last
    one, four = json.loads(file.read_text())
    assert [one['learners'], four['learners']] == [2, 8]
    for name in ('arguments', 'flops', 'seconds_a_step'):
        assert one[name] == four[name]
    assert one['collectives'] == four['collectives'] == []


@needs_libtpu
def test_what_does_not_fit_is_one_line(tiny):
    asked = ('--members_per_chip=2', '--hbm_gib=1e-6')
    status, out, last = compile_for('v5e:2x2', f'--config={tiny}', *asked)
    assert status == 1
    assert last.startswith('error: posterior on v5e:2x2: needs 0.00 GiB a chip, which has 1e-06')
    assert 'posterior' in out  # the table is there all the same


@pytest.mark.parametrize(
    ('topology', 'said'),
    [
        ('v5e:3x3', 'error: --topology=v5e:3x3: of v5e there are 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16'),
        ('v5p:4x4', 'error: --topology=v5p:4x4: of v5p give three sides, the first two even: v5p:2x2x1, v5p:4x4x8'),
        ('tpu', 'error: --topology=tpu: give one such as v5e:4x8, v6e:16x16, v4:2x2x4 or v5p:4x4x4'),
    ],
)
def test_no_such_slice_is_one_line(tiny, topology, said, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], 'PYTHON', sys.executable)
    assert compile_for(topology, f'--config={tiny}')[::2] == (1, said)


ROW = {
    'stage': 'pretrain',
    'topology': 'v5e:2x4',
    'learners': 6,
    'mesh': [4, 2],
    'steps': 10,
    'arguments': 2**20,
    'temporaries': 2**21,
    'output': 0,
    'memory': 3 * 2**20,
    'hbm': 16 * 2**30,
    'flops': 5e8,
    'bytes_accessed': 10 * 2**20,
    'collectives': [
        {'kind': 'all-reduce', 'axis': 'data', 'chips': 2, 'bytes': 2**20, 'times': 20},
        {'kind': 'all-reduce', 'axis': 'data', 'chips': 2, 'bytes': 2**19, 'times': 20},
    ],
    'unbounded_loops': 0,
    'seconds_a_step': 1.5e-5,
    'bound': 'memory',
}


def test_a_table():
    head, line = compile_ahead.table([ROW]).splitlines()
    assert line == (
        'pretrain  v5e:2x4   6         4 x 2  1.0 MiB    2.0 MiB      0.0 MiB  0.0%    50.0   1.00 MiB   '
        'data: 4 all-reduce 3.00 MiB  15.0 us  memory'
    )
    for word in ('learners', 'mesh', 'arguments', 'MFLOP', 'collectives', 'bound by'):
        assert head.index(word) in [i for i in range(len(line)) if line[i - 1] == ' ' and line[i] != ' ']


def test_faults():
    crossing = {'kind': 'all-gather', 'axis': 'learner and data', 'chips': 8, 'bytes': 1, 'times': 1}
    assert compile_ahead.faults([ROW]) == []
    assert compile_ahead.faults([ROW | {'collectives': [*ROW['collectives'], crossing]}]) == [
        'pretrain on v5e:2x4: learners communicate: 1 collectives along learner and data: all-gather'
    ]
    assert compile_ahead.faults([ROW | {'memory': 40 * 2**30}]) == [
        'pretrain on v5e:2x4: needs 40.00 GiB a chip, which has 16'
    ]


def test_every_chip_is_known():
    assert set(roofline.CHIPS) == {'v4', 'v5e', 'v5p', 'v6e'}
