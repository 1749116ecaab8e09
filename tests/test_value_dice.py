"""ValueDICE: its objective by hand and by its definition, the chain of demonstrations, a linear expert found again."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel, policies, value_dice
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.value_dice import ValueDICEConfig, ValueDICEData
from tests.finetune import probes


def actor(**changes):
    return policies.PolicyConfig(**{'family': 'gaussian', 'obs_size': 2, 'action_size': 1, 'hidden': (16,)} | changes)


def test_the_objective_by_hand():
    """Differences log 1 and log 3, whose mean exp is 2; (1 - .5) of a mean of 3. Their softmax weights: 1/4, 3/4."""
    nu, nu_next, nu_initial = jnp.array([1.0, 2.0 + np.log(3.0)]), jnp.array([2.0, 4.0]), jnp.array([1.0, 5.0])
    value, grads = jax.value_and_grad(value_dice.objective, (0, 1, 2))(nu, nu_next, nu_initial, 0.5)
    np.testing.assert_allclose(value, np.log(2.0) - 1.5, rtol=1e-6)
    np.testing.assert_allclose(grads, [[0.25, 0.75], [-0.125, -0.375], [-0.25, -0.25]], rtol=1e-6)


def test_the_objective_by_its_definition():
    """Value and gradients are those of log mean exp, also where exp would overflow; a constant does not matter."""
    nu, nu_next, nu_initial = (jnp.array(x) for x in np.random.default_rng(0).normal(0, 3, (3, 50)))
    nu = nu.at[7].set(150.0)

    def plain(nu, nu_next, nu_initial):
        difference = nu - 0.9 * nu_next
        most = difference.max()
        return jnp.log(jnp.mean(jnp.exp(difference - most))) + most - 0.1 * nu_initial.mean()

    def ours(*values):
        return value_dice.objective(*values, 0.9)

    values = nu, nu_next, nu_initial
    np.testing.assert_allclose(ours(*values), plain(*values), rtol=1e-5)
    for a, b in zip(jax.grad(ours, (0, 1, 2))(*values), jax.grad(plain, (0, 1, 2))(*values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(ours(nu + 2, nu_next + 2, nu_initial + 2), ours(*values), rtol=1e-5)


def test_rows_on_several_devices_have_the_objective_of_the_batch():
    """Halves that know one another's differences: the mean of their values and gradients."""
    nu, nu_next, nu_initial = (jnp.array(x, jnp.float32) for x in np.random.default_rng(1).normal(0, 3, (3, 8)))
    whole = jax.value_and_grad(value_dice.objective)(nu, nu_next, nu_initial, 0.9)
    halves = [
        jax.value_and_grad(value_dice.objective)(nu[at], nu_next[at], nu_initial[at], 0.9, lambda _: nu - 0.9 * nu_next)
        for at in (slice(0, 4), slice(4, 8))
    ]
    np.testing.assert_allclose(np.mean([value for value, _ in halves]), whole[0], rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([grad for _, grad in halves]) / 2, whole[1], rtol=1e-5)


def test_its_minimum_over_nu_is_minus_the_divergence_of_the_visits():
    """Two states, and actions that name the next. The demonstrator plays both alike, so that its visits are uniform
    over (state, action) and stationary; policies that play one action a state visit two of the four pairs."""
    state, action = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 0, 1])
    for played in ((0, 1), (1, 0), (1, 1)):
        plays = jnp.array(played)

        def least(nu, plays=plays):
            return value_dice.objective(nu[state, action], nu[action, plays[action]], nu[state, plays[state]], 0.8)

        nu = jax.lax.fori_loop(0, 20_000, lambda _, nu: nu - 0.3 * jax.grad(least)(nu), jnp.zeros((2, 2)))
        np.testing.assert_allclose(least(nu), -_divergence(played, 0.8), atol=2e-3)


def _divergence(played, discount):
    """KL of the discounted visits of a deterministic policy from 1/4 each, from both states alike."""
    moves = np.eye(2)[list(played)]
    visits = (1 - discount) * np.full(2, 0.5) @ np.linalg.inv(np.eye(2) - discount * moves)
    return (visits * np.log(visits / 0.25)).sum()


def test_the_penalty_and_the_regularisation_by_hand():
    """|(3, 4)| is 5, so (5 - 1)^2. W = ((1, 2), (0, 1)) has 2 twice off the diagonal of W'W; biases are not meant."""
    slope = jnp.array([3.0, 4.0])
    np.testing.assert_allclose(value_dice.gradient_penalty(lambda x: x @ slope, jnp.ones((6, 2))), 16.0, rtol=1e-6)
    flat = jax.grad(lambda scale: value_dice.gradient_penalty(lambda x: x @ slope * scale, jnp.ones((6, 2))))(0.0)
    assert np.isfinite(flat)
    params = {'kernel': jnp.array([[1.0, 2.0], [0.0, 1.0]]), 'bias': jnp.ones(2)}
    np.testing.assert_allclose(value_dice.orthogonality(params), 8.0)
    np.testing.assert_allclose(value_dice.orthogonality({'kernel': jnp.diag(slope)}), 0.0)


def linear_expert(episodes=20, length=20, chunk=1):
    """(windows, K): actions K s + noise of std .1 at states (2,) anywhere in [-1, 1]. Normalised already."""
    rng, gain = np.random.default_rng(0), np.array([-0.8, 0.4])
    obs = rng.uniform(-1, 1, (episodes * length, 2))
    actions = (obs @ gain + 0.1 * rng.normal(size=len(obs)))[:, None]
    episode = np.repeat(np.arange(episodes, dtype=np.int32), length)
    time = np.tile(np.arange(length, dtype=np.int32), episodes)
    return Windows(np.float32(obs), np.float32(actions), (episode + 1) * length - 1, time, episode, chunk), gain


@pytest.mark.parametrize('chunk', [1, 3])
def test_decisions_follow_one_another_and_keep_the_uniform_distribution(chunk):
    """Counted over every step and every held start, each step comes after as many as every other."""
    windows, _ = linear_expert(episodes=3, length=7, chunk=chunk)
    starts = np.array([0, 14])  # the second episode is not held
    held = np.r_[0:7, 14:21]
    pairs = np.stack(np.meshgrid(held, starts), -1).reshape(-1, 2)
    after = np.asarray(value_dice.following(windows, *pairs.T))
    inside = pairs[:, 0] + chunk <= windows.last[pairs[:, 0]]
    np.testing.assert_array_equal(after[inside], pairs[inside, 0] + chunk)
    np.testing.assert_array_equal(np.bincount(after, minlength=21)[held], 2)
    assert int(value_dice.following(windows, jnp.array(6), jnp.array(14))) == 14 + chunk - 1


CONFIG = ValueDICEConfig(
    actor(), 500, batch_size=128, hidden=(32, 32), learning_rate=1e-3, nu_learning_rate=3e-3, discount=0.9
)
LEARNERS = 3
MESH = parallel.mesh(LEARNERS, jax.devices()[:1])


# Five learners on each of two devices, with nu as wide as it is by default.
BEGIN = """
import jax
from postbc_jax import policies, value_dice

actor = policies.PolicyConfig('gaussian', 2, 1, hidden=(16,))
init = value_dice.value_dice(value_dice.ValueDICEConfig(actor, steps_per_chunk=1)).init
jax.block_until_ready(jax.pmap(jax.vmap(lambda key: init(key, None)))(jax.random.split(jax.random.key(0), (2, 5))))
"""


def test_two_devices_begin_at_once():
    """Batches of QR factorisations on two devices wait for each other for ever, on machines of two cores."""
    variables = os.environ | {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '2'}
    command = [sys.executable, '-c', BEGIN]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope='module')
def trainer():
    """A population of three, compiled once for all data of a shape."""
    return parallel.population(value_dice.value_dice(CONFIG), MESH)


def start(trainer, obs=None, mask=None):
    """(data, first state): a seed a learner, each with its row of the mask; all steps, where none is given."""
    windows, _ = linear_expert()
    windows = windows if obs is None else windows.replace(obs=obs)
    mask = np.ones((LEARNERS, len(windows.obs)), np.float32) if mask is None else mask
    one, two = np.ones(1, np.float32), np.ones(2, np.float32)
    shared = windows, Normaliser(-two, two, -one, one), mask
    source = parallel.shard(np.arange(LEARNERS, dtype=np.int32), MESH, P(parallel.LEARNER))
    data = ValueDICEData(*(parallel.shard(x, MESH) for x in shared), source)
    return data, trainer.init(parallel.learner_keys(jax.random.key(0), range(LEARNERS), MESH), data)


def test_the_actor_finds_the_linear_expert(trainer):
    """Root mean square error of its mean over states; that of 0 is .54. Over 20 seeds the largest was .156."""
    windows, gain = linear_expert()
    data, state = start(trainer)
    errors = []
    for chunks in (0, 4):
        for _ in range(chunks):
            state, metrics = trainer.run_chunk(state, data)
        policy = parallel.gather(trainer.policy(state, data))
        decoded = jax.vmap(lambda p: jax.vmap(lambda o: p.decode(o, jnp.zeros((1, 1))))(windows.obs))(policy)
        errors.append(np.sqrt(np.square(decoded[..., 0, 0] - windows.obs @ gain).mean(1)))
    assert (errors[0] > 0.3).all() and (errors[1] < 0.25).all()
    assert (np.abs(metrics['objective']) < 0.2).all()


def test_resumed_from_numpy_goes_on_bit_for_bit(trainer):
    """Everything is in the state: both networks, both optimisers, the average, the key."""

    def trained(between):
        data, state = start(trainer)
        state, _ = trainer.run_chunk(state, data)
        return jax.tree.map(probes.to_numpy, trainer.run_chunk(between(state), data))

    jax.tree.map(np.testing.assert_array_equal, trained(lambda state: state), trained(probes.through_numpy))


def test_a_learner_sees_its_own_demonstrations_alone(trainer):
    """What the mask leaves out may be NaN, and is not begun after an episode's end either."""
    windows, _ = linear_expert()
    mask = np.ones((LEARNERS, 400), np.float32)
    mask[:2, 20:40] = 0
    obs = np.where((windows.episode == 1)[:, None], np.float32(np.nan), windows.obs)
    data, state = start(trainer, obs, mask)
    _, metrics = trainer.run_chunk(state, data)
    assert np.isfinite(metrics['objective']).tolist() == [True, True, False]


def test_it_begins_at_pretrainings_actor_and_an_orthogonal_nu(trainer):
    _, state = start(trainer)
    family, keys = policies.build(CONFIG.policy), [jax.random.fold_in(jax.random.key(0), i) for i in range(LEARNERS)]
    begun = [family.init(jax.random.fold_in(key, 0)) for key in keys]
    for ours, *theirs in zip(jax.tree.leaves(state.params['actor']), *map(jax.tree.leaves, begun), strict=True):
        np.testing.assert_allclose(ours, np.stack(theirs), rtol=1e-6)
    layers = [w for w in jax.tree.leaves(state.params['nu']) if w.ndim == 3]
    assert sorted(w.shape[1:] for w in layers) == [(3, 32), (32, 1), (32, 32)]
    for w in layers:
        wide = w if w.shape[1] <= w.shape[2] else np.swapaxes(w, 1, 2)
        expected = np.broadcast_to(np.eye(wide.shape[1]), (LEARNERS, wide.shape[1], wide.shape[1]))
        np.testing.assert_allclose(np.matmul(wide, np.swapaxes(wide, 1, 2)), expected, atol=1e-5)
    assert len(jax.tree.leaves(state.params['nu'])) == len(layers) + 2  # the last layer has no bias


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'policy': actor(family='flow')}, "policy.family='flow': ValueDICE learns a 'gaussian' policy: choose it"),
        ({'steps_per_chunk': 0}, 'value_dice.steps_per_chunk=0: must be at least 1'),
        ({'nu_learning_rate': 0.0}, 'value_dice.nu_learning_rate=0.0: must be above 0'),
        ({'gradient_penalty': -1.0}, 'value_dice.gradient_penalty=-1.0: must be at least 0'),
        ({'orthogonal': float('nan')}, 'value_dice.orthogonal=nan: must be at least 0'),
        ({'discount': 1.0}, 'value_dice.discount=1.0: must be at least 0 and less than 1'),
        ({'hidden': (0,)}, 'hidden=(0,): widths of hidden layers are whole numbers above 0'),
    ],
)
def test_settings_that_cannot_be_run_are_refused(changes, says):
    with pytest.raises(ValueError) as refusal:
        ValueDICEConfig(**{'policy': actor(), 'steps_per_chunk': 1} | changes)
    assert str(refusal.value) == says
