"""The quickstart: BC, sigma-BC and PostBC on `gate` from ten demonstrations each, finetuned by DSRL (PPO), compared.

`quickstart.py:smoke` is the same path in under three minutes: two seeds, short training; its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import default


def get_config(arg: str = '') -> ConfigDict:
    if arg not in ('', 'smoke'):
        raise ValueError(f'quickstart.py:{arg}: the argument is smoke or nothing')
    config = default.get_config()
    config.experiment = 'quickstart'
    config.env = 'gate'
    config.seeds = 5
    config.sigmas = (0.1,)
    if arg == 'smoke':
        config.seeds = 2
        config.posterior.members = 8
        config.posterior.steps = 500
        config.pretrain.steps = 1500
        config.finetune.chunks = 3
        config.dsrl_ppo.iterations_per_chunk = 5
        config.evaluate.coverage_starts = 64
        config.evaluate.coverage_rollouts = 16
    return config


def sweep() -> list[dict]:
    """One point: arms and seeds train in one program."""
    return [{}]
