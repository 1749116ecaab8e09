"""The paper's ablations on gate and Lift: demonstrations, members K and alpha, each with the others at their default.

Alphas share a run; each number of demonstrations or members is a point. Five seeds on the learner axis, root seed of
their own. The report draws success before and after finetuning, pass@N and the noise's rms over each.
`ablations.py:lift` is one task; `ablations.py:smoke` is gate, tiny: its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments import default, evidence

ROOT = 300
ALPHAS = (0.25, 0.5, 1.0, 2.0)  # the default is 1
DEMONSTRATIONS = {'gate': (5, 20, 40), 'lift': (10, 60, 120)}  # the defaults, 10 and 30, are the points of the alphas
MEMBERS = {'gate': (5, 50, 100), 'lift': (5, 30, 100)}  # 20 and 10


def get_config(arg: str = '') -> ConfigDict:
    _tasks(arg)
    config = default.get_config()
    config.experiment = 'ablations'
    config.seed = ROOT
    config.seeds = 2 if arg == 'smoke' else 5
    return config


def sweep(arg: str = '') -> list[dict]:
    """Of each task the alphas, then the numbers of demonstrations, then those of members."""
    smoke = evidence.SMOKE if arg == 'smoke' else {}
    few = slice(1 if arg == 'smoke' else None)
    points = []
    for task in _tasks(arg):
        changed = (
            [{'alphas': (alpha,)} for alpha in (ALPHAS[1:3] if smoke else ALPHAS)]
            + [{'subset': count} for count in DEMONSTRATIONS[task][few]]
            + [{'posterior.members': count} for count in MEMBERS[task][few]]
        )
        points += [evidence.settings(task) | smoke | change for change in changed]
    return points


def _tasks(arg: str) -> tuple[str, ...]:
    if arg not in ('', 'smoke', *DEMONSTRATIONS):
        raise ValueError(f'ablations.py:{arg}: the argument is {", ".join(DEMONSTRATIONS)}, smoke or nothing')
    return ('gate',) if arg == 'smoke' else (arg,) if arg else tuple(DEMONSTRATIONS)
