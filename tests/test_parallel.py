"""parallel.py: how a population lies on a mesh, that its numbers do not depend on the mesh, and who talks to whom.

The checks on several devices run together in one subprocess of 8 forced CPU devices; each reports for itself.
"""

import functools
import json
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from launch import compiled
from postbc_jax import parallel, types

LEARNERS, BATCH, STEPS = 6, 8, 5
X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
DATA = {'x': X, 'y': X @ np.float32([1, -2, 3])}


def regression():
    """Trainer: SGD on minibatches drawn with one key a row, rows split over the data axis."""

    def init(key, data):
        return {'params': jax.random.normal(key, (3,)), 'key': key, 'step': jnp.int32(0)}

    def step(state, data):
        keys = parallel.row_keys(jax.random.fold_in(state['key'], state['step']), parallel.local_rows(BATCH))
        index = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(data['x'])))(keys)

        def loss_fn(params):
            return jnp.mean((data['x'][index] @ params - data['y'][index]) ** 2)

        loss, grad = parallel.data_mean(jax.value_and_grad(loss_fn)(state['params']))
        return state | {'params': state['params'] - 0.05 * grad, 'step': state['step'] + 1}, loss

    def run_chunk(state, data):
        state, losses = jax.lax.scan(lambda state, _: step(state, data), state, length=STEPS)
        return state, {'loss': losses.mean()}

    return types.Trainer(init, run_chunk, lambda state, data: state['params'], P('learner'), P())


def train(mesh):
    """(parameters (6, 3), losses (6,)) after one chunk."""
    trainer = parallel.population(regression(), mesh)
    data = parallel.shard(DATA, mesh)
    state = trainer.init(parallel.learner_keys(jax.random.key(0), range(LEARNERS), mesh), data)
    state, metrics = trainer.run_chunk(state, data)
    return parallel.gather((trainer.policy(state, data), metrics['loss']), LEARNERS)


@functools.cache
def on_one_device():
    return train(parallel.mesh(LEARNERS, jax.devices()[:1]))


# Checks on 8 devices.


def check_mesh_splits():
    for count, learners, shape in (
        (8, 1, (1, 8)),
        (8, 2, (2, 4)),
        (8, 3, (2, 4)),
        (8, 6, (4, 2)),
        (8, 8, (8, 1)),
        (8, 100, (8, 1)),
        (6, 3, (3, 2)),
        (6, 4, (3, 2)),
        (5, 4, (1, 5)),
    ):
        mesh = parallel.mesh(learners, jax.devices()[:count])
        assert (mesh.shape['learner'], mesh.shape['data']) == shape, (count, learners, mesh)
    for count, learners, divides, shape in (  # where the devices left over do not divide the rows
        (3, 1, (128,), (1, 2)),
        (3, 2, (128,), (2, 1)),
        (3, 1, (128, 9), (1, 1)),
        (5, 1, (128,), (1, 4)),
        (5, 3, (128,), (2, 2)),
        (5, 4, (128,), (4, 1)),
        (6, 1, (128,), (1, 4)),
        (6, 2, (128,), (2, 2)),
        (6, 2, (96, 510), (2, 3)),
        (6, 5, (25,), (5, 1)),
    ):
        mesh = parallel.mesh(learners, jax.devices()[:count], divides)
        assert (mesh.shape['learner'], mesh.shape['data']) == shape, (count, learners, divides, mesh)
    assert parallel.mesh(2).size == 8
    assert parallel.padded(6, parallel.mesh(6)) == 8
    assert parallel.padded(100, parallel.mesh(100)) == 104
    assert parallel.padded(1, parallel.mesh(1)) == 1


def check_shard_pads_with_the_last_learner():
    mesh = parallel.mesh(LEARNERS)
    tree = {'a': np.arange(LEARNERS), 'key': jax.random.split(jax.random.key(1), LEARNERS)}
    put = parallel.shard(tree, mesh, P('learner'))
    assert np.asarray(put['a']).tolist() == [0, 1, 2, 3, 4, 5, 5, 5]
    assert (jax.random.key_data(put['key'])[7] == jax.random.key_data(tree['key'])[5]).all()
    assert put['key'].dtype == tree['key'].dtype
    assert len({shard.device for shard in put['a'].addressable_shards}) == 8
    assert put['a'].addressable_shards[0].data.shape == (2,)
    assert parallel.gather(put['a'], LEARNERS).tolist() == [0, 1, 2, 3, 4, 5]
    replicated = parallel.shard(np.arange(5), mesh)  # nothing is padded that no learner owns
    assert replicated.shape == (5,) and replicated.is_fully_replicated


def check_learner_keys_follow_the_index():
    mesh = parallel.mesh(3)
    keys = jax.random.key_data(parallel.learner_keys(jax.random.key(5), [4, 0, 4], mesh))
    expected = [jax.random.key_data(jax.random.fold_in(jax.random.key(5), i)) for i in (4, 0, 4, 4)]
    np.testing.assert_array_equal(keys, expected)


def check_row_keys_do_not_depend_on_the_mesh():
    def draw(key):
        mine = jax.vmap(jax.random.uniform)(parallel.row_keys(key, parallel.local_rows(BATCH), first=3))
        return mine, parallel.data_gather(mine)

    keys = [jax.random.fold_in(jax.random.key(2), i) for i in range(2)]
    expected = [[jax.random.uniform(jax.random.fold_in(key, 3 + row)) for row in range(BATCH)] for key in keys]
    for devices, learners in ((1, 2), (2, 1), (4, 2), (8, 2), (8, 1)):
        mesh = parallel.mesh(learners, jax.devices()[:devices])
        keys = parallel.learner_keys(jax.random.key(2), range(learners), mesh)
        drawn = parallel.pmap(draw, mesh, (P('learner'),), (P('learner', 'data'), P('learner')))(keys)
        np.testing.assert_array_equal(drawn, [np.asarray(expected)[:learners]] * 2)


def check_rows_that_cannot_be_split_are_refused():
    mesh = parallel.mesh(1)
    rows = parallel.pmap(lambda x: x + parallel.local_rows(12), mesh, (P('learner'),), P('learner'))
    with pytest.raises(ValueError, match='12 rows .* over 8 devices'):
        rows(jnp.zeros(1))


def check_gradients_are_the_mean_over_all_rows():
    """With respect to what every device holds (w), and what each learner has of its own (b). check_vma=True would
    return 4 times the gradient, its sum over the devices."""
    x, w, b = np.arange(1.0, 9.0, dtype=np.float32), np.float32(3), np.float32([1, 2])

    def grads(w, b, x):
        return parallel.data_mean(jax.grad(lambda w, b: jnp.mean((w * x + b) ** 2), (0, 1))(w, b))

    mesh = parallel.mesh(2)
    assert mesh.shape['data'] == 4
    # x has no learner axis: the same rows for both learners, split over the data axis
    compiled = parallel.pmap(grads, mesh, (P(), P('learner'), P('data')), P('learner'))
    dw, db = compiled(w, b, x)
    residual = w * x[None] + b[:, None]
    np.testing.assert_allclose(dw, (2 * residual * x).mean(1), rtol=1e-6)
    np.testing.assert_allclose(db, (2 * residual).mean(1), rtol=1e-6)


def check_a_population_trains_the_same_on_any_mesh():
    expected = on_one_device()
    for devices in (2, 3, 4, 5, 6, 8):
        result = train(parallel.mesh(LEARNERS, jax.devices()[:devices]))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), result, expected)
    wide = parallel.mesh(1)  # all eight devices share each learner's rows
    four = parallel.mesh(1, jax.devices()[:5], (BATCH,))
    with pytest.raises(ValueError, match='8 rows .* over 5 devices'):
        train(parallel.mesh(1, jax.devices()[:5]))
    for mesh in (wide, four):
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), train(mesh), expected)


def check_the_learner_axis_has_no_collective():
    for learners, rows in ((8, 1), (4, 2), (2, 4)):
        mesh = parallel.mesh(learners)
        assert mesh.shape['data'] == rows
        trainer, data = parallel.population(regression(), mesh), parallel.shard(DATA, mesh)
        keys = parallel.learner_keys(jax.random.key(0), range(learners), mesh)
        state = trainer.init(keys, data)
        for function, arguments in (
            (trainer.init, (keys, data)),
            (trainer.run_chunk, (state, data)),
            (trainer.policy, (state, data)),
        ):
            text = function.lower(*arguments).compile().as_text()
            assert not any('learner' in found.axis for found in compiled.Program(text).collectives(rows))
            reduces = function is trainer.run_chunk and rows > 1
            assert ('all-reduce' in text) == reduces  # the one gradient mean, where there is anything to average


def check_a_collective_between_learners_would_be_seen():
    mesh = parallel.mesh(4)
    for name, fn in (
        ('all-reduce', lambda x: jax.lax.psum(x, 'learner')),
        ('all-gather', lambda x: jax.lax.all_gather(x, 'learner')),
        ('collective-permute', lambda x: jax.lax.ppermute(x, 'learner', [(0, 1), (1, 0)])),
        ('all-reduce', lambda x: jax.lax.psum(x, ('learner', 'data'))),
    ):
        text = parallel.pmap(fn, mesh, (P('learner'),), P('learner')).lower(jnp.ones((4, 3))).compile().as_text()
        found = [each for each in compiled.Program(text).collectives(2) if 'learner' in each.axis]
        assert [each.kind for each in found] == [name], text


def check_donation():
    mesh = parallel.mesh(2)
    step = parallel.pmap(lambda s, d: s + d, mesh, (P('learner'), P('learner')), P('learner'), donate=(0,))
    state, data = (parallel.shard(np.ones((2, 4), np.float32), mesh, P('learner')) for _ in range(2))
    step(state, data)
    assert state.is_deleted() and not data.is_deleted()


CHECKS = [name for name in dir() if name.startswith('check_')]


def run_checks():
    """Prints {name of check: its traceback, '' where it passed}."""
    results = {}
    for name in CHECKS:
        try:
            globals()[name]()
            results[name] = ''
        except Exception:
            results[name] = traceback.format_exc()
    print(json.dumps(results))


@pytest.fixture(scope='module')
def results(run_on_devices):
    return run_on_devices(8, 'from tests import test_parallel; test_parallel.run_checks()')


@pytest.mark.parametrize('name', CHECKS)
def test_on_8_devices(results, name):
    assert not results[name], results[name]


# One process, and several.


def test_one_device_is_the_1_x_1_case():
    mesh = parallel.mesh(LEARNERS, jax.devices()[:1])
    assert dict(mesh.shape) == {'learner': 1, 'data': 1}
    params, losses = on_one_device()
    assert params.shape == (LEARNERS, 3) and losses.shape == (LEARNERS,)
    assert len({tuple(p) for p in params.tolist()}) == LEARNERS


def test_one_learner_of_a_population_is_that_learner_alone():
    """Recomputed without vmap, shard_map or scan."""
    key = jax.random.fold_in(jax.random.key(0), 2)
    params = np.asarray(jax.random.normal(key, (3,)), np.float64)
    for step in range(STEPS):
        row_keys = [jax.random.fold_in(jax.random.fold_in(key, step), row) for row in range(BATCH)]
        index = [int(jax.random.randint(key, (), 0, len(X))) for key in row_keys]
        residual = DATA['x'][index] @ params - DATA['y'][index]
        params = params - 0.05 * 2 * (residual[:, None] * DATA['x'][index]).mean(0)
    np.testing.assert_allclose(on_one_device()[0][2], params, rtol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match='learners=0'):
        parallel.mesh(0)
    with pytest.raises(ValueError, match="every result of a population leads with 'learner'"):
        parallel.pmap(lambda x: x, parallel.mesh(1), (P(),), P('data'))


def test_two_processes_give_the_numbers_of_one(run_in_processes):
    code = """
        import json, jax
        from postbc_jax import parallel
        parallel.initialize()
        parallel.initialize()  # a second call does nothing
        from tests import test_parallel as t
        assert jax.process_count() == 2 and len(jax.devices()) == 4
        params, losses = zip(*(t.train(parallel.mesh(learners)) for learners in (t.LEARNERS, 2, 1)))
        print(json.dumps([[p.tolist() for p in params], [l.tolist() for l in losses]]))
        """
    first, second = run_in_processes(2, 2, code)
    assert first == second  # gather gives every process the whole population
    params, losses = on_one_device()
    for p, loss in zip(*first, strict=True):
        np.testing.assert_allclose(p, params, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(loss, losses, rtol=1e-5, atol=1e-6)


def test_every_device_of_several_processes_takes_part(run_in_processes):
    """2 x 3 devices, of which 6 or 3 do not divide 8 rows: the mesh repeats learners rather than leave one out."""
    code = """
        import json
        from postbc_jax import parallel
        parallel.initialize()
        from tests import test_parallel as t
        meshes = [parallel.mesh(learners, divides=(t.BATCH,)) for learners in (t.LEARNERS, 2, 1)]
        print(json.dumps([[list(m.shape.values()) for m in meshes], [t.train(m)[0].tolist() for m in meshes]]))
        """
    (shapes, trained), second = run_in_processes(2, 3, code)
    assert (shapes, trained) == tuple(second)
    assert shapes == [[6, 1], [3, 2], [3, 2]]
    for params in trained:
        np.testing.assert_allclose(params, on_one_device()[0], rtol=1e-5, atol=1e-6)
