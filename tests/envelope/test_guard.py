"""The guard by hand: what it plays in the place of what, and what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.envelope.contexts import Context, Contexts
from postbc_jax.envelope.guard import guard
from postbc_jax.policies import Policy, PolicyConfig, build
from tests.envelope import guides

SHAPE = guides.CHUNK, guides.ACTIONS
KNOWN, STRANGE = jnp.array([0.1, 0.0]), jnp.array([0.1, 0.9])  # normalised; .9 is 3.6 standard deviations
CENTRE = jnp.full(SHAPE, 0.1)


def policy(family='flow', seed=0):
    config = PolicyConfig(family, 2, 2, chunk=3, hidden=(16,), inference_steps=3, train_steps=20)
    return Policy(build(config).init(jax.random.key(seed)), guides.normaliser(), config)


def guarded(mode='project', safe=None, **values):
    return guard(policy(), guides.envelope(**values), mode, safe)


def test_what_is_inside_is_played_as_it_is():
    chunk = CENTRE + 0.9 * guides.STD * jnp.array([[1.0, -1], [1, 1], [-1, 1]])
    for mode in ('project', 'mean', 'safe'):
        played, said = guarded(mode, policy(seed=1)).admit(KNOWN, chunk)
        np.testing.assert_array_equal(played, chunk)
        assert said['guard']['outside'] == said['guard']['strange'] == 0
        np.testing.assert_allclose(said['guard']['distance'], 0.9, rtol=1e-5)


def test_project_is_the_nearest_chunk_inside():
    """No other chunk on the ellipsoid is nearer, in the distance that the ellipsoid is made of."""
    rng = np.random.default_rng(0)
    whitener = jnp.asarray(np.tril(rng.normal(size=(6, 6))) + 2 * np.eye(6), jnp.float32)
    made = guarded(whitener=whitener, radius=jnp.array([1.3]))
    chunk = jnp.asarray(rng.uniform(-1, 1, SHAPE), jnp.float32)
    played, said = made.admit(KNOWN, chunk)
    assert said['guard']['outside'] == 1
    assert made.envelope.distance(KNOWN, played) == pytest.approx(1.3, rel=1e-4)

    def apart(other):
        white = (whitener @ ((other - chunk) / guides.STD).reshape(-1, 6).T).T
        return jnp.linalg.norm(white, axis=1)

    towards = rng.normal(size=(5000, *SHAPE))
    lengths = jax.vmap(made.envelope.distance, (None, 0))(KNOWN, CENTRE + towards)
    others = CENTRE + towards * np.asarray(1.3 / lengths)[:, None, None]
    assert apart(played[None]) < apart(others).min()


@pytest.mark.parametrize(
    ('mode', 'safe', 'outside', 'strange', 'both'),
    [
        ('project', False, 'projected', 'offered', 'projected'),
        ('project', True, 'projected', 'safe', 'safe'),
        ('mean', False, 'mean', 'offered', 'projected'),
        ('mean', True, 'mean', 'safe', 'safe'),
        ('safe', True, 'safe', 'safe', 'safe'),
    ],
)
def test_what_is_played_instead(mode, safe, outside, strange, both):
    other = policy(seed=1) if safe else None
    made = guarded(mode, other)
    for obs, shift, expected in ((KNOWN, 1.0, outside), (STRANGE, 0.0, strange), (STRANGE, 1.0, both)):
        offered = CENTRE + shift * 0.6
        choices = {'offered': offered, 'mean': CENTRE, 'projected': CENTRE + guides.STD}
        if safe:
            choices['safe'] = other.decode_normalised(obs, jnp.zeros(SHAPE))
        played, said = made.admit(obs, offered)
        np.testing.assert_allclose(played, choices[expected], rtol=1e-4, atol=1e-5)
        assert (said['guard']['outside'], said['guard']['strange']) == (shift, float(obs is STRANGE))


def test_numbers_that_are_not_finite_are_outside_and_never_played():
    for bad in (jnp.nan, jnp.inf):
        played, said = guarded().admit(KNOWN, CENTRE.at[1, 1].set(bad))
        np.testing.assert_allclose(played, CENTRE, rtol=1e-6)
        assert said['guard']['outside'] == 1
    assert guarded().admit(KNOWN.at[0].set(jnp.nan), CENTRE)[1]['guard']['strange'] == 1


def test_wild_chunks_are_caught_and_what_is_played_is_inside():
    made = guarded()
    chunks = jax.random.uniform(jax.random.key(0), (2000, *SHAPE), minval=-1.0)
    played, said = jax.jit(jax.vmap(made.admit, (None, 0)))(KNOWN, chunks)
    assert said['guard']['outside'].mean() >= 0.99
    assert jax.vmap(made.envelope.distance, (None, 0))(KNOWN, played).max() <= 1 + 1e-4


def test_noise_is_clipped_to_the_contexts_bound():
    contexts = Contexts((Context('left', 0, below=0.0, bound=0.5),))
    made = guarded(contexts=contexts, radius=jnp.full(2, 1e9), familiar=jnp.full(2, 1e9))
    noise = jnp.array([[2.0, -2.0], [0.3, 0.1], [0.6, -0.4]])
    for obs, limit in ((KNOWN, 9.0), (-KNOWN, 0.5)):
        chunk, said = made.decide(obs, noise)
        np.testing.assert_array_equal(chunk, policy().decode_normalised(obs, jnp.clip(noise, -limit, limit)))
        assert said['guard']['context'] == (limit == 9.0)


def test_refuses_what_does_not_fit():
    for values, message in (
        ({'mode': 'stop'}, "mode='stop': choose one of project, mean, safe"),
        ({'mode': 'safe'}, "mode='safe': needs a safe policy"),
        ({'envelope': guides.envelope(guide=guides.guide(2, 2, 4))}, "the envelope's chunk is 4, the policy's 3"),
    ):
        given = {'envelope': guides.envelope(), 'mode': 'project'} | values
        with pytest.raises(ValueError, match=message):
            guard(policy(), **given)
