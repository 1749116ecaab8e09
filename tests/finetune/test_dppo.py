"""DPPO and PPO on Gaussian policies: the surrogate against an independent one, and what they learn on probes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from scipy import stats

from postbc_jax import checkpoint, parallel
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.finetune.decisions import Decisions
from postbc_jax.finetune.dppo import ChainPolicy, DPPOConfig, dppo
from postbc_jax.networks import MLP
from postbc_jax.policies import Policy, PolicyConfig, build
from tests.finetune import probes
from tests.finetune.probes import Probe

ONES = np.ones(2, np.float32)
NORMALISER = Normaliser(-ONES, ONES, -2 * ONES[:1], 2 * ONES[:1])
KINDS = [probes.ACTION, probes.ACTION_AT_OBSERVATION, probes.TIME_OUT]
POLICIES = {
    'gaussian': PolicyConfig('gaussian', 2, 1, hidden=(32,)),
    'flow': PolicyConfig('flow', 2, 1, hidden=(32,), inference_steps=4),
    'diffusion': PolicyConfig('diffusion', 2, 1, hidden=(32,), inference_steps=4, clip=2.0),
}
SMALL = dict(
    iterations_per_chunk=40,
    environments=64,
    unroll=2,
    hidden=(32,),
    learning_rate=3e-3,
    critic_learning_rate=3e-3,
    epochs=4,
    minibatches=2,
    groups=4,
    discount=probes.DISCOUNT,
    clip=0.2,
    clip_base=0.05,
    target_kl=0.0,
    critic_warmup=2,
    reward_scaling=False,
    denoising_steps=0,
    log_probability='sum',
    reward='env',
)
FINETUNED = {'gaussian': 1, 'flow': 2, 'diffusion': 2}


def config(name, **kwargs):
    return DPPOConfig(**SMALL | {'finetuned_steps': FINETUNED[name]} | kwargs)


def make_env(data):
    """data: {'kind': (), 'policy'}."""
    return Decisions(Probe(data['kind']), data['policy'])


def start(name, kinds=KINDS):
    """One untrained policy a probe."""
    kinds = np.array(kinds, np.int32)
    params = jax.vmap(build(POLICIES[name]).init)(jax.random.split(jax.random.key(2), len(kinds)))
    normaliser = jax.tree.map(lambda x: np.stack([x] * len(kinds)), NORMALISER)
    return {'kind': kinds, 'policy': Policy(jax.tree.map(np.asarray, params), normaliser, POLICIES[name])}


def population(name, kinds=KINDS, seed=0, **kwargs):
    """(trainer, first state, data) of one learner a probe."""
    mesh = parallel.mesh(len(kinds))
    trainer = parallel.population(dppo(make_env, config(name, **kwargs)), mesh)
    data = parallel.shard(start(name, kinds), mesh, P('learner'))
    keys = parallel.learner_keys(jax.random.key(seed), [0] * len(kinds), mesh)
    return trainer, trainer.init(keys, data), data


def wrong(name, seed=0, chunks=2, **kwargs):
    """How far each probe's learner is from what is known of it."""
    trainer, state, data = population(name, seed=seed, **kwargs)
    for _ in range(chunks):
        state, _ = trainer.run_chunk(state, data)
    policies, critic = trainer.policy(state, data), MLP(SMALL['hidden'], 1, config(name).activation)
    keys = jax.random.split(jax.random.key(7), 256)

    @jax.jit
    def mode(policy, obs):
        return jax.vmap(lambda key: policy(obs, key)[0].ravel())(keys).mean(0)

    value = jax.jit(lambda params, obs: critic.apply(params, obs)[0])
    errors = []
    for i, kind in enumerate(KINDS):
        policy, params = jax.tree.map(lambda x: x[i], (policies, state.params['critic']))  # noqa: B023
        errors.append(probes.wrong(lambda o: value(params, o), kind, lambda o: mode(policy, o)))  # noqa: B023
    return errors
