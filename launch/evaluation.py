"""Evaluating a population of policies: success of the untouched ones, pass@N, and what a row of results says of them.

The fourth stage of a point, and what finetuning asks after every chunk.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import config as settings
from launch.arms import arm_of
from launch.point import Point
from postbc_jax import evaluate, metrics, parallel
from postbc_jax.envelope.contexts import Contexts
from postbc_jax.policies import Policy

PASS_AT = (1, 4, 16, 64)


def evaluate_policies(point: Point, labels: list[dict], policies: Policy) -> list[dict]:
    """Success and pass@N of the pretrained policies: coverage.jsonl, and one row of results a policy, returned.

    All arms of a seed meet the same start states and the same dynamics noise. results.jsonl is written last: a restart
    that finds it measures nothing again, and leaves the rows that finetuning has put below these.
    """
    config, regions = point.config, point.env.regions
    point.progress.stage('evaluation')
    if (point.directory / 'results.jsonl').exists():
        untouched = [row for row in metrics.read(point.directory / 'results.jsonl') if 'stage' not in row]
        point.progress.say(success(untouched))
        return untouched
    mesh = parallel.mesh(len(labels), divides=[config.evaluate.episodes, config.evaluate.coverage_starts])
    stack = parallel.shard(policies, mesh, P(parallel.LEARNER))
    seeds = [label['seed'] for label in labels]
    rollouts = evaluator(point, mesh)(stack, parallel.learner_keys(point.key('evaluate'), seeds, mesh))
    columns = [point.columns(**label, finetune='none', finetune_seed=0, env_steps=0) for label in labels]
    untouched = result_rows(point, rollouts, columns)

    starts, attempts = config.evaluate.coverage_starts, config.evaluate.coverage_rollouts
    cover = parallel.pmap(
        lambda policy, key: evaluate.coverage(point.env, policy, key, starts, attempts),
        mesh,
        (P(parallel.LEARNER), P(parallel.LEARNER)),
        P(parallel.LEARNER, parallel.DATA),
    )
    found = parallel.gather(cover(stack, parallel.learner_keys(point.key('coverage'), seeds, mesh)), len(labels))
    numbers = [n for n in PASS_AT if n <= attempts]
    point.write_rows(
        'coverage.jsonl',
        [
            point.columns(**label) | row
            for label, successes, region in zip(labels, found['successes'], found['region'], strict=True)
            for row in evaluate.pass_at_n(successes, region, attempts, numbers, regions)
        ],
    )
    point.write_rows('results.jsonl', untouched)
    point.progress.say(success(untouched))
    return untouched


def evaluator(point: Point, mesh: jax.sharding.Mesh) -> Callable[[Any, jax.Array], dict[str, jax.Array]]:
    """(policies (L, ...), keys (L,)) -> evaluate.rollouts of every policy, {name: (L, episodes)}."""
    episodes, contexts = point.config.evaluate.episodes, counted(point)
    return parallel.pmap(
        lambda policy, key: evaluate.rollouts(point.env, policy, key, episodes, contexts),
        mesh,
        (P(parallel.LEARNER), P(parallel.LEARNER)),
        P(parallel.LEARNER, parallel.DATA),
    )


def result_rows(point: Point, rollouts: dict[str, jax.Array], columns: Sequence[dict]) -> list[dict]:
    """A row of results for every learner: its columns, and its success rates from the evaluator's rollouts."""
    rollouts, contexts = parallel.gather(rollouts, len(columns)), counted(point)
    rows = []
    for index, row in enumerate(columns):
        own = {name: array[index] for name, array in rollouts.items()}
        row = row | evaluate.success_rates(own['success'], own['region'], point.env.regions)
        rows.append(row | evaluate.context_rates(own, contexts.names) if contexts else row)
    return rows


def counted(point: Point) -> Contexts | None:
    """The contexts by which decisions are counted: where some are declared, or a guard plays."""
    config = point.config
    return settings.contexts(config, point.env.obs_keys) if config.contexts or config.guard.mode else None


def success(rows: Sequence[dict]) -> str:
    """Every arm's mean success over the rows, in the rows' order, for the stage's last line; of several settings how
    far the means reach."""
    rates: dict[Any, list[float]] = {}
    settings = {index for row in rows for index in row.get('settings', ())}
    for row in rows:
        arm = arm_of(row)
        one = (arm, row['pretrain.learning_rate'], row['pretrain.weight_decay']) if settings else arm.name
        rates.setdefault(one, []).append(row['success_rate'])
    if settings:
        means = [np.mean(values) for values in rates.values()]
        return f'success from {min(means):.2f} to {max(means):.2f}, {len(means)} arms of {len(settings)} settings'
    return 'success ' + ', '.join(f'{name} {np.mean(values):.2f}' for name, values in rates.items())
