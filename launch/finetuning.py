"""Finetuning a population of pretrained policies, with each of the algorithms that the config names.

The last stage of a point, once for every algorithm; all of them begin from the same policies.
"""

import contextlib
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from launch import config as settings
from launch import curricula, finetuners, offline, watching
from launch.demonstrations import Learning
from launch.evaluation import evaluator, result_rows, success
from launch.finetuners import Finetuner, Start
from launch.point import Point
from postbc_jax import checkpoint, evaluate, loop, metrics, parallel
from postbc_jax.envelope.guard import unguarded
from postbc_jax.finetune.controlled import controlled
from postbc_jax.finetune.iql import IQLData, iql
from postbc_jax.policies import Policy


class Population(NamedTuple):
    """Every policy from every finetuning seed.

    Attributes:
      of_learner: (L,), each one's policy.
      rows: each one's columns.
      mesh: the devices' axes.
      keys: of finetuning, (padded L,): the arms of a seed finetune with the same random numbers ...
      test_keys: ... and are judged on the same episodes.
      policies: (padded L, ...), on the mesh.
    """

    of_learner: np.ndarray
    rows: list[dict]
    mesh: jax.sharding.Mesh
    keys: jax.Array
    test_keys: jax.Array
    policies: Policy


def finetune(
    point: Point, learning: Learning | None, labels: list[dict], policies: Policy, untouched: list[dict]
) -> None:
    """Finetunes every policy from every finetuning seed with every algorithm.

    Args:
      point: the point.
      learning: its demonstrations; None where the policies came without.
      labels, policies: of the pretrained policies, (L, ...).
      untouched: their rows of results.

    Raises:
      loop.Preempted, ValueError: as pipeline.run.
    """
    algorithms = settings.algorithms(point.config)
    if not algorithms:
        point.progress.stage('finetune')
        point.progress.say('none asked for')
    for algorithm in algorithms:
        point.progress.stage(algorithm)
        _finetune(point, algorithm, learning, labels, policies, untouched)


def _finetune(
    point: Point,
    algorithm: str,
    learning: Learning | None,
    labels: list[dict],
    policies: Policy,
    untouched: list[dict],
) -> None:
    """One population; its curve goes to results.jsonl, its policies to policies/ALGORITHM."""
    config = point.config
    finetuner = finetuners.finetuner(config, algorithm)
    stage, everyone = prepare(point, finetuner, labels, policies)
    critics, spent = _warm_start(point, finetuner, everyone, learning) if warms(point, finetuner) else (None, 0)
    start = begin_with(point, finetuner, everyone, learning, critics)
    rows, rollouts = everyone.rows, evaluator(point, stage.mesh)

    watch = watching.watch(point, finetuner, stage.trainer, everyone, start)

    def evaluated(chunk: int, state, steps: np.ndarray) -> list[dict]:
        if chunk == 0 and not finetuner.from_itself:  # the actor's mode is another policy than what it begins with
            return [untouched[i] | row for i, row in zip(everyone.of_learner, rows, strict=True)]
        columns = [point.columns(**row, env_steps=int(n)) for row, n in zip(rows, steps, strict=True)]
        return result_rows(point, rollouts(stage.trainer.policy(state, start), everyone.test_keys), columns)

    def after_chunk(chunk: int, state, values: dict[str, np.ndarray]) -> loop.After:
        steps = values['env_steps'] + spent if chunk else np.zeros(len(rows))
        state, seen = watch(chunk, state, values, steps)  # first: evaluated is what the next chunk begins with
        return loop.After(evaluated(chunk, state, steps), state, seen)

    with contextlib.ExitStack() as opened:
        results, *others = (
            opened.enter_context(contextlib.closing(metrics.JsonLines(point.directory / f'{name}.jsonl')))
            for name in ('results', *watching.files(config, finetuner))
        )
        named = dict(zip(watching.files(config, finetuner), others, strict=True))
        outcome = point.run(stage, everyone.keys, start, results=results, others=named, after_chunk=after_chunk)
    finetuned = stage.trainer.policy(outcome.state, start)
    checkpoint.save_policy(point.directory / 'policies' / algorithm, unguarded(finetuned), rows, point.about())
    if algorithm == 'best_of_n':
        _sweep_candidates(point, everyone, finetuned)
    written = metrics.read(point.directory / 'results.jsonl')
    last = [row for row in written if row.get('stage') == algorithm and row['chunk'] == config.finetune.chunks]
    point.progress.say(success(last))


def warms(point: Point, finetuner: Finetuner) -> bool:
    """Whether critics are fitted for it beforehand."""
    return bool(point.config.warm_start.steps and finetuner.critic_action)


def prepare(point: Point, finetuner: Finetuner, labels: list[dict], policies: Policy) -> tuple[loop.Stage, Population]:
    """The stage of one finetuner, and its population; what that begins with is begin_with's."""
    config, algorithm = point.config, finetuner.meta['algorithm']
    warm = warms(point, finetuner)
    trainer = finetuner.trainer(point.env, warm)
    meta = finetuner.meta | ({'warm_start': config.warm_start.to_dict()} if warm else {})
    notes = watching.notes(config, finetuner)
    if notes:
        trainer = controlled(trainer, lambda: {name: begin() for name, begin in notes.items()})
        meta |= {name: config[name].to_dict() for name in notes}
    everyone = _population(point, algorithm, labels, policies, [*trainer.rows, config.evaluate.episodes])
    steps, chunks = finetuner.steps_per_chunk, config.finetune.chunks
    return point.stage(algorithm, trainer, everyone.rows, chunks, steps, meta, everyone.mesh), everyone


def _population(point: Point, algorithm: str, labels: list[dict], policies: Policy, divides: list[int]) -> Population:
    pairs = [(i, seed) for i in range(len(labels)) for seed in range(point.config.finetune.seeds)]
    mesh = parallel.mesh(len(pairs), point.devices, divides)
    of_learner = np.array([i for i, _ in pairs])
    seeds = [labels[i]['seed'] for i in of_learner]
    together = [seed * 1_000_003 + finetune_seed for seed, (_, finetune_seed) in zip(seeds, pairs, strict=True)]
    return Population(
        of_learner=of_learner,
        rows=[labels[i] | {'finetune': algorithm, 'finetune_seed': seed} for i, seed in pairs],
        mesh=mesh,
        keys=parallel.learner_keys(point.key('finetune'), together, mesh),
        test_keys=parallel.learner_keys(point.key('evaluate'), seeds, mesh),
        policies=parallel.shard(policies, mesh, P(parallel.LEARNER), of_learner),
    )


def begin_with(
    point: Point, finetuner: Finetuner, everyone: Population, learning: Learning | None, critics: Any
) -> Any:
    """What the population's trainer calls data."""
    mesh, policies = everyone.mesh, everyone.policies
    if finetuner.meta['algorithm'] == 'best_of_n':
        path = point.config.best_of_n.rollouts
        given = offline.logged(point, path, policies, finetuner.config) if path else None
        return IQLData(policies, parallel.shard(given, mesh))
    known = None
    if getattr(finetuner.config, 'offline_share', 0):
        known = offline.of_learners(
            point, learning, everyone.rows, policies, finetuner.config, finetuner.critic_action, mesh
        )
    near = curricula.FILE in watching.notes(point.config, finetuner)
    return Start(policies, known, critics, starts=curricula.starts(point, learning, everyone) if near else None)


def _warm_start(
    point: Point, finetuner: Finetuner, everyone: Population, learning: Learning | None
) -> tuple[Any, np.ndarray]:
    """Critics (padded L, ...) fitted to the policy's own rollouts, and to its demonstrations where Q reads chunks, and
    the environment steps (L,) that took."""
    stage, known = prepare_warm_start(point, finetuner, everyone, learning)
    state = point.run(stage, everyone.keys, known).state
    spent = parallel.gather(state.env_steps, len(everyone.rows))
    point.progress.note(f'note: {stage.name}: fitted, {int(np.mean(spent))} environment steps each')
    return state.params, spent


def prepare_warm_start(
    point: Point, finetuner: Finetuner, everyone: Population, learning: Learning | None
) -> tuple[loop.Stage, IQLData]:
    """The stage that fits critics, and its data; its keys are the population's."""
    iql_config, chunks = finetuners.warm_start(point.config, finetuner)
    trainer, mesh = iql(lambda data: point.env, iql_config), everyone.mesh
    given = mask = None
    if learning is not None and finetuner.critic_action == 'chunk':
        given = parallel.shard(offline.demonstrated(learning, everyone.policies, iql_config), mesh)
        mask = parallel.shard(
            learning.mask[[row['seed'] for row in everyone.rows]].astype(np.float32), mesh, P(parallel.LEARNER)
        )
    known = IQLData(everyone.policies, given, mask)
    name = f'{finetuner.meta["algorithm"]}_critics'
    steps, meta = iql_config.steps_per_chunk, settings.describe(iql_config)
    return point.stage(name, trainer, everyone.rows, chunks, steps, meta, mesh), known


def _sweep_candidates(point: Point, everyone: Population, policies: Any) -> None:
    """candidates.jsonl: success with every number of candidates, on the same episodes."""
    numbers = tuple(point.config.best_of_n.numbers)
    if not numbers or (point.directory / 'candidates.jsonl').exists():
        return
    episodes = point.config.evaluate.episodes
    play = parallel.pmap(
        lambda policy, key: evaluate.candidates(point.env, policy, key, episodes, numbers),
        everyone.mesh,
        (P(parallel.LEARNER), P(parallel.LEARNER)),
        P(parallel.LEARNER, parallel.DATA),
    )
    found = parallel.gather(play(policies, everyone.test_keys), len(everyone.rows))
    rates = [
        point.columns(**row) | of_n
        for row, success_, region in zip(everyone.rows, found['success'], found['region'], strict=True)
        for of_n in evaluate.candidate_rates(success_, region, numbers, point.env.regions)
    ]
    point.write_rows('candidates.jsonl', rates)
