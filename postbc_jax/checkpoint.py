"""What lies on disk between the stages: training states that can be resumed, and policies for the next stage.

A thin layer over Orbax. Arrays are Orbax's, everything else is JSON; nothing is pickled, nothing is half-written.
"""

import dataclasses
import json
import os
import pathlib
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.policies import Policy

Path = str | os.PathLike


class Checkpoints:
    """The checkpoints of one stage: the population's states after some of its chunks, the newest two kept.

    A state is saved as it lies on the devices, while training goes on; it can be restored on any number of devices.
    Use as a context manager: leaving it waits for the last save.
    """

    def __init__(self, directory: Path, meta: Mapping[str, Any], learners: int):
        """
        Args:
          directory: made where it is missing.
          meta: JSON-able; what makes this run this run. Saved with every state, and compared before one is restored.
          learners: the size of the population.

        Raises:
          ValueError: the directory is a file, holds something else, or holds the checkpoints of another run (the
            message names the first key that differs).
        """
        self._directory = pathlib.Path(directory).absolute()
        self._meta = json.loads(json.dumps({**meta, 'learners': learners}))
        self._learners = learners
        if self._directory.exists() and not self._directory.is_dir():
            raise ValueError(f'{directory}: is a file; checkpoints need a directory')
        options = ocp.CheckpointManagerOptions(max_to_keep=2, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(self._directory, options=options)
        self.latest = self._newest_complete()
        if self.latest is None:
            self._refuse_strangers()
        else:
            self._refuse_another_run(self._read_meta(self.latest)['run'])

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    @property
    def busy(self) -> bool:
        """Whether the last save is still being written."""
        return self._manager.is_saving_in_progress()

    def save(self, chunk: int, state: Any) -> None:
        """Saves the population's state after `chunk` chunks. The state may be donated as soon as this returns."""
        rows = jax.tree.leaves(state)[0].shape[0]
        meta = {'run': self._meta, 'rows': rows, 'arrays': _layout(state)}
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta))
        self._manager.save(chunk, args=items, force=True)
        self.latest = chunk

    def restore(self, abstract: Any, mesh: Mesh, spec: Any) -> Any:
        """The newest state, on the devices of `mesh`.

        Args:
          abstract: the state's shapes and dtypes on this mesh, from jax.eval_shape.
          mesh: need not be the mesh that the state was saved on. Where the padding differs, the last learner is
            repeated or cut off, as parallel.shard would.
          spec: PartitionSpec prefix of the state.

        Raises:
          ValueError: there is no checkpoint, or its arrays are not those of `abstract`.
        """
        if self.latest is None:
            raise ValueError(f'{self._directory}: holds no complete checkpoint')
        meta = self._read_meta(self.latest)
        difference = _difference(meta['arrays'], _layout(abstract))
        if difference:
            name, before, now = difference
            raise ValueError(
                f'{self._directory / str(self.latest)}: holds {name} as {before}, this run has {now}; '
                'it was written by another version or setting: use a new work directory'
            )
        saved, rows = meta['rows'], parallel.padded(self._learners, mesh)
        specs = jax.tree.broadcast(spec, abstract, is_leaf=lambda x: isinstance(x, P))
        shardings = jax.tree.map(lambda _, spec: NamedSharding(mesh, spec), abstract, specs)

        def template(x, sharding):
            if saved != rows:  # rows of another padding may not divide over this mesh: whole first, split below
                sharding = NamedSharding(mesh, P(None, *sharding.spec[1:]))
            return jax.ShapeDtypeStruct((saved, *x.shape[1:]), x.dtype, sharding=sharding)

        target = jax.tree.map(template, abstract, shardings)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        state = self._manager.restore(self.latest, args=items).state
        if saved == rows:
            return state
        learner = np.minimum(np.arange(rows), self._learners - 1)
        repad = jax.jit(lambda state: jax.tree.map(lambda x: x[learner], state), out_shardings=shardings)
        return repad(state)

    def _newest_complete(self) -> int | None:
        """The newest checkpoint that is whole. Newer ones that are not are removed, so that they can be saved again."""
        for chunk in sorted(self._manager.all_steps(), reverse=True):
            folder = self._directory / str(chunk)
            parts = ('state/_METADATA', 'state/manifest.ocdbt', 'meta/metadata')
            if all((folder / part).is_file() for part in parts):
                return chunk
            self._manager.delete(chunk)
        return None

    def _read_meta(self, chunk: int) -> dict:
        return self._manager.restore(chunk, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta

    def _refuse_strangers(self) -> None:
        found = sorted(path.name for path in self._directory.iterdir() if not path.name.startswith('.'))
        found = [name for name in found if '.orbax-checkpoint-tmp' not in name]
        if found:
            raise ValueError(f'{self._directory}: holds {found[0]!r} and no checkpoint; give it a directory of its own')

    def _refuse_another_run(self, saved: Mapping[str, Any]) -> None:
        difference = _difference(saved, self._meta)
        if difference:
            key, before, now = difference
            raise ValueError(
                f'{self._directory}: was written with {key}={before!r}, this run has {key}={now!r}; '
                'use the old value or a new work directory'
            )


def _layout(state: Any) -> dict[str, str]:
    """{path: dtype and shape for one learner} of every array, such as {"state.params['w']": 'float32(3,)'}."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {f'state{jax.tree_util.keystr(path)}': f'{x.dtype}{x.shape[1:]}' for path, x in leaves}


_ABSENT = 'nothing'


def _difference(saved: Any, current: Any, key: str = '') -> tuple[str, Any, Any] | None:
    """(dotted key, saved value, current value) of the first difference of two JSON values."""
    if isinstance(saved, dict) and isinstance(current, dict):
        children = [(f'{key}.{name}' if key else name, name) for name in sorted(saved.keys() | current.keys())]
        pairs = [(path, saved.get(name, _ABSENT), current.get(name, _ABSENT)) for path, name in children]
    elif isinstance(saved, list) and isinstance(current, list) and len(saved) == len(current):
        pairs = [(f'{key}[{i}]', a, b) for i, (a, b) in enumerate(zip(saved, current, strict=True))]
    else:
        return None if saved == current else (key, saved, current)
    differences = (_difference(before, now, path) for path, before, now in pairs)
    return next((difference for difference in differences if difference), None)


def save_policy(
    directory: Path, policies: Any, labels: Sequence[Mapping[str, Any]], about: Mapping[str, Any] | None = None
) -> None:
    """Saves a population's policies: arrays by Orbax, configs and labels as JSON, complete or not at all.

    Args:
      directory: replaced where it exists.
      policies: a struct dataclass (policies.Policy, or one of finetune's SteeredPolicy and ChainPolicy); arrays lead
        with the learner axis.
      labels: one JSON-able mapping a learner, such as {'pretrain': 'post_bc', 'alpha': 1.0, 'seed': 0}.
      about: JSON-able; what is true of all of them and not in their configs: {'env': 'lift', 'obs_keys': [['x', 3]]}.
    """
    stack = parallel.gather(policies, len(labels))
    meta = {'policy': _describe(stack), 'labels': [dict(label) for label in labels], 'about': dict(about or {})}
    items = ocp.args.Composite(arrays=ocp.args.StandardSave(_arrays(stack)), meta=ocp.args.JsonSave(meta))
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        checkpointer.save(pathlib.Path(directory).absolute(), args=items, force=True)


def load_policies(directory: Path, kind: type = Policy) -> tuple[Any, list[dict]]:
    """The policies of a population, numpy arrays that lead with the learner axis, and their labels.

    Raises:
      ValueError: the directory holds no policies, or policies of another kind.
    """
    restored = _restore_policies(directory, arrays=ocp.args.StandardRestore(), meta=ocp.args.JsonRestore())
    try:
        stack = _rebuild(kind, restored.meta['policy'], jax.tree.map(np.asarray, restored.arrays))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f'{directory}: cannot be read as {kind.__name__}: {error}') from error
    return stack, restored.meta['labels']


def read_about(directory: Path) -> tuple[str, dict[str, Any]]:
    """The name of the class of the policies in a directory, and what save_policy was told about them all.

    Raises:
      ValueError: the directory holds no policies.
    """
    meta = _restore_policies(directory, meta=ocp.args.JsonRestore()).meta
    return meta['policy']['kind'], meta.get('about', {})


def _restore_policies(directory: Path, **items: Any) -> Any:
    path = pathlib.Path(directory).absolute()
    if not (path / 'meta').is_dir() or not (path / 'arrays').is_dir():
        raise ValueError(f'{directory}: holds no policies')
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(path, args=ocp.args.Composite(**items))


def load_policy(directory: Path, learner: int | Mapping[str, Any], kind: type = Policy) -> Any:
    """One policy, ready to call.

    Args:
      directory: as given to save_policy.
      learner: its index, or what its label says: {'pretrain': 'bc', 'seed': 0} must match exactly one learner.
      kind: the class of the policies: policies.Policy, or one of finetune's SteeredPolicy and ChainPolicy.

    Raises:
      ValueError: no such learner, or several; the directory holds no policies of that kind.
    """
    stack, labels = load_policies(directory, kind)
    if isinstance(learner, Mapping):
        matches = [i for i, label in enumerate(labels) if learner.items() <= label.items()]
        if len(matches) != 1:
            raise ValueError(f'{directory}: {len(matches)} learners match {dict(learner)}; there are {labels}')
        learner = matches[0]
    if not 0 <= learner < len(labels):
        raise ValueError(f'{directory}: has no learner {learner}; there are {len(labels)}, counted from 0')
    return jax.tree.map(lambda x: jnp.asarray(x[learner]), stack)


def _fields(node: Any) -> tuple[list[str], list[str]]:
    """The names of a struct dataclass's fields: (arrays, static)."""
    fields = dataclasses.fields(node)
    arrays = [field.name for field in fields if field.metadata.get('pytree_node', True)]
    return arrays, [field.name for field in fields if field.name not in arrays]


def _arrays(node: Any) -> Any:
    """A struct dataclass as nested dicts of its arrays."""
    if not dataclasses.is_dataclass(node):
        return node
    return {name: _arrays(getattr(node, name)) for name in _fields(node)[0]}


def _describe(node: Any) -> dict:
    """What _arrays leaves out, as JSON: the class's name, its static fields, and the same of nested dataclasses."""
    arrays, static = _fields(node)
    nested = {name: getattr(node, name) for name in arrays if dataclasses.is_dataclass(getattr(node, name))}
    values = {name: getattr(node, name) for name in static}
    return {
        'kind': type(node).__name__,
        'static': {k: dataclasses.asdict(v) if dataclasses.is_dataclass(v) else v for k, v in values.items()},
        'nested': {name: _describe(value) for name, value in nested.items()},
    }


def _rebuild(kind: type, description: Mapping[str, Any], arrays: Mapping[str, Any]) -> Any:
    """The struct dataclass that _arrays and _describe took apart; classes come from the annotations of `kind`."""
    if description['kind'] != kind.__name__:
        raise ValueError(f'it holds {description["kind"]}')
    hints = typing.get_type_hints(kind)
    values = {name: value for name, value in arrays.items() if name not in description['nested']}
    for name, nested in description['nested'].items():
        values[name] = _rebuild(hints[name], nested, arrays[name])
    for name, value in description['static'].items():
        value = _frozen(value)
        values[name] = hints[name](**value) if dataclasses.is_dataclass(hints[name]) else value
    return kind(**values)


def _frozen(value: Any) -> Any:
    """JSON's lists as the tuples that they were: a frozen config is hashable, so it never held a list."""
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
