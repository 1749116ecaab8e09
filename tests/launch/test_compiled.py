"""Reading compiled programs: text as XLA writes it for a TPU, and a program compiled for eight CPU devices."""

import pytest

from launch.compiled import Collective, Program

# A loop of 7 rounds in one of 5, as libtpu writes them: no trip counts, on-chip memory is S(1).
TPU = """HloModule jit_f, is_scheduled=true, num_partitions=8

%multiply (param_0: f32[2,256,256], param_1: s32[]) -> f32[2,256] {
  %param_0 = f32[2,256,256]{2,1,0:T(8,128)} parameter(0)
  %param_1 = s32[]{:T(128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %row = f32[2,1,256]{2,1,0:T(8,128)} dynamic-slice(%param_0, %zero, %param_1, %zero), dynamic_slice_sizes={2,1,256}
  ROOT %flat = f32[2,256]{1,0:T(8,128)} bitcast(%row)
}

%update (param_0: f32[2,256,256], param_1: f32[2,256], param_2: s32[]) -> f32[2,256,256] {
  %param_0 = f32[2,256,256]{2,1,0:T(8,128)} parameter(0)
  %param_1 = f32[2,256]{1,0:T(8,128)} parameter(1)
  %param_2 = s32[]{:T(128)} parameter(2)
  %row = f32[2,1,256]{2,1,0:T(8,128)} bitcast(%param_1)
  ROOT %new = f32[2,256,256]{2,1,0:T(8,128)} dynamic-update-slice(%param_0, %row, %param_2, %param_2, %param_2)
}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%a, %b)
}

%inner (p: (s32[], f32[2,256,256], f32[2,256])) -> (s32[], f32[2,256,256], f32[2,256]) {
  %p = (s32[]{:T(128)}, f32[2,256,256]{2,1,0:T(8,128)}, f32[2,256]{1,0:T(8,128)S(1)}) parameter(0)
  %i = s32[]{:T(128)S(1)} get-tuple-element(%p), index=0
  %w = f32[2,256,256]{2,1,0:T(8,128)} get-tuple-element(%p), index=1
  %x = f32[2,256]{1,0:T(8,128)S(1)} get-tuple-element(%p), index=2
  %y = f32[2,256]{1,0:T(8,128)S(1)} fusion(%w, %i), kind=kLoop, calls=%multiply, backend_config={"window_config":{"estimated_cycles":"3186"}}
  %z = f32[2,256]{1,0:T(8,128)S(1)} all-reduce(%y), channel_id=1, replica_groups={{0,1},{2,3},{4,5},{6,7}}, use_global_device_ids=true, to_apply=%add
  %new = f32[2,256,256]{2,1,0:T(8,128)} fusion(%w, %z, %i), kind=kLoop, calls=%update, backend_config={"window_config":{"estimated_cycles":"14"}}
  ROOT %t = (s32[]{:T(128)}, f32[2,256,256]{2,1,0:T(8,128)}, f32[2,256]{1,0:T(8,128)S(1)}) tuple(%i, %new, %z)
}

%under_7 (p.1: (s32[], f32[2,256,256], f32[2,256])) -> pred[] {
  %p.1 = (s32[]{:T(128)}, f32[2,256,256]{2,1,0:T(8,128)}, f32[2,256]{1,0:T(8,128)S(1)}) parameter(0)
  %seven = s32[]{:T(128)} constant(7)
  %i.1 = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  ROOT %less = pred[]{:T(512)} compare(%i.1, %seven), direction=LT
}

%outer (p.2: (s32[], f32[2,256,256], f32[2,256])) -> (s32[], f32[2,256,256], f32[2,256]) {
  %p.2 = (s32[]{:T(128)}, f32[2,256,256]{2,1,0:T(8,128)}, /*index=2*/f32[2,256]{1,0:T(8,128)S(1)}) parameter(0)
  ROOT %loop = (s32[]{:T(128)}, f32[2,256,256]{2,1,0:T(8,128)}, f32[2,256]{1,0:T(8,128)S(1)}) while(%p.2), condition=%under_7, body=%inner
}

ENTRY %main (w: f32[2,256,256]) -> f32[2,256,256] {
  %w = f32[2,256,256]{2,1,0:T(8,128)} parameter(0)
  %start = s32[]{:T(128)} constant(0)
  %x.1 = f32[2,256]{1,0:T(8,128)S(1)} broadcast(%start), dimensions={}
  %t.1 = (s32[]{:T(128)}, f32[2,256,256]{2,1,0:T(8,128)}, f32[2,256]{1,0:T(8,128)S(1)}) tuple(%start, %w, %x.1)
  %loop.1 = (s32[]{:T(128)}, f32[2,256,256]{2,1,0:T(8,128)}, f32[2,256]{1,0:T(8,128)S(1)}) while(%t.1), condition=%under_5, body=%outer, backend_config={"known_trip_count":{"n":"5"}}
  ROOT %out = f32[2,256,256]{2,1,0:T(8,128)} get-tuple-element(%loop.1), index=1
}
"""  # noqa: E501
UNDER_5 = '%under_5 (q: s32[]) -> pred[] {\n  ROOT %q = pred[]{:T(512)} parameter(0)\n}\n\n'
TEXT = TPU.replace('ENTRY', UNDER_5 + 'ENTRY')
ROW = 2 * 256 * 4  # bytes


def test_a_collective_counts_as_often_as_its_loops_run():
    assert Program(TEXT).collectives(data=2) == [Collective('all-reduce', 'data', 2, ROW, 35)]


def test_bytes_are_those_of_slices_in_main_memory():
    """A round reads a row of w and writes one, and compares two numbers; the rest stays on the chip. The start is
    read once."""
    assert Program(TEXT).hbm_bytes() == 35 * (2 * ROW + 4 + 4 + 1) + 4


def test_cycles_are_the_compilers():
    assert Program(TEXT).cycles() == 35 * (3186 + 14)


def test_a_loop_of_unknown_length_counts_once():
    program = Program(TEXT.replace('direction=LT', 'direction=EQ'))
    assert program.unbounded == 1
    assert program.collectives(2)[0].times == 5
    assert Program(TEXT).unbounded == 0


@pytest.mark.parametrize(
    ('groups', 'data', 'axis', 'chips'),
    [
        ('replica_groups={{0,1},{2,3},{4,5},{6,7}}', 2, 'data', 2),
        ('replica_groups={{0,2,4,6},{1,3,5,7}}', 2, 'learner', 4),
        ('replica_groups={{0,1,2,3},{4,5,6,7}}', 2, 'learner and data', 4),
        ('replica_groups={{0,1,2,3},{4,5,6,7}}', 4, 'data', 4),
        ('replica_groups={}', 1, 'learner', 8),
        ('replica_groups={}', 8, 'data', 8),
        ('replica_groups=[4,2]<=[8]', 2, 'data', 2),
        ('replica_groups=[2,4]<=[4,2]T(1,0)', 2, 'learner', 4),
        ("replica_groups=mesh['learner'=4,'data'=2] {'data'}", 2, 'data', 2),
        ("replica_groups=mesh['learner'=4,'data'=2] {'learner'}", 2, 'learner', 4),
    ],
)
def test_groups_say_the_axis(groups, data, axis, chips):
    text = TEXT.replace('replica_groups={{0,1},{2,3},{4,5},{6,7}}', groups)
    assert [(of.axis, of.chips) for of in Program(text).collectives(data)] == [(axis, chips)]


def test_a_permutation_says_whom_it_connects():
    pairs = 'source_target_pairs={{0,2},{2,0}}'
    text = TEXT.replace('all-reduce(', 'collective-permute(').replace('replica_groups={{0,1},{2,3},{4,5},{6,7}}', pairs)
    assert Program(text).collectives(2) == [Collective('collective-permute', 'learner', 2, ROW, 35)]


def test_a_chip_alone_communicates_with_nobody():
    alone = ','.join(f'{{{chip}}}' for chip in range(8))
    text = TEXT.replace('replica_groups={{0,1},{2,3},{4,5},{6,7}}', f'replica_groups={{{alone}}}')
    assert Program(text).collectives(1) == []


def test_both_halves_of_a_started_collective_count_once():
    whole = '%z = f32[2,256]{1,0:T(8,128)S(1)} all-reduce(%y)'
    started = (
        '%s = f32[2,256]{1,0:T(8,128)S(1)} all-reduce-start(%y), replica_groups={{0,1},{2,3},{4,5},{6,7}}\n'
        '  %z = f32[2,256]{1,0:T(8,128)S(1)} all-reduce-done(%s)'
    )
    assert whole in TEXT
    assert Program(TEXT.replace(whole, started)).collectives(2) == [Collective('all-reduce', 'data', 2, ROW, 35)]


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match='has an ENTRY: this has none'):
        Program('HloModule jit_f')


ON_8 = """
import json
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec as P
from launch.compiled import Program
from launch.roofline import matmul_flops
from postbc_jax import parallel

def fit(w, x):
    def step(w, _):
        loss = lambda w: jnp.mean((jnp.tanh(x @ w) @ w.T) ** 2)
        return w - parallel.data_mean(jax.grad(loss)(w)), None
    return jax.lax.scan(lambda w, _: jax.lax.scan(step, w, length=7), w, length=5)[0]

mesh = parallel.mesh(4)
each = P('learner'), P('learner', 'data')
function = parallel.pmap(fit, mesh, each, P('learner'))
traced = function.trace(np.ones((8, 16, 16), np.float32), np.ones((8, 4, 16), np.float32))
program = Program(traced.lower().compile().as_text())
flat = parallel.pmap(lambda x: x * 2 + 1, mesh, (P('learner'),), P('learner')).trace(np.ones((8, 1000), np.float32))
compiled = flat.lower().compile()
print(json.dumps([
    [list(of) for of in program.collectives(2)],
    program.unbounded,
    matmul_flops(traced.jaxpr.jaxpr),
    Program(compiled.as_text()).hbm_bytes(),
    compiled.cost_analysis()['bytes accessed'],
]))
"""


def test_a_program_for_eight_devices(run_on_devices):
    collectives, unbounded, flops, moved, theirs = run_on_devices(8, ON_8)
    assert collectives == [['all-reduce', 'data', 2, 2 * 16 * 16 * 4, 35]]  # two learners' gradients
    assert unbounded == 0
    assert flops == 35 * 2 * 5 * 2 * 2 * 16 * 16  # rounds, learners, products, FLOP, this device's two rows
    assert moved == theirs == 2 * 2 * 1000 * 4
