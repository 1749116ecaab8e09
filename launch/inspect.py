"""python -m launch.inspect --demos=FILE: prints what a demonstration file holds and what is wrong with it.

The step before an experiment; nothing is trained. Exits with 1 where `load` would refuse the file.
"""

from absl import app, flags

from postbc_jax import data
from postbc_jax.data import describe

_DEMOS = flags.DEFINE_string('demos', None, 'The file, or the folder of a Minari or LeRobot dataset.', required=True)
_OBS_KEYS = flags.DEFINE_list(
    'obs_keys', [], 'Keys that make up an observation, in order; default: the format chooses.'
)
_MASK = flags.DEFINE_string('mask', None, 'Name of the mask or split to look at; default: every demonstration.')
_ACTION_BOUND = flags.DEFINE_float(
    'action_bound', 1.0, 'Actions must lie in [-action_bound, action_bound]; 0: any finite action.', lower_bound=0.0
)


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f'{argv[1]!r}: unexpected; the file is given as --demos=FILE')
    recording = data.read(_DEMOS.value, _OBS_KEYS.value, _MASK.value, _ACTION_BOUND.value or None)
    print(describe.text(recording))
    return int(bool(recording.faults))


if __name__ == '__main__':
    app.run(main)
