"""What fitted critics to begin with change: DSRL by SAC and by PPO on the surrogate Lift, with and without them.

The critics' own rollouts are counted as environment steps. `warm_start.py:smoke` is the same path in minutes; its
numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import finetuners


def get_config(arg: str = '') -> ConfigDict:
    config = finetuners.get_config(arg)
    config.experiment = 'warm_start'
    config.finetune.algorithm = 'dsrl_ppo,dsrl_sac'
    config.warm_start.episodes = 200
    if not arg:
        config.pretrain.steps = 2000
        config.finetune.chunks = 4
        config.dsrl_ppo.iterations_per_chunk = 2  # the curve's beginning is what fitted critics can change
    return config


def sweep() -> list[dict]:
    return [{'warm_start.steps': steps} for steps in (0, 3000)]
