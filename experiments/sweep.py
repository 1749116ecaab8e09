"""A sweep on `gate`: alpha x learning rate x width. Alphas and learning rates share a run; each width is a point.

The points are written in the words of postbc_jax.sweep. `launch.local` runs them one after the other, `launch.slurm` as
an array. `sweep.py:smoke` is the same path in minutes: its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import quickstart
from postbc_jax.sweep import product
from postbc_jax.sweep import sweep as over


def get_config(arg: str = '') -> ConfigDict:
    if arg not in ('', 'smoke'):
        raise ValueError(f'sweep.py:{arg}: the argument is smoke or nothing')
    config = quickstart.get_config(arg)
    config.experiment = 'sweep'
    config.sigmas = ()
    config.seeds = 3
    if arg == 'smoke':
        config.seeds = 2
        config.pretrain.steps = 500
        config.finetune.chunks = 2
        config.evaluate.episodes = 128
        config.evaluate.coverage_starts = 16
    return config


def sweep(arg: str = '') -> list[dict]:
    """Two widths, in each of them every alpha at every learning rate."""
    few = arg == 'smoke'
    return product(
        over('policy.hidden', [(48, 48), (96, 96)] if few else [(96, 96, 96), (192, 192, 192)]),
        over('alphas', [(0.5,), (1.0,)] if few else [(0.25,), (0.5,), (1.0,), (2.0,)]),
        over('pretrain.learning_rate', [3e-4, 1e-3] if few else [1e-4, 3e-4, 1e-3, 3e-3]),
    )
