"""loop/: interrupted runs end bit for bit like those that were not, rows exist once, NaN stops the run."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import checkpoint, loop, metrics, parallel
from tests.regression import CHUNKS, LABELS, STEPS, evaluate, files, make, numbers, regression, run


@pytest.fixture(scope='module')
def trainer():
    """One compiled trainer for all the tests of this process."""
    return parallel.population(regression(), parallel.mesh(len(LABELS)))


@pytest.fixture(scope='module')
def whole(tmp_path_factory, trainer):
    """(directory, final state as bytes) of a run that nothing interrupted."""
    directory = tmp_path_factory.mktemp('whole')
    outcome = run(directory, trainer)
    assert outcome.resumed_from == 0 and outcome.compile_seconds > 0 and outcome.run_seconds > 0
    return directory, numbers(outcome.state)


def test_the_rows_of_a_whole_run(whole):
    directory, _ = whole
    rows = metrics.read(directory / 'metrics.jsonl')
    assert [(row['chunk'], row['learner']) for row in rows] == [(c, i) for c in (1, 2, 3, 4) for i in (0, 1, 2)]
    assert {name: rows[5][name] for name in ('stage', 'step', 'arm', 'seed')} == {
        'stage': 'fit',
        'step': 2 * STEPS,
        'arm': 'post_bc',
        'seed': 0,
    }
    results = metrics.read(directory / 'results.jsonl')
    assert [row['env_steps'] for row in results[::3]] == [0, 5, 10, 15, 20]  # the untouched learner comes first
    assert all(row['stage'] == 'fit' for row in results)


def test_training_is_the_same_without_hook_or_saving(whole, trainer, tmp_path):
    """Without a hook metrics are fetched while the next chunk runs: the same rows in the same order."""
    seen = []
    outcome = run(tmp_path, trainer, after_chunk=None, save_chunks=None, progress=lambda *args: seen.append(args))
    assert numbers(outcome.state) == whole[1]
    assert files(whole[0])['metrics.jsonl'] == (tmp_path / 'metrics.jsonl').read_bytes()
    assert [path.name for path in (tmp_path / 'checkpoints').iterdir()] == ['4']
    assert [(chunk, chunks) for chunk, chunks, _ in seen] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    losses = [row['loss'] for row in metrics.read(tmp_path / 'metrics.jsonl')]
    assert seen[1][2]['loss'] == pytest.approx(np.mean(losses[:3]), rel=1e-6)
    assert seen[1][2]['steps_per_second'] > 0 and seen[1][2]['compile_seconds'] > 0


class Killed(BaseException):
    """Stands for a death without notice: nothing of ours catches it."""


@pytest.mark.parametrize('save_chunks', [1, 3])
@pytest.mark.parametrize('moment', range(CHUNKS + 1))
def test_killed_in_the_hook_of_any_chunk(whole, trainer, tmp_path, moment, save_chunks):
    def dies(chunk, state, values):
        if chunk == moment:
            raise Killed
        return evaluate(chunk, state, values)

    with pytest.raises(Killed):
        run(tmp_path, trainer, after_chunk=dies, save_chunks=save_chunks)
    outcome = run(tmp_path, trainer, save_chunks=save_chunks)
    assert outcome.resumed_from == max(0, (moment - 1) // save_chunks * save_chunks)
    assert numbers(outcome.state) == whole[1]
    assert files(tmp_path) == files(whole[0])


@pytest.mark.parametrize('hook', [evaluate, None])
def test_stopped_at_every_chunk_boundary(whole, trainer, tmp_path, hook):
    """One chunk a start; each stop saves off-interval."""
    for done in range(CHUNKS - 1):
        with pytest.raises(loop.Preempted, match=f'after chunk {done + 1} of 4'):
            run(tmp_path, trainer, after_chunk=hook, save_chunks=None, stop=iter([False, True]).__next__)
    outcome = run(tmp_path, trainer, after_chunk=hook, save_chunks=None)
    assert outcome.resumed_from == CHUNKS - 1
    assert numbers(outcome.state) == whole[1]
    assert files(whole[0])['metrics.jsonl'] == (tmp_path / 'metrics.jsonl').read_bytes()
    assert not hook or files(tmp_path) == files(whole[0])


def test_stopped_before_the_first_chunk_runs_nothing(trainer, tmp_path):
    with pytest.raises(loop.Preempted, match='before chunk 1'):
        run(tmp_path, trainer, stop=lambda: True)
    assert metrics.read(tmp_path / 'metrics.jsonl') == []


def test_a_finished_stage_returns_at_once(whole, trainer):
    directory, state = whole
    before = files(directory)

    def never(*_):
        raise AssertionError('a finished stage must not run')

    lazy = trainer._replace(run_chunk=never)
    outcome = loop.run(
        *make(directory, trainer=lazy), metrics.JsonLines(directory / 'metrics.jsonl'), after_chunk=never
    )
    assert outcome.resumed_from == CHUNKS and outcome.compile_seconds == 0
    assert numbers(outcome.state) == state
    assert files(directory) == before


def test_more_chunks_go_on_and_fewer_are_refused(whole, trainer, tmp_path):
    run(tmp_path, trainer, chunks=2)
    with pytest.raises(ValueError, match='has 2 chunks already, more than the 1'):
        run(tmp_path, trainer, chunks=1)
    outcome = run(tmp_path, trainer)
    assert numbers(outcome.state) == whole[1]
    assert files(tmp_path) == files(whole[0])
    with pytest.raises(ValueError, match='chunks=0'):
        run(tmp_path, trainer, chunks=0)


def test_rows_of_other_stages_stay(whole, trainer, tmp_path):
    other = '{"stage": "ensemble", "chunk": 9}\n{"no": "stage"}\n'
    (tmp_path / 'metrics.jsonl').write_text(other + '{"stage": "fit", "chunk": 1}\n')
    run(tmp_path, trainer)
    assert (tmp_path / 'metrics.jsonl').read_bytes() == other.encode() + files(whole[0])['metrics.jsonl']


def test_a_changed_setting_is_refused(whole, trainer):
    stage, keys, data = make(whole[0], trainer=trainer)
    changed = dataclasses.replace(stage, meta={'lr': 0.1})
    with pytest.raises(ValueError, match='lr=0.05, this run has lr=0.1'):
        loop.run(changed, keys, data, metrics.JsonLines(whole[0] / 'metrics.jsonl'))
    changed = dataclasses.replace(stage, labels=LABELS[:2] + [{'arm': 'post_bc', 'seed': 5}])
    with pytest.raises(ValueError, match=r'labels\[2\].seed=0, this run has labels\[2\].seed=5'):
        loop.run(changed, keys, data, metrics.JsonLines(whole[0] / 'metrics.jsonl'))


def test_mean_over_learners(whole, trainer, tmp_path):
    run(tmp_path, trainer, after_chunk=None, stage={'mean_over_learners': True})
    rows = metrics.read(tmp_path / 'metrics.jsonl')
    assert [sorted(row) for row in rows] == [['chunk', 'learners', 'loss', 'stage', 'step']] * CHUNKS
    each = [row['loss'] for row in metrics.read(whole[0] / 'metrics.jsonl')]
    np.testing.assert_allclose([row['loss'] for row in rows], np.reshape(each, (CHUNKS, 3)).mean(1), rtol=1e-6)


def test_a_metric_that_is_not_finite_stops_the_run(tmp_path):
    """The gradient of step 7 (from 0) is NaN, so is the loss of step 8, in the middle of chunk 2 (steps 6 to 10)."""
    bad = parallel.population(regression(bad_step=7), parallel.mesh(len(LABELS)))
    message = r"fit: learner 0 \({'arm': 'bc', 'seed': 0}\): metric 'loss' is nan in steps 6 to 10"
    for _ in range(2):  # a restart goes on from the last good checkpoint and meets the same NaN
        with pytest.raises(FloatingPointError, match=message):
            run(tmp_path, bad)
        with checkpoint.Checkpoints(tmp_path / 'checkpoints', _meta(), len(LABELS)) as checkpoints:
            assert checkpoints.latest == 1
    assert {row['chunk'] for row in metrics.read(tmp_path / 'metrics.jsonl')} == {1}


def test_a_state_with_nan_is_never_saved(tmp_path):
    """The gradient of step 9, the last of chunk 2, is NaN: its loss is still finite."""
    bad = parallel.population(regression(bad_step=9), parallel.mesh(len(LABELS)))
    with pytest.raises(FloatingPointError, match=r'state\.params is nan in steps 6 to 10'):
        run(tmp_path, bad)
    with checkpoint.Checkpoints(tmp_path / 'checkpoints', _meta(), len(LABELS)) as checkpoints:
        assert checkpoints.latest == 1


def _meta():
    return {'stage': 'fit', 'labels': LABELS, 'steps_per_chunk': STEPS, 'lr': 0.05}


def test_metrics_must_be_scalars_and_not_columns(trainer, tmp_path):
    base = regression()

    def reporting(name, value):
        strange = base._replace(run_chunk=lambda state, data: (base.run_chunk(state, data)[0], {name: value}))
        return parallel.population(strange, parallel.mesh(len(LABELS)))

    with pytest.raises(ValueError, match=r"'v' has shape \(2,\)"):
        run(tmp_path, reporting('v', jnp.ones(2)))
    with pytest.raises(ValueError, match="'seed' is a metric and"):
        run(tmp_path, reporting('seed', jnp.ones(())))
    with pytest.raises(ValueError, match='no `results`'):
        loop.run(*make(tmp_path, trainer=trainer), metrics.JsonLines(tmp_path / 'm.jsonl'), after_chunk=evaluate)


@pytest.fixture(scope='module')
def warm():
    """The compiled trainer with a warm-up of two calls."""
    return parallel.population(regression(warm_chunks=2), parallel.mesh(len(LABELS)))


@pytest.fixture(scope='module')
def warm_whole(tmp_path_factory, warm):
    """(directory, final state as bytes) of a run that nothing interrupted."""
    directory = tmp_path_factory.mktemp('warm')
    return directory, numbers(run(directory, warm).state)


def test_a_warm_up_moves_the_state_and_writes_nothing(warm_whole, whole, warm, tmp_path):
    directory, state = warm_whole
    assert state != whole[1]
    for name in ('metrics.jsonl', 'results.jsonl'):
        ours, others = (metrics.read(d / name) for d in (directory, whole[0]))
        assert [(row['chunk'], row.get('learner')) for row in ours] == [
            (row['chunk'], row.get('learner')) for row in others
        ]
    seen = []
    outcome = run(tmp_path, warm, save_chunks=None, progress=lambda *args: seen.append(args))
    assert [(call, calls) for call, calls, _ in seen] == [(n, CHUNKS + 2) for n in range(CHUNKS + 3)]
    assert [bool(numbers.get('compile_seconds')) for *_, numbers in seen[1:]] == [True, True, *[False] * CHUNKS]
    assert ['steps_per_second' in numbers for *_, numbers in seen[1:]] == [False, False, *[True] * CHUNKS]
    assert outcome.compile_seconds == pytest.approx(sum(n.get('compile_seconds', 0) for *_, n in seen))


@pytest.mark.parametrize('hook', [evaluate, None])
def test_stopped_at_every_call_of_a_warm_up(warm_whole, warm, tmp_path, hook):
    """One call a start; two of the warm-up, then the chunks."""
    stops = [*(f'chunk {n} of 2 of the warm-up' for n in (1, 2)), *(f'chunk {n} of 4' for n in (1, 2, 3))]
    for stop in stops:
        with pytest.raises(loop.Preempted, match=f'saved after {stop}$'):
            run(tmp_path, warm, after_chunk=hook, save_chunks=None, stop=iter([False, True]).__next__)
    outcome = run(tmp_path, warm, after_chunk=hook, save_chunks=None)
    assert outcome.resumed_from == len(stops)
    assert numbers(outcome.state) == warm_whole[1]
    assert files(warm_whole[0])['metrics.jsonl'] == (tmp_path / 'metrics.jsonl').read_bytes()
    assert not hook or files(tmp_path) == files(warm_whole[0])


@pytest.mark.parametrize('moment', [0, 1, 3])
def test_killed_after_a_warm_up(warm_whole, warm, tmp_path, moment):
    def dies(chunk, state, values):
        if chunk == moment:
            raise Killed
        return evaluate(chunk, state, values)

    with pytest.raises(Killed):
        run(tmp_path, warm, after_chunk=dies)
    outcome = run(tmp_path, warm)
    assert outcome.resumed_from == (moment + 1 if moment else 0)
    assert numbers(outcome.state) == warm_whole[1]
    assert files(tmp_path) == files(warm_whole[0])


def test_a_warm_up_belongs_to_the_run(warm_whole, warm, trainer, tmp_path):
    """More chunks go on after it; the checkpoints of another warm-up count other calls, and are refused."""
    run(tmp_path, warm, chunks=1)
    with pytest.raises(ValueError, match="warm_chunks=2, this run has warm_chunks='nothing'"):
        run(tmp_path, trainer)
    assert numbers(run(tmp_path, warm).state) == warm_whole[1]
    with pytest.raises(ValueError, match='has 4 chunks already, more than the 3 asked for'):
        run(tmp_path, warm, chunks=3)


def test_nan_in_a_warm_up_is_named(tmp_path):
    """The gradient of step 3 is NaN, and so is the loss of step 4, the warm-up's fifth."""
    bad = parallel.population(regression(bad_step=3, warm_chunks=2), parallel.mesh(len(LABELS)))
    with pytest.raises(FloatingPointError, match=r"metric 'loss' is nan in the warm-up"):
        run(tmp_path, bad)
    assert metrics.read(tmp_path / 'metrics.jsonl') == []


def test_compiled_programs_are_kept(tmp_path, run_on_devices):
    code = f"""
        import json, jax, jax.numpy as jnp
        from postbc_jax import loop

        hits = []
        jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
        for directory in ('first', 'second'):  # the one that was named last counts
            loop.compilation_cache({str(tmp_path)!r} + '/' + directory)
            jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
            jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((4, 4)))
        print(json.dumps(hits.count('/jax/compilation_cache/cache_hits')))
        """
    assert run_on_devices(1, code) == 0
    assert list((tmp_path / 'first').iterdir()) and list((tmp_path / 'second').iterdir())
    assert run_on_devices(1, code) > 0
