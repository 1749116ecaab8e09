"""The settings of what is done with the behavioural envelope: contexts and the guard.

Part of experiments/default.py, which has every setting.
"""

from ml_collections import ConfigDict


def add(config: ConfigDict) -> ConfigDict:
    # Parts of the task in which something differs, by a column of the observation. Each is a dict of: name; key (of
    # obs_keys) and index, or column; above, below (environment's units); and, as wanted, alpha (times the posterior
    # noise there), rate (of the guard's flags there) and bound (of |noise| that policies are decoded from there; by the
    # guard). The first that holds counts; what none claims is 'routine'.
    config.contexts = ()

    # A guard tests every chunk against the envelope of the demonstrations, in evaluation and finetuning alike.
    config.guard = ConfigDict(
        {
            'mode': '',  # project (to the nearest chunk inside), mean (its centre), safe (another policy's); '' is none
            'rate': 0.05,  # of a good demonstrator's decisions that are flagged: half for their chunks, half for states
            'safe': '',  # a folder of policies, whose first plays where states are strange; '' in mode safe is BC
            'hidden': (64, 64),  # of the guide, which is asked at every decision
            'steps': 2000,  # of its fit
            'steps_per_chunk': 500,
            'batch_size': 256,
            'learning_rate': 1e-3,
        }
    )
    return config
