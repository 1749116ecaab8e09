"""A simulator for the tests: a clock with two actions, whose every number can be worked out by hand, and its faults.

obs = [start, steps played, sum of all actions, a draw]: start = seed % 1000, and the draw is numpy's global one.
"""

import os
import signal
import time

import numpy as np

from postbc_jax.simulators.simulator import Spec, Step


def make(succeed_at=None, end_at=None, cut_at=None, fault=None, fault_at=3, draws=False, drifts=False, horizon=20):
    """Success, termination and truncation at a step; `fault` at step fault_at of an episode whose start is odd."""
    return Clockwork(succeed_at, end_at, cut_at, fault, fault_at, draws, drifts, horizon)


class Clockwork:
    episodes = 0  # of this process

    def __init__(self, succeed_at, end_at, cut_at, fault, fault_at, draws, drifts, horizon):
        if fault == 'refuse':
            raise ValueError('fault=refuse is refused')
        self.at = succeed_at, end_at, cut_at
        self.fault, self.fault_at, self.draws, self.drifts = fault, fault_at, draws, drifts
        self.spec = Spec(
            obs_keys=(('start', 1), ('clock', 3)),
            action_low=(-1.0, -2.0),
            action_high=(1.0, 2.0),
            horizon=horizon,
            env_args={'env_name': 'Clockwork', 'env_version': '1', 'type': 'test', 'env_kwargs': {}},
            operators=('steady', 'still'),
        )

    def reset(self, seed):
        Clockwork.episodes += 1
        self.start, self.steps, self.total = float(seed % 1000), 0, 0.0
        if self.drifts:
            self.start += Clockwork.episodes
        return self.obs()

    def obs(self):
        draw = np.random.random() if self.draws else 0.0
        return np.array([self.start, self.steps, self.total, draw], np.float32)

    def step(self, action):
        self.steps += 1
        self.total += float(action.sum())
        if self.steps == self.fault_at and self.start % 2:
            self.fail()
        success, end, cut = (at is not None and self.steps >= at for at in self.at)
        obs = self.obs()
        if self.fault == 'nan' and self.steps == self.fault_at and self.start % 2:
            obs[2] = np.nan
        return Step(obs, 0.5, end, cut, success)

    def fail(self):
        if self.fault == 'raise':
            raise RuntimeError('the clock\n has stopped')
        if self.fault == 'kill':
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == 'hang':
            time.sleep(1000)

    def act(self, operator):
        return np.array([0.25, self.steps] if operator == 'steady' else [0, 0], np.float32)
