"""The envelope of a point's demonstrations: who has seen what, what is kept, and what its rows say."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import default
from launch import checks, demonstrations, envelopes, scales
from launch import config as settings
from launch.point import Point
from postbc_jax.envelope import conformal, wild

TINY = {
    **{'seeds': 2, 'record.episodes': 12, 'subset': 8, 'policy.chunk': 2, 'calibration.folds': 4},
    **{'calibration.members': 3, 'posterior.members': 4, 'posterior.hidden': (16,), 'posterior.steps': 100},
    **{'posterior.steps_per_chunk': 100, 'guard.steps': 200, 'guard.steps_per_chunk': 200, 'guard.hidden': (16,)},
    'contexts': ({'name': 'approach', 'key': 'position', 'below': 0.0, 'rate': 0.2},),
}


class Silent:
    """A progress that says nothing."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


@pytest.fixture(scope='module')
def fitted(tmp_path_factory):
    """(Learning, Fitted, its rows)."""
    config = settings.at_point(default.get_config(), TINY)
    checks.check(config)
    env = settings.environment(config)
    point = Point(config, tmp_path_factory.mktemp('envelope'), env, Silent(), lambda: False)
    learning = demonstrations.prepare(point, demonstrations.demonstrations(point))
    found = envelopes.fit(point, learning)
    return learning, found, envelopes.rows(found, config.guard.rate)


def test_a_contexts_alpha_is_in_the_noise_at_its_states(fitted):
    learning = fitted[0]
    contexts = ({'name': 'approach', 'key': 'position', 'below': 0.0, 'alpha': 0.5},)
    config = settings.at_point(default.get_config(), {'contexts': contexts})
    point = SimpleNamespace(config=config, env=settings.environment(config))
    steps = [np.flatnonzero(mask)[:count] for mask, count in zip(learning.mask, (40, 30), strict=True)]
    weighed = scales.by_context(point, learning, np.ones((2, 40, 3, 2, 1)), steps)
    for own, of_seed in zip(steps, weighed, strict=True):
        expected = np.where(learning.demos.obs[own, 0] < 0, 0.5, 1.0)
        assert set(expected) == {0.5, 1.0}
        np.testing.assert_array_equal(
            of_seed[: len(own)], np.broadcast_to(expected[:, None, None, None], (len(own), 3, 2, 1))
        )
    factors = np.ones((1, 2, 3, 2, 1))
    bare = SimpleNamespace(config=default.get_config())
    assert scales.by_context(bare, learning, factors, steps) is factors


def one(stack, seed):
    return jax.tree.map(lambda x: x[seed], stack)


def test_every_step_of_a_seed_is_held_out_once(fitted):
    learning, found, _ = fitted
    for mask, held in zip(learning.mask, found.held, strict=True):
        assert sorted(held.steps) == np.flatnonzero(mask).tolist()
        obs, chunks = learning.windows.take(held.steps)
        np.testing.assert_array_equal(held.obs, obs)
        np.testing.assert_array_equal(held.chunks, chunks)
        np.testing.assert_array_equal(held.trajectory, learning.windows.episode[held.steps])
        np.testing.assert_array_equal(held.context, learning.demos.obs[held.steps, 0] >= 0)
        assert all(np.isfinite(array).all() for array in held)


def test_nobody_judges_what_it_has_seen(fitted):
    """A state that its own fold's states held would be no departure."""
    learning, found, _ = fitted
    for seed, held in enumerate(found.held):
        own = one(found.envelopes, seed)
        kept = np.asarray(jax.vmap(own.strangeness)(held.obs))
        assert (kept < 1e-2).mean() > 0.5 and (held.strangeness > kept).mean() > 0.9
        assert (held.mean != jax.vmap(lambda obs, own=own: own.guide.decode_normalised(obs, 0.0))(held.obs)).all()


def test_bounds_are_the_quantiles_of_the_held_out_scores(fitted):
    _, found, rows = fitted
    rates = {'approach': 0.2, 'routine': 0.05}
    assert [(row['seed'], row['context'], row['rate']) for row in rows] == [
        (seed, name, rate) for seed in (0, 1) for name, rate in rates.items()
    ]
    for row in rows:
        held = found.held[row['seed']]
        own = held.context == list(rates).index(row['context'])
        assert row['radius'] == pytest.approx(conformal.quantile(held.distance[own], row['rate'] / 2))
        assert row['familiar'] == pytest.approx(conformal.quantile(held.strangeness[own], row['rate'] / 2))
        assert row['decisions'] == own.sum() and row['trajectories'] == 8
        assert row['supported'] == pytest.approx(2 / (own.sum() + 1))
        caught = wild.caught(one(found.envelopes, row['seed']), held.obs, jax.random.key(envelopes.WILD))
        assert row['wild_caught'] == pytest.approx(caught[own].mean()) and 0 <= row['wild_caught'] <= 1


def test_at_most_the_rate_of_the_held_out_decisions_is_flagged(fitted):
    _, found, rows = fitted
    for row in rows:
        held, own = found.held[row['seed']], one(found.envelopes, row['seed'])
        flagged = (held.distance > row['radius']) | (held.strangeness > row['familiar'])
        chosen = held.context == own.contexts.names.index(row['context'])
        assert flagged[chosen].mean() <= row['rate']


def test_envelopes_have_states_of_their_own_seed(fitted):
    learning, found, _ = fitted
    stack = found.envelopes
    for seed, mask in enumerate(learning.mask):
        there = {tuple(state) for state in learning.windows.obs[mask > 0]}
        assert {tuple(state) for state in stack.states[seed]} <= there
    assert stack.whitener.shape == (2, 2, 2) and stack.radius.shape == (2, 2)
