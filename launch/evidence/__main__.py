"""Makes the evidence of a work directory from its files: python -m launch.evidence --workdir=DIR [--development=DIR].

Of a work directory of development seeds it prints what they choose; given them by --development, it refuses a seed that
is on both sides and says where something else is reported than was chosen.
"""

from absl import app, flags

from launch import errors
from launch.evidence import make_evidence

_WORKDIR = flags.DEFINE_string('workdir', None, 'the work directory of a run')
_DEVELOPMENT = flags.DEFINE_string('development', None, 'the work directory of the run that settings were chosen by')


def main(_) -> None:
    with errors.in_one_line():
        print(*make_evidence(_WORKDIR.value, _DEVELOPMENT.value), sep='\n')


if __name__ == '__main__':
    flags.mark_flag_as_required('workdir')
    app.run(main)
