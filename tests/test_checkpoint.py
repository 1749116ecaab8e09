"""checkpoint: states restored on other device counts, half-written checkpoints, refusals, and stored policies."""

import dataclasses
import functools
import json
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import checkpoint, parallel
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.finetune import actor
from postbc_jax.finetune.actor import ActorConfig
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy, PolicyConfig, build

LEARNERS = 6


@struct.dataclass
class State:
    params: dict
    optimiser: Any
    key: jax.Array
    rows: jax.Array  # (8,) of every learner, split over the data axis
    step: jax.Array


SPEC = State(P('learner'), P('learner'), P('learner'), P('learner', 'data'), P('learner'))


def init(key, data):
    params = {'w': jax.random.normal(key, (3,)), 'b': jnp.zeros(())}
    rows = jax.vmap(jax.random.uniform)(parallel.row_keys(key, parallel.local_rows(8)))
    return State(params, optax.adam(1e-3).init(params), key, rows, jnp.int32(5))


@functools.cache
def population(devices):
    """(mesh, init, keys) of six learners on the first devices."""
    mesh = parallel.mesh(LEARNERS, jax.devices()[:devices])
    keys = parallel.learner_keys(jax.random.key(3), range(LEARNERS), mesh)
    return mesh, parallel.pmap(init, mesh, (P('learner'), P()), SPEC), keys


def numbers(state):
    """The state's arrays as lists, without the padding."""
    state = state.replace(key=jax.random.key_data(state.key))
    return [leaf.tolist() for leaf in jax.tree.leaves(parallel.gather(state, LEARNERS))]


def save_on(devices, directory):
    mesh, make, keys = population(devices)
    state = make(keys, jnp.zeros(()))
    with checkpoint.Checkpoints(directory, {'lr': 0.1}, LEARNERS) as checkpoints:
        checkpoints.save(3, state)
    assert state.key.shape == (parallel.padded(LEARNERS, mesh),)
    print(json.dumps(numbers(state)))


def restore_on(devices, directory):
    """Checks that what was saved anywhere is what is made here."""
    mesh, make, keys = population(devices)
    abstract = jax.eval_shape(make, keys, jnp.zeros(()))
    with checkpoint.Checkpoints(directory, {'lr': 0.1}, LEARNERS) as checkpoints:
        state = checkpoints.restore(abstract, mesh, SPEC)
    fresh = make(keys, jnp.zeros(()))
    same = jax.tree.map(lambda a, b: a.sharding.is_equivalent_to(b.sharding, a.ndim), state, fresh)
    assert jax.tree.all(same), same
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    assert jax.dtypes.issubdtype(state.key.dtype, jax.dtypes.prng_key)
    padding = jax.random.key_data(state.key)[LEARNERS:]
    assert (padding == jax.random.key_data(state.key)[LEARNERS - 1]).all()
    return numbers(state)


def test_saved_on_4_devices_restored_on_2_and_1_and_back(tmp_path, run_on_devices):
    saved = run_on_devices(
        4, f'from tests import test_checkpoint as t; t.save_on(4, {str(tmp_path / "four")!r})'
    )  # 8 rows
    assert len(saved[0]) == LEARNERS
    assert restore_on(1, tmp_path / 'four') == saved
    save_on(1, tmp_path / 'one')  # 6 rows
    restored = run_on_devices(
        4,
        f"""
        import json
        from tests import test_checkpoint as t
        for devices in (2, 3, 4):
            for name in ('four', 'one'):
                result = t.restore_on(devices, {str(tmp_path)!r} + '/' + name)
        print(json.dumps(result))
        """,
    )
    assert restored == saved


@pytest.fixture
def saved(tmp_path):
    """A directory with the checkpoints 2 and 3, whose `step` says which is which."""
    mesh, make, keys = population(1)
    state = make(keys, jnp.zeros(()))
    with checkpoint.Checkpoints(tmp_path / 'c', {'lr': 0.1}, LEARNERS) as checkpoints:
        for chunk in (1, 2, 3):
            checkpoints.save(chunk, state.replace(step=jnp.full(LEARNERS, chunk)))
    assert sorted(path.name for path in (tmp_path / 'c').iterdir()) == ['2', '3']  # the newest two are kept
    return tmp_path / 'c'


def restored_step(directory):
    mesh, make, keys = population(1)
    with checkpoint.Checkpoints(directory, {'lr': 0.1}, LEARNERS) as checkpoints:
        state = checkpoints.restore(jax.eval_shape(make, keys, jnp.zeros(())), mesh, SPEC)
        return checkpoints.latest, int(state.step[0])


@pytest.mark.parametrize('missing', ['state', 'meta', 'state/_METADATA', 'state/manifest.ocdbt', 'meta/metadata'])
def test_half_written_checkpoints_are_skipped_and_can_be_saved_again(saved, missing):
    damaged = saved / '3' / missing
    shutil.rmtree(damaged) if damaged.is_dir() else damaged.unlink()
    assert checkpoint.incomplete(saved) == [str(saved / '3')]
    assert restored_step(saved) == (2, 2)
    assert checkpoint.incomplete(saved) == []
    mesh, make, keys = population(1)
    with checkpoint.Checkpoints(saved, {'lr': 0.1}, LEARNERS) as checkpoints:
        checkpoints.save(3, make(keys, jnp.zeros(())))
    assert restored_step(saved) == (3, 5)


def test_a_save_that_was_killed_is_skipped(saved):
    (saved / '3').rename(saved / '3.orbax-checkpoint-tmp')
    assert checkpoint.incomplete(saved) == [str(saved / '3.orbax-checkpoint-tmp')]
    assert restored_step(saved) == (2, 2)


def test_without_a_complete_checkpoint_there_is_none(tmp_path):
    (tmp_path / '1.orbax-checkpoint-tmp').mkdir()
    with checkpoint.Checkpoints(tmp_path, {}, 2) as checkpoints:
        assert checkpoints.latest is None
        with pytest.raises(ValueError, match='holds no complete checkpoint'):
            checkpoints.restore({}, None, P())


@pytest.mark.parametrize(
    ('meta', 'learners', 'message'),
    [
        ({'lr': 0.2}, LEARNERS, r'was written with lr=0.1, this run has lr=0.2'),
        ({'lr': 0.1, 'new': {'a': 1}}, LEARNERS, r"new='nothing', this run has new={'a': 1}"),
        ({'lr': 0.1}, 5, r'learners=6, this run has learners=5'),
    ],
)
def test_another_run_is_refused_by_the_key_that_differs(saved, meta, learners, message):
    with pytest.raises(ValueError, match=message):
        checkpoint.Checkpoints(saved, meta, learners)
    assert restored_step(saved) == (3, 3)


def test_differences_are_found_in_depth(tmp_path):
    mesh, make, keys = population(1)
    meta = {'net': {'hidden': (64, 64)}, 'labels': [{'seed': 0}, {'seed': 1}]}
    with checkpoint.Checkpoints(tmp_path, meta, LEARNERS) as checkpoints:
        checkpoints.save(1, make(keys, jnp.zeros(())))
    checkpoint.Checkpoints(tmp_path, meta, LEARNERS)  # a tuple is JSON's list
    for changed, key in (
        (meta | {'net': {'hidden': (64, 32)}}, r'net\.hidden\[1\]=64'),
        (meta | {'net': {'hidden': (64,)}}, r'net\.hidden=\[64, 64\]'),
        (meta | {'labels': [{'seed': 0}, {'seed': 2}]}, r'labels\[1\]\.seed=1'),
    ):
        with pytest.raises(ValueError, match=key):
            checkpoint.Checkpoints(tmp_path, changed, LEARNERS)


def test_other_arrays_are_refused_by_name(saved):
    mesh, make, keys = population(1)
    abstract = jax.eval_shape(make, keys, jnp.zeros(()))
    wide = abstract.replace(params={'w': jax.ShapeDtypeStruct((LEARNERS, 4), jnp.float32), 'b': abstract.params['b']})
    renamed = abstract.replace(params={'v': abstract.params['w'], 'b': abstract.params['b']})
    for wrong, message in (
        (wide, r"state\.params\['w'\] as float32\(3,\), this run has float32\(4,\)"),
        (renamed, r"state\.params\['v'\] as nothing, this run has float32\(3,\)"),
    ):
        with (
            checkpoint.Checkpoints(saved, {'lr': 0.1}, LEARNERS) as checkpoints,
            pytest.raises(ValueError, match=message),
        ):
            checkpoints.restore(wrong, mesh, SPEC)


def test_a_file_or_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / 'demo.hdf5').write_text('x')
    with pytest.raises(ValueError, match='is a file'):
        checkpoint.Checkpoints(tmp_path / 'demo.hdf5', {}, 1)
    with pytest.raises(ValueError, match="holds 'demo.hdf5' and no checkpoint"):
        checkpoint.Checkpoints(tmp_path, {}, 1)


@dataclasses.dataclass(frozen=True)
class Config:
    family: str
    hidden: tuple[int, ...]
    regions: tuple[tuple[str, int], ...] = ()


@struct.dataclass
class Bounds:
    low: jax.Array
    high: jax.Array


@struct.dataclass
class Base:
    params: dict
    bounds: Bounds
    config: Config = struct.field(pytree_node=False)


@struct.dataclass
class Steered:
    base: Base
    actor: dict
    config: Config = struct.field(pytree_node=False)
    deterministic: bool = struct.field(pytree_node=False, default=True)


LABELS = [
    {'pretrain': 'bc', 'alpha': 0.0, 'seed': 0},
    {'pretrain': 'bc', 'alpha': 0.0, 'seed': 1},
    {'pretrain': 'post_bc', 'alpha': 1.0, 'seed': 0},
]


def policies(rows):
    base = Base(
        {'dense': {'kernel': jnp.arange(rows * 4.0).reshape(rows, 2, 2)}},
        Bounds(-jnp.ones((rows, 2)), jnp.ones((rows, 2)) * jnp.arange(rows)[:, None]),
        Config('flow', (96, 96), (('rare', 3),)),
    )
    return Steered(base, {'scale': jnp.arange(rows, dtype=jnp.int32)}, Config('actor', (8,)), deterministic=False)


def test_policies_come_back_whole(tmp_path):
    checkpoint.save_policy(tmp_path / 'p', policies(4), LABELS)  # one row of padding
    stack, labels = checkpoint.load_policies(tmp_path / 'p', Steered)
    assert labels == LABELS
    assert jax.tree.structure(stack) == jax.tree.structure(policies(3))  # static fields and configs are part of it
    jax.tree.map(np.testing.assert_array_equal, stack, policies(3))
    assert stack.base.config.hidden == (96, 96) and hash(stack.base.config) == hash(policies(3).base.config)
    checkpoint.save_policy(tmp_path / 'p', policies(2).base, LABELS[:2])  # replaces it
    assert len(checkpoint.load_policies(tmp_path / 'p', Base)[1]) == 2
    assert not [path for path in (tmp_path / 'p').rglob('*') if path.suffix in ('.pkl', '.pickle')]


def test_one_policy_by_index_or_label(tmp_path):
    checkpoint.save_policy(tmp_path / 'p', policies(3), LABELS)
    for learner in (2, {'pretrain': 'post_bc'}, {'alpha': 1.0, 'seed': 0}):
        policy = checkpoint.load_policy(tmp_path / 'p', learner, Steered)
        assert policy.actor['scale'] == 2 and policy.base.bounds.high.tolist() == [2.0, 2.0]
    for learner, message in (
        (3, 'has no learner 3; there are 3'),
        ({'pretrain': 'bc'}, '2 learners match'),
        ({'pretrain': 'iql'}, '0 learners match'),
    ):
        with pytest.raises(ValueError, match=message):
            checkpoint.load_policy(tmp_path / 'p', learner, Steered)


def test_policies_of_another_kind_are_refused(tmp_path):
    checkpoint.save_policy(tmp_path / 'p', policies(3), LABELS)
    with pytest.raises(ValueError, match='cannot be read as Base: it holds Steered'):
        checkpoint.load_policies(tmp_path / 'p', Base)
    with pytest.raises(ValueError, match='holds no policies'):
        checkpoint.load_policies(tmp_path / 'absent', Base)


def test_a_loaded_policy_acts_like_the_one_that_was_saved(tmp_path):
    config = PolicyConfig('flow', obs_size=4, action_size=2, chunk=3, hidden=(8,), inference_steps=2)
    params = jax.vmap(build(config).init)(jax.random.split(jax.random.key(0), 2))
    low, high = jnp.array([[-1.0] * 4, [-2.0] * 4]), jnp.array([[3.0] * 4, [2.0] * 4])
    normaliser = Normaliser(low, high, low[:, :2], high[:, :2], jnp.full(2, 0.01))
    plain = Policy(params, normaliser, config)
    actor_config = ActorConfig('squashed', 6, 1.5, (8,), 'tanh')
    actors = jax.vmap(lambda key: actor.init(actor_config, key, 4))(jax.random.split(jax.random.key(1), 2))
    obs, key = jnp.arange(4.0), jax.random.key(2)
    for stack in (plain, SteeredPolicy(plain, actors, actor_config)):
        checkpoint.save_policy(tmp_path / 'p', stack, [{'seed': 0}, {'seed': 1}])
        original = jax.tree.map(lambda x: x[1], stack)
        loaded = checkpoint.load_policy(tmp_path / 'p', {'seed': 1}, type(stack))
        assert jax.tree.structure(loaded) == jax.tree.structure(original)
        np.testing.assert_array_equal(loaded(obs, key)[0], original(obs, key)[0])
        assert loaded(obs, key)[0].shape == (3, 2)
