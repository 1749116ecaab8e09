"""python -m launch.status --workdir=DIR [--json]: what every point of a sweep is doing, and how many are done.

Beside the pipeline, at any time: before anything has begun, while it runs, after it; with Slurm and without.
"""

import json
from pathlib import Path

from absl import app, flags

from launch import errors, fold, status

_WORKDIR = flags.DEFINE_string('workdir', None, 'the work directory of a run')
_JSON = flags.DEFINE_bool('json', False, 'a JSON list, an object a point, for machines')


def main(_) -> None:
    with errors.in_one_line():
        points = status.read(Path(_WORKDIR.value))
    print(json.dumps([point._asdict() for point in points], indent=1) if _JSON.value else table(points))


def table(points: list[status.Status]) -> str:
    """A line a point, its columns aligned, and the counts."""
    cells = [('point', 'state', 'stage', 'done', 'metric', 'node', '')] + [_cells(point) for point in points]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ['  '.join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    counts = {state: sum(point.state == state for point in points) for state in reversed(status.STATES)}
    said = ', '.join(f'{count} {state}' for state, count in counts.items() if count)
    return '\n'.join([*lines, f'{len(points)} point{"s" * (len(points) != 1)}: {said}'])


def _cells(point: status.Status) -> tuple[str, ...]:
    of = f'{point.stages[0]}/{point.stages[1]} ' if point.stage and point.stages else ''
    chunks = f'{point.chunk}/{point.chunks}' if point.chunks else ''
    metric = ' '.join(f'{name}={value:.3g}' for name, value in (point.metric or {}).items())
    waits = 'in the queue' if point.state == 'preempted' and point.queue else ''
    last = ('', '', metric) if point.state == 'done' else (f'{of}{point.stage or ""}', chunks, metric)
    return (
        str(point.point),
        point.state,
        *last,
        point.host or '',
        point.last_line or waits or fold.text(point.settings),
    )


if __name__ == '__main__':
    flags.mark_flag_as_required('workdir')
    app.run(main)
