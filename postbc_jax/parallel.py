"""Devices: the mesh, the mapping of one learner's functions over a population, and moving arrays on and off.

The only module that knows how many devices or processes there are. A population of independent learners (ensemble
members, arms x seeds, finetuning runs) lies on the mesh axis 'learner'; the rows of one learner (its batch, its
environments) are split over the axis 'data'. One device is the 1 x 1 case of the same code.
"""

import functools
import glob
import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from postbc_jax import cores
from postbc_jax.types import Trainer

LEARNER, DATA = 'learner', 'data'
REPLICATED = P()
_FORCED_DEVICES = 'xla_force_host_platform_device_count'


def initialize() -> None:
    """Joins jax.distributed where a launcher started several processes; does nothing for a single one.

    Where JAX_COORDINATOR_ADDRESS is set, JAX_NUM_PROCESSES and JAX_PROCESS_ID say the rest. Slurm (srun with more than
    one task), Open MPI (mpirun with more than one) and TPUs (pods, slices, and every Cloud TPU machine, which may be
    part of one) jax knows by itself. Call before anything else touches jax.

    Raises:
      ValueError: several processes, but jax does not find out about them.
    """
    if jax.distributed.is_initialized():
        return
    coordinator, cluster = os.environ.get('JAX_COORDINATOR_ADDRESS'), _cluster()
    if not (coordinator or cluster):
        return
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')  # read only where the backend is the CPU
    if coordinator:
        count, process = (_whole_number(name) for name in ('JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'))
        jax.distributed.initialize(coordinator, count, process)
        return
    try:
        jax.distributed.initialize()
    except ValueError as error:
        raise ValueError(
            f'{cluster}: jax does not find the other processes ({error}): set JAX_COORDINATOR_ADDRESS, '
            'JAX_NUM_PROCESSES and JAX_PROCESS_ID in each'
        ) from error


def _cluster(devices: str = '/dev') -> str:
    """What is seen by which jax can join others by itself; '' where nothing is."""
    tpu = 'tpu' in (os.environ.get('JAX_PLATFORMS') or 'tpu')
    for name in ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE', *['MEGASCALE_NUM_SLICES'] * tpu):
        if _whole_number(name, '1') > 1:
            return name
    for name in ('TPU_WORKER_HOSTNAMES', 'TPU_PROCESS_ADDRESSES'):
        if tpu and ',' in os.environ.get(name, ''):
            return name
    # A Cloud TPU machine asks a server about its pod; where there are no chips jax sets TPU_SKIP_MDS_QUERY.
    if tpu and 'TPU_SKIP_MDS_QUERY' not in os.environ and importlib.util.find_spec('libtpu'):
        return next(iter(glob.glob(f'{devices}/accel[0-9]*') + glob.glob(f'{devices}/vfio/[0-9]*')), '')
    return ''


def _whole_number(name: str, default: str = '') -> int:
    value = os.environ.get(name, default)
    if not value.isdigit():
        raise ValueError(f'{name}={value!r}: must be a whole number; of several processes each needs it')
    return int(value)


def one_device_a_core() -> None:
    """Makes every CPU core that this process may use a device of its own, where the CPU is what jax runs on.

    Independent learners on a core each leave no core waiting for another, as the threads of one small matrix product
    do: an ensemble of ten trains 1.1 (width 512) to 1.4 (width 64) times as fast on two cores. Does nothing in several
    processes, or where XLA_FLAGS or JAX_NUM_CPU_DEVICES asks for a number of devices. Call before anything else
    touches jax.
    """
    if not jax.distributed.is_initialized() and not _devices_asked_for():
        jax.config.update('jax_num_cpu_devices', cores.available())


def _devices_asked_for() -> bool:
    return 'JAX_NUM_CPU_DEVICES' in os.environ or _FORCED_DEVICES in os.environ.get('XLA_FLAGS', '')


def mesh(learners: int, devices: Sequence[jax.Device] | None = None, divides: Sequence[int] = ()) -> Mesh:
    """Splits the devices (default: all, of every process) into a learner x data mesh for a population.

    As many devices as possible have work, on as wide a learner axis as possible: where nothing hinders it the learner
    axis is the largest divisor of the device count that is at most `learners`, and the data axis is the rest. What
    cannot be used is left out; in several processes, where every device must take part, it repeats learners instead.
    Of cores (one_device_a_core) no more are taken than there are learners: threads share one learner's work better.

    Args:
      learners: the size of the population.
      devices: the devices to split.
      divides: numbers of rows (of a batch, of environments) that the data axis must divide.

    Raises:
      ValueError: learners < 1.
    """
    if learners < 1:
        raise ValueError(f'learners={learners}: a population has at least one learner')
    if devices is None:
        devices = jax.devices()
        if devices[0].platform == 'cpu' and jax.config.jax_num_cpu_devices > 0 and not _devices_asked_for():
            devices = devices[:learners]
    devices = list(devices)
    n, whole = len(devices), len({device.process_index for device in devices}) > 1
    splits = [
        (width, data)
        for data in range(1, n + 1)
        if all(rows % data == 0 for rows in divides)
        for width in range(1, n // data + 1)
        if (width * data == n if whole else width <= learners)
    ]
    width, data = max(splits, key=lambda split: (min(split[0], learners) * split[1], split[0]))
    return jax.make_mesh((width, data), (LEARNER, DATA), (AxisType.Auto,) * 2, devices=devices[: width * data])


def padded(learners: int, mesh: Mesh) -> int:
    """The population's size on the mesh: `learners` rounded up to a multiple of the learner axis."""
    width = mesh.shape[LEARNER]
    return -(-learners // width) * width


def pmap(fn: Callable, mesh: Mesh, in_specs: tuple, out_specs: Any, donate: tuple[int, ...] = ()) -> Callable:
    """Maps a function of one learner over a population: jit(shard_map(vmap(fn))).

    With check_vma=False gradients keep jax.pmap's semantics: a gradient is this device's own until it is averaged
    with data_mean. Communication happens only where fn asks for it, along the data axis.

    Args:
      fn: function of positional arguments, written for one learner.
      mesh: from `mesh`.
      in_specs: one PartitionSpec prefix an argument. A leaf whose spec begins with 'learner' is mapped over its first
        axis, any other is the same for every learner. P('learner', 'data') also splits the next axis over devices.
      out_specs: PartitionSpec prefix of the result; every leaf begins with 'learner'.
      donate: the arguments whose buffers the call may reuse.

    Returns:
      A compiled function over global arrays that lead with the padded learner axis.
    """
    for spec in jax.tree.leaves(out_specs, is_leaf=_is_spec):
        if not spec or spec[0] != LEARNER:
            raise ValueError(f'out_specs holds {spec}: every result of a population leads with {LEARNER!r}')
    split = jax.tree.map(lambda spec: bool(spec) and spec[0] == LEARNER, in_specs, is_leaf=_is_spec)
    mapped = jax.shard_map(
        _over_learners(fn, split), mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )
    return jax.jit(mapped, donate_argnums=donate)


def _over_learners(fn: Callable, split: tuple) -> Callable:
    """vmap over the learners of a device; `split` is a prefix of the arguments that says which lead with them.

    One alone gets no axis: with an axis of 1 XLA's CPU compiler does not merge transpositions into matrix products,
    and an update of networks of width 2048 took 1.6 times as long.
    """

    def mapped(*args):
        of_leaf = jax.tree.broadcast(split, args)
        first = [x.shape[0] for x, own in zip(*map(jax.tree.leaves, (args, of_leaf)), strict=True) if own]
        if set(first) == {1}:
            alone = jax.tree.map(lambda x, own: x[0] if own else x, args, of_leaf)
            return jax.tree.map(lambda x: x[None], fn(*alone))
        return jax.vmap(fn, in_axes=jax.tree.map(lambda own: 0 if own else None, split))(*args)

    return mapped


def _is_spec(x: Any) -> bool:
    return isinstance(x, P)


def population(trainer: Trainer, mesh: Mesh) -> Trainer:
    """The same trainer over a population: every state, key and result gains the leading learner axis."""
    state, data = trainer.state_spec, trainer.data_spec

    def chunk(fn):
        return pmap(fn, mesh, (state, data), (state, P(LEARNER)), donate=(0,))

    return trainer._replace(
        init=pmap(trainer.init, mesh, (P(LEARNER), data), state),
        run_chunk=chunk(trainer.run_chunk),
        warm_chunk=trainer.warm_chunk and chunk(trainer.warm_chunk),
        policy=pmap(trainer.policy, mesh, (state, data), P(LEARNER)),
    )


def shard(tree: Any, mesh: Mesh, spec: P = REPLICATED, learners: np.ndarray | None = None) -> Any:
    """Puts host arrays, the same on every process, onto the mesh as global arrays.

    A spec that begins with 'learner' pads the first axis to the mesh by repeating the last learner; `gather` with
    the population's size takes the padding off again. On a mesh of devices that are only described
    (jax.experimental.topologies) shapes stand for the arrays, here and there: all that compiling needs.

    Args:
      tree: of arrays.
      mesh: from `mesh`.
      spec: how every array lies on it.
      learners: of a spec that begins with 'learner', which rows of the first axis; None for all of them.
    """
    sharding = NamedSharding(mesh, spec)
    described = mesh.devices.flat[0].platform != jax.default_backend()

    def put(x):
        shape, rows = x.shape, None
        if spec and spec[0] == LEARNER:
            rows = np.arange(shape[0]) if learners is None else learners
            rows = rows[np.minimum(np.arange(padded(len(rows), mesh)), len(rows) - 1)]
            shape = (len(rows), *shape[1:])
        if described:
            return jax.ShapeDtypeStruct(shape, x.dtype, sharding=sharding)
        x = x if rows is None else x[rows]
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            impl = jax.random.key_impl(x)
            return jax.random.wrap_key_data(put_array(np.asarray(jax.random.key_data(x))), impl=impl)
        return put_array(np.asarray(x))

    def put_array(x):
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(put, tree)


def abstract_state(trainer: Trainer, mesh: Mesh, keys: jax.Array, data: Any) -> Any:
    """The shapes and dtypes of the state that a population's trainer begins with, as they lie on the mesh."""
    state = jax.eval_shape(trainer.init, keys, data)
    specs = jax.tree.broadcast(trainer.state_spec, state, is_leaf=_is_spec)
    return jax.tree.map(
        lambda x, spec: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec)), state, specs
    )


def gather(tree: Any, learners: int | None = None) -> Any:
    """Global arrays as numpy arrays on every process; the first `learners` rows where given."""
    if jax.process_count() > 1:
        tree = multihost_utils.process_allgather(tree, tiled=True)
    return jax.tree.map(lambda x: np.asarray(x)[:learners], tree)


def learner_keys(key: jax.Array, indices: Sequence[int], mesh: Mesh) -> jax.Array:
    """One key a learner, fold_in(key, index), on the mesh. Learners with the same index draw the same numbers."""
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.asarray(indices))
    return shard(keys, mesh, P(LEARNER))


def local_rows(rows: int) -> int:
    """Inside pmap: how many of one learner's `rows` (batch entries, environments) this device holds.

    Raises:
      ValueError: the data axis does not divide rows.
    """
    shards = jax.lax.axis_size(DATA)
    if rows % shards:
        raise ValueError(f'{rows} rows (batch entries or environments) cannot be split over {shards} devices')
    return rows // shards


def first_row(local: int) -> jax.Array:
    """Inside pmap: the logical index, over all devices that share one learner's, of this one's first of local rows."""
    return jax.lax.axis_index(DATA) * local


def row_keys(key: jax.Array, local: int, first: int | jax.Array = 0) -> jax.Array:
    """Inside pmap: keys (local,) of this device's rows, by their logical index, so that the numbers drawn do not
    depend on how many devices share the rows. `first` is the index of the first row over all devices."""
    first = first + first_row(local)
    return jax.vmap(lambda i: jax.random.fold_in(key, first + i))(jnp.arange(local))


def data_gather(tree: Any) -> Any:
    """Inside pmap: the rows (local, ...) of all devices that share one learner's, in logical order, on each of them."""
    return tree if jax.lax.axis_size(DATA) == 1 else jax.lax.all_gather(tree, DATA, tiled=True)


def data_mean(tree: Any) -> Any:
    """Inside pmap: the mean over the devices that share one learner's rows. A device of its own asks nobody."""
    return tree if jax.lax.axis_size(DATA) == 1 else jax.lax.pmean(tree, DATA)
