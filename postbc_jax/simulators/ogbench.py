"""OGBench's state-based environments, each with one of its fixed goals, and OGBench's own oracle for cube-single."""

import copy
import dataclasses
import functools
import importlib.metadata
import os

import gymnasium
import mujoco
import numpy as np

from postbc_jax.simulators.gymnasium import GymnasiumSimulator

os.environ.setdefault('MUJOCO_GL', 'disable')  # before dm_control: it looks for a display, and warns of none

ORACLE = 'markov'
_SINGLE = '-singletask'


def make(id: str, task: int | None = None) -> 'OGBenchSimulator':
    """One of OGBench's single-task environments.

    The goal is the task's in every episode, so it is not observed: obs is OGBench's state (28 numbers for cube-single:
    joints 12, hand 3, its yaw 2, gripper 2, cube 9). Where an episode starts follows from its seed.

    Success is judged of the state that a step leads to (OGBench's single tasks judge the one that it starts from, so a
    step later), and the reward is minus the number of subgoals that are not reached.

    Args:
      id: OGBench's name without a dataset, 'cube-single-v0'.
      task: which of its goals, from 1; None for OGBench's default.

    Raises:
      ValueError: no such environment or task, or a package that OGBench needs is missing.
    """
    try:
        import ogbench  # noqa: F401  (registers its environments)

        return _first(id, task).another() if id.startswith('cube-') else OGBenchSimulator(id, task)
    except ImportError as error:
        raise ValueError(f"{error}: pip install 'postbc_jax[ogbench]'") from error


class OGBenchSimulator(GymnasiumSimulator):
    """See make."""

    def __init__(self, id: str, task: int | None):
        super().__init__(_registered(id, task), {'success_timing': 'post'}, None, 'success', None)
        self.env.reset(seed=0)
        # The goal is part of the name: demonstrations of another goal are of another environment.
        name = _registered(id, self.env.unwrapped.cur_task_id)
        version = importlib.metadata.version('ogbench')
        self.spec = dataclasses.replace(
            self.spec,
            env_args={'env_name': name, 'env_version': version, 'type': 'ogbench', 'env_kwargs': {}},
            operators=(ORACLE,) if id == 'cube-single-v0' else (),
        )
        if self.spec.operators:
            from ogbench.manipspace.oracles.markov.cube_markov import CubeMarkovOracle

            self.oracle = CubeMarkovOracle(env=self.env)
            self.oracle.reset(None, None)  # draws where the hand goes after success, which ends an episode here

    def another(self) -> 'OGBenchSimulator':
        """One that shares what never changes: 160 MiB of compiled meshes, of which a cube's colours alone are written
        to. (Scene and puzzle lock their drawers and windows in it.)"""
        other = copy.copy(self)
        other.env = copy.copy(self.env.unwrapped)
        other.env._data = mujoco.MjData(other.env.model)
        return other

    def act(self, operator: str) -> np.ndarray:
        """The oracle's action (5,), a function of the present alone."""
        del operator
        cube = self.env.unwrapped
        # As OGBench tells it when it collects data, with a goal that is drawn there and is the task's here.
        goal = {
            'privileged/target_block': 0,
            'privileged/target_block_pos': cube.data.body('object_target_0').xpos,
            'privileged/target_block_yaw': np.zeros(1),
        }
        return self.oracle.select_action(None, cube.compute_ob_info() | goal)


@functools.cache
def _first(id: str, task: int | None) -> OGBenchSimulator:
    return OGBenchSimulator(id, task)


def _registered(id: str, task: int | None) -> str:
    """The name of a single task: 'cube-single-v0', 2 -> 'cube-single-singletask-task2-v0'."""
    stem, _, version = id.rpartition('-')
    name = f'{stem}{_SINGLE}-{version}'
    if name not in gymnasium.registry or id.startswith('visual-'):
        single = [other for other in gymnasium.registry if other.endswith(f'{_SINGLE}-v0')]
        there = sorted(other.replace(_SINGLE, '') for other in single if not other.startswith('visual-'))
        raise ValueError(f'{id!r} is none of the single tasks: {", ".join(there)}')
    if task is None:
        return name
    name = f'{stem}{_SINGLE}-task{task}-{version}'
    if name not in gymnasium.registry:
        count = sum(other.startswith(f'{stem}{_SINGLE}-task') for other in gymnasium.registry)
        raise ValueError(f'task={task!r} must be one of 1 to {count}')
    return name
