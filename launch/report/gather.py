"""The rows of all points of a sweep in one file, so that whoever reads them need not know of points.

Before the report, as often as there is more to gather.
"""

from pathlib import Path

from launch.workdir import directory_of
from postbc_jax import metrics


def gather(points: list[dict], workdir: Path) -> None:
    """Writes workdir/results.jsonl: the rows of all points, each after its point's number and settings.

    Columns are added in front: 'point', and 'config.NAME' for what the sweep sets there.
    """
    rows = []
    for index, point in enumerate(points):
        file = directory_of(workdir, index, len(points)) / 'results.jsonl'
        head = {'point': index} | {f'config.{name}': value for name, value in point.items()}
        rows += [head | row for row in (metrics.read(file) if file.exists() else [])]
    if workdir.is_dir():
        metrics.write(workdir / 'results.jsonl', rows)
