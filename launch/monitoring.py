"""The monitor of a finetuning run: measures every learner after every chunk, writes what it saw, does what was asked.

Between finetuning, whose hook it is a part of, and postbc_jax.envelope.monitor, which judges.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from launch import config as settings
from launch import envelopes
from launch.point import Point
from postbc_jax import checkpoint, parallel
from postbc_jax.envelope import monitor
from postbc_jax.envelope.envelope import Envelope
from postbc_jax.envelope.monitor import SHOWN, Measured, Memory, Verdict
from postbc_jax.envelope.monitor_config import STATES, MonitorConfig
from postbc_jax.envelope.probe import probe
from postbc_jax.finetune import controlled
from postbc_jax.finetune.controlled import Controlled

FILE = 'monitor'
_PROBE = ('on', 'envelope', 'episodes', 'states', 'draws')  # settings that are not the state machine's
Watch = Callable[[int, Controlled, dict[str, np.ndarray]], tuple[Controlled, list[dict]]]


def monitor_config(config: ConfigDict) -> MonitorConfig:
    """The settings of the state machine.

    Raises:
      ValueError: a value that cannot be; names it as the config does.
    """
    with settings.named(config, 'monitor'):
        return MonitorConfig(**settings.fields(config.monitor, leave_out=_PROBE))


def check(config: ConfigDict) -> None:
    """Refuses settings that nothing can be watched with.

    Raises:
      ValueError: names the setting.
    """
    monitor_config(config)
    for name, least in (('episodes', 1), ('states', 1), ('draws', 2)):
        if config.monitor[name] < least:
            raise ValueError(f'config.monitor.{name}={config.monitor[name]}: must be at least {least}')


def envelope_of(point: Point, everyone: Any) -> Envelope | None:
    """Every learner's, of its seed, (padded L, ...) on the mesh; None where the point has fitted none."""
    folder = point.directory / 'policies' / envelopes.NAME
    if not folder.is_dir():
        return None
    stack, labels = checkpoint.load_policies(folder, Envelope)
    row_of = {label['seed']: row for row, label in enumerate(labels)}
    rows = np.array([row_of[row['seed']] for row in everyone.rows])
    return parallel.shard(stack, everyone.mesh, P(parallel.LEARNER), rows)


def watch(point: Point, trainer: Any, everyone: Any, start: Any, envelope: Envelope | None) -> Watch:
    """(chunk, state, metrics) -> (state with the notes of the chunk, rows); a roll-back is done, the rest is noted.

    Args:
      point: the point.
      trainer: of the population, controlled.
      everyone: finetuning's Population.
      start: what its trainer calls data.
      envelope: (padded L, ...) on the mesh; None where none was fitted.
    """
    config, mesh, found = point.config.monitor, everyone.mesh, monitor_config(point.config)
    learner = P(parallel.LEARNER)

    def measure(policy: Any, pretrained: Any, envelope: Any | None, key: jax.Array) -> Measured:
        exploring = policy.replace(stochastic=True)
        asked = config.episodes, config.states, config.draws
        return probe(point.env, policy, exploring, pretrained, envelope, key, *asked)

    def judge(state: Controlled, measured: Measured) -> tuple[Controlled, Memory, Verdict]:
        memory, verdict = monitor.observe(found, state.notes[FILE], measured, config.episodes)
        state = controlled.roll_back(controlled.keep(state, verdict.best), verdict.roll_back)
        return state.replace(notes=state.notes | {FILE: memory}), memory, verdict

    measured_by = parallel.pmap(measure, mesh, (learner, learner, learner, learner), learner)
    judged_by = parallel.pmap(judge, mesh, (trainer.state_spec, learner), (trainer.state_spec, learner, learner), (0,))
    seeds = [row['seed'] for row in everyone.rows]
    keys = parallel.learner_keys(point.key('monitor'), seeds, mesh)

    def after_chunk(chunk: int, state: Controlled, values: dict[str, np.ndarray]) -> tuple[Controlled, list[dict]]:
        del chunk, values
        policies = trainer.policy(state, start)
        measured = measured_by(policies, start.policy, envelope, keys)
        state, memory, verdict = judged_by(state, measured)
        seen = parallel.gather((measured, memory, verdict), len(everyone.rows))
        rows = [_row(*jax.tree.map(lambda x, i=i: x[i], seen)) for i in range(len(everyone.rows))]
        return state, rows

    return after_chunk


def _row(measured: Measured, memory: Memory, verdict: Verdict) -> dict[str, Any]:
    """What is written of one learner and chunk; what could not be measured is null."""
    did = {
        'bound tightened': verdict.tightened,
        'bound widened': verdict.widened,
        'learning rate lowered': verdict.slowed,
        'entropy raised': verdict.explored,
        f'rolled back to chunk {memory.best_chunk}': verdict.roll_back,
        'stopped': verdict.stop,
    }
    return {
        'state': STATES[memory.state],
        'evidence': STATES[verdict.evidence],
        'shown': [name for name, there in zip(SHOWN, verdict.shown, strict=True) if there],
        'did': [name for name, there in did.items() if there],
        **measured._asdict(),
        'improvement': verdict.improvement,
        'best': memory.best,
        'best_chunk': memory.best_chunk,
        **{name: getattr(memory.scales, name) for name in ('bound', 'learning_rate', 'target_entropy', 'entropy_cost')},
    }
