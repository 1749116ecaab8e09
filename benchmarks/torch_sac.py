"""SAC and DSRL-SAC as PyTorch users have them: Stable-Baselines3, on plain numpy environments.

The peers of benchmarks/off_policy.py. Its critics have no LayerNorm; nor have ours here.
"""

from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.numpy_environments import NumpyEnvironments


def box(size: int, bound: float) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-bound, bound, (size,), np.float32)


class Idle(gymnasium.Env):
    """An environment that has spaces and is never stepped."""

    def __init__(self, obs_size: int, action_size: int):
        self.observation_space, self.action_space = box(obs_size, np.inf), box(action_size, 1.0)


class Steered(VecEnv):
    """Numpy environments whose action is a flow policy's noise: a step decodes it in PyTorch and plays the chunk."""

    def __init__(self, environments: NumpyEnvironments, decode: Callable, chunk: int, noise_size: int, bound: float):
        self.environments, self.decode, self.chunk = environments, decode, chunk
        obs = self.reset()
        super().__init__(len(obs), box(obs.shape[1], np.inf), box(noise_size, bound))

    def reset(self) -> np.ndarray:
        self.obs = self.environments.task.observe(self.environments.state)
        return self.obs

    def step_async(self, actions: np.ndarray) -> None:
        self.noise = actions

    def step_wait(self):
        chunks = self.decode(torch.from_numpy(self.obs), torch.from_numpy(self.noise)).numpy()
        reward, done = np.zeros(len(self.obs), np.float32), np.zeros(len(self.obs), bool)
        for action in np.split(chunks, self.chunk, axis=1):
            self.obs, success = self.environments.step(action)
            reward, done = reward - 1 + success, done | success
        return self.obs, reward, done, [{'terminal_observation': obs} for obs in self.obs]

    def close(self) -> None:
        pass

    def get_attr(self, attr_name, indices=None):
        return [None] * self.num_envs

    def set_attr(self, attr_name, value, indices=None) -> None:
        raise NotImplementedError

    def env_method(self, method_name, *args, indices=None, **kwargs):
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * self.num_envs


def sac(env: gymnasium.Env | VecEnv, width: int, layers: int, batch: int, updates: int) -> SAC:
    """Stable-Baselines3's SAC with tanh networks of that size and a replay buffer of 2,000 random transitions."""
    model = SAC(
        'MlpPolicy',
        env,
        buffer_size=10_000,
        learning_starts=0,
        batch_size=batch,
        gradient_steps=updates,
        policy_kwargs={'net_arch': [width] * layers, 'activation_fn': torch.nn.Tanh},
        device='cpu',
    )
    model.set_logger(Logger(None, []))
    rng, n = np.random.default_rng(0), model.n_envs
    sizes = model.observation_space.shape[0], model.action_space.shape[0]
    for _ in range(2000 // n):
        obs, following, action = (rng.uniform(-1, 1, (n, size)) for size in (sizes[0], sizes[0], sizes[1]))
        model.replay_buffer.add(obs, following, action, rng.uniform(-1, 0, n), np.zeros(n), [{}] * n)
    return model
