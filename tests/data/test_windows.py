"""Windows against a loop over episodes: they never cross an episode, and the tail repeats its last action."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.data.normaliser import fit
from postbc_jax.data.windows import windows
from postbc_jax.types import Demos


def random_demos(seed):
    """Episodes of 1 to 9 steps whose action is its own step's index, so that a window says where it came from."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 10, rng.integers(1, 7))
    n = lengths.sum()
    return Demos(
        obs=rng.normal(size=(n, 3)).astype(np.float32),
        actions=np.stack([np.arange(n), -np.arange(n)], 1).astype(np.float32),
        rewards=np.zeros(n, np.float32),
        dones=np.zeros(n, np.float32),
        episode=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        names=tuple(f'demo_{i}' for i in range(len(lengths))),
        obs_keys=(('x', 3),),
    )


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('chunk', [1, 4, 12])
def test_against_a_loop(seed, chunk):
    demos = random_demos(seed)
    normaliser = fit(demos)
    w = windows(demos, normaliser, chunk)
    n = len(demos.episode)
    obs, chunks = w.take(np.arange(n))
    assert chunks.shape == (n, chunk, 2)
    np.testing.assert_allclose(obs, normaliser.obs(demos.obs), atol=1e-6)
    sources = np.rint(normaliser.unnormalise_action(chunks)[..., 0]).astype(int)  # (N, T)
    for i in range(n):
        inside = [j for j in range(i, min(i + chunk, n)) if demos.episode[j] == demos.episode[i]]
        assert sources[i].tolist() == inside + [inside[-1]] * (chunk - len(inside))
    np.testing.assert_array_equal(w.time, [i - demos.episode.tolist().index(e) for i, e in enumerate(demos.episode)])
    np.testing.assert_array_equal(demos.episode[w.last], demos.episode)
    np.testing.assert_array_equal(w.episode, demos.episode)
    assert w.last.dtype == w.time.dtype == w.episode.dtype == np.int32


def test_take_of_any_shape(demos):
    w = windows(demos, fit(demos), 4)
    i = np.array([[0, 4, 14], [5, 7, 8]])
    obs, chunk = jax.jit(lambda w, i: w.take(i))(w, i)
    assert (obs.shape, chunk.shape) == ((2, 3, 5), (2, 3, 4, 2))
    one_obs, one_chunk = w.take(8)
    assert (one_obs.shape, one_chunk.shape) == ((5,), (4, 2))
    np.testing.assert_array_equal(one_chunk, chunk[1, 2])
    np.testing.assert_array_equal(one_obs, obs[1, 2])


def test_inside_the_population(demos):
    """As data of a trainer: the same windows for every learner, each with steps of its own."""
    mesh = parallel.mesh(2)
    w = parallel.shard(windows(demos, fit(demos), 3), mesh)
    steps = parallel.shard(np.array([[0, 3], [7, 9]], np.int32), mesh, P('learner'))
    take = parallel.pmap(lambda w, i: w.take(i)[1], mesh, (P(), P('learner')), P('learner'))
    np.testing.assert_array_equal(parallel.gather(take(w, steps), 2), w.take(np.array([[0, 3], [7, 9]]))[1])


@pytest.mark.parametrize('chunk', [0, -1])
def test_chunk_must_be_positive(demos, chunk):
    with pytest.raises(ValueError, match=f'chunk={chunk}'):
        windows(demos, fit(demos), chunk)
