"""The noise from which a frozen policy makes a given chunk: what lets SAC over noise learn from demonstrations.

Between demonstrations and the transitions that finetuning mixes into its replay. DSRL-NA does not need it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

# A chunk is made again where its rms error is at most this: the noise that a pretrained policy plays where it is sure.
NEAR = 0.05


class Inverse(NamedTuple):
    """noise (n, D) in [-bound, bound], and error (n,): the rms over D of decode(noise) - chunk, in normalised units."""

    noise: jax.Array
    error: jax.Array


def invert(
    decode: Callable[[jax.Array, jax.Array], jax.Array],
    obs: jax.Array,
    chunk: jax.Array,
    key: jax.Array,
    bound: float,
    draws: int = 64,
    steps: int = 100,
    learning_rate: float = 0.1,
    rows: int = 64,
) -> Inverse:
    """The best of some draws of w ~ N(0, I), then Adam on its squared error; all of it clipped to the bound.

    A chunk that the policy does not make of any such noise gets the nearest one found, and `error` says how near. The
    last step's rate is 0, and the best noise on the way is kept: more steps are never worse.

    Args:
      decode: (obs (O,), noise (D,)) -> chunk (D,), normalised.
      obs: (n, O), normalised.
      chunk: (n, D), normalised.
      key: typed; each row has its own noise, by its index.
      bound: b of the noise that is played.
      draws: of each row.
      steps: of Adam.
      learning_rate: Adam's first, which falls to 0 by a cosine.
      rows: at a time.

    Raises:
      ValueError: draws < 1, steps < 0, or bound <= 0.
    """
    for name, value, holds in (('draws', draws, draws >= 1), ('steps', steps, steps >= 0), ('bound', bound, bound > 0)):
        if not holds:
            raise ValueError(f'invert: {name}={value}: an inversion needs a draw and a bound, and steps are counted')
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, max(steps, 1)))

    def row(inputs: tuple[jax.Array, jax.Array, jax.Array]) -> Inverse:
        index, s, a = inputs

        def error(w):
            return jnp.square(decode(s, w) - a).mean()

        def step(carry, _):
            w, state, best = carry
            grads = jax.grad(error)(w)
            update, state = optimiser.update(grads, state)
            w = jnp.clip(w + update, -bound, bound)
            found = Inverse(w, error(w))
            best = jax.tree.map(lambda new, old: jnp.where(found.error < best.error, new, old), found, best)
            return (w, state, best), None

        noise = jnp.clip(jax.random.normal(jax.random.fold_in(key, index), (draws, a.size)), -bound, bound)
        errors = jax.vmap(error)(noise)
        start = Inverse(noise[jnp.argmin(errors)], errors.min())
        (_, _, best), _ = jax.lax.scan(step, (start.noise, optimiser.init(start.noise), start), length=steps)
        return best._replace(error=jnp.sqrt(best.error))

    return jax.lax.map(row, (jnp.arange(len(obs)), obs, chunk), batch_size=min(rows, len(obs)))
