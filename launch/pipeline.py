"""One point of an experiment from top to bottom: demonstrations -> posterior -> policy -> finetune, evaluated.

Reads a locked config, leaves a work directory. Every stage goes on from its checkpoint; a finished point says so.
A run may end before finetuning, and another begin there, also elsewhere: see `run`.
"""

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from launch import calibration, fold, guarding, handover, populations, scales, value_dice
from launch import config as settings
from launch.demonstrations import Learning, demonstrations, prepare, sources
from launch.evaluation import evaluate_policies
from launch.finetuning import finetune
from launch.point import Point
from launch.workdir import finished
from postbc_jax import checkpoint
from postbc_jax.policies import Policy
from postbc_jax.posterior import noise

PRETRAINED = 4  # stages before finetuning; calibration and envelope, where they are asked for, are not among them


def stages(config: ConfigDict, stage: str) -> int:
    """How many a run with --stage=STAGE has: one for each finetuner; a hand-over stands for all up to the policies."""
    before = 2 if stage == 'finetune' or config.init_from else PRETRAINED + settings.calibrates(config)
    before += settings.fits_envelope(config)
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
        auto = calibration.calibrate(point, learning, factors) if settings.calibrates(point.config) else {}
        labels, policies = fit_policies(point, learning, factors, auto)
    policies = guarding.guarded(point, learning, labels, policies)
    untouched = evaluate_policies(point, labels, policies)
    if stage != 'pretrain':
        finetune(point, learning, labels, policies, untouched)
    point.write_json('done.json', {'stage': stage or 'finetune'})


def fit_posterior(point: Point, learning: Learning) -> np.ndarray:
    """Trains the S x K ensemble members as one population; returns factors (S, M, R, T, A) of their covariance.

    They are at the steps of each seed's own demonstrations, M the most that a seed has; a seed with fewer repeats its
    last, which is never drawn. A context's alpha is in them.
    """
    point.progress.stage('posterior')
    factors = populations.fit_members(
        point, learning, 'posterior', sources(point), point.config.posterior.members, scales.steps_of(learning)
    )
    factors = scales.by_context(point, learning, factors, scales.steps_of(learning))
    rms = [scales.trained(learning, noise.deviation(of_seed), seed)['rms'] for seed, of_seed in enumerate(factors)]
    members = point.config.posterior.members
    point.progress.say(f'{len(factors)} seeds x {members} members; std {np.mean(rms):.3f} in action units')
    return factors


def fit_policies(
    point: Point, learning: Learning, factors: np.ndarray, auto: dict[tuple, float]
) -> tuple[list[dict], Policy]:
    """Trains every arm at every seed as one population, then value_dice where it is an arm, as another.

    Returns their labels and the policies (L, ...), those of value_dice last. auto: of calibration.calibrate.

    noise.json is written before training, for a restart needs the numbers that are a seed's own, and again with what is
    played.
    """
    config = point.config
    point.progress.stage('policies')
    begun = point.read_json('noise.json')  # numbers measured again on another machine may differ in the last digit
    recipes = fold.recipes(config)
    together = [recipe for recipe in recipes if recipe.arm.pretrain != value_dice.NAME]
    alone = [
        (seed, recipe) for seed in range(config.seeds) for recipe in recipes if recipe.arm.pretrain == value_dice.NAME
    ]
    population, found = [], []
    for seed in range(config.seeds):
        deviation = noise.deviation(factors[seed])
        for recipe in together:
            if begun:
                row = begun[len(population)]
                arm = recipe.arm._replace(**{name: row[name] for name in ('alpha', 'sigma', 'matched_alpha')})
            else:
                own = auto.get(calibration.key(recipe.label(seed)), np.nan)
                arm = scales.at_seed(recipe.arm, learning, deviation, seed, own, config.calibration.rms)
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
    policies = populations.fit_policies(point, learning, factors, 'pretrain', population, labels[: len(population)])
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
