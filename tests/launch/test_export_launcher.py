"""python -m launch.export: which learner it takes, what it writes, and what it refuses."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from launch import export
from postbc_jax import checkpoint
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.finetune import actor
from postbc_jax.finetune.actor import ActorConfig
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy, PolicyConfig, build
from tests.launch.tiny_runs import ROOT, environment

CONFIG = PolicyConfig('flow', 2, 1, hidden=(8,), inference_steps=2)
ACTOR = ActorConfig('gaussian', noise_size=1, bound=1.0, hidden=(4,), activation='tanh')
LABELS = [{'pretrain': 'bc', 'seed': 0}, {'pretrain': 'post_bc', 'alpha': 1.0, 'seed': 0}]
ABOUT = {'env': 'gate', 'obs_keys': [['x', 2]]}


def policies(learners):
    params = jax.vmap(build(CONFIG).init)(jax.random.split(jax.random.key(0), learners))
    ends = (np.full((learners, n), x, np.float32) for n, x in ((2, -1), (2, 1), (1, -1), (1, 1)))
    return Policy(params, Normaliser(*ends, np.full(learners, 0.01, np.float32)), CONFIG)


@pytest.fixture
def pretrained(tmp_path):
    checkpoint.save_policy(tmp_path / 'pretrained', policies(2), LABELS, ABOUT)
    return tmp_path / 'pretrained'


def test_a_learner_is_written_with_what_is_known_of_it(pretrained, tmp_path):
    command = [sys.executable, '-m', 'launch.export', f'--policy={pretrained}', '--learner=1', f'--output={tmp_path}/o']
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'{tmp_path}/o/policy.stablehlo: Policy, pretrain=post_bc, alpha=1, seed=0\n'
    said = json.loads((tmp_path / 'o' / 'policy.json').read_text())
    assert (said['learner'], said['label']) == (1, LABELS[1])
    assert (said['env'], said['obs_keys']) == ('gate', [['x', 2]])
    act = jax.export.deserialize((tmp_path / 'o' / 'policy.stablehlo').read_bytes()).call
    expected, _ = checkpoint.load_policy(pretrained, 1)(np.ones(2), jax.random.fold_in(jax.random.key(4), 0))
    np.testing.assert_allclose(act(np.ones((1, 2), np.float32), np.uint32(4))[0], expected, rtol=1e-5)


def test_a_finetuned_policy_that_is_alone_needs_no_number(tmp_path):
    params = jax.tree.map(lambda x: x[None], actor.init(ACTOR, jax.random.key(1), 2))
    checkpoint.save_policy(tmp_path / 'finetuned', SteeredPolicy(policies(1), params, ACTOR), LABELS[:1])
    assert ': SteeredPolicy, pretrain=bc, seed=0' in export.write(
        str(tmp_path / 'finetuned'), None, str(tmp_path / 'o')
    )
    assert json.loads((tmp_path / 'o' / 'policy.json').read_text())['obs_keys'] is None


def test_refusals_are_one_line(pretrained, tmp_path, monkeypatch):
    choice = '0: pretrain=bc, seed=0; 1: pretrain=post_bc, alpha=1, seed=0'
    cases = [
        (pretrained, None, f'--policy={pretrained}: give --learner, one of {choice}'),
        (pretrained, 2, f'{pretrained}: has no learner 2; there are 2, counted from 0'),
        (pretrained, -1, 'has no learner -1'),
        (tmp_path / 'none', 0, f'{tmp_path}/none: holds no policies'),
    ]
    for directory, learner, says in cases:
        with pytest.raises(ValueError) as refusal:
            export.write(str(directory), learner, str(tmp_path / 'o'))
        assert says in str(refusal.value) and '\n' not in str(refusal.value)
    monkeypatch.setattr(export, 'KINDS', {'SteeredPolicy': SteeredPolicy})
    with pytest.raises(ValueError, match='pretrained: holds Policy; this exports SteeredPolicy'):
        export.write(str(pretrained), 0, str(tmp_path / 'o'))
    assert not (tmp_path / 'o').exists()
