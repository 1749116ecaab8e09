"""What watches a finetuning run between its chunks: monitor, curriculum and scenarios; and the controls that result.

Part of finetuning's hook. What each remembers stands in the trainer's state, so that a run that is interrupted goes on
as if it had not been.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from launch import config as settings
from launch import curricula, monitoring
from launch.finetuners import Finetuner
from launch.point import Point
from launch.scenarios import measure
from postbc_jax import parallel
from postbc_jax.envelope import curriculum as stages
from postbc_jax.envelope import monitor
from postbc_jax.envelope import scenarios as grids
from postbc_jax.finetune import controls
from postbc_jax.finetune.controlled import Controlled

SCENARIOS = 'scenarios'
# (chunk, state, metrics, env_steps (L,)) -> (state, {file: rows})
Watch = Callable[[int, Any, dict[str, np.ndarray], np.ndarray], tuple[Any, dict[str, Iterable[dict]]]]


def files(config: ConfigDict, finetuner: Finetuner) -> list[str]:
    """The names of the files that are written of its run, without their ending."""
    if finetuner.meta['algorithm'] == 'best_of_n':  # it learns nothing that could drift, and plays no training episodes
        return []
    asked = {
        monitoring.FILE: config.monitor.on,
        curricula.FILE: config.curriculum.on,
        SCENARIOS: config.scenarios.every,
    }
    return [name for name, on in asked.items() if on]


def check(config: ConfigDict) -> None:
    """Refuses settings that nothing can be watched with.

    Raises:
      ValueError: names the setting.
    """
    monitoring.check(config)
    for name, least in (('every', 0), ('episodes', 1)):
        if config.scenarios[name] < least:
            raise ValueError(f'config.scenarios.{name}={config.scenarios[name]}: must be at least {least}')
    with settings.named(config, 'scenarios'):
        grids.grid(**{name: config.scenarios[name] for name in measure.AXES})


def notes(config: ConfigDict, finetuner: Finetuner) -> dict[str, Callable[[], Any]]:
    """What is remembered in the state, {file: () -> what it begins with}; {} where nothing changes the controls."""
    begins = {
        monitoring.FILE: lambda: monitor.begin(monitoring.monitor_config(config)),
        curricula.FILE: stages.begin,
    }
    return {name: begins[name] for name in files(config, finetuner) if name in begins}


def settle(config: ConfigDict, state: Controlled) -> Controlled:
    """ONE learner's state with the controls that its notes amount to."""
    settled = controls.neutral()
    if monitoring.FILE in state.notes:
        scales = state.notes[monitoring.FILE].scales
        settled = settled.replace(
            bound=scales.bound,
            learning_rate=scales.learning_rate,
            target_entropy=scales.target_entropy,
            entropy_cost=scales.entropy_cost,
        )
    if curricula.FILE in state.notes:
        stage = stages.setting(curricula.curriculum_config(config), state.notes[curricula.FILE])
        settled = settled.replace(bound=settled.bound * stage.bound, starts=stage.starts)
    return state.replace(controls=settled)


def watch(point: Point, finetuner: Finetuner, trainer: Any, everyone: Any, start: Any) -> Watch:
    """What finetuning asks after every chunk.

    Args:
      point: the point.
      finetuner: whose run it is.
      trainer: of the population, controlled where there are notes.
      everyone: finetuning's Population.
      start: what its trainer calls data.
    """
    config, asked = point.config, files(point.config, finetuner)
    parts: dict[str, Callable] = {}
    if monitoring.FILE in asked:
        envelope = monitoring.envelope_of(point, everyone)
        parts[monitoring.FILE] = monitoring.watch(point, trainer, everyone, start, envelope)
    if curricula.FILE in asked:
        parts[curricula.FILE] = curricula.watch(point, trainer, everyone)
    spec = trainer.state_spec
    settled = parallel.pmap(lambda state: settle(config, state), everyone.mesh, (spec,), spec, (0,)) if parts else None
    play = _scenarios(point, trainer, everyone, start) if SCENARIOS in asked else None

    def after_chunk(chunk: int, state: Any, values: dict[str, np.ndarray], steps: np.ndarray) -> tuple[Any, dict]:
        columns = [point.columns(**row, env_steps=int(n)) for row, n in zip(everyone.rows, steps, strict=True)]
        found = {}
        for name, part in parts.items():
            state, rows = part(chunk, state, values)
            found[name] = [label | row for label, row in zip(columns, rows, strict=True)]
        state = settled(state) if settled else state
        if play and chunk % config.scenarios.every == 0:
            found[SCENARIOS] = play(state, columns)
        return state, found

    return after_chunk


def _scenarios(point: Point, trainer: Any, everyone: Any, start: Any) -> Callable[[Any, list[dict]], list[dict]]:
    """(state, columns) -> rows of every learner and scenario; the same episodes at every chunk."""
    config = point.config.scenarios
    grid = grids.grid(**{name: config[name] for name in measure.AXES})
    play = measure.player(point.env, everyone.mesh, config.episodes, int(grid.delay.max()))
    seeds = [row['seed'] for row in everyone.rows]
    keys = parallel.learner_keys(point.key('scenarios'), seeds, everyone.mesh)
    shared = parallel.shard(grid, everyone.mesh)

    def rows(state: Any, columns: list[dict]) -> list[dict]:
        return measure.rows(play(trainer.policy(state, start), keys, shared), grid, point.env.regions, columns)

    return rows
