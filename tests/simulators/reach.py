"""A Gymnasium environment for the tests of whole runs: a point that must reach a goal, with a dict observation.

Where the environment variable REACH_FAULT names a file that is not there, the simulation makes it and dies at the next
step of an episode whose goal is to the right: once.
"""

import os
import pathlib
import signal

import gymnasium
import numpy as np


class Reach(gymnasium.Env):
    observation_space = gymnasium.spaces.Dict(
        {
            'goal': gymnasium.spaces.Box(-1, 1, (2,)),
            'image': gymnasium.spaces.Box(0, 1, (4, 4)),
            'position': gymnasium.spaces.Box(-1, 1, (2,)),
        }
    )
    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.goal = np.zeros(2), self.np_random.uniform(-1, 1, 2)
        return self.obs(), {}

    def obs(self):
        return {'goal': self.goal, 'position': self.position, 'image': np.zeros((4, 4))}

    def step(self, action):
        fault = os.environ.get('REACH_FAULT')
        if fault and self.goal[0] > 0 and not pathlib.Path(fault).exists():
            pathlib.Path(fault).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.position = np.clip(self.position + 0.2 * action + 0.02 * self.np_random.normal(size=2), -1, 1)
        success = np.linalg.norm(self.position - self.goal) < 0.1
        return self.obs(), float(success), False, False, {'success': success}


gymnasium.register('Reach-v0', Reach, max_episode_steps=12)
