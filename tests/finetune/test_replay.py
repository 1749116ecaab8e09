import jax
import jax.numpy as jnp
import numpy as np
import pytest

from postbc_jax.finetune.replay import Ring

SIZE, BATCH = 5, 64


def ring() -> Ring:
    return Ring(SIZE, {'x': jnp.zeros(2), 'y': jnp.zeros(())}, BATCH)


def samples(first, count):
    y = jnp.arange(first, first + count, dtype=jnp.float32)
    return {'x': jnp.stack([y, -y], axis=-1), 'y': y}


@pytest.mark.parametrize('count', [1, 2, 3, 5])
def test_holds_what_a_numpy_ring_holds(count):
    state, reference = ring().init(jax.random.key(0)), np.zeros((SIZE, 3))
    for i in range(6):
        state = jax.jit(ring().insert_internal)(state, samples(i * count + 1, count))
        for y in range(i * count + 1, (i + 1) * count + 1):
            reference[(y - 1) % SIZE] = [y, -y, y]
        np.testing.assert_array_equal(state.data, reference)
        assert ring().size(state) == min(SIZE, (i + 1) * count)


@pytest.mark.parametrize('inserted', [1, 3, 5, 6, 13])
def test_samples_every_held_row_and_no_other(inserted):
    state = ring().init(jax.random.key(0))
    for i in range(inserted):
        state = ring().insert_internal(state, samples(i + 1, 1))
    state, batch = jax.jit(ring().sample_internal)(state)
    assert set(np.asarray(batch['y'])) == set(range(max(1, inserted - SIZE + 1), inserted + 1))
    np.testing.assert_array_equal(batch['x'], jnp.stack([batch['y'], -batch['y']], axis=-1))
    _, again = ring().sample_internal(state)
    assert inserted == 1 or not np.array_equal(batch['y'], again['y'])


def test_rings_under_vmap_are_independent():
    keys = jax.random.split(jax.random.key(0), 2)
    state = jax.vmap(ring().init)(keys)
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), samples(1, 2), samples(11, 2))
    state = jax.vmap(ring().insert_internal)(state, both)
    _, batch = jax.vmap(ring().sample_internal)(state)
    assert set(np.asarray(batch['y'][0])) == {1, 2}
    assert set(np.asarray(batch['y'][1])) == {11, 12}


def test_refuses_more_than_it_holds():
    with pytest.raises(ValueError, match='6 samples do not fit into a replay ring of 5'):
        ring().insert_internal(ring().init(jax.random.key(0)), samples(0, 6))
