"""Makes the report of a work directory again from its files: python -m launch.report --workdir=DIR."""

from absl import app, flags

from launch import errors
from launch.report import tell

_WORKDIR = flags.DEFINE_string('workdir', None, 'the work directory of a run')


def main(_) -> None:
    with errors.in_one_line():
        print(*tell(_WORKDIR.value), sep='\n')


if __name__ == '__main__':
    flags.mark_flag_as_required('workdir')
    app.run(main)
