"""Everything that the document says, as numbers: the content of envelope.json.

Between the fits and the page, which computes nothing. Actions in the environment's units, variances in their squares.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from launch.envelope import words
from launch.envelope.flagged import Flagged
from launch.envelope.reliable import Reliable
from launch.envelope.subject import Subject
from launch.envelope.told import Told, in_action_units
from postbc_jax.envelope import conformal, describe
from postbc_jax.envelope.regions import Regions, progress
from postbc_jax.posterior.calibration import LEVELS, Curve

FEWEST = 5  # demonstrations through a region, below which it has too few whatever is said there
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


def _all(found: Regions) -> range:
    return range(found.count)


def _ranges(actions: np.ndarray) -> list[dict[str, float]]:
    """The range of every dimension of a context's actions (n, A)."""
    found = describe.ranges(actions, np.zeros(len(actions), int), 1)[:, 0].T
    return [dict(zip(('low', 'middle', 'high'), map(float, row), strict=True)) for row in found]


def _curve(curve: Curve | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    ends = (('', 'value'), ('_low', 'low'), ('_high', 'high'))
    verdict = 'undecided' if np.isnan(curve.excess.low) else curve.verdict  # of one demonstration
    found = {f'coverage{end}': finite(getattr(curve.coverage, name)) for end, name in ends}
    return found | {f'excess{end}': finite(getattr(curve.excess, name)) for end, name in ends} | {'verdict': verdict}


def finite(values: Any) -> Any:
    """As JSON, None for what is not finite."""
    if np.ndim(values) == 0:
        return float(values) if np.isfinite(values) else None
    return [finite(value) for value in values]


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
