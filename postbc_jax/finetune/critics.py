"""Values of decisions and of states: two Q heads and one V, as iql fits them, Best-of-N reads them and finetuners with
critics of their own may begin with them.

Finetuning's learned part beside the actor. Written for ONE learner and ONE decision.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from postbc_jax.finetune import twin_critics
from postbc_jax.networks import MLP, check_network
from postbc_jax.types import Params

ACTIONS = ('chunk', 'noise')


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """What rebuilds the critics' networks.

    Attributes:
      action: what Q reads beside the observation: the normalised flat 'chunk' (D,), or the 'noise' (D,) that it is
        decoded from, divided by the bound as DSRL-SAC's critics read it.
      bound: b, of the noise.
      hidden: widths of the hidden layers.
      activation: a name in networks.ACTIVATIONS.
      layer_norm: LayerNorm in the two Q heads, as SAC's critics may have it; V has none, as PPO's critic.

    Raises:
      ValueError: a value that cannot be run.
    """

    action: str = 'chunk'
    bound: float = 1.0
    hidden: tuple[int, ...] = (256, 256)
    activation: str = 'tanh'
    layer_norm: bool = False

    def __post_init__(self):
        if self.action not in ACTIONS:
            raise ValueError(f'critics.action={self.action!r}: choose one of {", ".join(ACTIONS)}')
        if not self.bound > 0:
            raise ValueError(f'critics.bound={self.bound}: must be above 0')
        check_network(self.hidden, self.activation)


def init(config: CriticConfig, key: jax.Array, obs_size: int, action_size: int) -> dict[str, Params]:
    """{'q' (leaves lead with 2), 'v'} for observations (O,) and flat actions (D,)."""
    q_key, v_key = jax.random.split(key)
    return {
        'q': twin_critics.init(_q(config), q_key, obs_size, action_size),
        'v': _v(config).init(v_key, jnp.zeros(obs_size)),
    }


def action_values(config: CriticConfig, q: Params, obs: jax.Array, chunk: jax.Array, noise: jax.Array) -> jax.Array:
    """Both Q heads, (2,), of what they read of a decision; obs (O,) and chunk (D,) normalised, noise (D,)."""
    action = chunk if config.action == 'chunk' else noise / config.bound
    return twin_critics.values(_q(config), q, obs, action)


def state_value(config: CriticConfig, v: Params, obs: jax.Array) -> jax.Array:
    """V, scalar, of an observation (O,) normalised."""
    return _v(config).apply(v, obs)[0]


def warm_start(finetuner: Any, bound: float = 1.0, action: str = 'noise') -> dict[str, Any]:
    """The IQLConfig fields with which the fitted critics are those that a finetuner begins with.

    state.params['q'] is then what SAC calls params['critics'] (on noise: DSRL-SAC; on chunks: the critic that DSRL-NA
    learns on decoded actions), state.params['v'] what PPO calls params['critic'], of the same network, reward
    convention and discount: iql(make_env, IQLConfig(**warm_start(sac_config, bound), ...)).

    Args:
      finetuner: SACConfig, PPOConfig or another with hidden, activation, discount and reward.
      bound: |noise| <= bound of the finetuner.
      action: what its Q reads.
    """
    same = {name: getattr(finetuner, name) for name in ('hidden', 'activation', 'discount', 'reward')}
    layer_norm = getattr(finetuner, 'layer_norm', True)  # PPO's has no Q
    return same | {'action': action, 'bound': bound, 'layer_norm': layer_norm}


def _q(config: CriticConfig) -> MLP:
    return twin_critics.network(config.hidden, config.activation, config.layer_norm)


def _v(config: CriticConfig) -> MLP:
    return MLP(config.hidden, 1, config.activation)
