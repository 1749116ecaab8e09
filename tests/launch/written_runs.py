"""Synthetic work directories whose answers are known, and what the report makes of them; shared by its tests."""

import json
import math

import numpy as np

from launch.arms import Arm
from launch.report import read, sections, words

BC = Arm('bc')
POST = Arm('post_bc', alpha=1.0)
MATCHED = Arm('sigma_bc', matched_alpha=1.0)
FIXED = Arm('sigma_bc', sigma=0.2)
# start, end of the finetuning curve, pass@64, noise rms early and late: near what a prototype measured on gate
NUMBERS = {
    BC: (0.27, 0.30, 0.50, 0.0, 0.0),
    FIXED: (0.20, 0.42, 0.60, 0.2, 0.2),
    MATCHED: (0.11, 0.50, 0.62, 0.37, 0.37),
    POST: (0.17, 0.62, 0.74, 0.14, 0.51),
}
STEPS = [0, 100_000, 200_000, 300_000, 400_000]


def write_run(directory, seeds=3, shift=0.0, evaluations=5, noise=0.04, finetune_seeds=1, regions=('all',), root=0):
    """A work directory as launch.run leaves it. shift: added to PostBC's end in every seed."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(root)
    results, coverage, scales = [], [], []
    for seed in range(seeds):
        luck = rng.normal(0, noise)
        for arm, (start, end, best, early, late) in NUMBERS.items():
            sigma = 0.37 + 0.01 * seed if arm.matched_alpha else arm.sigma
            label = arm._asdict() | {'sigma': sigma, 'seed': seed}
            row = {'experiment': 'quickstart', 'task': 'gate'} | label
            bins = np.where(np.arange(10) < 5, early, late) * (1 + 0.1 * rng.normal())
            rms = float(np.sqrt(np.mean(bins**2)))
            scale = {'rms': rms, 'rms_played': float(np.hypot(0.9 * rms, 0.03)), 'clipped_share': 0.1}
            scales.append(label | scale | {'rms_per_dimension': [rms], 'rms_over_time': bins.tolist()})
            for region in dict.fromkeys(['all', *regions]):
                for n in (1, 4, 16, 64):
                    rate = start + (best - start) * math.log2(n) / 6 + luck / 2 + rng.normal(0, noise / 3)
                    coverage.append(row | {'region': region, 'n': n, 'pass_at_n': rate, 'starts': 128})
            before = float(np.clip(start + luck / 2 + rng.normal(0, noise / 2), 0, 1))
            untouched = {
                'env_steps': 0,
                'success_rate': before,
                'episodes': 512,
                'regions': dict.fromkeys(regions, before),
            }
            results.append(row | untouched | {'finetune': 'none', 'finetune_seed': 0})
            end = end + shift * (arm == POST)
            for finetune_seed in range(finetune_seeds):
                own = rng.normal(0, noise)
                for index, steps in enumerate(STEPS[:evaluations]):
                    rate = start + (end - start) * (index / 4) ** 0.6 + luck + own + rng.normal(0, noise / 4)
                    rate = before if index == 0 else float(np.clip(rate, 0, 1))
                    later = {'env_steps': steps, 'success_rate': rate, 'regions': dict.fromkeys(regions, rate)}
                    results.append(
                        row | later | {'episodes': 512, 'finetune': 'dsrl_ppo', 'finetune_seed': finetune_seed}
                    )
    config = {'experiment': 'quickstart', 'env': 'gate', 'seed': root, 'seeds': seeds, 'finetune': {'chunks': 4}}
    (directory / 'config.json').write_text(json.dumps(config))
    (directory / 'noise.json').write_text(json.dumps(scales))
    for name, rows in (('results', results), ('coverage', coverage)):
        (directory / f'{name}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return directory


def one_section(directory):
    points, notes = read.read(directory)
    found, more = sections.build(points)
    assert len(found) == 1
    return found[0], notes + more


def rewrite(directory, name, change):
    """Applies change(row) to every row of a JSON lines file; rows that become None are dropped."""
    rows = [change(json.loads(line)) for line in (directory / name).read_text().splitlines()]
    (directory / name).write_text(''.join(json.dumps(row) + '\n' for row in rows if row is not None))


def said(directory):
    """The verdict as one text."""
    section, _ = one_section(directory)
    return [f'{sentence.short} {sentence.text}' for sentence in words.verdict(section)]
