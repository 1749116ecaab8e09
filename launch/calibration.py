"""The calibration of one point: on held-out demonstrations, how much noise they support, and how much the arms have.

Called by launch.pipeline between the posterior and the policies, where config.alpha or config.calibration asks for it.
Every seed's demonstrations are dealt into folds of whole trajectories; the ensemble and BC are fitted without each, as
two more populations. What they draw at the steps left out is what posterior.calibration reads. calibration.json has a
row a curve: of every arm of bc, sigma_bc and post_bc, of alpha 1 and of the calibrated alpha, at every seed.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import fold, scales
from launch.arms import Arm, arm_of
from launch.demonstrations import Learning
from launch.point import Point
from launch.populations import fit_members, fit_policies, padded, prepare_members, prepare_policies
from postbc_jax import loop, parallel, policies
from postbc_jax.data import bootstrap
from postbc_jax.posterior import calibration, noise

FILE = 'calibration.json'
NAMES = ('calibration_posterior', 'calibration_policies')  # of the two populations' stages
DRAWS = 64  # M at every held-out step
MOST_STEPS = 2048  # held out of a seed at which anything is drawn: evenly fewer of more
_NOISED = ('bc', 'sigma_bc', 'post_bc')  # arms that are BC and noise
_SHOWN = (Arm('post_bc', alpha=1.0), Arm('post_bc', alpha_by='auto'))  # also where they are no arms


class Folds(NamedTuple):
    """G = seeds x F sources of demonstrations, seed by seed, each without one fold.

    Attributes:
      learning: whose mask has a row a source.
      labels: {'seed', 'fold'} of each.
      steps: the held-out steps (H_g,) of each, thinned to MOST_STEPS a seed.
    """

    learning: Learning
    labels: list[dict[str, int]]
    steps: list[np.ndarray]


class _Drawn(NamedTuple):
    """The held-out steps of one (seed, pretraining).

    Attributes:
      held: what is demonstrated and drawn there, of the action dimensions that vary in the seed's demonstrations.
      isotropic: (n, M, T, A'), standard normal, in the place of held.noise.
      varies: (A,) bool, which dimensions those are.
    """

    held: calibration.HeldOut
    isotropic: np.ndarray
    varies: np.ndarray


def key(label: dict[str, Any]) -> tuple:
    """What a calibrated alpha belongs to: the seed and, in a run of several settings, how BC is trained."""
    return tuple(label.get(name) for name in ('seed', 'pretrain.learning_rate', 'pretrain.weight_decay'))


def calibrate(point: Point, learning: Learning, factors: np.ndarray) -> dict[tuple, float]:
    """The calibrated alpha of every `key`, and calibration.json; from there where it is already.

    Args:
      point, learning: the point's.
      factors: (S, M, R, T, A) of the whole posterior, for the arms whose noise is a given or matched rms.

    Raises:
      ValueError: a seed has one demonstration.
    """
    point.progress.stage('calibration')
    rows = point.read_json(FILE)
    if rows is None:
        folds = split(point, learning)
        rows = [row for drawn in _draw(point, folds) for row in _rows(point, learning, factors, folds, *drawn)]
        point.write_json(FILE, rows)
    chosen = {key(row): row['alpha'] for row in rows if row['alpha_by'] == 'auto' and row['pretrain'] == 'post_bc'}
    alphas = ', '.join(f'{alpha:.2f}' for alpha in chosen.values()) if len(chosen) <= 10 else f'{len(chosen)} of them'
    point.progress.say(f'{rows[0]["folds"]} folds; alpha by held-out demonstrations {alphas}')
    return chosen


def split(point: Point, learning: Learning) -> Folds:
    """Every seed's demonstrations in config.calibration.folds parts, or as many as there are.

    Raises:
      ValueError: a seed has one demonstration.
    """
    config, episode = point.config, learning.windows.episode
    parts, steps = [], []
    for seed, mask in enumerate(learning.mask):
        trajectories = len(np.unique(episode[mask > 0]))
        if trajectories < 2:
            raise ValueError(
                f'config.subset={config.subset}: calibration leaves demonstrations out, as the guard does, and seed '
                f'{seed} has one: give it 2 or more, or leave both out'
            )
        of_seed = jax.random.fold_in(point.key('calibration'), seed)
        count = min(config.calibration.folds, trajectories)
        parts.append(np.asarray(bootstrap.folds(of_seed, episode, learning.demos.episodes, mask, count)))
        stride = -(-int(mask.sum()) // MOST_STEPS)
        steps += [np.flatnonzero(part)[::stride] for part in parts[-1]]
    masks = np.concatenate([mask - own for mask, own in zip(learning.mask, parts, strict=True)])
    labels = [{'seed': seed, 'fold': index} for seed, own in enumerate(parts) for index in range(len(own))]
    return Folds(learning._replace(mask=masks, quality=np.zeros_like(masks)), labels, steps)


def stages(point: Point, learning: Learning) -> Iterator[tuple[loop.Stage, jax.Array, Any]]:
    """What `calibrate` trains: the stages, their keys and their data."""
    folds = split(point, learning)
    yield prepare_members(point, folds.learning, NAMES[0], folds.labels, point.config.calibration.members)
    yield prepare_policies(point, folds.learning, _no_factors(folds.learning), NAMES[1], *_bc(point, folds))


def _bc(point: Point, folds: Folds) -> tuple[list[tuple[int, fold.Recipe]], list[dict]]:
    """BC on every source, as each of the run's settings trains it: (source, recipe) and labels."""
    recipes = [recipe for recipe in fold.recipes(point.config) if recipe.arm.pretrain == 'bc']
    population = [(row, recipe) for row in range(len(folds.labels)) for recipe in recipes]
    return population, [recipe.label(folds.labels[row]['seed']) | folds.labels[row] for row, recipe in population]


def _no_factors(learning: Learning) -> np.ndarray:
    """Factors of no covariance, (G, M, 1, T, A): what BC reads and weighs by 0."""
    windows = learning.windows
    most = int(learning.mask.sum(axis=1).max())
    return np.zeros((len(learning.mask), most, 1, windows.chunk, windows.actions.shape[1]), np.float32)


def _draw(point: Point, folds: Folds) -> Iterator[tuple[int, fold.Recipe, _Drawn]]:
    """(seed, BC's recipe, what is drawn) for every seed and way to train BC."""
    config, windows = point.config, folds.learning.windows
    factors = fit_members(
        point, folds.learning, NAMES[0], folds.labels, config.calibration.members, folds.steps
    )  # (G, H, R, T, A)
    factors = scales.by_context(point, folds.learning, factors, folds.steps)
    population, labels = _bc(point, folds)
    stack = fit_policies(point, folds.learning, _no_factors(folds.learning), NAMES[1], population, labels)
    rows = [row for row, _ in population]
    base = _decoded(point, stack, windows.obs[padded(folds.steps)[rows]], rows)
    for seed in range(config.seeds):
        of_seed = [row for row, label in enumerate(folds.labels) if label['seed'] == seed]
        at = np.concatenate([folds.steps[row] for row in of_seed])
        chunks = np.asarray(windows.take(at)[1])
        own = np.concatenate([factors[row, : len(folds.steps[row])] for row in of_seed])
        root = jax.random.fold_in(jax.random.fold_in(point.key('calibration'), seed), 1)
        drawn = np.asarray(_noise(jax.random.fold_in(root, 0), own, config.posterior.covariance))
        isotropic = np.asarray(jax.random.normal(jax.random.fold_in(root, 1), drawn.shape))
        varies = np.ptp(windows.actions[folds.learning.mask[of_seed].any(axis=0)], axis=0) > 0
        for recipe in dict.fromkeys(recipe for _, recipe in population):
            learners = [population.index((row, recipe)) for row in of_seed]
            decoded = np.concatenate(
                [base[i, : len(folds.steps[row])] for i, row in zip(learners, of_seed, strict=True)]
            )
            parts = [array[..., varies] for array in (chunks, decoded, drawn)]
            held = calibration.HeldOut(*parts, windows.episode[at])
            yield seed, recipe, _Drawn(held, isotropic[..., varies], varies)


def _decoded(point: Point, stack: policies.Policy, obs: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """What every policy (L, ...) plays at its states obs (L, H, O): (L, H, DRAWS, T, A). A source's draws are its own
    whatever the recipe."""
    mesh, each = parallel.mesh(len(rows)), P(parallel.LEARNER)
    draw = parallel.pmap(lambda *of: policies.draws(*of, DRAWS), mesh, (each, each, each), each)
    keys = parallel.learner_keys(jax.random.fold_in(point.key('calibration'), point.config.seeds), rows, mesh)
    return parallel.gather(draw(parallel.shard(stack, mesh, each), parallel.shard(obs, mesh, each), keys), len(rows))


def _noise(root: jax.Array, factors: np.ndarray, covariance: str) -> jax.Array:
    """(n, DRAWS, T, A): noise of weight 1 from factors (n, R, T, A)."""
    keys = jax.random.split(root, (len(factors), DRAWS))
    return jax.vmap(lambda own, f: jax.vmap(lambda k: noise.sample(k, f, covariance))(own))(keys, factors)


def _rows(
    point: Point, learning: Learning, factors: np.ndarray, folds: Folds, seed: int, bc: fold.Recipe, drawn: _Drawn
) -> Iterator[dict[str, Any]]:
    """The rows of calibration.json of one seed and one way to train BC."""
    config, deviation = point.config, noise.deviation(factors[seed])
    choice = calibration.choose(drawn.held, config.calibration.max_alpha)
    alike = [recipe for recipe in fold.recipes(config) if recipe.arm.pretrain in _NOISED and recipe[1:3] == bc[1:3]]
    shown = [bc._replace(arm=arm) for arm in _SHOWN]
    rms = scales.trained(learning, deviation, seed)['rms']
    about = {
        'folds': sum(label['seed'] == seed for label in folds.labels),
        'trajectories': len(np.unique(drawn.held.trajectory)),
        'steps': len(drawn.held.trajectory),
        'levels': list(calibration.LEVELS),
        'alpha_auto': choice.alpha,
        'alpha_auto_low': _finite(choice.low),
        'alpha_auto_high': _finite(choice.high),
        'found': choice.found,
        'alpha_by_dimension': _by_dimension(drawn, config.calibration.max_alpha),
        'alpha_rms': calibration.of_rms(config.calibration.rms, rms) if rms else None,
    }
    for recipe in {arm_of(recipe.arm._asdict()): recipe for recipe in (*shown, *alike)}.values():
        arm = scales.at_seed(recipe.arm, learning, deviation, seed, choice.alpha, config.calibration.rms)
        held, weight = drawn.held, arm.alpha
        if arm.pretrain == 'sigma_bc':
            held, weight = held._replace(noise=drawn.isotropic), arm.sigma
        curve = calibration.curve(held, weight)
        yield (
            recipe._replace(arm=arm).label(seed)
            | about
            | {
                'coverage': curve.coverage.value.tolist(),
                'coverage_low': _finite(curve.coverage.low),
                'coverage_high': _finite(curve.coverage.high),
                'excess': curve.excess.value,
                'excess_low': _finite(curve.excess.low),
                'excess_high': _finite(curve.excess.high),
                'verdict': curve.verdict,
            }
        )


def _by_dimension(drawn: _Drawn, most: float) -> list[float | None]:
    """The alpha that each action dimension would choose alone, (A,); None of one that does not vary."""
    found: list[float | None] = [None] * len(drawn.varies)
    for place, dimension in enumerate(np.flatnonzero(drawn.varies)):
        *arrays, trajectory = drawn.held
        alone = calibration.HeldOut(*(array[..., place : place + 1] for array in arrays), trajectory)
        found[dimension] = calibration.choose(alone, most).alpha
    return found


def _finite(value: float | np.ndarray) -> float | list[float] | None:
    """As JSON; None for nan."""
    return None if np.isnan(value).any() else np.asarray(value).tolist()
