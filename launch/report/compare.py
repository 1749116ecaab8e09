"""The statistics of one section: every number of the report's tables, with its interval and its count of seeds.

Between sections and page. The unit is the pretraining seed: finetuning seeds are averaged first, since they share
their policy and are no independent evidence.
"""

from typing import NamedTuple

import numpy as np

from launch.arms import Arm
from launch.report.arms import bc
from launch.report.read import Row
from launch.report.sections import Section, Unit
from postbc_jax import stats
from postbc_jax.posterior import calibration

WARN_RMS = 0.15  # action units; above it prototypes lost pretrained success


class Estimate(NamedTuple):
    """A number with its 95% interval over n seeds; `over` is 'seeds', or 'episodes' or 'trajectories' of the
    one seed there is."""

    value: float
    low: float
    high: float
    n: int
    over: str = 'seeds'

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.low))


class Comparison(NamedTuple):
    """Arm a less arm b over the seeds they share, and in how many of those a was higher."""

    a: Arm
    b: Arm
    difference: Estimate
    a_mean: float
    b_mean: float
    wins: int
    by_seed: tuple[float, ...]


class Summary(NamedTuple):
    """One arm's row of the main table; None where nothing was measured."""

    arm: Arm
    rms: float | None
    played: float | None
    clipped: float | None
    pretrained: Estimate | None
    coverage: Estimate | None
    finetuned: Estimate | None
    to_bc: Comparison | None
    improvement: Estimate | None


class Speed(NamedTuple):
    """How fast an arm learns: normalised area under the curve, its paired difference to BC, and the env steps at which
    its runs first reach a threshold (median, infinite where most never do), with how many did."""

    arm: Arm
    area: Estimate
    area_to_bc: Comparison | None
    steps: float
    reached: int


class Reliability(NamedTuple):
    """How broad an arm's noise is against held-out demonstrations.

    Attributes:
      arm: which.
      levels: (L,) shares that its central intervals should hold.
      coverage: L Estimates of the shares that they held.
      seeds: (seeds, L) the shares at every seed.
      band: (2, L) ends of a seed's own intervals, over its trajectories, averaged; nan where a seed has none.
      excess: of coverage over level, averaged over levels.
      verdict: of posterior.calibration.VERDICTS, on the excess.
      by_seed: the verdict at every seed, on its own trajectories.
    """

    arm: Arm
    levels: tuple[float, ...]
    coverage: tuple[Estimate, ...]
    seeds: np.ndarray
    band: np.ndarray
    excess: Estimate
    verdict: str
    by_seed: tuple[str, ...]

    def at(self, level: float) -> Estimate:
        """Of the level nearest to this one."""
        return self.coverage[int(np.argmin(np.abs(np.array(self.levels) - level)))]


def mean(values: dict[Unit, float], episodes: int = 0) -> Estimate | None:
    """Mean over seeds with Student's t interval; of a single seed, Wilson's over its episodes where they are given."""
    if not values:
        return None
    if len(values) == 1 and episodes:
        value = next(iter(values.values()))
        return Estimate(*stats.wilson(value * episodes, episodes), 1, 'episodes')
    return Estimate(*stats.mean_interval(list(values.values())), len(values))


def paired(a: Arm, b: Arm, of: dict[Arm, dict[Unit, float]]) -> Comparison | None:
    """a - b over their common seeds; None where they share none."""
    shared = sorted(of.get(a, {}).keys() & of.get(b, {}).keys())
    if not shared:
        return None
    x, y = (np.array([of[arm][unit] for unit in shared]) for arm in (a, b))
    return Comparison(
        a=a,
        b=b,
        difference=Estimate(*stats.paired_difference(x, y), len(shared)),
        a_mean=float(x.mean()),
        b_mean=float(y.mean()),
        wins=int((x > y).sum()),
        by_seed=tuple((x - y).tolist()),
    )


def finals(section: Section) -> dict[Arm, dict[Unit, float]]:
    """Success of every arm and seed at the last evaluation that all runs share."""
    return {arm: curves.final() for arm, curves in section.curves.items()}


def coverage_n(section: Section) -> int | None:
    """The N of the main table: 16, or the largest below it that was measured."""
    measured = {n for arm in section.coverage.get('all', {}).values() for n in arm}
    return max((n for n in measured if n <= 16), default=None)


def coverage_at(section: Section, region: str, n: int | None) -> dict[Arm, dict[Unit, float]]:
    """{arm: {unit: pass@n}} of a region."""
    return {arm: by_n[n] for arm, by_n in section.coverage.get(region, {}).items() if n in by_n}


def average(section: Section, arm: Arm, name: str) -> float | None:
    """Mean over seeds of a column of noise.json."""
    values = [row[name] for row in section.noise.get(arm, {}).values() if isinstance(row.get(name), (int, float))]
    return float(np.mean(values)) if values else None


def improvement(a: Arm, b: Arm, of: dict[Arm, dict[Unit, float]]) -> Estimate | None:
    """The probability that a run of a beats an independent run of b; None where one was not measured."""
    if not of.get(a) or not of.get(b):
        return None
    x, y = list(of[a].values()), list(of[b].values())
    return Estimate(*stats.probability_of_improvement(x, y), min(len(x), len(y)))


def summaries(section: Section) -> list[Summary]:
    """The main table."""
    final, base = finals(section), bc(section.arms)
    cover = coverage_at(section, 'all', coverage_n(section))
    rows = []
    for arm in section.arms:
        other = base is not None and arm != base
        rows.append(
            Summary(
                arm=arm,
                rms=average(section, arm, 'rms'),
                played=average(section, arm, 'rms_played'),
                clipped=average(section, arm, 'clipped_share'),
                pretrained=mean(section.pretrained.get(arm, {}), section.episodes),
                coverage=mean(cover.get(arm, {})),
                finetuned=mean(final.get(arm, {}), section.episodes),
                to_bc=paired(arm, base, final) if other else None,
                improvement=improvement(arm, base, final) if other else None,
            )
        )
    return rows


def areas(section: Section) -> dict[Arm, dict[Unit, float]]:
    """{arm: {unit: mean height of its curve}}."""
    return {
        arm: dict(zip(c.units, stats.area_under_curve(c.steps, c.success).tolist(), strict=True))
        for arm, c in section.curves.items()
    }


def speeds(section: Section) -> tuple[list[Speed], float]:
    """Learning speed of every arm, and the threshold: the mean success that BC ends with."""
    base = bc(section.arms)
    if base not in section.curves or len(section.curves[base].steps) < 2:
        return [], np.nan
    threshold = float(section.curves[base].success[:, -1].mean())
    area = areas(section)
    rows = []
    for arm in section.arms:
        if arm in section.curves:
            curves = section.curves[arm]
            steps, reached = stats.steps_to_threshold(curves.steps, curves.success, threshold)
            to_bc = paired(arm, base, area) if arm != base else None
            rows.append(Speed(arm, mean(area[arm]), to_bc, float(np.median(steps)), reached))
    return rows, threshold


class Aggregate(NamedTuple):
    """Over several tasks: an arm's interquartile mean of success after finetuning, with its stratified bootstrap."""

    arm: Arm
    iqm: Estimate
    tasks: int


def aggregate(sections: list[Section]) -> list[Aggregate]:
    """IQM over tasks of every arm finetuned in all of them with the same number of seeds.

    [] for one task, and where sections are settings of one task: a mean over settings means nothing.
    """
    if len(sections) < 2 or len({section.task for section in sections}) < len(sections):
        return []
    found = []
    tables = [finals(section) for section in sections]
    for arm in sections[0].arms:
        columns = [list(table[arm].values()) for table in tables if arm in table]
        if len(columns) == len(sections) and len({len(c) for c in columns}) == 1 and len(columns[0]) > 1:
            interval = stats.stratified_bootstrap(stats.iqm, np.array(columns).T)
            found.append(Aggregate(arm, Estimate(*interval, len(columns[0])), len(columns)))
    return found


def reliability(section: Section) -> list[Reliability]:
    """Of every arm that has curves, at the first one's levels. Of one seed intervals are over its trajectories."""
    found = []
    levels = next((row['levels'] for rows in section.calibration.values() for row in rows.values()), [])
    for arm, units in section.calibration.items():
        rows = [row for row in units.values() if row['levels'] == levels and len(row['coverage']) == len(levels)]
        if rows:
            columns = [_over_seeds(rows, 'coverage', i) for i in range(len(levels))]
            excess = _over_seeds(rows, 'excess')
            verdict = calibration.verdict(stats.Interval(*excess[:3]))
            ends = [[row.get(f'coverage_{end}') or [np.nan] * len(levels) for row in rows] for end in ('low', 'high')]
            found.append(
                Reliability(
                    arm=arm,
                    levels=tuple(levels),
                    coverage=tuple(columns),
                    seeds=np.array([row['coverage'] for row in rows]),
                    band=np.mean(ends, axis=1),
                    excess=excess,
                    verdict=verdict,
                    by_seed=tuple(str(row.get('verdict')) for row in rows),
                )
            )
    return found


def _over_seeds(rows: list[Row], name: str, index: int | None = None) -> Estimate:
    """Mean over rows of a column, or of an entry of it; of one row with the row's own interval."""

    def value(row: Row, column: str) -> float:
        there = row.get(column)
        there = there[index] if isinstance(there, list) and index is not None else there
        return np.nan if there is None else float(there)

    if len(rows) == 1:
        own = (value(rows[0], column) for column in (name, f'{name}_low', f'{name}_high'))
        return Estimate(*own, 1, 'trajectories')
    return Estimate(*stats.mean_interval([value(row, name) for row in rows]), len(rows))
