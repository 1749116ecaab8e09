"""The quickstart's comparison on Lift, a kinematic surrogate with robomimic's observations and action.

`lift.py:smoke` is the same path, short; its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import default


def get_config(arg: str = '') -> ConfigDict:
    if arg not in ('', 'smoke'):
        raise ValueError(f'lift.py:{arg}: the argument is smoke or nothing')
    config = default.get_config()
    config.experiment = 'lift'
    config.env = 'lift'
    config.env_settings.horizon = 60  # the slowest operator needs 40
    config.env_settings.rare_fraction = 0.3
    config.record.episodes = 150  # by six operators
    config.record.noise = 0.03
    config.subset = 30
    config.policy.chunk = 4
    config.policy.hidden = (256, 256, 256)
    config.posterior.hidden = (256, 256)
    config.posterior.members = 10
    config.dsrl_ppo.iterations_per_chunk = 6
    if arg == 'smoke':
        config.seeds = 2
        config.posterior.steps = 500
        config.pretrain.steps = 1000
        config.finetune.chunks = 2
        config.dsrl_ppo.iterations_per_chunk = 2
        config.evaluate.episodes = 128
        config.evaluate.coverage_starts = 32
        config.evaluate.coverage_rollouts = 16
    return config


def sweep() -> list[dict]:
    """One point: arms and seeds train in one program."""
    return [{}]
