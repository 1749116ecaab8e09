"""Losses and densities of one example: pure numerics on arrays, batched with vmap.

Read by everything that fits something: posterior/ (predictors) and policies/ (generative losses, chains). RL's are in
finetune/.
"""

import chex
import jax
import jax.numpy as jnp


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared difference over all entries -> ()."""
    chex.assert_equal_shape([prediction, target])
    return jnp.mean(jnp.square(prediction - target))


def gaussian_log_prob(x: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Log density of x under independent normals, summed over all entries -> (). std broadcasts against mean."""
    chex.assert_equal_shape([x, mean])
    std = jnp.broadcast_to(std, mean.shape)
    return jnp.sum(-0.5 * jnp.square((x - mean) / std) - jnp.log(std) - 0.5 * jnp.log(2 * jnp.pi))


def gaussian_nll(mean: jax.Array, std: jax.Array, target: jax.Array) -> jax.Array:
    """Negative log density of target, as a mean over its entries so that its scale is that of squared_error -> ()."""
    return -gaussian_log_prob(target, mean, std) / target.size
