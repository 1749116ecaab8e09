"""The curriculum of a finetuning run: its ordered start states, and its stages after every chunk.

Between finetuning, whose hook it is a part of, and postbc_jax.envelope.curriculum, which decides.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from launch import config as settings
from launch import envelopes
from launch.demonstrations import Learning
from launch.point import Point
from postbc_jax import parallel
from postbc_jax.envelope import conformal, curriculum
from postbc_jax.envelope.curriculum import CurriculumConfig
from postbc_jax.envelope.envelope import apart
from postbc_jax.finetune.controlled import Controlled

FILE = 'curriculum'


def curriculum_config(config: ConfigDict) -> CurriculumConfig:
    """The stages.

    Raises:
      ValueError: a value that cannot be; names it as the config does.
    """
    with settings.named(config, 'curriculum'):
        return CurriculumConfig(**settings.fields(config.curriculum, leave_out=('on', 'pool')))


def check(config: ConfigDict, stage: str) -> None:
    """Refuses a curriculum that cannot be gone through; stage: of launch.run.

    Raises:
      ValueError: names the setting.
    """
    curriculum_config(config)
    if config.curriculum.pool < 1:
        raise ValueError(f'config.curriculum.pool={config.curriculum.pool}: must be at least 1')
    if config.curriculum.on and (config.init_from or stage == 'finetune'):
        raise ValueError(
            'config.curriculum.on=True: a run that finetunes alone has no demonstrations to begin near: choose False, '
            'or leave --stage and config.init_from out'
        )


def starts(point: Point, learning: Learning, everyone: Any) -> jax.Array:
    """Every learner's ordered start states, of its seed: raw keys (padded L, n, 2) on the mesh.

    All seeds order the same start states, each by its own demonstrations.
    """
    keys = jax.random.split(point.key(FILE), point.config.curriculum.pool)
    most = min(envelopes.MOST_STATES, *(int(mask.sum()) for mask in learning.mask))
    states = np.stack([envelopes.thinned(learning, mask, most) for mask in learning.mask])
    spreads = np.stack([conformal.spread(own) for own in states])

    def order(states: jax.Array, spread: jax.Array) -> jax.Array:
        def strangeness(obs: jax.Array) -> jax.Array:
            return apart(states, spread, learning.normaliser.obs(obs))

        return curriculum.ordered(point.env, jax.random.key_data(keys), strangeness)

    found = np.asarray(jax.jit(jax.vmap(order))(states, spreads))
    rows = np.array([row['seed'] for row in everyone.rows])
    return parallel.shard(found, everyone.mesh, P(parallel.LEARNER), rows)


def watch(point: Point, trainer: Any, everyone: Any) -> Callable[..., tuple[Controlled, list[dict]]]:
    """(chunk, state, metrics) -> (state with the notes of the stage, rows): before the first chunk nothing advances."""
    config, learner = curriculum_config(point.config), P(parallel.LEARNER)

    def step(state: Controlled, success: jax.Array) -> tuple[Controlled, Any, Any]:
        progress = curriculum.advance(config, state.notes[FILE], success)
        return state.replace(notes=state.notes | {FILE: progress}), progress, curriculum.setting(config, progress)

    spec = trainer.state_spec
    advanced = parallel.pmap(step, everyone.mesh, (spec, learner), (spec, learner, learner), (0,))

    def after_chunk(chunk: int, state: Controlled, values: dict[str, np.ndarray]) -> tuple[Controlled, list[dict]]:
        success = np.asarray(values['success'] if chunk else np.zeros(len(everyone.rows)), np.float32)
        state, *found = advanced(state, parallel.shard(success, everyone.mesh, learner))
        progress, setting = parallel.gather(found, len(everyone.rows))
        rows = [
            {
                'curriculum_stage': progress.stage[i],
                'of': len(config.starts),
                'success': success[i] if chunk else None,
                'starts': setting.starts[i],
                'bound': setting.bound[i],
            }
            for i in range(len(success))
        ]
        return state, rows

    return after_chunk
