"""robosuite's PickPlaceCan, simulated: robosuite_lift's comparison with the paper's settings for Can, and fewer steps.

`robosuite_can.py:smoke` is the same path in minutes; its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import robosuite_lift


def get_config(arg: str = '') -> ConfigDict:
    config = robosuite_lift.get_config(arg)
    config.experiment = 'robosuite_can'
    config.env = 'robosuite:PickPlaceCan'
    config.env_settings.horizon = 200  # 300 in robomimic
    if not arg:
        config.subset = 10  # (10)
        config.alphas = (0.5,)  # (0.5)
        config.finetune.chunks = 3
    return config


def sweep() -> list[dict]:
    """One point: arms and seeds train in one program."""
    return [{}]
