"""What a guard costs: the latency of one decision with and without it, in the same process.

Rows of `make bench`: the policies of benchmarks.decode, behind an envelope as launch.envelopes fits it (a guide of
2 x 64, 512 demonstrated states), in the program that launch.export writes. Without a guard nothing of it is compiled:
tests/envelope holds that.
"""

import statistics

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.decision import ACTIONS, CALLS, CHUNK, OBS
from postbc_jax import export, policies
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.envelope.envelope import Envelope
from postbc_jax.envelope.guard import guard

STATES, HIDDEN = 512, (64, 64)


def rows() -> list[dict]:
    """Milliseconds a decision; ratio is the bare decode's share of the guarded one's time: .95 is a cost of 5%."""
    return [_row(family, batch) for family in ('flow', 'diffusion') for batch in CALLS]


def _policy(family: str, **settings) -> policies.Policy:
    config = policies.PolicyConfig(family, OBS, ACTIONS, CHUNK, **settings)
    ends = (np.full(n, x, np.float32) for n, x in ((OBS, -1), (OBS, 1), (ACTIONS, -1), (ACTIONS, 1)))
    return policies.Policy(policies.build(config).init(jax.random.key(0)), Normaliser(*ends), config)


def _row(name: str, batch: int) -> dict:
    bare = _policy(name)
    rng = np.random.default_rng(0)
    envelope = Envelope(
        guide=_policy('gaussian', hidden=HIDDEN),
        whitener=jnp.eye(CHUNK * ACTIONS),
        states=jnp.asarray(rng.uniform(-1, 1, (STATES, OBS)), jnp.float32),
        spread=jnp.full(OBS, 0.5),
        radius=jnp.ones(1),
        familiar=jnp.ones(1),
    )
    obs = rng.uniform(-1, 1, (batch, OBS)).astype(np.float32)

    def decisions(policy):
        act = jax.jit(export.program(policy))

        def run() -> None:
            for decision in range(CALLS[batch]):
                jax.block_until_ready(act(obs, np.uint32(decision)))

        return run

    seconds = timing.interleave({'ours': decisions(guard(bare, envelope)), 'peer': decisions(bare)})
    latency = {side: 1e3 * statistics.median(times) / CALLS[batch] for side, times in seconds.items()}
    return {
        'name': f'guard_{name}_b{batch}',
        'unit': 'ms',
        'ours': latency['ours'],
        'peer': latency['peer'],
        'peer_name': 'unguarded',
        'ratio': latency['peer'] / latency['ours'],
    }
