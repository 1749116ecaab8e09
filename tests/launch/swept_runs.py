"""Synthetic work directories of sweeps, folded and not, whose answers are known; shared by the tests of what reads
them."""

import json

from experiments import default
from launch import config as settings
from launch.fold import fold, recipes, told_apart

EFFECT = {'bc': 0.1, 'sigma_bc': 0.2, 'post_bc': 0.3}
CHUNKS = 2


def success(arm, learning_rate, width, seed):
    """After finetuning: larger with alpha and width, best at a learning rate of 1e-3."""
    rate = EFFECT[arm.pretrain] + 0.1 * (arm.alpha + arm.matched_alpha) + 0.05 * (learning_rate == 1e-3)
    return rate + 0.02 * (width > 8) + 0.01 * (seed - 1)


def write_sweep(workdir, points, seeds=3, finetuned=True, **changed):
    """What launch.local leaves of a sweep, without report."""
    config = settings.at_point(
        default.get_config(), {'experiment': 'sweep', 'seeds': seeds, 'finetune.chunks': CHUNKS} | changed
    )
    folded = fold(config, points)
    for index, point in enumerate(folded):
        directory = workdir if len(folded) == 1 else workdir / f'point_{index:04d}'
        write_point(directory, settings.at_point(config, point), finetuned)
    return workdir


def write_point(directory, at, finetuned=True):
    """A finished point's files, with at.finetune.chunks evaluations after the first."""
    directory.mkdir(parents=True, exist_ok=True)
    noise, coverage, results = [], [], []
    for seed in range(at.seeds):
        for recipe in recipes(at):
            sigma = 0.1 + 0.01 * seed if recipe.arm.matched_alpha else recipe.arm.sigma
            label = recipe.label(seed) | {'sigma': sigma}
            row = {'experiment': 'sweep', 'task': 'gate'} | label
            end = success(recipe.arm, recipe.learning_rate, at.policy.hidden[0], seed)
            noise.append(label | {'rms': recipe.arm.alpha, 'rms_played': recipe.arm.alpha})
            coverage.append(row | {'region': 'all', 'n': 1, 'pass_at_n': end / 2, 'starts': 8})
            results.append(
                row | {'finetune': 'none', 'finetune_seed': 0, 'env_steps': 0, 'success_rate': end / 2, 'episodes': 64}
            )
            for chunk in range(at.finetune.chunks + 1) if finetuned else ():
                rate = end / 2 + end / 2 * chunk / CHUNKS
                later = {'stage': 'dsrl_ppo', 'chunk': chunk, 'finetune': 'dsrl_ppo', 'finetune_seed': 0}
                results.append(row | later | {'env_steps': 1000 * chunk, 'success_rate': rate, 'episodes': 64})
    (directory / 'config.json').write_text(json.dumps(at.to_dict()))
    (directory / 'noise.json').write_text(json.dumps(noise))
    if at.fold:
        (directory / 'settings.json').write_text(json.dumps(told_apart(at)))
    for name, rows in (('results', results), ('coverage', coverage)):
        (directory / f'{name}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    (directory / 'done.json').write_text('{"stage": "finetune"}')
