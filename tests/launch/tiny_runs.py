"""A tiny experiment and what its tests do with the processes that run it. Fixtures: conftest.py."""

import os
import re
from pathlib import Path

import jax
import numpy as np

from postbc_jax import checkpoint, metrics
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy

ROOT = Path(__file__).parents[2]
TINY = """
from experiments import default


def get_config():
    config = default.get_config()
    config.experiment = 'tiny'
    config.seeds = 2
    config.record.episodes = 6
    config.subset = 4
    config.posterior.update(members=2, hidden=(8,), steps=20, steps_per_chunk=10, batch_size=16)
    config.policy.update(hidden=(16,), inference_steps=2)
    config.pretrain.update(steps=400, steps_per_chunk=10, batch_size=16, warmup=5)
    config.finetune.chunks = 3
    config.dsrl_ppo.update(iterations_per_chunk=1, environments=16, groups=2, minibatches=2, epochs=1, hidden=(8,))
    config.dsrl_sac.update(decisions_per_chunk=16, environments=4, warmup_decisions=32, replay=256)
    config.dsrl_sac.update(updates_per_step=1, batch_size=8, hidden=(8,))
    config.evaluate.update(episodes=16, coverage_starts=4, coverage_rollouts=4)
    config.save_every = 0.0
    return config
"""
ARMS, SEEDS, CHUNKS = 3, 2, 3
LEARNERS = ARMS * SEEDS
BAR = re.compile(r'\[\d/\d\] \w+ +\d+%, .* so far, ETA .*')


def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'XLA_', 'SLURM_'))}
    return kept | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT), 'PYTHONDONTWRITEBYTECODE': '1'}


def finish(process, status=0, seconds=400):
    """(lines of stdout, lines of stderr without those that stand for a bar)."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == status, f'{out}\n{err}'
    return out.splitlines(), [line for line in err.splitlines() if not BAR.fullmatch(line)]


def assert_same(ours, theirs):
    """Two runs have the same rows and policies, bit for bit."""
    calibrated = ['calibration.json'] * (theirs / 'calibration.json').exists()
    for name in ('results.jsonl', 'metrics.jsonl', 'coverage.jsonl', 'noise.json', *calibrated):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    for name, kind in (('pretrained', Policy), ('dsrl_ppo', SteeredPolicy)):
        (a, labels), (b, others) = (checkpoint.load_policies(d / 'policies' / name, kind) for d in (ours, theirs))
        assert labels == others
        jax.tree.map(np.testing.assert_array_equal, a, b)


def rows(directory, name='results.jsonl'):
    return metrics.read(directory / name)


def content(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob('*') if path.is_file()}
