"""Exported policies: the same chunks as the policy's, anywhere, with jax alone."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from postbc_jax import export
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.finetune import actor
from postbc_jax.finetune.actor import ActorConfig
from postbc_jax.finetune.steer import SteeredPolicy
from postbc_jax.policies import Policy, PolicyConfig, build

NORMALISER = Normaliser(*(np.float32(x) for x in ([0, -1, -2], [1, 2, 3], [-1, 5], [1, 15])))
SIZES = (1, 2, 7)
FAMILIES = ('gaussian', 'diffusion', 'flow')
# What README.md shows, on a machine that has jax and none of this project or its other packages.
ALONE = """
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('flax', 'postbc_jax', 'brax', 'optax', 'orbax', 'chex', 'launch'):
            raise ImportError(f'{name} is imported')

sys.meta_path.insert(0, Refuse())
import numpy as np
import jax
from jax import export
with open(sys.argv[1] + '/policy.stablehlo', 'rb') as file:
    act = jax.jit(export.deserialize(file.read()).call)
about = json.load(open(sys.argv[1] + '/policy.json'))
obs = np.linspace(-1, 1, 5 * about['obs_size'], dtype=np.float32).reshape(5, -1)
print(json.dumps(np.asarray(act(obs, np.uint32(3))).tolist()))
"""


def policy(family):
    config = PolicyConfig(family, 3, 2, chunk=4, hidden=(16,), train_steps=20, inference_steps=3)
    return Policy(build(config).init(jax.random.key(1)), NORMALISER, config)


def steered(stochastic=False):
    config = ActorConfig('squashed', noise_size=8, bound=1.5, hidden=(8,), activation='tanh')
    return SteeredPolicy(policy('flow'), actor.init(config, jax.random.key(2), 3), config, stochastic)


def observations(size):
    return np.random.default_rng(size).normal(size=(size, 3)).astype(np.float32)


def played(policy, obs, seed):
    """Row by row, as the launchers play a policy."""
    keys = [jax.random.fold_in(jax.random.key(seed), i) for i in range(len(obs))]
    return np.stack([policy(o, key)[0] for o, key in zip(obs, keys, strict=True)])


def read(file):
    return jax.export.deserialize(file.read_bytes())


@pytest.mark.parametrize('made', [*FAMILIES, 'steered', 'stochastic'])
def test_the_artifact_plays_what_the_policy_plays_at_any_batch_size(made, tmp_path):
    one = policy(made) if made in FAMILIES else steered(made == 'stochastic')
    act = read(export.export(one, tmp_path / 'new')).call
    for size in SIZES:
        obs = observations(size)
        np.testing.assert_allclose(act(obs, np.uint32(5)), played(one, obs, 5), rtol=1e-5, atol=1e-5)
    obs = observations(2)
    repeated, other = np.asarray(act(obs, np.uint32(5))), np.asarray(act(obs, np.uint32(6)))
    np.testing.assert_array_equal(act(obs, np.uint32(5)), repeated)
    assert np.array_equal(repeated, other) == (made == 'steered')  # its noise is the actor's mode
    twice = np.asarray(act(np.stack([obs[0]] * 2), np.uint32(5)))
    assert np.allclose(twice[0], twice[1], atol=1e-5) == (made == 'steered')


def test_it_runs_on_every_platform_and_holds_its_weights(tmp_path):
    one = policy('flow')
    found = read(export.export(one, tmp_path))
    assert found.platforms == ('cpu', 'cuda', 'tpu')
    assert [str(shape) for shape in found.in_avals] == ['float32[batch,3]', 'uint32[]']
    assert [str(shape) for shape in found.out_avals] == ['float32[batch,4,2]']
    text = found.mlir_module()
    assert 'precision = [HIGHEST, HIGHEST]' in text and 'precision = [DEFAULT' not in text
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(one.params))
    assert (tmp_path / 'policy.stablehlo').stat().st_size > weights


def test_jax_alone_runs_it(tmp_path):
    """A process in which everything else of ours fails to import."""
    one = policy('diffusion')
    export.export(one, tmp_path)
    variables = os.environ | {'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, '-c', ALONE, str(tmp_path)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    obs = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    np.testing.assert_allclose(json.loads(done.stdout), played(one, obs, 3), rtol=1e-5, atol=1e-5)


def test_what_it_says_of_itself(tmp_path):
    export.export(policy('flow'), tmp_path, {'label': {'pretrain': 'bc', 'seed': 2}, 'obs_keys': [['x', 3]]}, 'lift')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['lift.json', 'lift.stablehlo']
    said = json.loads((tmp_path / 'lift.json').read_text())
    assert (said['kind'], said['family']) == ('Policy', 'flow')
    assert (said['obs_size'], said['chunk'], said['action_size']) == (3, 4, 2)
    assert said['inputs']['obs']['shape'] == ['batch', 3] and said['output']['shape'] == ['batch', 4, 2]
    assert said['demonstrated']['action_high'] == [1, 15] and said['demonstrated']['obs_low'] == [0, -1, -2]
    assert said['label'] == {'pretrain': 'bc', 'seed': 2} and said['obs_keys'] == [['x', 3]]
    assert said['platforms'] == ['cpu', 'cuda', 'tpu'] and said['versions']['jax'] == jax.__version__


@struct.dataclass
class Constant:
    """A policy that holds none of ours."""

    action: jax.Array

    def __call__(self, obs, key):
        return self.action, {}


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(tmp_path):
    one = policy('flow')
    stack = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * 3), one)
    broken = one.replace(params=jax.tree.map(lambda x: x.at[0].set(jnp.nan), one.params))
    cases = [
        (stack, {}, r'policy: a stack of 3 learners, normaliser \(3, 3\): export one of them at a time'),
        (broken, {}, r'policy: \.params\[.params.\].* is not finite: export a policy that was trained'),
        (Constant(jnp.zeros((1, 2))), {}, 'policy: Constant holds no policies.Policy'),
        (one, {'chunk': 4}, "about='chunk': is written by export itself"),
    ]
    for wrong, about, says in cases:
        with pytest.raises(ValueError, match=says):
            export.export(wrong, tmp_path / 'out', about)
    assert not (tmp_path / 'out').exists()


def test_an_observation_of_another_size_is_refused(tmp_path):
    act = read(export.export(policy('flow'), tmp_path)).call
    with pytest.raises(ValueError, match=r'expected \(batch, 3\) and called with \(2, 4\)'):
        act(np.zeros((2, 4), np.float32), np.uint32(0))
