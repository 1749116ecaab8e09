"""The latency of one decision: decoding a chunk from noise, against the same network in PyTorch eager.

Rows of `make bench`: flow (8 steps) and diffusion (8 steps of 100), 3 x 512, obs 19, chunk 4 x 7, for one observation
(a robot) and 256 (a batch of environments).
"""

import statistics

import jax
import numpy as np
import torch

from benchmarks import timing, torch_decode
from benchmarks.decision import ACTIONS, CALLS, CHUNK, OBS
from postbc_jax import policies
from postbc_jax.policies import diffusion, flow


def rows() -> list[dict]:
    """Milliseconds a decode; ratio is how many times faster ours is.

    Raises:
      ValueError: the two sides' chunks differ.
    """
    return [_row(family, batch) for family in ('flow', 'diffusion') for batch in CALLS]


def _row(name: str, batch: int) -> dict:
    config = policies.PolicyConfig(name, OBS, ACTIONS, CHUNK)
    schedule = (
        flow.schedule(config.inference_steps)
        if name == 'flow'
        else diffusion.schedule(config.train_steps, config.inference_steps)
    )
    family = policies.build(config)
    params = family.init(jax.random.key(0))
    decode = jax.jit(jax.vmap(family.decode, in_axes=(None, 0, 0)))
    peer_decode = torch_decode.decoder(config, params['params'], schedule)
    rng = np.random.default_rng(0)
    obs = rng.uniform(-1, 1, (batch, OBS)).astype(np.float32)
    noise = rng.standard_normal((batch, CHUNK * ACTIONS)).astype(np.float32)
    chunks = noise.reshape(batch, CHUNK, ACTIONS)
    torch_obs, torch_noise = torch.from_numpy(obs), torch.from_numpy(noise)
    ours_chunks = np.asarray(decode(params, obs, chunks)).reshape(batch, -1)
    difference = np.abs(ours_chunks - peer_decode(torch_obs, torch_noise).numpy())
    if difference.max() > 1e-2:
        raise ValueError(f'decode_{name}: ours and PyTorch differ by {difference.max():.3g}; they must decode alike')

    def ours() -> None:
        for _ in range(CALLS[batch]):
            decode(params, obs, chunks).block_until_ready()  # a decision needs its chunk before the next one

    def peer() -> None:
        for _ in range(CALLS[batch]):
            peer_decode(torch_obs, torch_noise)

    seconds = timing.interleave({'ours': ours, 'peer': peer})
    latency = {side: 1e3 * statistics.median(times) / CALLS[batch] for side, times in seconds.items()}
    return {
        'name': f'decode_{name}_b{batch}',
        'unit': 'ms',
        'ours': latency['ours'],
        'peer': latency['peer'],
        'peer_name': 'pytorch_eager',
        'ratio': latency['peer'] / latency['ours'],
    }
