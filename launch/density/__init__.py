"""The action distributions themselves: what BC, sigma-BC matched and PostBC play at demonstrated states, and what the
demonstrator played there.

Beside the report, which reads rows alone and can be made where no policy is: this decodes policies/pretrained at states
of the demonstrations. `python -m launch.density --workdir=DIR`, DIR a point.

By region: gate and the surrogates begin every episode with the same dense phase (to the gate, through the chute) and
end it in a sparse one, so that the share of the episode says which a state is of; and a seed has seen some
demonstrations of the file, and others not.
"""

import html
import json
from pathlib import Path

from launch.density import pictures
from launch.density.draws import Place, measure
from launch.report import figures, page, tables
from launch.report.words import number
from postbc_jax import atomic

LEDE = (
    'What the untouched policies play at a demonstrated state: the first action of their chunks, each distribution '
    'drawn to its own peak. Black: what the demonstrator played there; ticks: what was demonstrated at the nearest '
    'states of other episodes. BC should cover the black line where it has learnt from the demonstration, PostBC also '
    'where it has not.'
)


def make_density(
    workdir: Path | str, seed: int = 0, alpha: float | None = None, at: tuple[float, ...] = (0.25, 0.6)
) -> list[str]:
    """Writes density.json, density.html and figures/density*.svg, *.png into `workdir`.

    Args:
      workdir: of one point that has pretrained policies.
      seed: whose policies.
      alpha: of the PostBC arm; the first there is where None.
      at: shares of the episode at which states are taken.

    Returns:
      Lines to print: the page's path, and by share of the episode how often each arm plays near the demonstrator.

    Raises:
      ValueError: no policies or demonstrations there, no such seed or alpha, or a share outside [0, 1].
    """
    workdir = Path(workdir)
    arms, places = measure(workdir, seed, alpha, at)
    drawn = pictures.draw(arms, places)
    figures.save(workdir / 'figures', drawn)
    rows = [row for place in places for row in place.rows(arms)]
    atomic.write(workdir / 'density.json', json.dumps(rows, indent=1, allow_nan=False) + '\n')
    cells = [
        [html.escape(str(row[name])) if isinstance(row[name], str | int) else number(row[name]) for name in rows[0]]
        for row in rows
    ]
    parts = [f'<h1>Action distributions, seed {seed}</h1><p class="lede">{html.escape(LEDE)}</p>']
    parts += [f'<div class="wide">{page.figure(drawn, name, "", "")}</div>' for name in drawn]
    parts.append(tables.table(list(map(html.escape, rows[0])), cells))
    atomic.write(workdir / 'density.html', page.document('Action distributions', parts))
    return [f'density: {workdir / "density.html"}', *_told(arms, places)]


def _told(arms: list, places: list[Place]) -> list[str]:
    """'75 % of the episode, unseen demonstrations: near the demonstrator BC 0.31, PostBC α=1 0.42'."""
    lines = []
    for where in dict.fromkeys(place.where for place in places):
        mine = [row for place in places if place.where == where for row in place.rows(arms)]
        shares = {
            arm.name: sum(row['near'] for row in mine if row['arm'] == arm.name) * len(arms) / len(mine) for arm in arms
        }
        lines.append(f'{where}: near the demonstrator {", ".join(f"{n} {number(s)}" for n, s in shares.items())}')
    return lines
