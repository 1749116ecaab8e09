"""A trainer whose run can be steered and taken back: controls and the best of what was learnt are part of its state.

Between a finetuner and the loop. Because all of it is saved with the state, a run that is stopped after it was taken
back goes on to the same bits as one that was not stopped.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import PartitionSpec as P

from postbc_jax import parallel
from postbc_jax.finetune import controls
from postbc_jax.finetune.controls import Controls
from postbc_jax.types import Metrics, Trainer

LEARNT = ('params', 'target', 'optimiser')  # of a finetuner's state, those that it has


@struct.dataclass
class Controlled:
    """One learner.

    Attributes:
      inner: the finetuner's state.
      controls: what its next chunk is run with.
      kept: {field of LEARNT: its value} when `keep` was last told to.
      notes: small arrays of whoever sets the controls, remembered from chunk to chunk.
    """

    inner: Any
    controls: Controls
    kept: dict[str, Any]
    notes: Any


def controlled(trainer: Trainer, notes: Callable[[], Any]) -> Trainer:
    """The trainer with a Controlled state; learns as before while nobody changes the controls.

    Args:
      trainer: of one finetuned policy. Its data is a struct with a field `controls`; its state has some of LEARNT.
      notes: () -> what the notes begin with.
    """

    def with_controls(state: Controlled, data: Any) -> Any:
        return data.replace(controls=state.controls)

    def init(key: jax.Array, data: Any) -> Controlled:
        begun = controls.neutral()
        inner = trainer.init(key, data.replace(controls=begun))
        # A copy: the state is donated, and no buffer may be donated twice.
        kept = jax.tree.map(jnp.copy, {name: getattr(inner, name) for name in fields(inner)})
        return Controlled(inner, begun, kept, notes())

    def chunk(run: Callable) -> Callable[[Controlled, Any], tuple[Controlled, Metrics]]:
        def run_chunk(state: Controlled, data: Any) -> tuple[Controlled, Metrics]:
            inner, metrics = run(state.inner, with_controls(state, data))
            return state.replace(inner=inner), metrics

        return run_chunk

    def policy(state: Controlled, data: Any) -> Any:
        return trainer.policy(state.inner, with_controls(state, data))

    learner = P(parallel.LEARNER)
    return trainer._replace(
        init=init,
        run_chunk=chunk(trainer.run_chunk),
        warm_chunk=trainer.warm_chunk and chunk(trainer.warm_chunk),
        policy=policy,
        state_spec=Controlled(inner=trainer.state_spec, controls=learner, kept=learner, notes=learner),
    )


def fields(inner: Any) -> list[str]:
    """Which of LEARNT a finetuner's state has."""
    return [name for name in LEARNT if hasattr(inner, name)]


def keep(state: Controlled, when: jax.Array) -> Controlled:
    """Keeps what has been learnt where `when` () is true."""
    now = {name: getattr(state.inner, name) for name in state.kept}
    return state.replace(kept=_where(when, now, state.kept))


def roll_back(state: Controlled, when: jax.Array) -> Controlled:
    """Takes up again what was kept where `when` () is true.

    Networks and optimisers are those of then. Environments, replay, counters and random numbers go on: steps that were
    played stay counted, and the next chunk is not the one that failed over again.
    """
    now = {name: getattr(state.inner, name) for name in state.kept}
    return state.replace(inner=state.inner.replace(**_where(when, state.kept, now)))


def _where(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
