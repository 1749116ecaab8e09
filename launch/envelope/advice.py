"""What to look at, and what to record: suspect demonstrations and operators, start states, diversity.

Beside measure, whose dictionary it completes: the content of envelope.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from launch.envelope.measure import finite
from launch.envelope.subject import Subject
from launch.envelope.told import Told
from postbc_jax.envelope import conformal, diversity, measures, record_next, styles, suspects

PICKS = 5  # start states that are proposed
_STATES = 2048  # at which a further demonstration's worth is measured


def suspected(about: Subject, told: Told, dimensions: Sequence[str]) -> dict[str, Any]:
    """Suspect demonstrations and operators, and every demonstration's measures. dimensions: the action's names."""
    windows, demos = about.learning.windows, about.learning.demos
    own = told.split(told.own())
    spread = np.sqrt(own.between + own.within + own.unknown)
    rows = np.asarray(windows.obs, float), np.asarray(windows.actions, float)
    found = measures.measure(demos, *rows, own.mean, spread)
    by_operator = []
    if len(told.operators) > 1:
        others = told.split(told.others())
        apart = (rows[1] - others.mean) / np.sqrt(others.between + others.within + others.unknown)
        unlike = np.sqrt(np.bincount(windows.episode, np.mean(apart**2, axis=1)) / np.bincount(windows.episode))
        who = windows.episode, np.array(told.operators)[told.operator]
        biased, elsewhere = styles.biases(apart, *who, dimensions), styles.elsewhere(rows[0], *who)
        by_operator = styles.by_operator(found, demos.operators, unlike, biased, elsewhere)
    return {
        'suspect_demos': [
            {'demo': demos.names[one.demo], 'index': one.demo, 'operator': _operator(demos, one.demo)} | _reasons(one)
            for one in suspects.rank(found, demos.operators, demos.names)
        ],
        'suspect_operators': [{'operator': one.demo} | _reasons(one) for one in by_operator],
        'spread_over_error': _spread_over_error((rows[1] - own.mean) / spread),
        'measures': {name: finite(values) for name, values in found._asdict().items()},
    }


def record(about: Subject, told: Told, before: np.ndarray | None) -> dict[str, Any]:
    """Start states to record from next, and the demonstrations' diversity. before: (N', O), normalised states and
    (N',) episodes of an earlier file, for the diversity that was added."""
    windows, demos = about.learning.windows, about.learning.demos
    obs, episode = np.asarray(windows.obs, float), np.asarray(windows.episode)
    ways = diversity.paths(obs, episode)
    found: dict[str, Any] = {'diversity': {'demonstrations': len(ways)}}
    found['diversity']['score'] = diversity.vendi(ways, diversity.width(ways))
    if before is not None:
        change = diversity.compare(diversity.paths(*before), ways)
        found['diversity'] |= {'before': change.before, 'score': change.after, 'each_added': change.each}
    if demos.episodes < 2:
        return found | {'record_next': []}
    steps = conformal.thinned(np.arange(len(obs)), _STATES)
    unknown = told.split(told.own()).unknown.mean(axis=1)[steps]
    near = record_next.closeness(obs[steps], obs, episode, record_next.reach(obs, episode))
    mine = near[episode[steps], np.arange(len(steps))]
    picks = record_next.plan(unknown, near.sum(axis=0) - mine + 1, near, PICKS)  # 1: the prior's
    starts = np.searchsorted(episode, np.arange(demos.episodes))
    alone = record_next.worth(unknown, near.sum(axis=0) - mine + 1, near)
    return found | {
        'record_next': [
            {
                'like': demos.names[pick.path],
                'operator': _operator(demos, pick.path),
                'gain': pick.gain,
                'left': pick.left,
                'start': np.asarray(demos.obs)[starts[pick.path]].tolist(),
            }
            for pick in picks
        ],
        'usual_gain': float(np.median(alone)),
        'starts': np.asarray(demos.obs)[starts].tolist(),
    }


def states_of(file: Path, about: Subject, demos: Any) -> tuple[np.ndarray, np.ndarray]:
    """Normalised states and episodes of an earlier file, for `record`.

    Raises:
      ValueError: its observations are others.
    """
    if demos.obs_keys != about.learning.demos.obs_keys:
        raise ValueError(f'--before={file}: obs: {demos.obs_keys}, but the demonstrations have {about.sizes.obs_keys}')
    return np.asarray(about.learning.normaliser.obs(demos.obs), float), np.asarray(demos.episode)


def _operator(demos: Any, demo: int) -> str:
    return demos.operators[demo] if demos.operators else ''


def _reasons(one: suspects.Suspect) -> dict[str, Any]:
    rows = [reason._asdict() | {'z': reason.z if np.isfinite(reason.z) else None} for reason in one.reasons]
    return {'reasons': rows}


def _spread_over_error(apart: np.ndarray) -> float:
    """How many times larger than it turns out the predicted spread is, of errors in its units (N, A): .6745 of a normal
    error is its median. Robust, for suspects are among them."""
    return float(0.6745 / max(np.median(np.abs(apart)), 1e-6))
