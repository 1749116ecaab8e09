"""The behavioural envelope on the surrogate Lift: errors that are known, and finetuning whose steps are too large.

Two of the six operators err, always in the same way (postbc_jax/envs/operators.py): `launch.envelope` on the
pretrained policies and their demonstrations should name them. PPO finetunes Gaussian policies of a short pretraining
with twice the learning rate at which some runs collapse, and no bound on an iteration's KL divergence; four points are
with and without guard and monitor, ten seeds. `envelope.py:smoke` is two seeds, shorter still, and means nothing.
"""

from ml_collections import ConfigDict

from experiments import finetuners
from postbc_jax.sweep import product
from postbc_jax.sweep import sweep as over

ROOT = 400  # the learning rate was chosen at 0


def get_config(arg: str = '') -> ConfigDict:
    if arg not in ('', 'smoke'):
        raise ValueError(f'envelope.py:{arg}: the argument is smoke or nothing')
    config = finetuners.get_config(arg)
    config.experiment = 'envelope'
    config.seed = ROOT
    config.seeds = 2 if arg else 10
    config.record.operators = 'steady,brisk,sideways,planner,freezing,straying'
    config.policy.family = 'gaussian'
    config.posterior.members = 10
    config.posterior.steps = 500
    config.pretrain.steps = 2000
    config.calibration.folds = 3  # of the envelope's held-out demonstrations
    config.finetune.algorithm = 'ppo'
    config.finetune.chunks = 4 if arg else 12
    config.ppo.update(learning_rate=6e-4, clip=0.05, target_kl=0.0, iterations_per_chunk=3)
    config.monitor.drifting = ('roll_back', 'learning_rate')
    return config


def sweep(arg: str = '') -> list[dict]:
    """Without either, the monitor alone, the guard alone, both."""
    return product(over('guard.mode', ['', 'project']), over('monitor.on', [False, True]))
