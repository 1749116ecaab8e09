"""DSRL-NA: what its parts compute by hand, and what it learns through a decoder on probes whose values are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from brax.training.types import Transition

from postbc_jax import parallel
from postbc_jax.finetune import actor, sac, twin_critics
from postbc_jax.finetune.dsrl_na import NAConfig, distil, dsrl_na
from postbc_jax.finetune.off_policy import Learned, Problem
from tests.finetune import probes
from tests.finetune.probes import Probe

CONFIG = NAConfig(
    decisions_per_chunk=600,
    environments=2,
    warmup_decisions=100,
    replay=1000,
    updates_per_step=4,
    noise_critic_steps=3,
    batch_size=32,
    hidden=(32,),
    learning_rate=5e-3,
    discount=probes.DISCOUNT,
    tau=0.05,
    temperature=0.1,
    target_entropy=-1.0,
    reward='env',
)
NETWORK = twin_critics.network(CONFIG.hidden, CONFIG.activation, CONFIG.layer_norm)
ACTOR = actor.ActorConfig('squashed', 1, Probe.bound, CONFIG.hidden, CONFIG.activation)
LINEAR = twin_critics.network((), 'tanh', False)


def decode(kind, obs, noise):
    """The best actions of the probes lie within it: noise .67 or .89 in either direction."""
    return 0.9 * noise + 0.1 * obs[1:]


class Steered(Probe):
    """A probe whose action is the decoder's noise."""

    def step(self, state, action):
        return super().step(state, decode(self.kind, state.obs, action))


@pytest.fixture(scope='module')
def trainer():
    """Of one learner; conftest.py trains one a probe with it."""
    return dsrl_na(Steered, CONFIG, decode)


def errors(params, kind):
    """How far the critics of chunks, and those of noise, are from the known value of the probe, or its action."""

    def noise(obs):
        return actor.mode(ACTOR, params['actor'], obs)

    def chunk(obs):
        return decode(kind, obs, noise(obs))

    def of_chunk(obs):
        return twin_critics.values(NETWORK, params['critics'], obs, chunk(obs)).mean()

    def of_noise(obs):
        return twin_critics.values(NETWORK, params['noise_critics'], obs, noise(obs) / Probe.bound).mean()

    return [probes.wrong(jax.jit(value), kind, jax.jit(chunk)) for value in (of_chunk, of_noise)]


@pytest.mark.parametrize('kind', range(probes.PROBES))
def test_probe(trained, kind):
    """The worst of 20 seeds was .065."""
    state, _ = trained[-1]
    assert max(errors(jax.tree.map(lambda x: x[kind], state.params), kind)) < 0.15


def test_rings_hold_the_decoded_chunks(start):
    state = jax.tree.map(probes.to_numpy, start())
    obs, chunk, reward, _, _ = np.split(state.replay.data[:, :, :50], [2, 3, 4, 5], axis=-1)
    np.testing.assert_allclose(reward[probes.ACTION], -((chunk[probes.ACTION] - probes.BEST) ** 2), atol=1e-6)
    noise = (chunk - 0.1 * obs[..., 1:]) / 0.9
    assert np.abs(noise).max() <= 1 + 1e-6 and np.abs(chunk).max() > 0.95


def test_both_optimisers_are_in_the_state_and_have_made_their_steps(trained):
    state, metrics = trained[-1]
    steps = 2 * CONFIG.decisions_per_chunk // CONFIG.environments
    count = {name: np.unique(part[0].count).tolist() for name, part in state.optimiser.items()}
    assert count == {'soft': [4 * steps], 'noise_critics': [3 * steps]}
    moments = jax.tree.leaves(state.optimiser['noise_critics'][0].nu)
    assert all((m != 0).any() for m in moments)
    assert set(state.target) == set(state.params['critics'])
    assert np.isfinite(metrics['noise_critic_loss']).all() and (metrics['noise_critic_loss'] < 0.05).all()


def test_resumed_from_numpy_goes_on_bit_for_bit(population, start, trained):
    trainer, _, kinds = population
    state, _ = trainer.run_chunk(start(), kinds)
    state, metrics = trainer.run_chunk(probes.through_numpy(state), kinds)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(probes.to_numpy, (state, metrics)), trained[-1])


def on_one_device(fn, *args):
    """fn(*args) with the mesh's data axis bound."""
    out = jax.vmap(fn, axis_name=parallel.DATA)(*jax.tree.map(lambda x: jnp.asarray(x)[None], args))
    return jax.tree.map(lambda x: np.asarray(x[0]), out)


def linear_critics(rng, size):
    """Two linear critics: (flax's parameters, weights (2, size), biases (2,))."""
    weights, biases = rng.standard_normal((2, size)).astype(np.float32), rng.standard_normal(2).astype(np.float32)
    return {'params': {'Dense_0': {'kernel': weights[..., None], 'bias': biases[:, None]}}}, weights, biases


def weights_of(params):
    return params['params']['Dense_0']['kernel'][..., 0], params['params']['Dense_0']['bias'][:, 0]


def test_distillation_by_hand():
    """Two updates by plain gradient descent on linear critics, each towards its own."""
    rng = np.random.default_rng(0)
    noise_critics, w, c = linear_critics(rng, 5)
    chunk_critics, v, d = linear_critics(rng, 5)
    obs, noise, chunk = (rng.standard_normal((2, 7, n)).astype(np.float32) for n in (3, 2, 2))
    sgd = optax.sgd(0.1)
    found, _, metrics = on_one_device(
        lambda *args: distil(LINEAR, sgd, *args),
        noise_critics,
        sgd.init(noise_critics),
        chunk_critics,
        obs,
        noise,
        chunk,
    )
    losses = []
    for t in range(2):
        x, y = np.hstack([obs[t], noise[t]]), np.hstack([obs[t], chunk[t]])
        error = (x @ w.T + c) - (y @ v.T + d)  # (7, 2)
        losses.append(0.5 * (error**2).sum(axis=1).mean())
        w, c = w - 0.1 * error.T @ x / 7, c - 0.1 * error.mean(axis=0)
    for one, known in zip(weights_of(found), (w, c), strict=True):
        np.testing.assert_allclose(one, known, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(metrics['noise_critic_loss'], np.mean(losses), rtol=1e-4)


def test_distilled_through_a_linear_decoder_is_the_closed_form():
    """Q^A(s, a) = v.s + u.a + d, a = G w + s_1: Q^W(s, w / b) = (v + e_1 sum u).s + b G'u.(w / b) + d, for both."""
    rng = np.random.default_rng(1)
    bound, gain = 1.5, rng.standard_normal((2, 2)).astype(np.float32)
    noise_critics, _, _ = linear_critics(rng, 5)
    chunk_critics, v, d = linear_critics(rng, 5)
    obs = rng.standard_normal((400, 32, 3)).astype(np.float32)
    noise = rng.uniform(-bound, bound, (400, 32, 2)).astype(np.float32)
    sgd = optax.sgd(0.3)
    found, _, _ = on_one_device(
        lambda *args: distil(LINEAR, sgd, *args),
        *(noise_critics, sgd.init(noise_critics), chunk_critics, obs, noise / bound, noise @ gain.T + obs[..., :1]),
    )
    known = v.copy()
    known[:, 0] += v[:, 3:].sum(axis=1)
    known[:, 3:] = bound * v[:, 3:] @ gain
    np.testing.assert_allclose(weights_of(found)[0], known, atol=1e-3)
    np.testing.assert_allclose(weights_of(found)[1], d, atol=1e-3)


def soft_update(params, target, climbed, batch, normal):
    """One update by plain gradient descent at rate .1, through the decoder, with linear critics."""
    config = sac.SACConfig(decisions_per_chunk=4, hidden=(), discount=0.8, tau=0.25)
    problem = Problem(actor.ActorConfig('squashed', 2, 1.5, (), 'tanh'), -50.0, 50.0)

    def run(params, target, climbed, batch, normal):
        return sac.soft_updates(
            config,
            optax.sgd(0.1),
            Learned(params, target, optax.sgd(0.1).init(params)),
            problem,
            batch,
            normal,
            read=lambda obs, noise: 0.5 * noise + obs[:2],
            climbed=lambda params: climbed,
        )[0]

    return on_one_device(run, params, target, climbed, batch, normal), problem.actor


def test_soft_update_through_the_decoder_by_hand():
    """The critics' target: r + gamma m (min_i Q_i(s', decode(s', w')) - temperature log pi(w'|s')); then Polyak."""
    rng = np.random.default_rng(2)
    chunk_critics, w, c = linear_critics(rng, 5)
    target, v, d = linear_critics(rng, 5)
    climbed, _, _ = linear_critics(rng, 5)
    actor_config = actor.ActorConfig('squashed', 2, 1.5, (), 'tanh')
    own = actor.init(actor_config, jax.random.key(0), 3)
    params = {'actor': own, 'critics': chunk_critics, 'log_temperature': np.float32(np.log(0.3))}
    obs, following = (rng.standard_normal((1, 6, 3)).astype(np.float32) for _ in range(2))
    chunk, reward = rng.standard_normal((1, 6, 2)).astype(np.float32), rng.standard_normal((1, 6)).astype(np.float32)
    alive = np.array([[1, 1, 0, 1, 0, 1]], np.float32)
    normal = rng.standard_normal((1, 2, 6, 2)).astype(np.float32)
    batch = Transition(obs, chunk, reward, alive, following)
    (after, averaged, _), _ = soft_update(params, target, climbed, batch, normal)

    drawn = [actor.draw(actor_config, own, s, z) for s, z in zip(following[0], normal[0, 1], strict=True)]
    made = np.stack([0.5 * np.asarray(a.noise) for a in drawn]) + following[0, :, :2]
    q_next = np.hstack([following[0], made]) @ v.T + d
    soft = q_next.min(axis=1) - 0.3 * np.array([a.log_prob for a in drawn])
    aim = reward[0] + 0.8 * alive[0] * soft
    x = np.hstack([obs[0], chunk[0]])
    error = x @ w.T + c - aim[:, None]
    w, c = w - 0.1 * error.T @ x / 6, c - 0.1 * error.mean(axis=0)
    np.testing.assert_allclose(weights_of(after['critics'])[0], w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights_of(after['critics'])[1], c, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights_of(averaged)[0], 0.25 * w + 0.75 * v, rtol=1e-4, atol=1e-5)

    # The actor climbs what it is given, and nothing else.
    scaled = jax.tree.map(lambda x: 3 * x, params['critics'])
    (other, _, _), _ = soft_update(params | {'critics': scaled}, target, climbed, batch, normal)
    jax.tree.map(np.testing.assert_array_equal, other['actor'], after['actor'])
    (other, _, _), _ = soft_update(params, target, scaled, batch, normal)
    assert not np.allclose(jax.tree.leaves(other['actor'])[0], jax.tree.leaves(after['actor'])[0])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'noise_critic_steps': 0}, 'dsrl_na.noise_critic_steps=0: must be at least 1'),
        ({'batch_size': 255}, 'dsrl_na.batch_size=255: must be a positive multiple of dsrl_na.environments=4'),
        ({'discount': 1.0}, 'dsrl_na.discount=1.0: must be below 1'),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        NAConfig(**{'decisions_per_chunk': 4} | change)
