"""robosuite's Lift, simulated: scripted demonstrations, the paper's arms, DSRL-SAC with four environments a learner.

The paper's settings (https://arxiv.org/abs/2512.16911, appendix D) scaled to two CPU cores: 5 demonstrations, chunks of
4 and 8 denoising steps are its own; networks are narrower, the ensemble is smaller and finetuning shorter.
`robosuite_lift.py:smoke` is the same path in minutes; its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import default


def get_config(arg: str = '') -> ConfigDict:
    if arg not in ('', 'smoke'):
        raise ValueError(f'robosuite_lift.py:{arg}: the argument is smoke or nothing')
    config = default.get_config()
    config.experiment = 'robosuite_lift'
    config.env = 'robosuite:Lift'
    config.env_settings.horizon = 100  # 300 in robomimic; the slowest operator needs about 50
    config.record.episodes = 60
    config.record.noise = 0.1
    config.subset = 5  # (5)
    config.policy.family = 'diffusion'
    config.policy.chunk = 4  # (4)
    config.policy.hidden = (256, 256, 256)  # (3x512)
    config.posterior.hidden = (256, 256, 256)  # the policy's own, as in the paper
    config.posterior.members = 10  # (100)
    config.posterior.steps = 2000
    config.pretrain.steps = 6000
    config.finetune.algorithm = 'dsrl_sac'
    config.finetune.chunks = 6
    config.dsrl_sac.decisions_per_chunk = 400
    config.dsrl_sac.warmup_decisions = 400  # (6000 of chunks of 4)
    config.dsrl_sac.hidden = (128, 128, 128)  # (3x2048)
    config.evaluate.episodes = 24  # (200)
    config.evaluate.coverage_starts = 8
    config.evaluate.coverage_rollouts = 8
    if arg == 'smoke':
        config.seeds = 1
        config.record.episodes = 12
        config.posterior.steps = 500
        config.pretrain.steps = 1000
        config.finetune.chunks = 2
        config.dsrl_sac.decisions_per_chunk = 80
        config.dsrl_sac.warmup_decisions = 80
        config.evaluate.episodes = 8
        config.evaluate.coverage_starts = 4
        config.evaluate.coverage_rollouts = 4
    return config


def sweep() -> list[dict]:
    """One point: arms and seeds train in one program."""
    return [{}]
