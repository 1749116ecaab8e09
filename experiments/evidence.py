"""The evidence: BC, sigma-BC, matched sigma-BC and PostBC on gate, Lift, Can and Square, ten seeds each, paired.

`evidence.py:develop` sweeps alpha and sigma on DEVELOPMENT seeds, `evidence.py` runs what was CHOSEN there on others.
A point is a task at a root seed: its own demonstrations, posterior, policies and two finetuning runs of each.
`evidence.py:gate,can` is these tasks alone; lift_mjx and robosuite are run where they are named. `smoke` is gate and
Lift, tiny: its numbers mean nothing. Words join by commas: `evidence.py:robosuite,develop`.
"""

from ml_collections import ConfigDict

from experiments import default, lift, quickstart, robosuite_lift

# Root seeds. A root seed is everything random of a point, so no demonstration or episode is on both sides.
DEVELOPMENT = (100, 101, 102)
REPORTED = tuple(range(200, 210))
TRIED = {'develop': (0, 1), 'reported': (10, 11)}  # of smoke, so that nobody looks at those above

SWEPT = {'alphas': (0.25, 0.5, 1.0, 2.0), 'sigmas': (0.05, 0.1, 0.2, 0.4)}
# Chosen by nobody yet: the quickstart's values and the paper's. To be replaced by what
#   python -m launch.local --config=experiments/evidence.py:develop --workdir=runs/develop
#   python -m launch.evidence --workdir=runs/develop
# prints. Its rule: of the alphas, and of the sigmas, that with the largest area under the curve of success over
# environment steps, mean over development seeds; of equal ones the smallest.
CHOSEN = {
    'gate': {'alphas': (1.0,), 'sigmas': (0.1,)},
    'lift': {'alphas': (1.0,), 'sigmas': (0.1,)},
    'can': {'alphas': (0.5,), 'sigmas': (0.1,)},
    'square': {'alphas': (1.0,), 'sigmas': (0.05,)},
    'lift_mjx': {'alphas': (1.0,), 'sigmas': (0.1,)},
    'robosuite': {'alphas': (1.0,), 'sigmas': (0.1,)},
}
ALWAYS = ('gate', 'lift', 'can', 'square')

SMOKE = {
    'posterior.members': 4,
    'posterior.steps': 250,
    'pretrain.steps': 500,
    'policy.hidden': (48, 48),
    'posterior.hidden': (32, 32),
    'finetune.chunks': 3,
    'dsrl_ppo.iterations_per_chunk': 2,
    'dsrl_ppo.environments': 128,
    'evaluate.episodes': 64,
    'evaluate.coverage_starts': 16,
    'evaluate.coverage_rollouts': 16,
}


def get_config(arg: str = '') -> ConfigDict:
    config = default.get_config()
    config.experiment = 'evidence_develop' if 'develop' in _words(arg) else 'evidence'
    config.seeds = 1
    config.finetune.seeds = 2
    if 'develop' not in _words(arg):  # these follow from demonstrations and alpha: there is nothing to choose
        config.matched = True
        config.alpha = 'auto'
    else:
        config.matched = False
    return config


def sweep(arg: str = '') -> list[dict]:
    """A point a task and root seed, all tasks of a root seed before the next."""
    words = _words(arg)
    develop, smoke = 'develop' in words, 'smoke' in words
    tasks = [task for task in CHOSEN if task in words] or (ALWAYS[:2] if smoke else ALWAYS)
    seeds = DEVELOPMENT if develop else REPORTED
    if smoke:
        seeds = TRIED['develop' if develop else 'reported']
    return [
        {'seed': seed} | settings(task) | (SWEPT if develop else CHOSEN[task]) | (SMOKE if smoke else {})
        for seed in seeds
        for task in tasks
    ]


def settings(task: str) -> dict:
    """What the task's own experiment changes of the defaults; can, square and lift_mjx are taken as lift is."""
    config = {'gate': quickstart, 'robosuite': robosuite_lift}.get(task, lift).get_config()
    changed = _changes(config.to_dict(), default.get_config().to_dict())
    for name in ('experiment', 'seeds', 'alphas', 'sigmas'):
        changed.pop(name, None)
    if task in ('can', 'square'):
        changed |= {'env_settings.horizon': 80}  # the slowest operator needs 65
    if task == 'lift_mjx':
        changed |= {'env_settings.horizon': 80, 'dsrl_ppo.environments': 128}  # contacts cost a hundred times as much
    return changed | {'env': config.env if task == 'robosuite' else task}


def _changes(ours: dict, theirs: dict, prefix: str = '') -> dict:
    found = {}
    for name, value in ours.items():
        if isinstance(value, dict):
            found |= _changes(value, theirs[name], f'{prefix}{name}.')
        elif value != theirs[name]:
            found[prefix + name] = value
    return found


def _words(arg: str) -> list[str]:
    words = [word for word in arg.split(',') if word]
    for word in words:
        if word not in ('develop', 'smoke', *CHOSEN):
            raise ValueError(f'evidence.py:{arg}: {word!r} is none of develop, smoke, {", ".join(CHOSEN)}')
    return words
