"""The report: figures, tables and a verdict from a work directory's files alone; `python -m launch.report` remakes it.

The end of the pipeline. Reads config.json, results.jsonl, coverage.jsonl and noise.json of the work directory and of
its points; says what is missing rather than failing.
"""

from pathlib import Path

from launch import freeze
from launch.report import figures, page, read, sections
from launch.report.gather import gather
from postbc_jax import atomic


def make_report(workdir: Path | str) -> Path:
    """Writes report.html (self-contained) and figures/*.svg, *.png into `workdir`; returns the path of report.html.

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
    built, more = sections.build(points)
    drawn = [figures.draw(section) for section in built]
    folder = workdir / 'figures'
    folder.mkdir(exist_ok=True)
    for index, pictures in enumerate(drawn):
        for name, picture in pictures.items():
            stem = folder / (name if len(drawn) == 1 else f'{name}_{index}')
            stem.with_suffix('.svg').write_text(figures.standalone(picture.svg), encoding='utf-8')
            stem.with_suffix('.png').write_bytes(picture.png)
    text = page.render(workdir.resolve().name, points, list(zip(built, drawn, strict=True)), notes + more)
    atomic.write(workdir / 'report.html', text)
    return workdir / 'report.html'
