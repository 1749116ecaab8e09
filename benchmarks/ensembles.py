"""The ensemble fit in member-steps a second, against PyTorch, with its share of the machine's matmul rate.

Rows of `make bench`: K = 10 members of 3 hidden layers, batch 256, obs 19, chunk of 4 x 7 = 28 outputs (Lift's), on
all CPU cores. A member-step is one Adam step of one member.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax.sharding import PartitionSpec as P

from benchmarks import timing, torch_ensembles
from postbc_jax import parallel
from postbc_jax.data.windows import Windows
from postbc_jax.posterior import EnsembleConfig, ensemble

MEMBERS, LAYERS, BATCH, OBS, CHUNK, ACTIONS = 10, 3, 256, 19, 4, 7
EPISODES, LENGTH = 50, 100
RATE = 1e-3
STEPS = {64: 200, 256: 40, 512: 12}  # a call of ours; a fifth to half a second on two idle cores
PEER_STEPS = {64: 30, 256: 12, 512: 6}
MATMUL = 1024  # rows and columns of the square matmul that sets the machine's rate


def rows() -> list[dict]:
    """Two rows a width: ours against the loop over members and against torch.func's vmap."""
    return [row for width in STEPS for row in _rows_of(width)]


def _rows_of(width: int) -> list[dict]:
    steps, peer_steps = STEPS[width], PEER_STEPS[width]
    sizes = (OBS, *(width,) * LAYERS, CHUNK * ACTIONS)
    windows = _demonstrations()
    data = _torch_data(windows)
    loop = torch_ensembles.loop(sizes, data, BATCH, RATE)
    vmapped = torch_ensembles.vmapped(sizes, data, BATCH, RATE)
    square = jnp.asarray(np.random.default_rng(0).standard_normal((MATMUL, MATMUL)), jnp.float32)
    matmul, torch_square = jax.jit(jnp.matmul), torch.from_numpy(np.array(square))
    seconds = timing.interleave(
        {
            'ours': _ours(width, windows),
            'pytorch_loop': lambda: loop(peer_steps),
            'torch_func_vmap': lambda: vmapped(peer_steps),
            'matmul': lambda: matmul(square, square).block_until_ready(),
            'torch_matmul': lambda: torch_square @ torch_square,
        }
    )
    matmul_gflop = 2 * MATMUL**3 / 1e9
    work = {
        'ours': MEMBERS * steps,
        'pytorch_loop': MEMBERS * peer_steps,
        'torch_func_vmap': MEMBERS * peer_steps,
        'matmul': matmul_gflop,
        'torch_matmul': matmul_gflop,
    }
    rate = timing.median_rates(seconds, work)
    gflops = rate['ours'] * _flops(sizes) / 1e9
    machine = max(rate['matmul'], rate['torch_matmul'])
    return [
        {
            'name': name,
            'unit': 'member-steps/s',
            'ours': rate['ours'],
            'peer': rate[peer],
            'peer_name': peer,
            'ratio': rate['ours'] / rate[peer],
            'gflops': gflops,
            'matmul_gflops': machine,
            'matmul_share': gflops / machine,
        }
        for name, peer in ((f'ensemble_w{width}', 'pytorch_loop'), (f'ensemble_w{width}_vmap', 'torch_func_vmap'))
    ]


def _flops(sizes: tuple[int, ...]) -> int:
    """Of one member-step's matmuls: forward, and backward to every weight and to every input but the first layer's."""
    weights = [i * o for i, o in zip(sizes, sizes[1:], strict=False)]
    return 2 * BATCH * (3 * sum(weights) - weights[0])


def _demonstrations() -> Windows:
    rng = np.random.default_rng(0)
    n = EPISODES * LENGTH
    episode = np.repeat(np.arange(EPISODES, dtype=np.int32), LENGTH)
    return Windows(
        obs=rng.uniform(-1, 1, (n, OBS)).astype(np.float32),
        actions=rng.uniform(-1, 1, (n, ACTIONS)).astype(np.float32),
        last=(episode + 1) * LENGTH - 1,
        time=np.arange(n, dtype=np.int32) % LENGTH,
        episode=episode,
        chunk=CHUNK,
    )


def _ours(width: int, windows: Windows):
    config = EnsembleConfig(
        hidden=(width,) * LAYERS, batch_size=BATCH, learning_rate=RATE, steps_per_chunk=STEPS[width]
    )
    mesh = parallel.mesh(MEMBERS)
    trainer = parallel.population(ensemble(config), mesh)
    mask = np.ones((MEMBERS, EPISODES * LENGTH), np.float32)
    data = {'windows': parallel.shard(windows, mesh), 'mask': parallel.shard(mask, mesh, P(parallel.LEARNER))}
    state = trainer.init(parallel.learner_keys(jax.random.key(0), range(MEMBERS), mesh), data)

    def run() -> None:
        nonlocal state
        state, metrics = trainer.run_chunk(state, data)
        jax.block_until_ready((state, metrics))

    return run


def _torch_data(windows: Windows) -> torch_ensembles.Data:
    """The windows as tables, and for each member the steps of as many episodes as there are, drawn with replacement."""
    n = EPISODES * LENGTH
    obs, chunks = (np.array(x) for x in windows.take(jnp.arange(n)))
    drawn = np.random.default_rng(1).integers(EPISODES, size=(MEMBERS, EPISODES, 1))
    tables = (drawn * LENGTH + np.arange(LENGTH)).reshape(MEMBERS, n)
    return torch_ensembles.Data(obs, chunks.reshape(n, -1), tables)
