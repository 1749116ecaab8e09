"""Where PostBC works: settings varied one at a time, screened by what pretrained policies can do before any RL.

`regime.py` is gate, `regime.py:lift` the kinematic surrogate of Lift, `regime.py:smoke` gate, short, in three settings;
its numbers mean nothing. `python -m launch.screen --workdir=DIR` then ranks the settings by what PostBC's noise reaches
more than isotropic noise at the same price.
"""

from ml_collections import ConfigDict

from experiments import lift, quickstart
from postbc_jax.sweep import sweep as over

_VARIED = {
    '': {
        'subset': [5, 30],
        'record.noise': [0.1, 0.3],
        'posterior.members': [5, 100],
        'posterior.bootstrap': ['pair', 'perturbed'],
        'posterior.head': ['gaussian'],
        'posterior.hidden': [(256, 256)],
        'posterior.steps': [500, 6000],
        'pretrain.steps': [2000, 20_000],
        'policy.hidden': [(256, 256, 256)],
        'policy.family': ['diffusion', 'gaussian'],
        'policy.chunk': [4],
    },
    'lift': {
        'subset': [5, 30],
        'record.noise': [0.0, 0.1],
        'record.operators': ['steady'],
        'posterior.members': [100],
        'posterior.bootstrap': ['pair'],
        'posterior.covariance': ['diagonal'],
        'pretrain.steps': [2000, 20_000],
        'policy.hidden': [(512, 512, 512)],
        'policy.family': ['diffusion', 'gaussian'],
        'policy.chunk': [1, 8],
        'env_settings.rare_fraction': [0.1],
        'env_settings.chute': [0.01],
    },
    'smoke': {'subset': [5], 'posterior.members': [4]},
}


def get_config(arg: str = '') -> ConfigDict:
    if arg not in _VARIED:
        raise ValueError(f'regime.py:{arg}: the argument is lift, smoke or nothing')
    config = lift.get_config() if arg == 'lift' else quickstart.get_config('smoke' if arg else '')
    config.experiment = 'regime'
    config.seed = 100  # development: nothing is reported of these seeds but the screen
    config.seeds = {'': 5, 'lift': 3, 'smoke': 2}[arg]
    config.subset = 10
    config.alphas = (0.25, 0.5, 1.0, 2.0)
    config.sigmas = (0.03, 0.1)
    config.matched = True
    config.finetune.algorithm = 'none'
    if arg != 'smoke':
        config.evaluate.coverage_starts = 256
    if arg == 'lift':
        config.posterior.members = 20
        config.pretrain.steps = 6000
    return config


def sweep(arg: str = '') -> list[dict]:
    """The middle setting, and every other value of one setting."""
    return [{}] + [point for name, values in _VARIED[arg].items() for point in over(name, values)]
