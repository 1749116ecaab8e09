"""What every stage of one point needs: its config, work directory, environment, keys, and the loop with its files.

Made by launch.run, read by launch.pipeline.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from brax.envs.base import Env
from jax.sharding import Mesh
from ml_collections import ConfigDict

from launch.fold import told_apart
from launch.progress import Progress
from postbc_jax import atomic, checkpoint, loop, metrics, parallel
from postbc_jax.types import Trainer

# One stream of random numbers a purpose, so that a change in one stage leaves the others' numbers alone.
PURPOSES = (
    *('record', 'subset', 'posterior', 'pretrain', 'finetune', 'evaluate', 'coverage', 'noise', 'invert'),
    *('calibration', 'envelope', 'monitor', 'scenarios', 'curriculum'),
)


def key(config: ConfigDict, purpose: str) -> jax.Array:
    """The typed root key of one of PURPOSES."""
    return jax.random.fold_in(jax.random.key(config.seed), PURPOSES.index(purpose))


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of an experiment.

    Attributes:
      config: locked; the experiment's config with the point's values.
      directory: the point's work directory.
      env: the bare environment.
      progress: what is printed.
      stop: whether the run has been asked to stop.
      devices: what its populations are split over; None for all that there are.
    """

    config: ConfigDict
    directory: Path
    env: Env
    progress: Progress
    stop: Callable[[], bool]
    devices: Sequence[jax.Device] | None = None

    def key(self, purpose: str) -> jax.Array:
        """The typed root key of one of PURPOSES."""
        return key(self.config, purpose)

    def columns(self, **columns: Any) -> dict[str, Any]:
        """The columns that every row of results has, with others."""
        return {'experiment': self.config.experiment, 'task': self.config.env, **columns}

    def about(self) -> dict[str, Any]:
        """What is saved with policies of what they read, for whoever takes them elsewhere."""
        about = {'env': self.config.env, 'obs_keys': [[name, size] for name, size in self.env.obs_keys]}
        settings = told_apart(self.config)
        guard = {'guard': {name: self.config.guard[name] for name in ('mode', 'rate', 'safe')}}
        return about | ({'settings': settings} if settings else {}) | (guard if self.config.guard.mode else {})

    def stage(
        self,
        name: str,
        trainer: Trainer,
        labels: Sequence[dict],
        chunks: int,
        steps_per_chunk: int,
        meta: Mapping[str, Any],
        mesh: Mesh | None = None,
        mean_over_learners: bool = False,
    ) -> loop.Stage:
        """loop.Stage of a population, its place in the work directory, from the trainer of one learner.

        Args:
          mesh: where others share it; None makes one for so many learners.
        """
        mesh = mesh or parallel.mesh(len(labels), self.devices, trainer.rows)
        return loop.Stage(
            name=name,
            trainer=parallel.population(trainer, mesh),
            mesh=mesh,
            labels=labels,
            chunks=chunks,
            steps_per_chunk=steps_per_chunk,
            directory=self.directory / 'checkpoints' / name,
            meta=meta,
            mean_over_learners=mean_over_learners,
        )

    def run(self, stage: loop.Stage, keys: jax.Array, data: Any, **hooks: Any) -> loop.Outcome:
        """loop.run with the point's metrics file, bar, stop signal and save cadence."""
        writer: metrics.Writer = metrics.JsonLines(self.directory / 'metrics.jsonl')
        if self.config.tensorboard:
            writer = metrics.Tee(writer, metrics.TensorBoard(self.directory / 'tensorboard'))
        for path in checkpoint.incomplete(stage.directory):
            self.progress.note(f'note: {path}: the save was cut short; skipped')
        self.progress.begin(stage.calls)
        try:
            return loop.run(
                stage,
                keys,
                data,
                writer,
                progress=self.progress.chunk,
                stop=self.stop,
                save_every=self.config.save_every,
                **hooks,
            )
        finally:
            self.progress.end()
            writer.close()

    def read_json(self, name: str) -> Any:
        """What write_json wrote to DIR/name; None where nothing was."""
        file = self.directory / name
        return json.loads(file.read_text()) if file.exists() else None

    def write_json(self, name: str, value: Any) -> None:
        """Writes DIR/name, whole or not at all."""
        if jax.process_index() == 0:
            atomic.write(self.directory / name, json.dumps(value, indent=1, allow_nan=False) + '\n')

    def write_rows(self, name: str, rows: Iterable[metrics.Row]) -> None:
        """Writes DIR/name as JSON lines, whole or not at all."""
        metrics.write(self.directory / name, rows)
