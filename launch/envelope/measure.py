"""Everything that the document says, as numbers: the content of envelope.json.

Between the fits and the page, which computes nothing. Actions in the environment's units, variances in their squares.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from launch.envelope import words
from launch.envelope.flagged import Flagged
from launch.envelope.reliable import Reliable
from launch.envelope.subject import Subject
from launch.envelope.told import Told, in_action_units
from postbc_jax.envelope import conformal, describe, diversity, record_next, suspects
from postbc_jax.envelope.regions import Regions, progress
from postbc_jax.posterior.calibration import LEVELS, Curve

FEWEST = 5  # demonstrations through a region, below which it has too few whatever is said there
PICKS = 5  # start states that are proposed
_STATES = 2048  # at which a further demonstration's worth is measured
_NO_OPERATORS = 'the file does not say who demonstrated'
_ONE_OPERATOR = 'one operator alone demonstrated'


def entries(obs_keys: Sequence[tuple[str, int]]) -> list[str]:
    """The names of an observation's O entries: 'object[2]', or the key's own where it has one."""
    return [name if size == 1 else f'{name}[{i}]' for name, size in obs_keys for i in range(size)]


def subject(about: Subject) -> dict[str, Any]:
    """The policy, the demonstrations, and what could not be known."""
    demos = about.learning.demos
    return {
        'policy': {
            'folder': str(about.folder),
            'learner': about.index,
            'name': about.name,
            'kind': about.kind,
            'task': about.config.env,
            'label': about.label,
            'chunk': about.base.config.chunk,
        },
        'demos': {
            'file': about.learning.path,
            'demonstrations': demos.episodes,
            'steps': len(demos.obs),
            'operators': {name: demos.operators.count(name) for name in sorted(set(demos.operators)) if name},
            'learnt_from': int(about.learnt.sum()),
        },
        'entries': entries(demos.obs_keys),
        'entry_scale': np.asarray(demos.obs).std(axis=0).tolist(),
        'notes': about.notes,
    }


def regions(about: Subject, found: Regions, parts: describe.Parts) -> list[dict[str, Any]]:
    """A row a region: when episodes come through it, who demonstrated there, what tells it apart, and whether that is
    enough. parts: in normalised units."""
    demos, names = about.learning.demos, entries(about.learning.demos.obs_keys)
    over, whole = progress(demos.episode), np.asarray(demos.obs)
    scale = np.maximum(whole.std(axis=0), 1e-6)
    rows = []
    for index in range(found.count):
        inside = found.index == index
        through = np.unique(demos.episode[inside])
        here = whole[inside].mean(axis=0)
        apart = (here - whole.mean(axis=0)) / scale
        told = [int(i) for i in np.argsort(-np.abs(apart), kind='stable')[:2]]
        known, unknown = (parts.within[index] + parts.between[index]).sum(), parts.unknown[index].sum()
        wanted = max(FEWEST, int(np.ceil(len(through) * unknown / max(known, 1e-12))))
        rows.append(
            {
                'name': chr(ord('A') + index) if index < 26 else str(index),
                'title': words.when(np.quantile(over[inside], describe.QUANTILES)),
                'when': np.quantile(over[inside], describe.QUANTILES).tolist(),
                'steps': int(inside.sum()),
                'demonstrations': len(through),
                'operators': len({demos.operators[e] for e in through} - {''}) if demos.operators else 0,
                'distinct': [
                    {'entry': names[i], 'here': float(here[i]), 'usual': float(whole[:, i].mean())} for i in told
                ],
                'too_few': bool(len(through) < wanted),
                'more': max(wanted - len(through), 0),
                'centre': here.tolist(),
            }
        )
    return rows


def variation(about: Subject, found: Regions, told: Told) -> tuple[dict[str, Any], describe.Parts]:
    """Ranges and modes, and the variance's parts by region and dimension: of JSON, and normalised."""
    demos, normaliser = about.learning.demos, about.learning.normaliser
    actions = np.asarray(demos.actions)
    shares = [[np.mean(told.operator[found.index == r] == p) for p in range(len(told.operators))] for r in _all(found)]
    parts = describe.by_region(told.split(np.array(shares)[found.index]), found.index, found.count)
    low, middle, high = describe.ranges(actions, found.index, found.count)
    through = [len(np.unique(demos.episode[found.index == r])) for r in _all(found)]
    several = len(told.operators) > 1
    return {
        'ranges': [
            [
                {
                    'low': float(low[r, a]),
                    'middle': float(middle[r, a]),
                    'high': float(high[r, a]),
                    'modes': [m._asdict() for m in describe.modes(actions[found.index == r, a], through[r])],
                }
                for a in range(actions.shape[1])
            ]
            for r in _all(found)
        ],
        'state': in_action_units(parts.state, normaliser).tolist(),
        'between_operator': in_action_units(parts.between, normaliser).tolist() if several else None,
        'between_operator_reason': None if several else _ONE_OPERATOR if told.operators[0] else _NO_OPERATORS,
        'within_operator': in_action_units(parts.within, normaliser).tolist(),
        'unknown': in_action_units(parts.unknown, normaliser).tolist(),
        'action_scale': np.asarray(normaliser.action_scale()).tolist(),
    }, parts


def reliability(found: Reliable) -> dict[str, Any]:
    """The curves and their verdicts."""
    return {
        'how': found.how,
        'why_not': found.why,
        'demonstrations': found.demonstrations,
        'levels': list(LEVELS),
        'whole': _curve(found.whole),
        'regions': [_curve(curve) for curve in found.by_region],
    }


def suspected(about: Subject, told: Told, dimensions: Sequence[str]) -> dict[str, Any]:
    """Suspect demonstrations and operators, and every demonstration's measures. dimensions: the action's names."""
    windows, demos = about.learning.windows, about.learning.demos
    own = told.split(told.own())
    spread = np.sqrt(own.between + own.within + own.unknown)
    rows = np.asarray(windows.obs, float), np.asarray(windows.actions, float)
    found = suspects.measure(demos, *rows, own.mean, spread)
    by_operator = []
    if len(told.operators) > 1:
        others = told.split(told.others())
        apart = (rows[1] - others.mean) / np.sqrt(others.between + others.within + others.unknown)
        unlike = np.sqrt(np.bincount(windows.episode, np.mean(apart**2, axis=1)) / np.bincount(windows.episode))
        biased = suspects.biases(apart, windows.episode, np.array(told.operators)[told.operator], dimensions)
        by_operator = suspects.by_operator(found, demos.operators, unlike, biased)
    return {
        'suspect_demos': [
            {'demo': demos.names[one.demo], 'index': one.demo, 'operator': _operator(demos, one.demo)} | _reasons(one)
            for one in suspects.rank(found, demos.operators, demos.names)
        ],
        'suspect_operators': [{'operator': one.demo} | _reasons(one) for one in by_operator],
        'measures': {name: _finite(values) for name, values in found._asdict().items()},
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


def guarded(about: Subject, found: Flagged, regions: Regions, suspected: Sequence[int]) -> dict[str, Any]:
    """The guard's bounds, and how often each kind of decision is flagged, by context and by region; and the bounds that
    there would be without the suspected demonstrations."""
    chunk, state = found.chunk > 1, found.state > 1
    either, played = chunk | state, (found.policy_chunk > 1).mean(axis=1)
    context = np.asarray(found.contexts(np.asarray(about.learning.demos.obs)))
    shown = []
    for index, row in enumerate(found.bounds):
        held, asked = context[found.steps] == index, context[found.policy_steps] == index
        given = found.contexts.given[index] if index < len(found.contexts.given) else None
        names = entries(about.learning.demos.obs_keys)
        row = {name: value for name, value in row.items() if name != 'seed'}
        row |= {'entry': given and names[given.column], 'above': given and given.above, 'below': given and given.below}
        row['ranges'] = _ranges(np.asarray(about.learning.demos.actions)[context == index])
        row |= {'alpha': given.alpha if given else 1.0, 'bound': given and given.bound}
        row |= {'flagged': _mean(either[held]), 'policy_flagged': _mean(played[asked])}
        row['without_suspects'] = _without(
            found, row, held & ~np.isin(about.learning.windows.episode[found.steps], suspected), asked
        )
        shown.append(row)
    at, asked = regions.index[found.steps], regions.index[found.policy_steps]
    return {
        'mode': about.config.guard.mode,
        'of': 'the run' if found.own else 'these demonstrations',
        'contexts': shown,
        'flagged': {'chunk': _mean(chunk), 'state': _mean(state), 'either': _mean(either)},
        'policy_flagged': _mean(played),
        'regions': [
            {'flagged': _mean(either[at == r]), 'policy_flagged': _mean(played[asked == r])} for r in _all(regions)
        ],
        'demonstrators': {'chunk': found.chunk.tolist(), 'state': found.state.tolist()},
        'policy': {'chunk': found.policy_chunk[:, :8].ravel().tolist()},
    }


def _without(found: Flagged, row: dict[str, Any], kept: np.ndarray, asked: np.ndarray) -> dict[str, Any] | None:
    """A context's bounds by those of its held-out steps that are kept (n,), and the share of the policy's draws beyond
    them at the states (m,) that were asked about; None where too few are left, and of a run's own guard, whose bounds
    come of other steps."""
    if found.own or kept.sum() < 1 / row['rate']:
        return None
    chunk, state = (conformal.quantile(x[kept], row['rate'] / conformal.SHARES) for x in (found.chunk, found.state))
    flagged = _mean((found.policy_chunk[asked] > chunk).ravel())
    return {'radius': row['radius'] * chunk, 'familiar': row['familiar'] * state, 'policy_flagged': flagged}


def states_of(file: Path, about: Subject, demos: Any) -> tuple[np.ndarray, np.ndarray]:
    """Normalised states and episodes of an earlier file, for `record`.

    Raises:
      ValueError: its observations are others.
    """
    if demos.obs_keys != about.learning.demos.obs_keys:
        raise ValueError(f'--before={file}: obs: {demos.obs_keys}, but the demonstrations have {about.sizes.obs_keys}')
    return np.asarray(about.learning.normaliser.obs(demos.obs), float), np.asarray(demos.episode)


def _all(found: Regions) -> range:
    return range(found.count)


def _operator(demos: Any, demo: int) -> str:
    return demos.operators[demo] if demos.operators else ''


def _ranges(actions: np.ndarray) -> list[dict[str, float]]:
    """The range of every dimension of a context's actions (n, A)."""
    found = describe.ranges(actions, np.zeros(len(actions), int), 1)[:, 0].T
    return [dict(zip(('low', 'middle', 'high'), map(float, row), strict=True)) for row in found]


def _reasons(one: suspects.Suspect) -> dict[str, Any]:
    rows = [reason._asdict() | {'z': reason.z if np.isfinite(reason.z) else None} for reason in one.reasons]
    return {'reasons': rows}


def _curve(curve: Curve | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    ends = (('', 'value'), ('_low', 'low'), ('_high', 'high'))
    verdict = 'undecided' if np.isnan(curve.excess.low) else curve.verdict  # of one demonstration
    found = {f'coverage{end}': _finite(getattr(curve.coverage, name)) for end, name in ends}
    return found | {f'excess{end}': _finite(getattr(curve.excess, name)) for end, name in ends} | {'verdict': verdict}


def _finite(values: Any) -> Any:
    """As JSON, None for what is not finite."""
    if np.ndim(values) == 0:
        return float(values) if np.isfinite(values) else None
    return [_finite(value) for value in values]


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
