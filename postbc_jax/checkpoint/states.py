"""Training states that can be resumed, with what says whose they are. Read and written by the loop."""

import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel

Path = str | os.PathLike


_TEMPORARY = '.orbax-checkpoint-tmp'


def incomplete(directory: Path) -> list[str]:
    """The folders of a stage's directory in which a save was cut short. Checkpoints skips and removes them."""
    folders = sorted(path for path in pathlib.Path(directory).glob('*') if path.is_dir())
    return [str(path) for path in folders if _TEMPORARY in path.name or (path.name.isdigit() and not _complete(path))]


def _complete(folder: pathlib.Path) -> bool:
    return all((folder / part).is_file() for part in ('state/_METADATA', 'state/manifest.ocdbt', 'meta/metadata'))


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
        """Saves the population's state after `chunk` chunks. The state may be donated as soon as this returns.

        Raises:
          ValueError: the disk has no room for it.
        """
        needed = sum(x.nbytes for x in jax.tree.leaves(state)) + 2**20  # the rest says what the arrays are
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            raise ValueError(
                f'{self._directory}: no room to save chunk {chunk}: {free / 2**20:.1f} MiB are left, '
                f'{needed / 2**20:.1f} are needed: make room and start again; the last checkpoint is whole'
            )
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
            if _complete(self._directory / str(chunk)):
                return chunk
            self._manager.delete(chunk)
        return None

    def _read_meta(self, chunk: int) -> dict:
        return self._manager.restore(chunk, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta

    def _refuse_strangers(self) -> None:
        found = sorted(path.name for path in self._directory.iterdir() if not path.name.startswith('.'))
        found = [name for name in found if _TEMPORARY not in name]
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
