"""Policies for the next stage, or for whoever plays them: arrays by Orbax, configs and labels as JSON."""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from postbc_jax import parallel
from postbc_jax.policies import Policy

Path = str | os.PathLike


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
    """A struct dataclass as nested dicts of its arrays; what is None is left out, and read as its default."""
    if not dataclasses.is_dataclass(node):
        return node
    return {name: _arrays(getattr(node, name)) for name in _fields(node)[0] if getattr(node, name) is not None}


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
