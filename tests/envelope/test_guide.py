import jax
import numpy as np
import pytest

from postbc_jax import parallel
from postbc_jax.data.normaliser import Normaliser
from postbc_jax.data.windows import Windows
from postbc_jax.envelope.envelope import moments
from postbc_jax.envelope.guide import MIN_STD, GuideConfig, GuideData, guide, in_turn
from postbc_jax.policies import PolicyConfig
from postbc_jax.posterior.ensemble import EnsembleConfig, Predictor

SLOPES = np.array([-0.2, 0.0, 0.4, 0.6], np.float32)  # of four members, f_l(s) = slope_l (1 - s^2) at s = -1 and 1


def data():
    """Demonstrated at s = -1 and 1 alone, action .5 both times; there the members agree on .3, between they do not."""
    windows = Windows(
        obs=np.array([[-1.0], [1.0]], np.float32),
        actions=np.full((2, 1), 0.5, np.float32),
        last=np.arange(2, dtype=np.int32),
        time=np.zeros(2, np.int32),
        episode=np.arange(2, dtype=np.int32),
        chunk=1,
    )
    config = EnsembleConfig(hidden=(2,), activation='relu')
    kernels = {
        'Dense_0': {'kernel': np.tile([[[1.0, -1.0]]], (4, 1, 1)), 'bias': np.zeros((4, 2))},
        # .3 + slope (1 - |s|)
        'Dense_1': {'kernel': np.stack([[[-a], [-a]] for a in SLOPES]), 'bias': (0.3 + SLOPES)[:, None]},
    }
    params = {'params': jax.tree.map(np.float32, kernels)}
    one = np.ones(1, np.float32)
    members = Predictor(params, config, (1, 1))
    return GuideData(windows, Normaliser(-one, one, -one, one), np.ones(2, np.float32), members)


@pytest.fixture(scope='module')
def fitted():
    config = GuideConfig(PolicyConfig('gaussian', 1, 1, hidden=(64, 64), min_std=MIN_STD), 2000, 500, 128)
    mesh = parallel.mesh(1, jax.devices()[:1])
    trainer = parallel.population(guide(config), mesh)
    of_one = data()
    given = of_one.replace(mask=of_one.mask[None], members=jax.tree.map(lambda x: x[None], of_one.members))
    state = trainer.init(parallel.learner_keys(jax.random.key(0), [0], mesh), given)
    for _ in range(4):
        state, _ = trainer.run_chunk(state, given)
    return jax.tree.map(lambda x: x[0], parallel.gather(trainer.policy(state, given)))


@pytest.mark.parametrize('s', [-1.0, -0.5, 0.5, 1.0])
def test_it_says_what_the_members_say_together(fitted, s):
    """At a demonstrated state the chunk that was shown, between them the members' mean and spread about it."""
    between = 1 - abs(s)
    mean, std = moments(fitted, np.array([s], np.float32))
    np.testing.assert_allclose(mean, 0.5 + SLOPES.mean() * between, atol=0.03)
    np.testing.assert_allclose(std, max(MIN_STD, SLOPES.std() * between), atol=0.07)


@pytest.mark.parametrize('first', [0, 3, 6])
def test_members_are_asked_in_turn_whatever_rows_a_device_holds(first):
    members, obs = data().members, np.linspace(-1, 1, 6, dtype=np.float32)[:, None]
    every = jax.vmap(lambda member: member(obs))(members)  # (K, B, T, A)
    expected = np.stack([every[(first + i) % len(SLOPES), i] for i in range(len(obs))])
    np.testing.assert_allclose(in_turn(members, obs, first), expected, rtol=1e-6)


def test_refuses():
    policy = PolicyConfig('gaussian', 1, 1)
    for values, message in (
        ({'policy': PolicyConfig('flow', 1, 1)}, "family='flow'"),
        ({'policy': policy, 'steps': 3}, 'steps=3: must be a multiple of steps_per_chunk=500'),
        ({'policy': policy, 'batch_size': 0}, 'batch_size=0: must be at least 1'),
        ({'policy': policy, 'learning_rate': 0.0}, 'learning_rate=0.0: must be above 0'),
    ):
        with pytest.raises(ValueError, match=message):
            GuideConfig(**values)
