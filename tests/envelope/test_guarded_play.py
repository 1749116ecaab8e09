"""Every kind of policy behind a guard: in the finetuners' environments, in evaluation, exported; and without one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import evaluate, export, parallel
from postbc_jax.envelope.contexts import Context, Contexts
from postbc_jax.envelope.guard import GuardedPolicy, guard, unguarded
from postbc_jax.envs.gate import Gate
from postbc_jax.envs.wrappers import wrap
from postbc_jax.finetune import actor, critics, episodes
from postbc_jax.finetune.best_of_n import BestOfNPolicy
from postbc_jax.finetune.decisions import Decisions
from postbc_jax.finetune.decoding import decode
from postbc_jax.finetune.dppo import ChainPolicy
from postbc_jax.finetune.steer import SteeredPolicy, steer
from postbc_jax.policies import Policy, PolicyConfig, build
from tests.envelope import guides

GATE = 4, 1, 3  # observations and actions of gate, and a chunk
LEFT = Contexts((Context('left', 0, below=0.0),))  # of the gate
OBS = jnp.array([-0.5, 0.1, 0.3, -0.2])


def policy() -> Policy:
    config = PolicyConfig('flow', *GATE, hidden=(16,), inference_steps=3)
    return Policy(build(config).init(jax.random.key(0)), guides.normaliser(*GATE[:2]), config)


def envelope(reach=0.5, familiar=1.0):
    """Centre x / 2, wherever y is; chunks up to `reach` standard deviations, states with (x + 1) / 4 <= familiar."""
    states = jnp.zeros((1, 4)).at[0, 0].set(-0.5)
    bounds = {'radius': jnp.full(2, reach), 'familiar': jnp.full(2, familiar)}
    spread = jnp.array([1.0, 1e3, 1e3, 1e3])
    return guides.envelope(LEFT, guide=guides.guide(*GATE), whitener=jnp.eye(3), states=states, spread=spread, **bounds)


def holders():
    flow = policy()
    steered = actor.ActorConfig('gaussian', 3, 1.5, (8,), 'tanh')
    critic = critics.CriticConfig(hidden=(8,))
    return {
        'Policy': flow,
        'SteeredPolicy': SteeredPolicy(flow, actor.init(steered, jax.random.key(1), 4), steered, stochastic=True),
        'ChainPolicy': ChainPolicy(flow, jax.tree.map(lambda x: x + 0.1, flow.params), 2),
        'BestOfNPolicy': BestOfNPolicy(flow, critics.init(critic, jax.random.key(2), 4, 3)['q'], critic, 4),
    }


@jax.jit
def act(made, obs, key):
    return made(obs, key)


@pytest.mark.parametrize('kind', holders())
def test_every_kind_plays_what_is_admitted_and_gives_its_guard_back(kind):
    bare = holders()[kind]
    made, loose = guard(bare, envelope()), guard(bare, envelope(reach=1e6))
    inside = jax.jit(lambda obs, chunk: envelope().distance(obs, chunk))
    for key in jax.random.split(jax.random.key(0), 3):
        chunk, extras = act(made, OBS, key)
        scaling = policy().normaliser
        assert inside(scaling.obs(OBS), scaling.action(chunk)) <= 0.5 + 1e-4
        assert extras['guard'].keys() == {'distance', 'outside', 'strange', 'context'}
        assert extras['guard']['outside'] == 1
        np.testing.assert_allclose(act(loose, OBS, key)[0], act(bare, OBS, key)[0], rtol=1e-5, atol=1e-6)
    back = unguarded(made)
    assert type(back) is type(bare) and jax.tree.structure(back) == jax.tree.structure(bare)
    jax.tree.map(np.testing.assert_array_equal, back, bare)


@pytest.mark.parametrize('kind', holders())
def test_exported_with_its_guard_it_plays_the_same(kind, tmp_path):
    made = guard(holders()[kind], envelope())
    written = jax.export.deserialize(export.export(made, tmp_path, {'guard': {'mode': 'project'}}).read_bytes()).call
    columns = json.loads((tmp_path / 'policy.json').read_text())['said']['columns']
    obs = np.random.default_rng(0).uniform(-1, 1, (5, 4)).astype(np.float32)
    chunks, said = written(obs, np.uint32(3))
    for i, (o, chunk, values) in enumerate(zip(obs, chunks, said, strict=True)):
        expected, extras = act(made, o, jax.random.fold_in(jax.random.key(3), i))
        np.testing.assert_allclose(chunk, expected, rtol=1e-5, atol=1e-5)
        assert columns == sorted(extras['guard'])
        np.testing.assert_allclose(values, [extras['guard'][name] for name in columns], rtol=1e-5)


def test_without_a_guard_nothing_of_it_is_compiled():
    """The program of a decision is that of its four lines written out."""
    one = holders()['SteeredPolicy']

    def program(act):
        def decision(policy, obs, noise):
            return act(policy, obs, noise)

        return jax.jit(decision).lower(one.policy, OBS, jnp.zeros((3, 1))).as_text()

    def plain(policy, obs, noise):
        x = build(policy.config).decode(policy.params, policy.normaliser.obs(obs), noise)
        return policy.normaliser.unnormalise_action(x)

    def decided(policy, obs, noise):
        return policy.normaliser.unnormalise_action(policy.decide(policy.normaliser.obs(obs), noise)[0])

    assert program(plain) == program(decided) == program(lambda policy, obs, noise: policy.decode(obs, noise))
    env = steer(Gate(), one.policy, 1.5)
    assert set(env.reset(jax.random.PRNGKey(0)).metrics) == set(Gate().reset(jax.random.PRNGKey(0)).metrics)


def test_finetuners_act_behind_the_guard():
    made, env = guard(policy(), envelope()), Gate()
    steered, decided = steer(env, made, 1.5), Decisions(env, made)
    state = steered.reset(jax.random.PRNGKey(1))
    noise = jnp.array([1.0, -3.0, 0.5])
    offered = policy().decode_normalised(state.obs, jnp.clip(noise, -1.5, 1.5).reshape(3, 1))
    admitted, said = made.admit(state.obs, offered)
    assert said['guard']['outside'] == 1
    np.testing.assert_allclose(decode(made, state.obs, jnp.clip(noise, -1.5, 1.5)), admitted.ravel(), rtol=1e-5)
    expected = Decisions(env, policy()).step(Decisions(env, policy()).reset(jax.random.PRNGKey(1)), admitted.ravel())
    for after in (steered.step(state, noise), decided.step(decided.reset(jax.random.PRNGKey(1)), offered.ravel())):
        np.testing.assert_allclose(after.obs, expected.obs, rtol=1e-5)
        assert after.metrics['outside'] == 1 and after.metrics['strange'] == 0


def test_training_counts_by_episode():
    """Five episodes that end at the gate, in the fourth decision, whose state alone is strange."""
    env = wrap(steer(Gate(), guard(policy(), envelope(familiar=0.19)), 1.5), 7)

    def play(_):
        state = env.reset(jax.random.split(jax.random.PRNGKey(0), 5))
        done = []
        for _ in range(7):
            state = env.step(state, jnp.ones((5, 3)))
            done.append(
                episodes.totals(state.done, {name: state.info[name] for name in ('episode_metrics', 'played')}, 5)
            )
        return episodes.means(jax.tree.map(lambda *x: jnp.stack(x), *done))

    mesh = parallel.mesh(1, jax.devices()[:1])
    found = parallel.pmap(play, mesh, (parallel.P('learner'),), parallel.P('learner'))(jnp.zeros((1,)))
    assert (found['episodes'], found['strange_share']) == (5, 0.25) and found['outside_share'] > 0.5


def test_evaluation_counts_decisions_by_context():
    made = guard(policy(), envelope())

    def play(key):
        plain = evaluate.rollouts(Gate(), made, key, 6)
        return plain, evaluate.rollouts(Gate(), made, key, 6, LEFT), evaluate.rollouts(Gate(), policy(), key, 6, LEFT)

    mesh, each = parallel.mesh(1, jax.devices()[:1]), parallel.P('learner')
    keys = parallel.learner_keys(jax.random.key(0), [0], mesh)
    found = parallel.gather(parallel.pmap(play, mesh, (each,), parallel.P('learner', 'data'))(keys))
    plain, counted, bare = (jax.tree.map(lambda x: x[0], one) for one in found)
    for name in plain:
        np.testing.assert_array_equal(plain[name], counted[name])
    assert 'outside' not in bare and bare['decisions'].shape == (6, 2)
    # x = -1, -.7, -.4, -.1 lie left of the gate, whatever is played; who is stuck there decides no more
    np.testing.assert_array_equal(counted['decisions'][:, 0], 4)
    assert (counted['decisions'].sum(axis=1) == -(-counted['steps'] // 3)).all()
    row = evaluate.context_rates(counted, LEFT.names)
    left = row['contexts']['left']
    assert (left['decisions'], left['episodes'], left['strange']) == (24, 6, 0)
    assert left['outside'] == counted['outside'][:, 0].sum() / 24
    assert row['outside_share'] == counted['outside'].sum() / counted['decisions'].sum()


def test_success_by_context_by_hand():
    played = {
        'success': np.array([1.0, 0.0, 1.0]),
        'decisions': np.array([[2.0, 0, 0], [2, 1, 0], [2, 3, 0]]),
        'outside': np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]]),
        'strange': np.zeros((3, 3)),
    }
    row = evaluate.context_rates(played, ('a', 'b', 'c'))
    assert row['contexts'] == {
        'a': {'decisions': 6, 'episodes': 3, 'success_rate': pytest.approx(2 / 3), 'outside': 1 / 6, 'strange': 0.0},
        'b': {'decisions': 4, 'episodes': 2, 'success_rate': 0.5, 'outside': 0.5, 'strange': 0.0},
    }
    assert row['outside_share'] == 0.3 and row['strange_share'] == 0
    without = {name: played[name] for name in ('success', 'decisions')}
    assert evaluate.context_rates(without, ('a', 'b', 'c'))['contexts']['b'] == {
        'decisions': 4,
        'episodes': 2,
        'success_rate': 0.5,
    }


def test_dppo_is_given_its_denoising_steps_behind_the_guard():
    made = guard(policy(), envelope()).with_steps(7)
    assert isinstance(made, GuardedPolicy) and made.config.inference_steps == made.policy.config.inference_steps == 7
    assert made.params is made.policy.params
