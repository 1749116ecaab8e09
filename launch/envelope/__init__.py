"""The envelope's document: what demonstrations cover, whether a policy's range fits them, what the guard will do.

Beside the report, for people who deploy a policy: `python -m launch.envelope --policy=DIR --demos=FILE --workdir=DIR`
writes envelope.html, which is to be read by itself, envelope.json, every number in it, and figures/. Neither the
environment nor its simulator is needed.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from launch import config as settings
from launch.envelope import advice, flagged, measure, page, pictures, reliable, told
from launch.envelope import subject as subjects
from launch.point import Point
from launch.progress import Progress
from launch.report import figures
from postbc_jax import atomic, data
from postbc_jax.envelope import regions as parts

CLAIM = 'subject.json'


def make_envelope(
    policy: str,
    demos: str,
    workdir: str,
    learner: int | None = None,
    regions: int = 6,
    names: Sequence[str] = (),
    before: str = '',
    stop: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Writes the document into `workdir`; started again it goes on from what was fitted.

    Args:
      policy: a folder that a run wrote, WORKDIR/policies/pretrained or .../dsrl_ppo; WORKDIR/config.json says how its
        policies were trained.
      demos: the demonstrations' file.
      workdir: a directory of the document's own.
      learner: which policy of the folder; None for its first PostBC policy.
      regions: parts of the states that are told apart, at most.
      names: of the action's dimensions; () numbers them.
      before: an earlier file whose demonstrations are all in `demos`: how much more diverse it has become.
      stop: whether the process was asked to stop.

    Returns:
      Lines to print.

    Raises:
      ValueError: the policy, the demonstrations or the work directory cannot be used.
      loop.Preempted: the process was asked to stop; what was fitted is saved.
    """
    subject = subjects.read(Path(policy), demos, learner)
    sizes, directory = subject.sizes, Path(workdir)
    if names and len(names) != sizes.action_size:
        raise ValueError(
            f'--action_names={",".join(names)}: the policy plays {sizes.action_size} dimensions: name each'
        )
    if not 1 <= regions <= 12:
        raise ValueError(f'--regions={regions}: give 1 to 12')
    earlier = _earlier(before, subject) if before else None
    _claim(directory, subject)
    progress = Progress(4)
    point = Point(one_source(subject), directory, sizes, progress, stop)
    found = measure.subject(subject)
    found['dimensions'] = list(names) or [f'action {i}' for i in range(sizes.action_size)]
    where = parts.by_states(subject.learning.windows.obs, subject.learning.windows.episode, regions)

    progress.stage('demonstrations')
    ensemble = told.tell(point, subject.learning)
    varied, normalised = measure.variation(subject, where, ensemble)
    found |= {'regions': measure.regions(subject, where, normalised)} | varied
    found |= advice.suspected(subject, ensemble, found['dimensions']) | advice.record(subject, ensemble, earlier)
    progress.say(f'{where.count} regions, {len(found["suspect_demos"])} suspect demonstrations')

    progress.stage('policy')
    found['reliability'] = measure.reliability(reliable.rely(point, subject, where))
    found['verdict'] = _verdict(found)
    progress.say(found['verdict']['whole'] or found['reliability']['why_not'])

    progress.stage('guard')
    suspected = [row['index'] for row in found['suspect_demos']]
    found['guard'] = measure.guarded(subject, flagged.flag(point, subject), where, suspected)
    progress.say(f'{100 * found["guard"]["policy_flagged"]:.0f} % of the policy’s own decisions flagged')

    progress.stage('document')
    drawn = pictures.draw(found)
    figures.save(directory / 'figures', drawn)
    atomic.write(directory / 'envelope.json', json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False) + '\n')
    atomic.write(directory / 'envelope.html', page.render(found, drawn))
    return [f'envelope: {directory / "envelope.html"}']


def one_source(subject: subjects.Subject) -> ConfigDict:
    """The run's settings for one source of demonstrations, all of the file."""
    one = settings.each(subject.config)[0]
    return settings.at_point(one, {'seeds': 1, 'subset': 0, 'fold': (), 'demos': subject.learning.path})


def _verdict(found: dict[str, Any]) -> dict[str, Any]:
    """The verdicts alone, by region too; None where nothing could be asked."""
    whole, each = found['reliability']['whole'], found['reliability']['regions']
    return {
        'whole': whole and whole['verdict'],
        'regions': {row['name']: curve and curve['verdict'] for row, curve in zip(found['regions'], each, strict=True)},
    }


def _earlier(before: str, subject: subjects.Subject) -> tuple:
    config = subject.config
    demos = data.load(before, settings.obs_keys(config), None, config.action_bound or None)
    missing = set(subjects.digest(demos)) - set(subjects.digest(subject.learning.demos))
    if missing:
        raise ValueError(
            f'--before={before}: {len(missing)} of its {demos.episodes} demonstrations are not in '
            f'{subject.learning.path}: give all of them as --demos'
        )
    return advice.states_of(Path(before), subject, demos)


def _claim(directory: Path, subject: subjects.Subject) -> None:
    """Makes the directory of this subject, or refuses that of another."""
    if (directory / 'config.json').exists():
        raise ValueError(f'--workdir={directory}: holds a run: give the document a directory of its own')
    now = {
        'policy': str(subject.folder.resolve()),
        'learner': subject.index,
        'demos': subjects.digest(subject.learning.demos),
        'config': subject.config.to_dict(),
    }
    now, file = json.loads(json.dumps(now)), directory / CLAIM
    before = json.loads(file.read_text()) if file.exists() else now
    for name in now:
        if before[name] != now[name]:
            raise ValueError(f'--workdir={directory}: holds the document of another {name}: give this one another')
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'--workdir={directory}: cannot be made ({error.strerror})') from None
    atomic.write(file, json.dumps(now, indent=1) + '\n')
