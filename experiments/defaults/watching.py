"""The settings of how a finetuning run is watched and staged: the monitor, the curriculum, the scenarios.

Part of experiments/default.py, which has every setting.
"""

from ml_collections import ConfigDict


def add(config: ConfigDict) -> ConfigDict:
    # Watching a run of any finetuner but best_of_n: a row a learner and chunk in monitor.jsonl. The states, what leads
    # to them and what is done about them are explained in postbc_jax/envelope/monitor_config.py.
    config.monitor = ConfigDict(
        {
            'on': False,
            'envelope': True,  # fits one where no guard has; without, spread is against the pretrained policy's
            'episodes': 128,  # of its own, which nothing else reports and which are not counted as environment steps
            'states': 256,  # of those that it comes through, at which chunks are drawn ...
            'draws': 16,  # ... so many each, of the policy as it explores and as it was pretrained
            'enter': 2,  # chunks in a row that make a state ...
            'leave': 3,  # ... and that end it
            'window': 5,  # evaluations that an improvement is the slope of
            'fall': 0.15,  # drifting: success below the best so far by this, and by two standard errors ...
            'outside': 0.25,  # ... or this share of explored chunks outside the envelope, where one is fitted ...
            'far': 3.0,  # ... or the mean action so far from the pretrained policy's, in units of the spread
            'narrow': 0.25,  # overconfident: a spread below this share of what the demonstrations leave open
            'near': 0.25,  # under-exploring: no further than this, and success gains less than ...
            'gain': 0.005,  # ... this a chunk
            'solved': 0.9,  # success from which on only drifting is a fault
            # What is done in each state; () is nothing. 'bound', 'entropy', 'learning_rate', 'roll_back', 'stop'
            'under_exploring': (),  # of bound, entropy
            'overconfident': (),  # of bound, entropy, learning_rate
            'drifting': (),  # of bound, learning_rate, roll_back (where success fell), stop
            'bound_step': 0.8,  # factor of the noise bound, and its inverse, up to finetune.bound
            'learning_rate_step': 0.5,  # factor
            'target_entropy_step': 0.5,  # nats a decision: dsrl_sac, dsrl_na
            'entropy_cost_step': 0.003,  # dsrl_ppo, dppo, ppo
            'roll_backs': 3,  # after so many, 'stop' stops
        }
    )

    # Finetuning that begins near the demonstrations and widens as it succeeds: a row a learner and chunk in
    # curriculum.jsonl. Not of best_of_n.
    config.curriculum = ConfigDict(
        {
            'on': False,
            'starts': (0.25, 0.5, 1.0),  # of each stage, the share of start states, those nearest to demonstrated ones
            'bounds': (1.0, 0.85, 0.7),  # of each stage, the share of finetune.bound that is played; not of dppo, ppo
            'success': 0.5,  # of a stage's training episodes ...
            'hold': 2,  # ... in so many chunks in a row, after which the next begins
            'pool': 512,  # start states that are ordered
        }
    )

    # The same episodes under other dynamics, sensors and delays, in every combination: launch.scenarios, and during
    # finetuning, into scenarios.jsonl.
    config.scenarios = ConfigDict(
        {
            'every': 0,  # chunks, while finetuning; 0 is never
            'episodes': 64,  # of every learner in every scenario; launch.scenarios has its own
            'gains': (0.7, 1.0, 1.3),  # factors of every action
            'biases': (0.0, 0.05),  # added to every action, shares of half the demonstrated range
            'noises': (0.0, 0.05, 0.2),  # added to every observation, shares of half the demonstrated range
            'delays': (0, 1, 3),  # environment steps
        }
    )
    return config
