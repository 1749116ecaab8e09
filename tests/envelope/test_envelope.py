import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax import checkpoint
from postbc_jax.envelope import conformal
from postbc_jax.envelope.contexts import Context, Contexts
from postbc_jax.envelope.envelope import Envelope, moments
from tests.envelope import guides

TWO = Contexts((Context('left', 0, below=0.0, rate=0.2),))


def test_distance_and_strangeness_by_hand():
    made = guides.envelope()
    obs = jnp.array([0.5, 0.25])
    chunk = jnp.full((guides.CHUNK, guides.ACTIONS), 0.5)
    np.testing.assert_allclose(made.distance(obs, chunk), 0.0, atol=1e-5)
    np.testing.assert_allclose(made.distance(obs, chunk + 0.4), 0.4 / guides.STD, rtol=1e-5)
    one = chunk.at[0, 0].add(0.6)
    np.testing.assert_allclose(made.distance(obs, one), 0.6 / guides.STD / np.sqrt(6), rtol=1e-5)
    np.testing.assert_allclose(made.strangeness(obs), 1.0, rtol=1e-5)  # (.5 / .5, .25 / .25) from either state
    np.testing.assert_allclose(made.strangeness(jnp.array([1.0, 0.0])), 0.0, atol=1e-3)


def test_strangeness_is_that_of_the_nearest_of_all():
    rng = np.random.default_rng(0)
    states, spread = rng.normal(size=(50, 2)).astype(np.float32), np.array([0.3, 2.0], np.float32)
    made = guides.envelope(states=states, spread=spread)
    obs = rng.normal(size=(20, 2)).astype(np.float32)
    expected = np.sqrt(np.min(np.mean(((obs[:, None] - states) / spread) ** 2, axis=2), axis=1))
    np.testing.assert_allclose(jax.vmap(made.strangeness)(obs), expected, rtol=1e-4, atol=1e-4)


def test_inside_needs_both_in_the_context_of_the_state():
    made = guides.envelope(TWO, radius=jnp.array([3.0, 1.0]), familiar=jnp.array([5.0, 0.5]))
    right, left = jnp.array([0.1, 0.0]), jnp.array([-0.1, 0.0])
    assert (made.context(right), made.context(left)) == (1, 0)

    def chunk(obs, z):
        return jnp.full((guides.CHUNK, guides.ACTIONS), obs[0] + z * guides.STD)

    assert made.inside(right, chunk(right, 0.9)) and not made.inside(right, chunk(right, 1.1))
    assert made.inside(left, chunk(left, 2.9)) and not made.inside(left, chunk(left, 3.1))
    far = jnp.array([0.6, 0.9])
    assert not made.inside(far, chunk(far, 0.0))
    assert not made.inside(right, chunk(right, jnp.nan))


def test_contexts_read_the_environments_own_units():
    half = Contexts((Context('high', 1, above=2.0),))  # the second entry is normalised as (x - 1) / 2
    assert [int(guides.envelope(half).context(jnp.array([0.0, x]))) for x in (0.49, 0.51)] == [1, 0]


def test_the_spread_of_a_dimension_that_hardly_moves_is_floored_in_action_units():
    still = guides.guide()
    scaling = still.normaliser.replace(action_low=np.array([-1, 0], np.float32), action_high=np.array([1, 0], 'f'))
    _, std = moments(still.replace(normaliser=scaling), jnp.zeros(2))
    np.testing.assert_allclose(std, np.tile([guides.STD, 1.0], (guides.CHUNK, 1)), rtol=1e-5)


def test_good_decisions_are_flagged_at_the_rate_and_wild_ones_nearly_always():
    """A demonstrator with correlated errors, twice as large as the guide says: bounds of 2000 held-out decisions, held
    against 20,000 others. Wild: every entry anywhere in the range of actions."""
    rng, rate = np.random.default_rng(0), 0.1

    def decisions(n):
        obs = rng.uniform(-0.5, 0.5, (n, 2)).astype(np.float32)
        error = 2 * guides.STD * (0.9 * rng.normal(size=(n, 1, 1)) + 0.44 * rng.normal(size=(n, 3, 2)))
        return obs, (0.2 * error + obs[:, :1, None]).astype(np.float32)

    obs, chunks = decisions(2000)
    z = (chunks - obs[:, :1, None]) / guides.STD
    whitener = conformal.whitener(z.reshape(len(z), -1), guides.CHUNK)
    made = guides.envelope(whitener=whitener, states=obs[:500], spread=conformal.spread(obs[:500]))
    context = np.zeros(1500, int)
    held = obs[500:], chunks[500:]
    scores = np.asarray(jax.vmap(made.distance)(*held)), np.asarray(jax.vmap(made.strangeness)(held[0]))
    radius, familiar = (conformal.bounds(score, context, (rate,), ('routine',)) for score in scores)
    made = made.replace(radius=radius, familiar=familiar)
    inside = jax.jit(jax.vmap(made.inside))
    obs, chunks = decisions(20_000)
    assert 1 - inside(obs, chunks).mean() == pytest.approx(rate, abs=0.03)
    assert 1 - inside(obs, rng.uniform(-1, 1, chunks.shape).astype(np.float32)).mean() >= 0.99


def test_it_is_saved_and_read_as_policies_are(tmp_path):
    stack = jax.tree.map(lambda x: np.stack([np.asarray(x)] * 2), guides.envelope(TWO))
    checkpoint.save_policy(tmp_path / 'envelope', stack, [{'seed': 0}, {'seed': 1}], {'rate': 0.1})
    back, labels = checkpoint.load_policies(tmp_path / 'envelope', Envelope)
    jax.tree.map(np.testing.assert_array_equal, back, stack)
    assert labels == [{'seed': 0}, {'seed': 1}] and back.contexts == TWO
    one = checkpoint.load_policy(tmp_path / 'envelope', {'seed': 1}, Envelope)
    assert one.inside(jnp.zeros(2), jnp.zeros((guides.CHUNK, guides.ACTIONS)))
