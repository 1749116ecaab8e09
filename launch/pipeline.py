"""One point of an experiment from top to bottom: demonstrations -> posterior -> policy -> finetune, evaluated.

Reads a locked config, leaves a work directory. Every stage goes on from its checkpoint; a finished point says so.
A run may end before finetuning, and another begin there, also elsewhere: see `run`.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from launch import config as settings
from launch import handover, scales
from launch.arms import arm_of
from launch.demonstrations import Learning, demonstrations, prepare
from launch.point import Point
from postbc_jax import checkpoint, evaluate, loop, metrics, parallel
from postbc_jax import pretrain as pretraining
from postbc_jax.finetune import steer
from postbc_jax.policies import Policy
from postbc_jax.posterior import ensemble, noise

PASS_AT = (1, 4, 16, 64)
STAGES = 5  # in all; done.json says how many are done
PRETRAINED = 4  # of them come before finetuning


def asked(config: ConfigDict, stage: str) -> int:
    """How many stages a run with --stage=STAGE has: a hand-over stands for the first three."""
    if stage == 'finetune' or config.init_from:
        return STAGES - 2
    return PRETRAINED if stage == 'pretrain' else STAGES


def run(point: Point, stage: str = '') -> None:
    """Runs the point to its end, or to where `stage` ends.

    Args:
      point: what is run.
      stage: 'pretrain' stops before finetuning; 'finetune' begins with the pretrained policies of the work directory or
        of config.init_from, and needs no demonstrations; '' is all, and goes on from either.

    Raises:
      loop.Preempted: the run was asked to stop; its state is saved.
      ValueError: the config, the demonstrations or the work directory cannot be used.
    """
    last = PRETRAINED if stage == 'pretrain' else STAGES
    if (point.read_json('done.json') or {'stages': 0})['stages'] >= last:
        point.progress.note(f'{point.directory}: finished already, nothing to do')
        return
    if (point.directory / 'checkpoints').exists():
        point.progress.note(f'{point.directory}: begun before, goes on from its checkpoints')
    if stage == 'finetune' or point.config.init_from:
        labels, policies = handover.receive(point)
    else:
        learning = prepare(point, demonstrations(point))
        factors = fit_posterior(point, learning)
        labels, policies = fit_policies(point, learning, factors)
    untouched = evaluate_policies(point, labels, policies)
    if last == STAGES:
        finetune(point, labels, policies, untouched)
    point.write_json('done.json', {'stages': last})


def fit_posterior(point: Point, learning: Learning) -> np.ndarray:
    """Trains the S x K ensemble members as one population; returns factors (S, M, R, T, A) of their covariance.

    They are at the steps of each seed's own demonstrations, M the most that a seed has; a seed with fewer repeats its
    last, which is never drawn.
    """
    config, seeds, members = point.config, point.config.seeds, point.config.posterior.members
    point.progress.stage('posterior')
    ensemble_config = settings.ensemble(config)
    population = [(seed, member) for seed in range(seeds) for member in range(members)]
    trainer = ensemble(ensemble_config)
    mesh = parallel.mesh(len(population), divides=trainer.rows)
    stage = loop.Stage(
        name='posterior',
        trainer=parallel.population(trainer, mesh),
        mesh=mesh,
        labels=[{'seed': seed, 'member': member} for seed, member in population],
        chunks=settings.chunks(config, 'posterior'),
        steps_per_chunk=ensemble_config.steps_per_chunk,
        directory=point.directory / 'checkpoints' / 'posterior',
        meta=settings.describe(ensemble_config),
        mean_over_learners=True,
    )
    # A member's index does not depend on K: more members are the same ones and others.
    keys = parallel.learner_keys(point.key('posterior'), [seed * 1_000_003 + k for seed, k in population], mesh)
    masks = parallel.shard(learning.mask[[seed for seed, _ in population]], mesh, P(parallel.LEARNER))
    shared = {'windows': parallel.shard(learning.windows, mesh), 'mask': masks}
    outcome = point.run(stage, keys, shared)
    predictors = parallel.gather(stage.trainer.policy(outcome.state, shared), stage.learners)
    seed_of = np.array([seed for seed, _ in population])
    steps = scales.steps_of(learning)
    longest = max(map(len, steps))
    padded = [np.pad(of_seed, (0, longest - len(of_seed)), mode='edge') for of_seed in steps]  # one compiled program
    factors = np.stack(
        [
            np.asarray(
                noise.factors(jax.tree.map(lambda x, s=seed: x[seed_of == s], predictors), learning.windows.obs[at])
            )
            for seed, at in enumerate(padded)
        ]
    )
    rms = [scales.trained(learning, noise.deviation(factors[seed]), seed)['rms'] for seed in range(seeds)]
    point.progress.say(f'{seeds} seeds x {members} members; std {np.mean(rms):.3f} in action units')
    return factors


def fit_policies(point: Point, learning: Learning, factors: np.ndarray) -> tuple[list[dict], Policy]:
    """Trains every arm at every seed as one population; returns their labels and the policies (L, ...).

    noise.json is written before training, for a restart needs a matched arm's sigma, and again with what is played.
    """
    config = point.config
    point.progress.stage('policies')
    begun = point.read_json('noise.json')  # a sigma measured again on another machine may differ in its last digit
    population, found = [], []
    for seed in range(config.seeds):
        deviation = noise.deviation(factors[seed])
        for arm in settings.arms(config):
            if arm.matched_alpha:
                rms = scales.trained(learning, arm.matched_alpha * deviation, seed)['rms_normalised']
                arm = arm._replace(sigma=begun[len(population)]['sigma'] if begun else rms)
            of_arm = arm.alpha * deviation if arm.pretrain == 'post_bc' else jnp.full_like(deviation, arm.sigma)
            population.append((seed, arm))
            found.append(scales.trained(learning, of_arm, seed))
    labels = [arm._asdict() | {'seed': seed} for seed, arm in population]
    if not begun:
        begun = [label | scale for label, scale in zip(labels, found, strict=True)]
        point.write_json('noise.json', begun)
    pretrain_config = settings.pretrain(
        config, settings.policy(config, point.env.observation_size, point.env.action_size)
    )
    trainer = pretraining.pretrain(pretrain_config)
    mesh = parallel.mesh(len(population), divides=trainer.rows)
    stage = loop.Stage(
        name='pretrain',
        trainer=parallel.population(trainer, mesh),
        mesh=mesh,
        labels=labels,
        chunks=settings.chunks(config, 'pretrain'),
        steps_per_chunk=pretrain_config.steps_per_chunk,
        directory=point.directory / 'checkpoints' / 'pretrain',
        meta=settings.describe(pretrain_config),
    )
    arms = pretraining.Arm(
        alpha=np.array([arm.alpha for _, arm in population], np.float32),
        sigma=np.array([arm.sigma for _, arm in population], np.float32),
        learning_rate=np.full(len(population), config.pretrain.learning_rate, np.float32),
        weight_decay=np.array([arm.weight_decay or config.pretrain.weight_decay for _, arm in population], np.float32),
        source=np.array([seed for seed, _ in population], np.int32),
        dropout=np.array([arm.dropout for _, arm in population], np.float32),
        beta=np.array([arm.beta for _, arm in population], np.float32),
    )
    shared = pretraining.PretrainData(
        windows=parallel.shard(learning.windows, mesh),
        normaliser=parallel.shard(learning.normaliser, mesh),
        factors=parallel.shard(factors, mesh),
        mask=parallel.shard(learning.mask, mesh),
        quality=parallel.shard(learning.quality, mesh),
        arm=parallel.shard(arms, mesh, P(parallel.LEARNER)),
    )
    keys = parallel.learner_keys(point.key('pretrain'), [seed for seed, _ in population], mesh)
    outcome = point.run(stage, keys, shared)
    policies = parallel.gather(stage.trainer.policy(outcome.state, shared), stage.learners)
    checkpoint.save_policy(point.directory / 'policies' / 'pretrained', policies, labels, point.about())
    if 'rms_played' not in begun[0]:
        played = scales.played(point, learning, labels, policies)
        point.write_json('noise.json', [row | more for row, more in zip(begun, played, strict=True)])
    point.progress.say(f'{len(settings.arms(config))} arms x {config.seeds} seeds, one program, paired batches')
    return labels, policies


def evaluate_policies(point: Point, labels: list[dict], policies: Policy) -> list[dict]:
    """Success and pass@N of the pretrained policies: coverage.jsonl, and one row of results a policy, returned.

    All arms of a seed meet the same start states and the same dynamics noise. results.jsonl is written last: a restart
    that finds it measures nothing again, and leaves the rows that finetuning has put below these.
    """
    config, regions = point.config, point.env.regions
    point.progress.stage('evaluation')
    if (point.directory / 'results.jsonl').exists():
        untouched = [row for row in metrics.read(point.directory / 'results.jsonl') if 'stage' not in row]
        point.progress.say(_success(untouched))
        return untouched
    mesh = parallel.mesh(len(labels), divides=[config.evaluate.episodes, config.evaluate.coverage_starts])
    stack = parallel.shard(policies, mesh, P(parallel.LEARNER))
    seeds = [label['seed'] for label in labels]
    rollouts = _evaluator(point, mesh)(stack, parallel.learner_keys(point.key('evaluate'), seeds, mesh))
    columns = [point.columns(**label, finetune='none', finetune_seed=0, env_steps=0) for label in labels]
    untouched = _result_rows(point, rollouts, columns)

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
    point.progress.say(_success(untouched))
    return untouched


def _evaluator(point: Point, mesh: jax.sharding.Mesh):
    """(policies (L, ...), keys (L,)) -> evaluate.rollouts of every policy, {name: (L, episodes)}."""
    episodes = point.config.evaluate.episodes
    return parallel.pmap(
        lambda policy, key: evaluate.rollouts(point.env, policy, key, episodes),
        mesh,
        (P(parallel.LEARNER), P(parallel.LEARNER)),
        P(parallel.LEARNER, parallel.DATA),
    )


def _result_rows(point: Point, rollouts: dict[str, jax.Array], columns: list[dict]) -> list[dict]:
    rollouts = parallel.gather(rollouts, len(columns))
    return [
        row | evaluate.success_rates(success, region, point.env.regions)
        for row, success, region in zip(columns, rollouts['success'], rollouts['region'], strict=True)
    ]


def _success(rows: list[dict]) -> str:
    """Every arm's mean success over the rows, in the rows' order."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        rates.setdefault(arm_of(row).name, []).append(row['success_rate'])
    return 'success ' + ', '.join(f'{name} {np.mean(values):.2f}' for name, values in rates.items())


def finetune(point: Point, labels: list[dict], policies: Policy, untouched: list[dict]) -> None:
    """Finetunes every policy from every finetuning seed as one population; its curve goes to results.jsonl."""
    config = point.config
    point.progress.stage('finetune')
    algorithm = config.finetune.algorithm
    if algorithm == 'none':
        point.progress.say('none asked for')
        return
    make, trainer_config, steps_per_chunk = settings.finetuner(config)
    population = [(i, seed) for i in range(len(labels)) for seed in range(config.finetune.seeds)]
    rows = [labels[i] | {'finetune': algorithm, 'finetune_seed': seed} for i, seed in population]
    trainer = make(lambda policy: steer.steer(point.env, policy, config.finetune.bound), trainer_config)
    mesh = parallel.mesh(len(population), divides=[*trainer.rows, config.evaluate.episodes])
    stage = loop.Stage(
        name='finetune',
        trainer=parallel.population(trainer, mesh),
        mesh=mesh,
        labels=rows,
        chunks=config.finetune.chunks,
        steps_per_chunk=steps_per_chunk,
        directory=point.directory / 'checkpoints' / 'finetune',
        meta=settings.describe(trainer_config) | {'algorithm': algorithm, 'bound': config.finetune.bound},
    )
    # Paired: the arms of a seed finetune with the same random numbers, and are judged on the same episodes.
    pairs = [labels[i]['seed'] * 1_000_003 + seed for i, seed in population]
    keys = parallel.learner_keys(point.key('finetune'), pairs, mesh)
    test_keys = parallel.learner_keys(point.key('evaluate'), [labels[i]['seed'] for i, _ in population], mesh)
    of_learner = np.array([i for i, _ in population])
    frozen = parallel.shard(jax.tree.map(lambda x: x[of_learner], policies), mesh, P(parallel.LEARNER))
    evaluator = _evaluator(point, mesh)

    def after_chunk(chunk: int, state, values: dict[str, np.ndarray]) -> list[dict]:
        if chunk == 0:  # the untouched policy, measured with noise ~ N(0, I): the actor's mode is another policy
            return [untouched[i] | row for (i, _), row in zip(population, rows, strict=True)]
        columns = [
            point.columns(**row, env_steps=int(steps)) for row, steps in zip(rows, values['env_steps'], strict=True)
        ]
        return _result_rows(point, evaluator(stage.trainer.policy(state, frozen), test_keys), columns)

    with contextlib.closing(metrics.JsonLines(point.directory / 'results.jsonl')) as results:
        outcome = point.run(stage, keys, frozen, results=results, after_chunk=after_chunk)
    finetuned = stage.trainer.policy(outcome.state, frozen)
    checkpoint.save_policy(point.directory / 'policies' / 'finetuned', finetuned, rows, point.about())
    written = metrics.read(point.directory / 'results.jsonl')
    last = [row for row in written if row.get('stage') == 'finetune' and row['chunk'] == config.finetune.chunks]
    point.progress.say(_success(last))
