"""Contexts: a function from observations to which part of a task they belong to, and what differs there.

Declared as data, so that they are saved and exported with an Envelope. Read by pretraining (alpha), by the envelope
(rate) and by the guard (bound); results are reported by context.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

REST = 'routine'  # the name of what no context claims


@dataclasses.dataclass(frozen=True)
class Context:
    """States whose observation's `column` lies in [above, below), in the environment's units.

    Attributes:
      name: of the rows that report it.
      column: of the observation.
      above, below: its bounds; None for none.
      alpha: multiplies the posterior noise of the training targets at its states; at least 0.
      rate: the share of a good demonstrator's decisions that the guard flags there; None for the guard's own.
      bound: largest |noise| that a policy is decoded from there; None for none beside the finetuner's.

    Raises:
      ValueError: a value out of range; names it and what it may be.
    """

    name: str
    column: int
    above: float | None = None
    below: float | None = None
    alpha: float = 1.0
    rate: float | None = None
    bound: float | None = None

    def __post_init__(self):
        low, high = self.limits
        self._require('name', isinstance(self.name, str) and bool(self.name), 'must be text')
        self._require('column', isinstance(self.column, int) and self.column >= 0, 'must be a whole number from 0 on')
        self._require('above', low < high and math.isfinite(max(low, -high)), 'give above or below, above < below')
        self._require('alpha', self.alpha >= 0, 'must be at least 0')
        self._require('rate', self.rate is None or 0 < self.rate < 1, 'must lie between 0 and 1')
        self._require('bound', self.bound is None or self.bound > 0, 'must be above 0')

    @property
    def limits(self) -> tuple[float, float]:
        """(above, below) with what is not given infinite."""
        return -math.inf if self.above is None else self.above, math.inf if self.below is None else self.below

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f'context {self.name!r}: {name}={getattr(self, name)!r}: {what}')


@dataclasses.dataclass(frozen=True)
class Contexts:
    """C contexts: those that are given, the first that holds counts, and the rest, whose index is the last.

    Hashable; dataclasses.asdict of it is JSON, which Contexts(**...) reads back.

    Attributes:
      given: C - 1 of them.
    """

    given: tuple[Context, ...] = ()

    def __post_init__(self):
        read = tuple(Context(**one) if isinstance(one, Mapping) else one for one in self.given)
        object.__setattr__(self, 'given', read)
        for name in self.names:
            if self.names.count(name) > 1:
                raise ValueError(f'context {name!r}: is there {self.names.count(name)} times; {REST!r} is the rest')

    @property
    def names(self) -> tuple[str, ...]:
        """C names."""
        return (*(one.name for one in self.given), REST)

    def __call__(self, obs: jax.Array) -> jax.Array:
        """obs (..., O) in the environment's units -> int32 (...), 0 <= index < C."""
        index = jnp.full(jnp.shape(obs)[:-1], len(self.given), jnp.int32)
        for i, one in reversed(list(enumerate(self.given))):
            value, (low, high) = obs[..., one.column], one.limits
            index = jnp.where((low <= value) & (value < high), i, index)
        return index

    def alphas(self) -> np.ndarray:
        """(C,), each context's alpha; 1 for the rest."""
        return np.array([*(one.alpha for one in self.given), 1.0], np.float32)

    def rates(self, rate: float) -> tuple[float, ...]:
        """(C,), each context's rate; `rate` where it has none."""
        return (*(rate if one.rate is None else one.rate for one in self.given), rate)

    def bounds(self) -> np.ndarray | None:
        """(C,), each context's bound, infinite where it has none; None where no context has one."""
        if all(one.bound is None for one in self.given):
            return None
        return np.array([*(math.inf if one.bound is None else one.bound for one in self.given), math.inf], np.float32)


def resolve(specs: Sequence[Mapping[str, Any]], obs_keys: Sequence[tuple[str, int]]) -> Contexts:
    """Contexts as a config declares them: a Context's fields, with `key` and `index` in the place of `column` at will.

    Args:
      specs: such as {'name': 'gripping', 'key': 'object', 'index': 2, 'below': 0.1, 'alpha': 0.5, 'bound': 1.0}.
      obs_keys: ((name, dimension), ...) of the observation.

    Raises:
      ValueError: a key, column or field that there is not.
    """
    starts = dict(zip((name for name, _ in obs_keys), np.cumsum([0, *(n for _, n in obs_keys)]).tolist(), strict=False))
    sizes = dict(obs_keys)
    found = []
    for number, spec in enumerate(specs):
        if not isinstance(spec, Mapping):
            raise ValueError(f'context {number}: {spec!r:.80}: must be a mapping, such as {{"name": "a", "column": 0}}')
        spec = dict(spec)
        said = f'context {spec.get("name", number)!r}'
        if ('key' in spec) == ('column' in spec):
            raise ValueError(f'{said}: give either key, of {", ".join(sizes)}, or column')
        if 'key' in spec:
            key, index = spec.pop('key'), spec.pop('index', 0)
            if key not in sizes:
                raise ValueError(f'{said}: key={key!r}: the observation has {", ".join(sizes)}')
            if not 0 <= index < sizes[key]:
                raise ValueError(f'{said}: index={index}: {key} has {sizes[key]} entries, counted from 0')
            spec['column'] = starts[key] + index
        names = [field.name for field in dataclasses.fields(Context)]
        unknown = [name for name in spec if name not in names]
        if unknown or not {'name', 'column'} <= spec.keys():
            raise ValueError(f'{said}: {(unknown or ["name"])[0]!r}: a context has {", ".join(names)}, key and index')
        if not 0 <= spec['column'] < sum(sizes.values()):
            raise ValueError(f'{said}: column={spec["column"]}: the observation has {sum(sizes.values())}, from 0')
        found.append(Context(**spec))
    return Contexts(tuple(found))
