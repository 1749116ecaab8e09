"""What a guard's rate means: false alarms and wild chunks caught, on gate and Lift, of 10 and 30 demonstrations.

    python -m launch.local --config=experiments/guard.py --workdir=runs/guard
    for N in 0 1 2 3; do python -m launch.alarms --workdir=runs/guard/point_000$N; done

The envelope follows from demonstrations and posterior, so the policies are hardly trained: their success means nothing.
`guard.py:smoke` is two seeds, short.
"""

from ml_collections import ConfigDict

from experiments import default
from experiments.evidence import settings

ROOT = 500


def get_config(arg: str = '') -> ConfigDict:
    if arg not in ('', 'smoke'):
        raise ValueError(f'guard.py:{arg}: the argument is smoke or nothing')
    config = default.get_config()
    config.experiment = 'guard'
    config.seed = ROOT
    config.seeds = 2 if arg else 10
    config.guard.mode = 'project'
    config.posterior.members = 10
    config.calibration.members = 10
    config.alphas, config.sigmas = (1.0,), ()
    config.matched = False
    config.pretrain.steps = config.pretrain.steps_per_chunk
    config.evaluate.episodes = 64
    config.finetune.algorithm = 'none'
    if arg:
        config.posterior.steps = 500
        config.guard.steps = 500
    return config


def sweep(arg: str = '') -> list[dict]:
    """A task at a number of demonstrations, of which every seed draws its own."""
    del arg
    return [settings(task) | {'record.episodes': 150, 'subset': size} for task in ('gate', 'lift') for size in (10, 30)]
