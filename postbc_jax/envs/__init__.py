"""Environments: the built-in tasks by name, any of brax's, and what demonstrates, vectorises and chunks them."""

import inspect
from typing import Any

import brax.envs
from brax.envs.base import Env

from postbc_jax.envs import hosted
from postbc_jax.envs.brax_task import BraxTask
from postbc_jax.envs.can import Can
from postbc_jax.envs.chunks import PlayChunks
from postbc_jax.envs.gate import Gate
from postbc_jax.envs.host import HostEnv
from postbc_jax.envs.lift import Lift
from postbc_jax.envs.lift_mjx import LiftMJX
from postbc_jax.envs.operators import Operator
from postbc_jax.envs.playground import PlaygroundTask
from postbc_jax.envs.record import record
from postbc_jax.envs.square import Square
from postbc_jax.envs.task import Task
from postbc_jax.envs.wrappers import FreshReset, wrap

__all__ = ['TASKS', 'BraxTask', 'FreshReset', 'HostEnv', 'Operator', 'PlayChunks', 'Task', 'make', 'record', 'wrap']

TASKS: dict[str, type[Task]] = {task.name: task for task in (Gate, Lift, Can, Square, LiftMJX)}
ADAPTERS = {'brax': BraxTask, 'playground': PlaygroundTask}

for _name, _task in TASKS.items():
    brax.envs.register_environment(_name, _task)


def make(name: str, **settings: Any) -> Env:
    """Builds an environment by name.

    Args:
      name: 'gate', 'lift', 'can', 'square', 'lift_mjx', 'brax:NAME' or 'playground:NAME' for any environment of brax or
        MuJoCo Playground, or a simulator of another package: 'gymnasium:ID', 'metaworld:TASK', 'ogbench:ENVIRONMENT',
        'robosuite:TASK'.
      settings: the constructor's arguments: of the task; of BraxTask or PlaygroundTask (success_metric and
        success_threshold are required); for a simulator, HostEnv's and those of `make` in its file of simulators/.

    Raises:
      ValueError: an unknown name or setting, or a value that the task refuses.
    """
    prefix, colon, rest = name.partition(':')
    if prefix in hosted.INSTALLED_BY:
        return hosted.make(name, **settings)
    kind = ADAPTERS.get(prefix) if colon else TASKS.get(name)
    if kind is None:
        kinds = ', '.join(f'{kind}:NAME' for kind in (*ADAPTERS, *hosted.INSTALLED_BY))
        raise ValueError(f'env={name!r}: no such environment; there are {", ".join(TASKS)} and {kinds}')
    if colon:
        settings = {'name': rest} | settings
    try:
        inspect.signature(kind).bind(**settings)
    except TypeError as error:
        raise ValueError(f'env={name!r}, settings {sorted(settings)}: {error}; it takes {_taken(kind)}') from error
    return kind(**settings)


def _taken(kind: type[Env]) -> str:
    return ', '.join(inspect.signature(kind).parameters) or 'none'
