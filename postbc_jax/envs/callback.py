"""One call of a Python function on the host for a whole batch, from inside a compiled program."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental.buffer_callback import buffer_callback


def host_call(function: Callable[..., Any], shapes: Any, *arguments: jax.Array) -> Any:
    """jax.pure_callback with vmap_method='broadcast_all', without its deadlock on CPU.

    jax.pure_callback hands its arguments to the CPU's own devices, whose threads copy what is larger than 100 kB; where
    all of them wait in callbacks nobody copies, and the program stands for ever. On the CPU the function is therefore
    shown XLA's own buffers.

    Args:
      function: numpy arrays, with the batch's dimensions in front -> arrays in the structure of `shapes`, with the
        same in front. It must not call jax, must not keep its arguments, and may be called again or not at all where
        nobody uses what it gives.
      shapes: of one example, a pytree of jax.ShapeDtypeStruct.
      arguments: of one example.
    """

    leaves, tree = jax.tree.flatten(shapes)
    return _call(function, tuple(leaves), tree, *arguments)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))  # so that a call outside jit is compiled once for each function
def _call(function: Callable[..., Any], leaves: tuple, tree: Any, *arguments: jax.Array) -> Any:
    def fill(context, out, *buffers):
        del context
        found = function(*(np.asarray(buffer) for buffer in buffers))
        for to, value in zip(jax.tree.leaves(out), jax.tree.leaves(found), strict=True):
            np.asarray(to)[...] = value

    def ask(*arrays):
        return function(*map(np.asarray, arrays))

    shapes = jax.tree.unflatten(tree, leaves)
    return jax.lax.platform_dependent(
        *arguments,
        cpu=buffer_callback(fill, shapes, vmap_method='broadcast_all'),
        default=lambda *arrays: jax.pure_callback(ask, shapes, *arrays, vmap_method='broadcast_all'),
    )
