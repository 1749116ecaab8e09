"""Decoding of a flow or diffusion policy as PyTorch users have it: eager calls of the same network, step by step.

The peer of benchmarks/decode.py; runs on our parameters, so that both sides' chunks can be compared.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from postbc_jax.policies import PolicyConfig, sampler


class Network(nn.Module):
    """networks.DenoisingMLP with its parameters: dense over (noisy chunk, time embedding, observation)."""

    def __init__(self, params: dict, time_features: int):
        super().__init__()
        tail = params['MLP_0']
        dense = [params, *(tail[f'Dense_{i}'] for i in range(len(tail)))]
        layers = []
        for weights in dense:
            kernel, bias = np.array(weights['kernel']), np.array(weights['bias'])
            layer = nn.Linear(*kernel.shape)
            layer.weight.data, layer.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
            layers += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.frequencies = 0.5 * np.pi * 2.0 ** torch.arange(time_features // 2)

    def forward(self, x: torch.Tensor, time: torch.Tensor, obs: torch.Tensor) -> torch.Tensor:
        """x (B, D), time (), obs (B, O) -> (B, D)."""
        angles = time * self.frequencies
        embedding = torch.cat([angles.sin(), angles.cos()]).expand(len(x), -1)
        return self.layers(torch.cat([x, embedding, obs], dim=1))


def decoder(config: PolicyConfig, params: dict, schedule: sampler.Schedule) -> Callable:
    """decode(obs (B, O), noise (B, D)) -> chunks (B, D), normalised, by DPM-Solver++(2M) along the schedule."""
    network = Network(params, config.time_features)
    steps = [[torch.tensor(float(v)) for v in step] for step in zip(*schedule, strict=True)]

    @torch.no_grad()
    def decode(obs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        x, before = noise, torch.zeros_like(noise)
        for time, signal, scale, next_signal, next_scale, trend in steps:
            out = network(x, time, obs)
            clean = x + scale * out if config.family == 'flow' else (x - scale * out) / signal
            if config.family == 'diffusion' and config.clip is not None:
                clean = clean.clamp(-config.clip, config.clip)
            ahead = clean + trend * (clean - before)
            x = next_signal * ahead + next_scale * (x - signal * ahead) / scale
            before = clean
        return x

    return decode
