"""Meta-World's tasks, one at a time, with their goals in sight and their scripted policies as operators."""

import importlib.metadata
import sys
import warnings

import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE as TASKS
from metaworld.policies import ENV_POLICY_MAP

from postbc_jax.simulators.simulator import Spec, Step

_OBSERVED = '-goal-observable'


def make(id: str) -> 'MetaWorldSimulator':
    """One Meta-World task, 'reach-v3'.

    Objects and goal are drawn for every episode, from the task's own distribution (a benchmark of Meta-World's, MT1
    say, draws 50 and keeps to them). Its own limit of 500 steps is left to `horizon`.

    Raises:
      ValueError: no such task.
    """
    if id + _OBSERVED not in TASKS:
        there = ', '.join(name.removesuffix(_OBSERVED) for name in TASKS)
        raise ValueError(f'Meta-World has no task {id!r}; it has {there}')
    return MetaWorldSimulator(id)


class MetaWorldSimulator:
    """See make."""

    def __init__(self, id: str):
        self.env = TASKS[id + _OBSERVED]()
        self.env._freeze_rand_vec, self.env.seeded_rand_vec = False, True  # draw, and from the environment's own seed
        horizon, self.env.max_path_length = self.env.max_path_length, sys.maxsize
        self.policy = ENV_POLICY_MAP[id]()
        self.spec = Spec(
            # A position of the hand and how open it is, two objects' poses, the same of the step before, and the goal.
            obs_keys=(('hand', 3), ('gripper', 1), ('objects', 14), ('previous', 18), ('goal', 3)),
            action_low=tuple(map(float, self.env.action_space.low)),
            action_high=tuple(map(float, self.env.action_space.high)),
            horizon=horizon,
            env_args={
                'env_name': id,
                'env_version': importlib.metadata.version('metaworld'),
                'type': 'metaworld',
                'env_kwargs': {},
            },
            operators=('scripted',),
        )

    def reset(self, seed: int) -> np.ndarray:
        self.env.seed(seed)
        self.obs, _ = self.env.reset()
        return self.obs.astype(np.float32)

    def step(self, action: np.ndarray) -> Step:
        self.obs, reward, terminated, truncated, info = self.env.step(action)
        return Step(self.obs.astype(np.float32), float(reward), bool(terminated), bool(truncated), info['success'] > 0)

    def act(self, operator: str) -> np.ndarray:
        """The task's scripted policy: (4,), within the bounds, a function of what is observed alone."""
        del operator
        with warnings.catch_warnings(action='ignore'):  # that it is beyond the bounds
            return np.clip(self.policy.get_action(self.obs), self.spec.action_low, self.spec.action_high)
