"""Draws the action distributions of one point: python -m launch.density --workdir=DIR [--seed=0] [--alpha=1]
[--at=0.25,0.6]."""

import sys

from absl import app, flags, logging

from launch import errors
from launch.density import make_density

_WORKDIR = flags.DEFINE_string('workdir', None, 'the directory of a point')
_SEED = flags.DEFINE_integer('seed', 0, 'whose policies')
_ALPHA = flags.DEFINE_float('alpha', None, 'of the PostBC arm; the first there is where it is left out')
_AT = flags.DEFINE_list('at', ['0.25', '0.6'], 'shares of the episode at which states are taken')


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)  # orbax informs at length
    try:
        at = tuple(map(float, _AT.value))
    except ValueError:
        sys.exit(f'error: --at={",".join(_AT.value)}: give shares of the episode, such as 0.25,0.6')
    with errors.in_one_line():
        print(*make_density(_WORKDIR.value, _SEED.value, _ALPHA.value, at), sep='\n')


if __name__ == '__main__':
    flags.mark_flag_as_required('workdir')
    app.run(main)
