"""The method's theorems, measured in finite MDPs where every number can be computed: python -m launch.theory.

Not a run of the pipeline: its settings are its own. `theory.py:smoke` is the same in seconds, with few data sets.
"""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
    if arg not in ('', 'smoke'):
        raise ValueError(f'theory.py:{arg}: the argument is smoke or nothing')
    config = ConfigDict()
    config.experiment = 'theory'
    config.seed = 0  # root of every random number
    config.datasets = 20_000  # demonstration sets of every instance, but for those that say otherwise
    config.delta = 0.1  # of Lemma 1: its bound may be violated in this share of data sets

    config.bandit = ConfigDict(  # three arms, of which two are played with 2 eps each
        {
            'eps': (0.002, 0.01, 0.05),
            'demonstrations': (5, 10, 20, 50, 100),
            'finetuned': (0.01, 5),  # eps and T (at most 1/(20 eps)) of the finetuning ...
            'rollouts': (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),  # ... and its length
        }
    )
    config.chain = ConfigDict(  # start states of probability 2^-2, 2^-3, ...; eps is H^2 S log(T) / T
        {'rare': 15, 'horizon': 2, 'demonstrations': (4000, 12_000, 36_000), 'datasets': 1000}
    )
    # A dense state beside a rare one of probability q, in which a second action is played with 2 eps: (q, T, A, eps).
    config.two_branch = (
        (0.02, 50, 4, 0.1),
        (0.02, 50, 16, 0.1),
        (0.005, 200, 4, 0.1),
        (0.1, 100, 4, 0.02),
        (0.02, 500, 4, 0.1),
    )
    config.lower_bound = ConfigDict({'actions': (4, 16, 64), 'demonstrations': 100})  # the rare arm's chance is 1/T
    config.resets = ConfigDict(  # a wrong action is never forgiven
        {
            'states': 10,
            'horizon': 5,
            'actions': 4,
            'rare_share': 0.02,  # of the fixed instance; the worst case has 1/(T+1)
            'demonstrations': (25, 50, 100, 200, 400, 800, 1600),
            'datasets': 2000,
        }
    )
    config.random = ConfigDict({'states': 5, 'actions': 4, 'horizon': 5, 'demonstrations': (20, 200)})
    if arg == 'smoke':
        config.datasets = config.chain.datasets = config.resets.datasets = 500
        config.bandit.update(eps=(0.01, 0.05), demonstrations=(5, 20))
        config.chain.update(rare=4, demonstrations=(1000, 4000))
        config.two_branch = ((0.02, 50, 4, 0.1), (0.1, 100, 4, 0.02))
        config.lower_bound.actions = (4,)
        config.resets.demonstrations = (25, 100)
        config.random.demonstrations = (20,)
    return config.lock()
