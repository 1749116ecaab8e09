"""How often a run's guards speak on demonstrations that they have not seen: python -m launch.alarms --workdir=DIR."""

from absl import app, flags, logging

from launch import errors
from launch.alarms import make_alarms

_WORKDIR = flags.DEFINE_string('workdir', None, 'the work directory, or point of one, of a run with a guard')
_DEMOS = flags.DEFINE_string('demos', '', "recordings to hold them against; '' is those of the run not learnt from")


def main(_) -> None:
    logging.set_verbosity(logging.ERROR)  # orbax informs at length
    with errors.in_one_line():
        print(*make_alarms(_WORKDIR.value, _DEMOS.value), sep='\n')


if __name__ == '__main__':
    flags.mark_flag_as_required('workdir')
    app.run(main)
