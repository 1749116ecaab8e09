"""python -m launch.theory --workdir=DIR [--config=experiments/theory.py:smoke] [--config.key=value].

Measures the method's theorems in finite MDPs, in about a minute on two cores; started again, it begins again.
"""

from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from launch import errors, theory

_SETTINGS = Path(__file__).parents[2] / 'experiments' / 'theory.py'
_CONFIG = config_flags.DEFINE_config_file('config', str(_SETTINGS), 'FILE.py[:arg]; override with --config.key=value')
_WORKDIR = flags.DEFINE_string('workdir', None, 'where everything is written')


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'{argv[1]!r}: unexpected; settings are given as --config.key=value')
    with errors.in_one_line():
        print(f'report: {theory.run(_CONFIG.value, Path(_WORKDIR.value))}')


if __name__ == '__main__':
    flags.mark_flag_as_required('workdir')
    app.run(main)
