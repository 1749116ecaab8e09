"""Which settings of a sweep are worth RL, from what pretrained policies can do.

Beside the report, before finetuning: `python -m launch.screen --workdir=DIR`. Noise has a price, success lost where
demonstrations are dense, and a reward, what is reached where they are rare. Isotropic noise of several sizes pays along
a frontier; the screen asks how far above it PostBC lies at its own price.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from launch.arms import Arm
from launch.report import arms, compare, figures, panels, read, sections
from launch.report.compare import Estimate
from launch.report.sections import Section, Unit
from launch.report.words import parameter
from postbc_jax import atomic

ATTEMPTS = 16  # N of pass@N in the rare region, or the most below it that was measured
_COLUMNS = 4  # of the figure


class Score(NamedTuple):
    """PostBC at one alpha in one setting.

    Attributes:
      section: the setting.
      arm: PostBC's.
      price: pass@1 among dense starts lost against BC.
      gain: pass@N among rare starts over the isotropic frontier's at the same pass@1, paired by seed.
      to_bc: the same over BC's.
    """

    section: Section
    arm: Arm
    price: Estimate
    gain: Estimate
    to_bc: Estimate


def scores(section: Section) -> list[Score]:
    """Of every PostBC arm; [] where BC or coverage is missing."""
    success, reach, bc = _common(section), _rare(section), arms.bc(section.arms)
    measured = [arm for arm in section.arms if arm in success and arm in reach]
    if bc not in measured:
        return []
    isotropic = [bc, *(arm for arm in measured if arm.pretrain == 'sigma_bc')]
    found = []
    for arm in measured:
        if arm.pretrain != 'post_bc':
            continue
        needed = [values[a] for a in (arm, *isotropic) for values in (success, reach)]
        units = set.intersection(*map(set, needed))
        sizes = {unit: [(success[a][unit], reach[a][unit]) for a in isotropic] for unit in units}
        at = {unit: frontier(sizes[unit], success[arm][unit]) for unit in units}
        price = compare.mean({unit: success[bc][unit] - success[arm][unit] for unit in units})
        gain = compare.mean({unit: reach[arm][unit] - at[unit] for unit in units})
        to_bc = compare.mean({unit: reach[arm][unit] - reach[bc][unit] for unit in units})
        if price and gain and to_bc:
            found.append(Score(section, arm, price, gain, to_bc))
    return found


def _common(section: Section) -> dict[Arm, dict[Unit, float]]:
    """pass@1 from dense starts, or from all where regions are not told apart."""
    by_arm = section.coverage.get('dense') or section.coverage.get('all') or {}
    return {arm: by_n[1] for arm, by_n in by_arm.items() if 1 in by_n}


def _rare(section: Section) -> dict[Arm, dict[Unit, float]]:
    """pass@N from rare starts, or from all."""
    by_arm = section.coverage.get('rare') or section.coverage.get('all') or {}
    found = {}
    for arm, by_n in by_arm.items():
        numbers = [n for n in by_n if n <= ATTEMPTS]
        if numbers:
            found[arm] = by_n[max(numbers)]
    return found


def frontier(points: Sequence[tuple[float, float]], success: float) -> float:
    """What isotropic noise reaches at a success: the best of its convex hull, which a choice among policies attains.

    Args:
      points: (success, reach) of each size of noise.
      success: at which it is asked; beyond the largest the reach at the largest, below the least that of the best.

    Returns:
      max over mixtures of the points whose success is at least `success`; where none has so much, the reach of the
      point of most success.
    """
    best = max(points)[1]
    for a in points:
        for b in points:
            if a[0] >= success:
                best = max(best, a[1])
                if b[0] < success:
                    best = max(best, b[1] + (a[1] - b[1]) * (success - b[0]) / (a[0] - b[0]))
    return best


def table(found: Sequence[Score]) -> str:
    """CSV, the largest gain first: the settings in which sections differ, alpha, and every number with its interval."""
    names = list(dict.fromkeys(name for score in found for name in score.section.setting))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    numbers = [f'{name}{end}' for name in ('gain', 'to_bc', 'price') for end in ('', '_low', '_high')]
    writer.writerow(['task', *names, 'alpha', *numbers, 'seeds'])
    for score in sorted(found, key=lambda score: -score.gain.value):
        estimates = [round(value, 4) for estimate in (score.gain, score.to_bc, score.price) for value in estimate[:3]]
        setting = [parameter(score.section.setting.get(name)) for name in names]
        writer.writerow(
            [score.section.task, *setting, score.arm.alpha_by or f'{score.arm.alpha:g}', *estimates, score.gain.n]
        )
    return out.getvalue()


def lines(found: Sequence[Score]) -> list[str]:
    """For a terminal: a line a score, the largest gain first."""
    middle = _middle([score.section for score in found])
    order = sorted(found, key=lambda score: -score.gain.value)
    titles = [_changed(score.section, middle) for score in order]
    width = max(map(len, titles), default=0)
    return [
        f'{title:{width}}  {score.arm.name:14} gain {_said(score.gain)}  to BC {_said(score.to_bc)}  '
        f'price {_said(score.price)}'
        for title, score in zip(titles, order, strict=True)
    ]


def _said(estimate: Estimate) -> str:
    interval = f' [{estimate.low:+.2f}, {estimate.high:+.2f}]' if estimate.known else ''
    return f'{estimate.value:+.2f}{interval}'


def _middle(found: Sequence[Section]) -> dict[str, str]:
    """The value that most sections have, of every setting in which they differ."""
    names = dict.fromkeys(name for section in found for name in section.setting)
    values = {name: [parameter(section.setting.get(name)) for section in found] for name in names}
    return {name: max(dict.fromkeys(seen), key=seen.count) for name, seen in values.items()}


def _changed(section: Section, middle: dict[str, str]) -> str:
    """'subset 5': what sets the section apart from the middle."""
    own = {name: parameter(section.setting.get(name)) for name in middle}
    said = [f'{name} {value}' for name, value in own.items() if value != middle[name]]
    return ', '.join(said) or 'the middle setting'


def picture(found: Sequence[Section]) -> figures.Picture:
    """A panel a setting: the rare that is reached over the common that is kept, PostBC and isotropic noise by size."""
    middle = _middle(found)
    looks = {'σ-BC': arms.Style(*arms.LOOKS['fixed'][0]), 'PostBC': arms.Style(*arms.LOOKS['post_bc'][0])}
    seen = [[max(np.mean(list(u.values())) for u in by(s).values()) for s in found] for by in (_common, _rare)]
    limits = [min(1.0, 1.15 * max(values)) for values in seen]
    drawn = [lambda axes, s=section: _panel(axes, s, _changed(s, middle), looks, limits) for section in found]
    columns = min(_COLUMNS, len(drawn))
    return figures.picture('screen', drawn, (3.4 * columns, 3.2 * -(-len(drawn) // columns) + 0.5), looks, columns)


def _panel(axes: Axes, section: Section, title: str, looks: dict[str, arms.Style], limits: Sequence[float]) -> None:
    where = [f' from {region} starts' if region in section.coverage else '' for region in ('dense', 'rare')]
    panels.frame(axes, title, f'pass@1{where[0]}', f'pass@{ATTEMPTS}{where[1]}')
    success, reach, bc = _common(section), _rare(section), arms.bc(section.arms)
    for kind, style in (('sigma_bc', looks['σ-BC']), ('post_bc', looks['PostBC'])):
        mine = [arm for arm in section.arms if arm in success and arm in reach and arm.pretrain in ('bc', kind)]
        at = [(np.mean(list(success[arm].values())), np.mean(list(reach[arm].values()))) for arm in mine]
        at.sort(key=lambda point: -point[0])
        axes.plot(*zip(*at, strict=True), **panels.line(style))
    if bc in success and bc in reach:
        at = np.mean(list(success[bc].values())), np.mean(list(reach[bc].values()))
        axes.annotate('BC', at, xytext=(6, -12), textcoords='offset points', color=panels.INK)
    axes.set_xlim(0, limits[0])
    axes.set_ylim(0, limits[1])


def make_screen(workdir: Path | str) -> list[str]:
    """Writes screen.csv and figures/screen.svg, .png into `workdir`.

    Args:
      workdir: of a sweep whose policies are pretrained.

    Returns:
      Lines to print: a score each, the largest gain first, and what was written.

    Raises:
      ValueError: no such directory, or no setting in it has pass@N of BC and PostBC.
    """
    workdir = Path(workdir)
    if not workdir.is_dir():
        raise ValueError(f'{workdir}: no such directory; give the work directory of a sweep')
    built, _ = sections.build(read.read(workdir)[0])
    scored = {id(section): scores(section) for section in built}
    built = [section for section in built if scored[id(section)]]
    if not built:
        raise ValueError(f'{workdir}: no setting has pass@N of BC and PostBC: run its pretraining first')
    found = [score for section in built for score in scored[id(section)]]
    figures.save(workdir / 'figures', {'screen': picture(built)})
    atomic.write(workdir / 'screen.csv', table(found))
    return [*lines(found), f'{workdir / "screen.csv"}, {workdir / "figures" / "screen.png"}']
