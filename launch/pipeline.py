"""One point of an experiment from top to bottom: demonstrations -> posterior -> policy -> finetune, evaluated.

Reads a locked config, leaves a work directory. Every stage goes on from its checkpoint; a finished point says so.
A run may end before finetuning, and another begin there, also elsewhere: see `run`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from launch import config as settings
from launch import fold, handover, scales, value_dice
from launch.demonstrations import Learning, demonstrations, prepare
from launch.evaluation import evaluate_policies
from launch.finetuning import finetune
from launch.point import Point
from launch.workdir import finished
from postbc_jax import checkpoint, loop, parallel
from postbc_jax import pretrain as pretraining
from postbc_jax.policies import Policy
from postbc_jax.posterior import ensemble, noise

PRETRAINED = 4  # stages before finetuning


def stages(config: ConfigDict, stage: str) -> int:
    """How many a run with --stage=STAGE has: one for each finetuner; a hand-over stands for the first three."""
    before = 2 if stage == 'finetune' or config.init_from else PRETRAINED
    return before if stage == 'pretrain' else before + max(1, len(settings.algorithms(config)))


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
    if finished(point.directory, stage):
        point.progress.note(f'{point.directory}: finished already, nothing to do')
        return
    if (point.directory / 'checkpoints').exists():
        point.progress.note(f'{point.directory}: begun before, goes on from its checkpoints')
    if stage == 'finetune' or point.config.init_from:
        learning = None
        labels, policies = handover.receive(point)
    else:
        learning = prepare(point, demonstrations(point))
        factors = fit_posterior(point, learning)
        labels, policies = fit_policies(point, learning, factors)
    untouched = evaluate_policies(point, labels, policies)
    if stage != 'pretrain':
        finetune(point, learning, labels, policies, untouched)
    point.write_json('done.json', {'stage': stage or 'finetune'})


def fit_posterior(point: Point, learning: Learning) -> np.ndarray:
    """Trains the S x K ensemble members as one population; returns factors (S, M, R, T, A) of their covariance.

    They are at the steps of each seed's own demonstrations, M the most that a seed has; a seed with fewer repeats its
    last, which is never drawn.
    """
    point.progress.stage('posterior')
    stage, keys, shared = prepare_posterior(point, learning)
    outcome = point.run(stage, keys, shared)
    predictors = parallel.gather(stage.trainer.policy(outcome.state, shared), stage.learners)
    seeds, members = point.config.seeds, point.config.posterior.members
    seed_of = np.array([label['seed'] for label in stage.labels])
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


def prepare_posterior(point: Point, learning: Learning) -> tuple[loop.Stage, jax.Array, dict]:
    """What `fit_posterior` runs: the stage, its keys and its data."""
    config, seeds, members = point.config, point.config.seeds, point.config.posterior.members
    ensemble_config = settings.ensemble(config)
    population = [(seed, member) for seed in range(seeds) for member in range(members)]
    trainer = ensemble(ensemble_config)
    mesh = parallel.mesh(len(population), point.devices, trainer.rows)
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
    return stage, keys, shared


def fit_policies(point: Point, learning: Learning, factors: np.ndarray) -> tuple[list[dict], Policy]:
    """Trains every arm at every seed as one population, then value_dice where it is an arm, as another.

    Returns their labels and the policies (L, ...), those of value_dice last.

    noise.json is written before training, for a restart needs a matched arm's sigma, and again with what is played.
    """
    config = point.config
    point.progress.stage('policies')
    begun = point.read_json('noise.json')  # a sigma measured again on another machine may differ in its last digit
    recipes = fold.recipes(config)
    together = [recipe for recipe in recipes if recipe.arm.pretrain != value_dice.NAME]
    alone = [
        (seed, recipe) for seed in range(config.seeds) for recipe in recipes if recipe.arm.pretrain == value_dice.NAME
    ]
    population, found = [], []
    for seed in range(config.seeds):
        deviation = noise.deviation(factors[seed])
        for recipe in together:
            arm = recipe.arm
            if arm.matched_alpha:
                rms = scales.trained(learning, arm.matched_alpha * deviation, seed)['rms_normalised']
                arm = arm._replace(sigma=begun[len(population)]['sigma'] if begun else rms)
            of_arm = arm.alpha * deviation if arm.pretrain == 'post_bc' else jnp.full_like(deviation, arm.sigma)
            population.append((seed, recipe._replace(arm=arm)))
            found.append(scales.trained(learning, of_arm, seed))
    found += [scales.trained(learning, jnp.zeros_like(noise.deviation(factors[seed])), seed) for seed, _ in alone]
    labels = [recipe.label(seed) for seed, recipe in population + alone]
    if config.fold:
        point.write_json('settings.json', fold.told_apart(config))
    if not begun:
        begun = [label | scale for label, scale in zip(labels, found, strict=True)]
        point.write_json('noise.json', begun)
    stage, keys, shared = prepare_policies(point, learning, factors, population, labels[: len(population)])
    outcome = point.run(stage, keys, shared)
    policies = parallel.gather(stage.trainer.policy(outcome.state, shared), stage.learners)
    if alone:
        fitted = value_dice.fit(point, learning, labels[len(population) :], policies.config)
        policies = value_dice.append(policies, fitted)
    checkpoint.save_policy(point.directory / 'policies' / 'pretrained', policies, labels, point.about())
    if 'rms_played' not in begun[0]:
        played = scales.played(point, learning, labels, policies)
        point.write_json('noise.json', [row | more for row, more in zip(begun, played, strict=True)])
    beside = ', ValueDICE beside it' if alone else ''
    of = f'{len(config.fold)} settings: ' if config.fold else ''
    point.progress.say(f'{of}{len(recipes)} arms x {config.seeds} seeds, one program{beside}, paired batches')
    return labels, policies


def prepare_policies(
    point: Point,
    learning: Learning,
    factors: np.ndarray,
    population: list[tuple[int, fold.Recipe]],
    labels: list[dict],
) -> tuple[loop.Stage, jax.Array, pretraining.PretrainData]:
    """What `fit_policies` runs: the stage, its keys and its data, for every (seed, recipe) of the population."""
    config = point.config
    pretrain_config = settings.pretrain(
        config, settings.policy(config, point.env.observation_size, point.env.action_size)
    )
    trainer = pretraining.pretrain(pretrain_config)
    mesh = parallel.mesh(len(population), point.devices, trainer.rows)
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
    numbers = pretraining.Arm(
        alpha=np.array([recipe.arm.alpha for _, recipe in population], np.float32),
        sigma=np.array([recipe.arm.sigma for _, recipe in population], np.float32),
        learning_rate=np.array([recipe.learning_rate for _, recipe in population], np.float32),
        weight_decay=np.array([recipe.weight_decay for _, recipe in population], np.float32),
        source=np.array([seed for seed, _ in population], np.int32),
        dropout=np.array([recipe.arm.dropout for _, recipe in population], np.float32),
        beta=np.array([recipe.arm.beta for _, recipe in population], np.float32),
    )
    shared = pretraining.PretrainData(
        windows=parallel.shard(learning.windows, mesh),
        normaliser=parallel.shard(learning.normaliser, mesh),
        factors=parallel.shard(factors, mesh),
        mask=parallel.shard(learning.mask, mesh),
        quality=parallel.shard(learning.quality, mesh),
        arm=parallel.shard(numbers, mesh, P(parallel.LEARNER)),
    )
    keys = parallel.learner_keys(point.key('pretrain'), [seed for seed, _ in population], mesh)
    return stage, keys, shared
