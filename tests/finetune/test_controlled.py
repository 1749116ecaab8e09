"""Controls of a run that goes on: neutral ones change nothing, a rate of 0 learns nothing, a roll-back is exact."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch.finetuners import Start
from postbc_jax import parallel
from postbc_jax.finetune import controlled, controls
from postbc_jax.finetune.dsrl_ppo import dsrl_ppo
from postbc_jax.finetune.ppo_config import PPOConfig
from postbc_jax.finetune.sac import SACConfig, sac
from postbc_jax.finetune.steer import steer
from tests.envelope.plain import Centre, Plain

NOTES = {'seen': 3.0}
PPO = PPOConfig(iterations_per_chunk=1, environments=8, groups=1, minibatches=1, epochs=2, hidden=(4,))
SAC = SACConfig(
    decisions_per_chunk=8,
    environments=2,
    warmup_decisions=16,
    replay=64,
    updates_per_step=1,
    batch_size=4,
    hidden=(4,),
)


def env_of(start):
    asked = controls.of(start)
    return steer(Centre(), start.policy, 1.5, None if asked is None else 1.5 * asked.bound)


MADE = {
    'ppo': lambda: dsrl_ppo(env_of, PPO),
    'sac': lambda: sac(env_of, SAC, policy_of=lambda start: start.policy),
}


class Run:
    """One learner's trainer, bare and controlled, each with its state after a chunk."""

    def __init__(self, name):
        bare = MADE[name]()
        mesh = parallel.mesh(1)
        self.key = parallel.learner_keys(jax.random.key(1), [0], mesh)
        self.data = jax.tree.map(lambda x: jnp.asarray(x)[None], Start(Plain(jnp.float32(0), jnp.float32(1))))
        self.bare = parallel.population(bare, mesh)
        self.trainer = parallel.population(controlled.controlled(bare, lambda: jax.tree.map(jnp.float32, NOTES)), mesh)
        self.after_bare = self.chunk(self.bare, self.bare.init(self.key, self.data))
        self.after = self.chunk(self.trainer, self.trainer.init(self.key, self.data))

    def chunk(self, trainer, state):
        """The state is not donated: it is copied first."""
        state = jax.tree.map(jnp.copy, state)
        for _ in range(trainer.warm_chunks):
            state, _ = trainer.warm_chunk(state, self.data)
        return trainer.run_chunk(state, self.data)[0]

    def under(self, **changed):
        """The state after one chunk more with other controls."""
        asked = self.after.controls.replace(**{name: jnp.float32([value]) for name, value in changed.items()})
        state = jax.tree.map(jnp.copy, self.after.replace(controls=asked))
        return self.trainer.run_chunk(state, self.data)[0]


@pytest.fixture(scope='module', params=MADE)
def run(request):
    return Run(request.param)


def same(a, b):
    a, b = (jax.tree.map(controllable, tree) for tree in (a, b))
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


def controllable(x):
    return jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def test_neutral_controls_change_nothing_but_rounding(run):
    inner, bare = (jax.tree.map(controllable, state) for state in (run.after.inner, run.after_bare))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), inner, bare)
    assert run.after.notes == NOTES


def test_a_learning_rate_of_nothing_learns_nothing(run):
    still, moved = run.under(learning_rate=0.0), run.under()
    assert same(still.inner.params, run.after.inner.params)
    assert not same(moved.inner.params, run.after.inner.params)
    assert still.inner.env_steps > run.after.inner.env_steps  # it plays on


def test_entropy_is_asked_for_in_the_algorithm_s_own_way(run):
    off_policy = hasattr(run.after.inner, 'target')
    for name, heard in (('target_entropy', off_policy), ('entropy_cost', not off_policy)):
        assert same(run.under(**{name: 5.0}).inner.params, run.under().inner.params) is not heard


def test_a_smaller_bound_is_what_is_played(run):
    state = run.under(bound=0.02)
    policies = run.trainer.policy(state, run.data)
    policy = dataclasses.replace(jax.tree.map(lambda x: x[0], policies), stochastic=True)
    chunks = jax.vmap(lambda key: policy(jnp.zeros(2), key)[0])(jax.random.split(jax.random.key(0), 64))
    np.testing.assert_allclose(np.abs(chunks).max(), 0.03, rtol=1e-5)


def test_what_was_kept_is_taken_up_again_and_all_else_goes_on(run):
    kept = controlled.keep(run.after, jnp.bool_(True))
    later = run.trainer.run_chunk(jax.tree.map(jnp.copy, kept), run.data)[0]
    assert same(controlled.roll_back(later, jnp.bool_(False)), later)
    back = controlled.roll_back(later, jnp.bool_(True))
    for name in controlled.fields(run.after.inner):
        assert same(getattr(back.inner, name), getattr(run.after.inner, name)), name
        assert not same(getattr(later.inner, name), getattr(run.after.inner, name)), name
    assert same(back.inner.env_steps, later.inner.env_steps) and same(back.inner.environments, later.inner.environments)
    assert same(controlled.keep(later, jnp.bool_(False)).kept, kept.kept)
