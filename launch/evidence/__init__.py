"""The evidence of a work directory: every arm on every task with intervals, on other seeds than it was chosen on.

The end of the pipeline, beside the report: launch.report shows one setting after the other, for whoever ran them; this
reads the same files with the report's own readers and states what they allow, for whoever doubts them: tasks together,
runs that never get there counted as such, comparisons counted. `python -m launch.evidence --workdir=DIR`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from launch.evidence import markdown, page, pictures
from launch.evidence.measure import measure
from launch.evidence.roles import Choice, check_split, choose, roots
from launch.report import figures, read, sections
from launch.report.read import Point
from launch.report.sections import Section
from postbc_jax import atomic


def make_evidence(workdir: Path | str, development: Path | str | None = None, resamples: int = 2000) -> list[str]:
    """Writes evidence.json, evidence.html, evidence.md and figures/evidence_*.svg, *.png into `workdir`.

    Args:
      workdir: of the seeds that are reported; or of those that settings are chosen on.
      development: the work directory of those, where `workdir` is not.
      resamples: of every bootstrap.

    Returns:
      Lines to print: the page's path, then for each task what its seeds would choose, of several alphas or sigmas.

    Raises:
      ValueError: a directory is not there or has nothing finetuned, a task has several settings or finetuners, or a
        root seed is on both sides.
    """
    workdir = Path(workdir)
    found, points, notes = _read(workdir, '--workdir')
    choices: dict[str, list[Choice]] = {}
    if development is not None:
        theirs, their_points, _ = _read(Path(development), '--development')
        ours = {section.task: section for section in found}
        for section in theirs:
            choices[section.task] = choose(section)
            if section.task in ours:
                here = roots(ours[section.task], points)
                check_split(section.task, here, roots(section, their_points))
                notes += _other(ours[section.task], choices[section.task])
        notes += [f'{task}: no development seeds' for task in ours if not choices.get(task)]
    numbers = measure(found, points, choices, notes, resamples)
    drawn = pictures.draw(numbers)
    figures.save(workdir / 'figures', {f'evidence_{name}': picture for name, picture in drawn.items()})
    atomic.write(workdir / 'evidence.json', json.dumps(numbers, indent=1, allow_nan=False) + '\n')
    atomic.write(workdir / 'evidence.md', markdown.text(numbers))
    atomic.write(workdir / 'evidence.html', page.render(numbers, drawn))
    said = [f'{section.task}: {_chosen(choice)}' for section in found for choice in choose(section)]
    return [f'evidence: {workdir / "evidence.html"}', *said]


def _read(workdir: Path, flag: str) -> tuple[list[Section], list[Point], list[str]]:
    """The finetuned sections, one a task."""
    if not workdir.is_dir():
        raise ValueError(f'{flag}={workdir}: no such directory; give the work directory of a run')
    points, notes = read.read(workdir)
    built, more = sections.build(points)
    found = [section for section in built if section.runs]
    if not found:
        raise ValueError(f'{flag}={workdir}: nothing was finetuned there yet: {(notes + more + ["no rows"])[0]}')
    for section in found:
        same = [other.title for other in found if other.task == section.task]
        if len(same) > 1:
            raise ValueError(
                f'{flag}={workdir}: {section.task} was run in {len(same)} settings ({"; ".join(same)}): evidence '
                'compares arms in one; give a work directory of one'
            )
    return found, points, notes + more


def _other(section: Section, chosen: Sequence[Choice]) -> list[str]:
    """A note of each setting that is reported at another value than development seeds choose."""
    arms = {
        'alphas': [arm.alpha for arm in section.arms if arm.pretrain == 'post_bc' and not arm.alpha_by],
        'sigmas': [arm.sigma for arm in section.arms if arm.pretrain == 'sigma_bc' and not arm.matched],
    }
    return [
        f'{section.task}: development seeds choose {choice.setting}={choice.value:g}, which is not reported here'
        for choice in chosen
        if choice.value not in arms[choice.setting]
    ]


def _chosen(choice: Choice) -> str:
    of = ', '.join(f'{value:g}: {area:.3f}' for value, area in choice.areas.items())
    return f'{choice.setting}=({choice.value:g},), the largest area under the curve over {choice.seeds} seeds ({of})'
