"""Scenarios of a run's policies: the same episodes under other dynamics, sensors and delays, as a heat map.

After evaluate: `python -m launch.scenarios --policy=WORKDIR/policies/NAME --workdir=DIR` writes scenarios.jsonl,
scenarios.html and figures/scenarios_*.svg, *.png.
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from launch import config as settings
from launch import point as points
from launch.arms import arm_of
from launch.kinds import KINDS
from launch.report import figures, page, tables
from launch.report.words import number
from launch.scenarios import measure, pictures
from launch.workdir import read_config
from postbc_jax import atomic, checkpoint, metrics, parallel
from postbc_jax.envelope import scenarios

LEDE = (
    'Success of each arm’s policies, means over seeds, when the task is not quite the one that was learnt: actions '
    'larger or smaller by a gain, shifted by a bias (share of half the demonstrated range), observed with noise (share '
    'of half the demonstrated range) and played some steps late. The same starts and random numbers in every cell. '
    'Bottom left of the first panel: the task as it was learnt.'
)


def make_scenarios(
    folder: Path | str, workdir: Path | str, episodes: int, axes: Mapping[str, Sequence[float]]
) -> list[str]:
    """Plays the policies of a folder in every scenario; writes rows, page and pictures into `workdir`.

    Args:
      folder: WORKDIR/policies/NAME of a run; its config.json, two folders up, says in what environment they play.
      workdir: made where it is missing.
      episodes: of every policy in every scenario.
      axes: {one of measure.AXES: values}.

    Returns:
      Lines to print: the page, and an arm's success as learnt and what the grid leaves of it.

    Raises:
      ValueError: no policies there, no config of their run, or a grid that cannot be.
    """
    folder, workdir = Path(folder), Path(workdir)
    if episodes < 1:
        raise ValueError(f'--episodes={episodes}: must be at least 1')
    grid = scenarios.grid(**axes)
    kind, _ = checkpoint.read_about(folder)
    if kind not in KINDS:
        raise ValueError(f'--policy={folder}: holds {kind}; this plays {", ".join(KINDS)}')
    config = read_config(folder.resolve().parents[1] / 'config.json')
    stack, labels = checkpoint.load_policies(folder, KINDS[kind])
    env = settings.environment(config)
    found = _play(config, env, stack, labels, episodes, grid)
    workdir.mkdir(parents=True, exist_ok=True)
    metrics.write(workdir / 'scenarios.jsonl', found)
    found = metrics.read(workdir / 'scenarios.jsonl')  # as whoever reads the file has them
    by_arm: dict[Any, list[dict]] = {}
    for row in found:
        by_arm.setdefault(arm_of(row), []).append(row)
    drawn = {arm: pictures.draw(f'scenarios_{i}', rows) for i, (arm, rows) in enumerate(by_arm.items())}
    figures.save(workdir / 'figures', {f'scenarios_{i}': one for i, one in enumerate(drawn.values())})
    atomic.write(workdir / 'scenarios.html', _page(folder, config, by_arm, drawn, episodes))
    return [f'scenarios: {workdir / "scenarios.html"}', *(f'{arm.name}: {_told(rows)}' for arm, rows in by_arm.items())]


def _play(config: ConfigDict, env: Any, stack: Any, labels: list[dict], episodes: int, grid: Any) -> list[dict]:
    mesh = parallel.mesh(len(labels), divides=[episodes])
    keys = parallel.learner_keys(points.key(config, 'scenarios'), [label['seed'] for label in labels], mesh)
    play = measure.player(env, mesh, episodes, int(grid.delay.max()))
    played = play(parallel.shard(stack, mesh, P(parallel.LEARNER)), keys, parallel.shard(grid, mesh))
    columns = [{'experiment': config.experiment, 'task': config.env} | label for label in labels]
    return measure.rows(played, grid, env.regions, columns)


def _page(folder: Path, config: ConfigDict, by_arm: Mapping[Any, Any], drawn: Mapping[Any, Any], episodes: int) -> str:
    learners = ', '.join(f'{arm.name} {len({str(_who(row)) for row in rows})}' for arm, rows in by_arm.items())
    parts = [
        f'<h1>Scenarios: {html.escape(config.experiment or config.env)}</h1><p class="lede">{html.escape(LEDE)}</p>',
        f'<p class="under">{html.escape(str(folder))}, task {html.escape(config.env)}; policies: '
        f'{html.escape(learners)}; {episodes} episodes of each in every cell.</p>',
    ]
    header = ['arm', 'as learnt', 'mean of the grid', 'kept', 'worst', 'where']
    parts.append(tables.table(header, [[html.escape(cell) for cell in _summary(arm, by_arm[arm])] for arm in by_arm]))
    for arm, picture in drawn.items():
        shown = f'<figure style="min-width:640px">{picture.svg}</figure>'  # on a phone it scrolls
        parts.append(f'<h3>{html.escape(arm.name)}</h3><div class="wide scroll" tabindex="0">{shown}</div>')
    return page.document('Scenarios', parts)


def _summary(arm: Any, rows: Sequence[dict]) -> list[str]:
    """An arm's line: success where nothing is perturbed, over the grid, what that keeps, and the worst cell."""
    cells: dict[tuple, list[float]] = {}
    for row in rows:
        cells.setdefault((row['gain'], row['bias'], row['noise'], row['delay']), []).append(row['success_rate'])
    means = {cell: sum(values) / len(values) for cell, values in cells.items()}
    plain = means.get((1, 0, 0, 0), float('nan'))
    worst = min(means, key=means.get)
    where = f'gain {worst[0]:g}, bias {worst[1]:g}, noise {worst[2]:g}, delay {worst[3]:g}'
    mean = sum(means.values()) / len(means)
    kept = number(scenarios.kept(rows))
    return [arm.name, number(plain), number(mean), kept, number(means[worst]), where]


def _told(rows: Sequence[dict]) -> str:
    _, plain, mean, kept, worst, where = _summary(arm_of(rows[0]), rows)
    return f'{plain} as learnt, {mean} over the grid ({kept} of it), {worst} at worst ({where})'


def _who(row: Mapping[str, Any]) -> tuple:
    return row['seed'], row.get('finetune_seed', 0)
