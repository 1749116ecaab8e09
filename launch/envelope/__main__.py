"""Describes a policy's behavioural envelope for those who deploy it:
python -m launch.envelope --policy=DIR --demos=FILE --workdir=DIR [--learner=I] [--regions=6] [--before=FILE]
[--action_names=x,y,grip].

Minutes: it fits ensembles, and policies without some of the demonstrations. Stopped and started again it goes on.
"""

from absl import flags

from launch import preemption, run
from launch.envelope import make_envelope

_POLICY = flags.DEFINE_string('policy', None, 'a folder of policies: WORKDIR/policies/pretrained or .../dsrl_ppo')
_DEMOS = flags.DEFINE_string('demos', None, 'the demonstrations; best the file that the policy has learnt from')
_LEARNER = flags.DEFINE_integer(
    'learner', None, 'which policy of the folder, from 0; left out, its first PostBC policy'
)
_REGIONS = flags.DEFINE_integer('regions', 6, 'parts of the states that are told apart, at most')
_NAMES = flags.DEFINE_list('action_names', [], "names of the action's dimensions, for people")
_BEFORE = flags.DEFINE_string('before', '', 'an earlier file, before demonstrations were added')


def main() -> None:
    run.start()
    asked = preemption.listening()
    written = make_envelope(
        _POLICY.value,
        _DEMOS.value,
        run.WORKDIR.value,
        _LEARNER.value,
        _REGIONS.value,
        _NAMES.value,
        _BEFORE.value,
        lambda: asked.asked,
    )
    print(*written, sep='\n')


if __name__ == '__main__':
    run.launch(main, ('policy', 'demos', 'workdir'))
