"""The frozen, JSON-able description from which a policy's functions are rebuilt wherever its parameters are read.

Written by experiments, stored in every checkpoint beside the parameters: `PolicyConfig(**json.load(file))`.
"""

import dataclasses
import math
from typing import Any

from postbc_jax import networks

FAMILIES = ('gaussian', 'diffusion', 'flow')


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """One generative policy. Actions and observations are in normalised units, [-1, 1] over the demonstrations.

    Attributes:
      family: 'gaussian', 'diffusion' or 'flow'.
      obs_size: O.
      action_size: A.
      chunk: T, the actions that one decision makes.
      hidden: widths of the hidden layers.
      activation: a name in networks.ACTIVATIONS. The default decodes fastest (512 observations, 3x96, 8 steps on a CPU:
        relu 1.5 ms, tanh 1.8, silu 2.0, mish 2.1, gelu 2.2) and fitted a gate-like task best (rms error relu .25, gelu
        .26, mish .29, tanh .30, silu .32).
      layer_norm: LayerNorm before each activation.
      time_features: size of the time embedding (diffusion, flow); even.
      train_steps: diffusion: K, the noise levels of training.
      inference_steps: diffusion, flow: steps of the sampler; at most K for diffusion. With 8 or more a policy plays
        the noise that it was trained on, with fewer less of it: flow.schedule and diffusion.schedule say how much.
      clip: diffusion: bound on every entry of the predicted clean chunk, at each step of the sampler; None for none.
        Demonstrations lie in [-1, 1], but the targets of PostBC and sigma-BC reach beyond, and are cut there: of noise
        around an action of 1, .58 of its standard deviation is left, and the mean falls by .4 of it.
      min_std: gaussian: floor of the learned standard deviation.

    Raises:
      ValueError: a field is of the wrong type or out of range; names the field, the value and what it may be.
    """

    family: str
    obs_size: int
    action_size: int
    chunk: int = 1
    hidden: tuple[int, ...] = (512, 512, 512)
    activation: str = 'relu'
    layer_norm: bool = False
    time_features: int = 4
    train_steps: int = 100
    inference_steps: int = 8
    clip: float | None = 1.0
    min_std: float = 0.01

    def __post_init__(self):
        if isinstance(self.hidden, list):  # as JSON gives it back
            object.__setattr__(self, 'hidden', tuple(self.hidden))
        if self.family not in FAMILIES:
            raise ValueError(f'PolicyConfig.family={self.family!r}: choose one of {", ".join(FAMILIES)}')
        for name in ('obs_size', 'action_size', 'chunk', 'time_features', 'train_steps', 'inference_steps'):
            _require(name, getattr(self, name), _is_size, 'a whole number, at least 1')
        _require('hidden', self.hidden, _is_widths, 'a tuple of one or more whole numbers, each at least 1')
        names = networks.ACTIVATIONS
        _require('activation', self.activation, lambda v: v in names, f'one of {", ".join(names)}')
        _require('layer_norm', self.layer_norm, lambda v: isinstance(v, bool), 'True or False')
        _require('time_features', self.time_features, lambda v: v % 2 == 0, 'even: half sines, half cosines')
        _require('min_std', self.min_std, _is_positive, 'a positive number')
        _require('clip', self.clip, lambda v: v is None or _is_positive(v), 'a positive number, or None for no bound')
        if self.family == 'diffusion' and self.inference_steps > self.train_steps:
            raise ValueError(
                f'PolicyConfig.inference_steps={self.inference_steps}: must be at most train_steps={self.train_steps}'
            )


def _require(name: str, value: Any, holds, what: str) -> None:
    if not holds(value):
        raise ValueError(f'PolicyConfig.{name}={value!r}: must be {what}')


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_widths(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and all(map(_is_size, value))


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
