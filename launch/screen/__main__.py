"""Ranks the settings of a sweep by what its pretrained policies reach: python -m launch.screen --workdir=DIR."""

from absl import app, flags

from launch import errors
from launch.screen import make_screen

_WORKDIR = flags.DEFINE_string('workdir', None, 'the work directory of a sweep')


def main(_) -> None:
    with errors.in_one_line():
        print(*make_screen(_WORKDIR.value), sep='\n')


if __name__ == '__main__':
    flags.mark_flag_as_required('workdir')
    app.run(main)
