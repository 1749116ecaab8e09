"""Finetuning a population of pretrained policies, with each of the algorithms that the config names.

The last stage of a point, once for every algorithm; all of them begin from the same policies.
"""

import contextlib

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import config as settings
from launch.evaluation import evaluator, result_rows, success
from launch.point import Point
from postbc_jax import checkpoint, loop, metrics, parallel
from postbc_jax.policies import Policy


def finetune(point: Point, labels: list[dict], policies: Policy, untouched: list[dict]) -> None:
    """Finetunes every policy from every finetuning seed with every algorithm."""
    algorithms = settings.algorithms(point.config)
    if not algorithms:
        point.progress.stage('finetune')
        point.progress.say('none asked for')
    for algorithm in algorithms:
        point.progress.stage(algorithm)
        _finetune(point, algorithm, labels, policies, untouched)


def _finetune(point: Point, algorithm: str, labels: list[dict], policies: Policy, untouched: list[dict]) -> None:
    """One population; its curve goes to results.jsonl, its policies to policies/ALGORITHM."""
    config = point.config
    finetuner = settings.finetuner(config, algorithm)
    population = [(i, seed) for i in range(len(labels)) for seed in range(config.finetune.seeds)]
    rows = [labels[i] | {'finetune': algorithm, 'finetune_seed': seed} for i, seed in population]
    trainer = finetuner.trainer(point.env)
    mesh = parallel.mesh(len(population), divides=[*trainer.rows, config.evaluate.episodes])
    stage = loop.Stage(
        name=algorithm,
        trainer=parallel.population(trainer, mesh),
        mesh=mesh,
        labels=rows,
        chunks=config.finetune.chunks,
        steps_per_chunk=finetuner.steps_per_chunk,
        directory=point.directory / 'checkpoints' / algorithm,
        meta=finetuner.meta,
    )
    # Paired: the arms of a seed finetune with the same random numbers, and are judged on the same episodes.
    pairs = [labels[i]['seed'] * 1_000_003 + seed for i, seed in population]
    keys = parallel.learner_keys(point.key('finetune'), pairs, mesh)
    test_keys = parallel.learner_keys(point.key('evaluate'), [labels[i]['seed'] for i, _ in population], mesh)
    of_learner = np.array([i for i, _ in population])
    frozen = parallel.shard(jax.tree.map(lambda x: x[of_learner], policies), mesh, P(parallel.LEARNER))
    rollouts = evaluator(point, mesh)

    def after_chunk(chunk: int, state, values: dict[str, np.ndarray]) -> list[dict]:
        if chunk == 0:  # the untouched policy, measured with noise ~ N(0, I): the actor's mode is another policy
            return [untouched[i] | row for (i, _), row in zip(population, rows, strict=True)]
        columns = [
            point.columns(**row, env_steps=int(steps)) for row, steps in zip(rows, values['env_steps'], strict=True)
        ]
        return result_rows(point, rollouts(stage.trainer.policy(state, frozen), test_keys), columns)

    with contextlib.closing(metrics.JsonLines(point.directory / 'results.jsonl')) as results:
        outcome = point.run(stage, keys, frozen, results=results, after_chunk=after_chunk)
    finetuned = stage.trainer.policy(outcome.state, frozen)
    checkpoint.save_policy(point.directory / 'policies' / algorithm, finetuned, rows)
    written = metrics.read(point.directory / 'results.jsonl')
    last = [row for row in written if row.get('stage') == algorithm and row['chunk'] == config.finetune.chunks]
    point.progress.say(success(last))
