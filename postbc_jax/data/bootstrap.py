"""Bootstrap resamples of the demonstrations as counts a step, and drawing steps by their counts.

Before the posterior: each ensemble member trains on its own counts. No copies of the data: a draw is an index.
Written for one learner; arXiv 2512.16911, practical algorithm, step 1. N steps, E episodes.
"""

import jax
import jax.numpy as jnp


def subset(key: jax.Array, episode: jax.Array, episodes: int, size: int) -> jax.Array:
    """A random subset of the demonstrations, the same for every method that is given the same key.

    Subsets of one key are nested: the demonstrations of a smaller size are among those of a larger one.

    Args:
      key: typed key.
      episode: (N,) int32, the episode of each step.
      episodes: E.
      size: how many of the E demonstrations to keep.

    Returns:
      mask (N,) float32, 1 at the steps of the chosen demonstrations.

    Raises:
      ValueError: size is not in 1, ..., E.
    """
    if not 1 <= size <= episodes:
        raise ValueError(f'size={size}: a subset of {episodes} demonstrations has 1 to {episodes}')
    rank = jax.random.permutation(key, episodes)  # (E,)
    return (rank < size)[episode].astype(jnp.float32)


def folds(key: jax.Array, episode: jax.Array, episodes: int, mask: jax.Array, count: int) -> jax.Array:
    """Parts of the demonstrations that a mask holds, to be left out in turn: whole ones, every one in one part.

    Args:
      key: typed key, which deals them out.
      episode: (N,) int32, the episode of each step.
      episodes: E.
      mask: (N,) 1 at the steps of whole demonstrations, else 0.
      count: F; parts differ by at most one demonstration.

    Returns:
      (F, N) float32, 1 at the steps of the part's demonstrations; the F sum to the mask.

    Raises:
      ValueError: count is not in 2, ..., the demonstrations held.
    """
    held = jnp.zeros(episodes).at[episode].max(mask.astype(jnp.float32)) > 0  # (E,)
    if not 2 <= count <= held.sum():
        raise ValueError(f'folds={count}: {int(held.sum())} demonstrations can be left out in 2 to so many parts')
    order = jnp.argsort(jnp.where(held, jax.random.permutation(key, episodes), episodes))  # those held come first
    part = jnp.zeros(episodes, jnp.int32).at[order].set(jnp.arange(episodes) % count)
    return (part[episode] == jnp.arange(count)[:, None]) * mask.astype(jnp.float32)


def trajectories(key: jax.Array, episode: jax.Array, mask: jax.Array, episodes: int) -> jax.Array:
    """Trajectory bootstrap: as many demonstrations as the mask holds, drawn among them with replacement.

    Args:
      key: typed key.
      episode: (N,) int32, the episode of each step.
      mask: (N,) 1 at the steps that may be drawn, else 0.
      episodes: E.

    Returns:
      counts (N,) float32: how often the step's demonstration was drawn, 0 outside the mask.
    """
    held = jnp.zeros(episodes).at[episode].max(mask.astype(jnp.float32))  # (E,)
    return _resample(key, held)[episode] * mask


def pairs(key: jax.Array, mask: jax.Array) -> jax.Array:
    """State-action bootstrap: as many steps as the mask holds, drawn among them with replacement.

    Args:
      key: typed key.
      mask: (N,) 1 at the steps that may be drawn, else 0.

    Returns:
      counts (N,) float32: how often the step was drawn; their sum is the mask's.
    """
    return _resample(key, mask.astype(jnp.float32))


def _resample(key: jax.Array, mask: jax.Array) -> jax.Array:
    """Multinomial counts (N,) of mask.sum() draws. N draws are made, for shapes are static; the surplus weighs 0."""
    n = mask.shape[0]
    indices = draw(jax.random.uniform(key, (n,)), cumulative(mask))
    weights = (jnp.arange(n) < mask.sum()).astype(jnp.float32)
    return jnp.zeros(n).at[indices].add(weights)


def cumulative(counts: jax.Array) -> jax.Array:
    """Running sums (N,) of counts (N,) >= 0, for `draw`.

    A step of count 0 repeats the sum before it exactly and no sum is below the one before it, which a plain float32
    cumsum (a tree of partial sums) does not promise.
    """
    counts = counts.astype(jnp.float32)
    return jax.lax.cummax(jnp.where(counts > 0, jnp.cumsum(counts), 0.0))


def draw(uniforms: jax.Array, cumulative: jax.Array) -> jax.Array:
    """Draws steps in proportion to their counts, by the inverse of the cumulative distribution.

    A step of count 0 is never drawn, at any uniform and rounding. float32 uniforms are multiples of 2^-23: shares are
    exact to N 2^-23, so this is for N well below eight million steps.

    Args:
      uniforms: (B,) in [0, 1).
      cumulative: (N,), from `cumulative`, of counts that are not all 0 (else N - 1 is returned).

    Returns:
      (B,) int32 indices of steps.
    """
    total = cumulative[-1]
    # a uniform that was rounded to 1 would lie past the last step
    targets = jnp.minimum(uniforms * total, jnp.nextafter(total, jnp.zeros_like(total)))
    indices = jnp.searchsorted(cumulative, targets, side='right')
    return jnp.minimum(indices, cumulative.shape[0] - 1).astype(jnp.int32)
