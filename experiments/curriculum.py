"""What a curriculum changes: DSRL by PPO on Lift and Square, from start states near the demonstrations outward or not.

Five seeds, paired: both points of a task have the same demonstrations and pretrained policies, and evaluations begin
anywhere. `curriculum.py:smoke` is Lift alone, two seeds, short: its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import finetuners
from postbc_jax.sweep import product
from postbc_jax.sweep import sweep as over

ROOT = 600


def get_config(arg: str = '') -> ConfigDict:
    config = finetuners.get_config(arg)
    config.experiment = 'curriculum'
    config.seed = ROOT
    config.seeds = 2 if arg else 5
    config.finetune.algorithm = 'dsrl_ppo'
    config.finetune.chunks = 4 if arg else 12
    config.dsrl_ppo.iterations_per_chunk = 2  # a stage is held for chunks
    return config


def sweep(arg: str = '') -> list[dict]:
    """With and without it on each task."""
    tasks = [{'env': 'lift', 'env_settings.horizon': 60}, {'env': 'square', 'env_settings.horizon': 80}]
    return product(tasks[:1] if arg else tasks, over('curriculum.on', [False, True]))
