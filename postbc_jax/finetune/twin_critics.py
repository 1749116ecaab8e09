"""Twin critics: two values of ONE observation and action, of which the least is taken where too high would do harm.

Finetuning's learned part beside actor: sac and dsrl_na train them, iql fits them.
"""

import jax
import jax.numpy as jnp

from postbc_jax.networks import MLP
from postbc_jax.types import Params


def network(hidden: tuple[int, ...], activation: str, layer_norm: bool) -> MLP:
    """One critic: (O + D,) -> (1,)."""
    return MLP(hidden, 1, activation, layer_norm=layer_norm)


def init(critic: MLP, key: jax.Array, obs_size: int, action_size: int) -> Params:
    """Parameters of two; every leaf leads with 2."""
    return jax.vmap(critic.init, in_axes=(0, None))(jax.random.split(key), jnp.zeros(obs_size + action_size))


def values(critic: MLP, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Both values (2,) of obs (O,) and action (D,)."""
    return jax.vmap(critic.apply, in_axes=(0, None))(params, jnp.concatenate([obs, action]))[:, 0]


def check(given: Params, expected: Params, section: str) -> Params:
    """`given`, where its shapes are those of `expected`.

    Raises:
      ValueError: they are not.
    """
    found, wanted = _shapes(given), _shapes(expected)
    wrong = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if wrong:
        raise ValueError(
            f'{section}.hidden: the critics to start from have {wrong[0]} of shape {found.get(wrong[0])}, those to '
            f'train {wanted.get(wrong[0])}; choose their widths'
        )
    return given


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
    return {jax.tree_util.keystr(path): x.shape for path, x in jax.tree.leaves_with_path(params)}
