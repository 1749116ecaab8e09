"""Writes one policy for a robot: python -m launch.export --policy=DIR --learner=I --output=DIR.

The step after an experiment. --policy is a folder that a run wrote, such as runs/lift/policies/dsrl_ppo; --output then
holds policy.stablehlo, which jax alone runs, and policy.json, which says how and whose it is. A policy of a run with a
guard is written with it; --guard chooses another, or none.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from absl import app, flags

from launch import errors, guarding
from launch.kinds import KINDS
from postbc_jax import checkpoint
from postbc_jax.envelope.guard import MODES
from postbc_jax.export import export

_POLICY = flags.DEFINE_string('policy', None, 'a folder of policies: WORKDIR/policies/pretrained or .../dsrl_ppo')
_LEARNER = flags.DEFINE_integer('learner', None, 'which of them, counted from 0; may be left out where there is one')
_GUARD = flags.DEFINE_enum('guard', '', ['', 'none', *MODES], "the guard in the policy; '' is the run's own")
_OUTPUT = flags.DEFINE_string('output', None, 'the folder for policy.stablehlo and policy.json')


def main(argv: list[str]) -> None:
    with errors.in_one_line():
        if len(argv) > 1:
            raise ValueError(f'{argv[1]!r}: unexpected; flags are given as --name=value')
        print(write(_POLICY.value, _LEARNER.value, _OUTPUT.value, _GUARD.value))


def write(directory: str, learner: int | None, output: str, mode: str = '') -> str:
    """Exports a learner of a saved population; returns what was written and whose it is, as a line.

    Args:
      directory, learner, output: as the flags.
      mode: of the guard, whose envelope lies in policies/envelope beside the directory; 'none' is no guard, '' that of
        the run.

    Raises:
      ValueError: no policies of a known kind, no such learner, or several and none was chosen; or no envelope.
    """
    kind, about = checkpoint.read_about(directory)
    if kind not in KINDS:
        raise ValueError(f'--policy={directory}: holds {kind}; this exports {", ".join(KINDS)}')
    _, labels = checkpoint.load_policies(directory, KINDS[kind])
    if learner is None and len(labels) > 1:
        there = '; '.join(f'{i}: {_text(label)}' for i, label in enumerate(labels))
        raise ValueError(f'--policy={directory}: give --learner, one of {there}')
    learner = learner or 0
    policy = checkpoint.load_policy(directory, learner, KINDS[kind])
    guarded = about.pop('guard', {'safe': ''})
    mode = mode or guarded.get('mode', 'none')
    if mode != 'none':
        alone = jax.tree.map(lambda x: x[None], policy)
        behind = guarding.put_on(Path(directory).parent, labels[learner : learner + 1], alone, mode, guarded['safe'])
        policy = jax.tree.map(lambda x: jnp.asarray(x[0]), behind)
        about['guard'] = {'mode': mode} | guarding.said(policy)
    about = {'obs_keys': None, 'env': None} | about | {'learner': learner, 'label': labels[learner]}
    behind = f', guarded ({mode})' * (mode != 'none')
    return f'{export(policy, output, about)}: {kind}, {_text(labels[learner])}{behind}'


def _text(label: dict) -> str:
    return ', '.join(
        f'{name}={value:g}' if isinstance(value, float) else f'{name}={value}' for name, value in label.items()
    )


if __name__ == '__main__':
    flags.mark_flags_as_required(['policy', 'output'])
    app.run(main)
