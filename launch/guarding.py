"""The guard of a run: envelopes fitted once and kept in policies/envelope, and policies put behind them.

Between the policies of launch.pipeline and everything that plays them. Policies are saved without their guard, which
whoever loads them puts on again: launch.export does.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from launch import config as settings
from launch import envelopes, handover
from launch.demonstrations import Learning
from launch.point import Point
from postbc_jax import checkpoint
from postbc_jax.envelope.envelope import Envelope
from postbc_jax.envelope.guard import GuardedPolicy, guard
from postbc_jax.policies import Policy

FILE = 'guard.json'
WILD_CAUGHT = 0.99  # share of random chunks that a guard should catch, below which a run says so


def guarded(point: Point, learning: Learning | None, labels: Sequence[dict], policies: Policy) -> Any:
    """The policies (L, ...) behind the run's guard; as they are where config.guard.mode is ''. The envelope is
    fitted for the monitor too.

    Args:
      point: the point.
      learning: its demonstrations; None where the policies came without: their envelope then comes from where they do.
      labels, policies: of L learners.

    Raises:
      ValueError: there is no envelope, or it does not fit policies and config.
      loop.Preempted: as envelopes.fit.
    """
    config, folder = point.config, point.directory / 'policies'
    if not settings.fits_envelope(config):
        return policies
    point.progress.stage(envelopes.NAME)
    if not (folder / envelopes.NAME).is_dir():  # Orbax makes it whole or not at all
        if learning is None and not config.guard.mode:
            point.progress.say('no demonstrations to fit it to: the monitor does without')
            return policies
        if learning is None:
            _receive(point)
        else:
            fitted = envelopes.fit(point, learning)
            rows = envelopes.rows(fitted, config.guard.rate)
            for row in rows:
                if row['supported'] > row['rate']:
                    point.progress.note(f'note: {_few(row)}')
            loose = [row['wild_caught'] for row in rows if row['wild_caught'] < WILD_CAUGHT]
            if loose:
                point.progress.note(f'note: {_loose(loose, len(rows))}')
            point.write_json(FILE, rows)
            seeds = [{'seed': seed} for seed in range(len(learning.mask))]
            checkpoint.save_policy(folder / envelopes.NAME, fitted.envelopes, seeds, {'rate': config.guard.rate})
    contexts = settings.contexts(config, point.env.obs_keys)
    if checkpoint.load_policies(folder / envelopes.NAME, Envelope)[0].contexts != contexts:
        raise ValueError(
            f'config.contexts={config.contexts!r:.80}: {folder / envelopes.NAME} was fitted with others: give those'
        )
    if not config.guard.mode:
        point.progress.say('fitted, for the monitor alone')
        return policies
    behind = put_on(folder, labels, policies, config.guard.mode, config.guard.safe)
    radius = held(behind).envelope.radius.mean()
    point.progress.say(f'{config.guard.mode}, {config.guard.rate:g} of good decisions flagged; radius {radius:.2f}')
    return behind


def put_on(folder: Path, labels: Sequence[dict], policies: Any, mode: str, safe: str) -> Any:
    """Policies (L, ...), of any kind, behind the envelopes of their seeds.

    Args:
      folder: WORKDIR/policies.
      labels: of the L, with a 'seed'.
      policies: a stack, numpy.
      mode: one of guard.MODES.
      safe: a folder of policies, whose first is the safe policy of all; '' is, in mode 'safe', BC of the same seed, of
        the folder's pretrained ones.

    Raises:
      ValueError: an envelope or safe policy is missing, or does not fit.
    """
    source = folder / envelopes.NAME
    stack, seeds = checkpoint.load_policies(source, Envelope)
    envelope = _rows_of(stack, [_seed(seeds, label, source) for label in labels])
    known = None
    if safe:
        known = _rows_of(checkpoint.load_policies(safe)[0], [0] * len(labels))
    elif mode == 'safe':
        pretrained, theirs = checkpoint.load_policies(folder / 'pretrained')
        cloned = [i for i, label in enumerate(theirs) if label['pretrain'] == 'bc']
        of_seed = {theirs[i]['seed']: i for i in reversed(cloned)}
        known = _rows_of(pretrained, [of_seed[label['seed']] for label in labels])
    try:
        behind = guard(policies, envelope, mode, known)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None
    for name in ('obs_low', 'obs_high', 'action_low', 'action_high'):
        ours, theirs = (np.asarray(getattr(one.normaliser, name)) for one in (held(behind), envelope.guide))
        if not np.allclose(ours, theirs):
            raise ValueError(f'{source}: normaliser.{name} is not that of the policies: fit it to their demonstrations')
    return behind


def held(policy: Any) -> GuardedPolicy:
    """The GuardedPolicy that a guarded policy is, or holds."""
    return policy if isinstance(policy, GuardedPolicy) else held(policy.policy)


def said(policy: Any) -> dict[str, Any]:
    """What is said of one guarded policy's envelope beside its exported file: radius and familiar of each context."""
    envelope = held(policy).envelope
    names = envelope.contexts.names
    bounds = {name: np.asarray(getattr(envelope, name)).tolist() for name in ('radius', 'familiar')}
    return {
        'contexts': dataclasses.asdict(envelope.contexts)['given'],
        **{name: dict(zip(names, values, strict=True)) for name, values in bounds.items()},
    }


def _receive(point: Point) -> None:
    """Takes over the envelope of the work directory whose policies were taken over."""
    source = handover.find(point.config.init_from).parent if point.config.init_from else point.directory / 'policies'
    said = f'config.guard.mode={point.config.guard.mode}: {source / envelopes.NAME}'
    if not (source / envelopes.NAME).is_dir():
        raise ValueError(f'{said}: there is no envelope: run --stage=pretrain there with a guard')
    stack, seeds = checkpoint.load_policies(source / envelopes.NAME, Envelope)
    _, about = checkpoint.read_about(source / envelopes.NAME)
    if about.get('rate') != point.config.guard.rate:
        raise ValueError(f'{said} is of config.guard.rate={about.get("rate")}: give that, or fit another')
    checkpoint.save_policy(point.directory / 'policies' / envelopes.NAME, stack, seeds, about)


def _rows_of(stack: Any, rows: Sequence[int]) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[np.asarray(rows)], stack)


def _seed(seeds: Sequence[dict], label: dict, source: Path) -> int:
    for index, one in enumerate(seeds):
        if one['seed'] == label['seed']:
            return index
    raise ValueError(f'{source}: has no envelope of seed {label["seed"]}')


def _loose(caught: Sequence[float], of: int) -> str:
    return (
        f'guard: {len(caught)} of {of} catch less than {100 * WILD_CAUGHT:g} % of random chunks, the loosest '
        f'{100 * min(caught):.0f} % ({FILE}): demonstrations differ as much; launch.envelope names odd ones: '
        'record more, or raise config.guard.rate'
    )


def _few(row: dict[str, Any]) -> str:
    return (
        f'guard: seed {row["seed"]}, context {row["context"]}: {row["decisions"]} held-out decisions support a rate of '
        f'{row["supported"]:.2g}, not {row["rate"]:g}: its bounds are the largest that were seen'
    )
