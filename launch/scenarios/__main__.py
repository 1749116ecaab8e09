"""Plays a run's policies where the task is not quite the one that was learnt: python -m launch.scenarios
--policy=WORKDIR/policies/NAME --workdir=DIR [--gains=0.7,1,1.3] [--biases=0,0.05] [--noises=0,0.2] [--delays=0,3].
"""

import sys

from absl import app, flags, logging

from experiments import default
from launch import errors
from launch.scenarios import make_scenarios
from launch.scenarios.measure import AXES

_POLICY = flags.DEFINE_string('policy', None, 'a folder of policies: WORKDIR/policies/pretrained or .../dsrl_ppo')
_WORKDIR = flags.DEFINE_string('workdir', None, 'where scenarios.html, scenarios.jsonl and figures are written')
_EPISODES = flags.DEFINE_integer('episodes', 128, 'of every policy in every scenario')
_DEFAULT = default.get_config().scenarios
_GRID = {
    name: flags.DEFINE_list(name, [f'{value:g}' for value in _DEFAULT[name]], 'of the grid, separated by commas')
    for name in AXES
}


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)  # orbax informs at length
    axes = {}
    for name, flag in _GRID.items():
        try:
            axes[name] = [(int if name == 'delays' else float)(value) for value in flag.value]
        except ValueError:
            what = 'whole numbers' if name == 'delays' else 'numbers'
            sys.exit(f'error: --{name}={",".join(flag.value)}: give {what}, separated by commas')
    with errors.in_one_line():
        print(*make_scenarios(_POLICY.value, _WORKDIR.value, _EPISODES.value, axes), sep='\n')


if __name__ == '__main__':
    flags.mark_flags_as_required(['policy', 'workdir'])
    app.run(main)
