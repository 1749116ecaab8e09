"""The report: figures, tables and a verdict from a work directory's files alone; `python -m launch.report` remakes it.

The end of the pipeline. Reads config.json, results.jsonl, coverage.jsonl and noise.json of the work directory and of
its points; says what is missing rather than failing.
"""

from collections.abc import Sequence
from pathlib import Path

from launch import freeze
from launch.report import ablation, figures, page, parameters, read, sections, table, trials
from launch.report.gather import gather
from postbc_jax import atomic


def make_report(workdir: Path | str) -> Path:
    """Writes report.html (self-contained) and figures/*.svg, *.png into `workdir`, and of several settings table.csv
    and table.parquet; returns the path of report.html.

    Raises:
      ValueError: there is no such directory.
    """
    workdir = Path(workdir)
    if not workdir.is_dir():
        raise ValueError(f'{workdir}: no such directory; give the work directory of a run')
    sweep = freeze.read(workdir)
    if sweep and len(sweep.points) > 1:
        gather(sweep.points, workdir)
    points, notes = read.read(workdir)
    # Successive halving gives points of one sweep different lengths: they are not what it asks about.
    built, more = sections.build(points, ['finetune.chunks'] if (workdir / 'halving.jsonl').exists() else [])
    shown = trials.shown(built)
    drawn = [figures.draw(section) for section in shown]
    swept = [(sweep, parameters.draw(sweep) | ablation.draw(sweep)) for sweep in trials.sweeps(built)]
    folder = workdir / 'figures'
    _save(folder, drawn)
    _save(folder, [pictures for _, pictures in swept])
    if len(built) > 1:
        table.write(workdir, built)
    text = page.render(workdir.resolve().name, points, list(zip(shown, drawn, strict=True)), swept, notes + more)
    atomic.write(workdir / 'report.html', text)
    return workdir / 'report.html'


def _save(folder: Path, drawn: Sequence[dict[str, figures.Picture]]) -> None:
    for index, pictures in enumerate(drawn):
        figures.save(folder, {name if len(drawn) == 1 else f'{name}_{index}': one for name, one in pictures.items()})


def tell(workdir: Path | str) -> list[str]:
    """Makes the report; a line about it, and one about the table where there is one."""
    lines = [f'report: {make_report(workdir)}']
    files = [path for path in (Path(workdir) / 'table.csv', Path(workdir) / 'table.parquet') if path.exists()]
    if files:
        without = '' if len(files) == 2 else " (for table.parquet: pip install 'postbc_jax[parquet]')"
        lines.append(f'table: {", ".join(map(str, files))}{without}')
    return lines
