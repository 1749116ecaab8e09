"""A sweep as it was when it was first started: sweep.json, and a copy of the code and config that its points run with.

Between a launcher's command line and its jobs, which may begin days later: what is edited meanwhile changes nothing.
"""

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from postbc_jax import atomic

ROOT = Path(__file__).parents[1]
_PARTS = ('postbc_jax', 'launch', 'experiments', 'setup.cfg', 'pyproject.toml')  # what a run needs of the checkout
_ELSEWHERE = 'given'  # where an experiment's file goes that is no part of the checkout


class Sweep(NamedTuple):
    """The content of sweep.json.

    Attributes:
      config: --config as given, 'experiments/NAME.py:arg'.
      overrides: ['--config.key=value', ...] as given.
      stage: --stage of the last start.
      points: one dict of settings a point, as JSON has them (tuples are lists).
      commit: of the checkout; None where git knows none.
      changed: whether the copy holds edits that the commit has not.
      frozen: the config inside the copy, 'experiments/NAME.py:arg'.
    """

    config: str
    overrides: list[str]
    stage: str
    points: list[dict[str, Any]]
    commit: str | None
    changed: bool
    frozen: str


def code(workdir: Path) -> Path:
    """The copy, from which python -m launch.run is to be run: first on PYTHONPATH, with PYTHONSAFEPATH=1."""
    return workdir.resolve() / 'code'


def command(workdir: Path, sweep: Sweep) -> list[str]:
    """The flags that give launch.run the frozen sweep; --point is still to come. Paths in overrides stay as given."""
    workdir = workdir.resolve()
    stage = [f'--stage={sweep.stage}'] * bool(sweep.stage)
    return [f'--config={code(workdir)}/{sweep.frozen}', f'--workdir={workdir}', *stage, *sweep.overrides]


def overrides(arguments: Sequence[str]) -> list[str]:
    """Of a command line, what overrides the config, each as one word: '--config.a', '3' becomes '--config.a=3'."""
    arguments = flags.FLAGS.read_flags_from_files(list(arguments), force_gnu=False)
    found = []
    for argument, after in zip(arguments, [*arguments, '-end'][1:], strict=True):
        if re.match(r'--?(no)?config\.', argument):
            alone = '=' in argument or re.match('--?[a-zA-Z]', after)
            found.append('--' + argument.lstrip('-') + ('' if alone else f'={after}'))
    return found


def read(workdir: Path) -> Sweep | None:
    """What is frozen in the work directory; None where nothing is.

    Raises:
      ValueError: sweep.json is none.
    """
    file = workdir / 'sweep.json'
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f'{file}: not JSON ({error}): use another --workdir') from None
    if not isinstance(content, dict) or not content.keys() >= set(Sweep._fields):
        raise ValueError(f'{file}: must hold {", ".join(Sweep._fields)}: use another --workdir')
    return Sweep(**{name: content[name] for name in Sweep._fields})


def describe(
    config: str, arguments: Sequence[str], stage: str, points: Sequence[dict[str, Any]], root: Path = ROOT
) -> Sweep:
    """The sweep that a start asks for; writes nothing.

    Args:
      config: --config as given.
      arguments: the command line; of it the overrides are kept.
      stage: --stage.
      points: the experiment's.
      root: the checkout.

    Raises:
      ValueError: a point holds what JSON does not.
    """
    try:
        points = json.loads(json.dumps(list(points), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f'--config={config}: a point of the sweep does not fit into sweep.json: {error}') from None
    commit, status = _git(root, 'rev-parse', 'HEAD'), _git(root, 'status', '--porcelain', '--', *_PARTS)
    return Sweep(
        config=config,
        overrides=overrides(arguments),
        stage=stage,
        points=points,
        commit=commit and commit.strip(),
        changed=bool(status),
        frozen=_place(config, root),
    )


def agree(workdir: Path, asked: Sweep) -> Sweep | None:
    """What is frozen there, with the stage that is asked for; None where nothing is.

    Raises:
      ValueError: another sweep is frozen there; the message says what differs.
    """
    frozen = read(workdir)
    if frozen is None:
        return None
    file = workdir / 'sweep.json'
    remedy = f'use another --workdir (or remove {file}: the next start freezes anew)'
    if frozen.frozen != asked.frozen:
        raise ValueError(f'{file}: this sweep was begun with --config={frozen.config}, not {asked.config}: {remedy}')
    old, new = sorted(set(frozen.overrides)), sorted(set(asked.overrides))
    if old != new:
        was, now = (' '.join(x) or 'none' for x in (sorted(set(old) - set(new)), sorted(set(new) - set(old))))
        raise ValueError(f'{file}: this sweep was begun with other overrides: then {was}, now {now}: {remedy}')
    if len(frozen.points) != len(asked.points):
        raise ValueError(
            f'{file}: this sweep was begun with {len(frozen.points)} points, not {len(asked.points)}: {remedy}'
        )
    for index, (then, now) in enumerate(zip(frozen.points, asked.points, strict=True)):
        if then != now:
            raise ValueError(f'{file}: point {index} of this sweep was {then}, and is now {now}: {remedy}')
    return frozen._replace(stage=asked.stage)


def freeze(workdir: Path, asked: Sweep, root: Path = ROOT) -> Sweep:
    """Copies code and config into workdir/code and writes sweep.json; a later start finds them as they are.

    sweep.json is written last: where it is, the copy is whole. A later start may have another stage alone.

    Raises:
      ValueError: another sweep is frozen there, or nothing can be written.
    """
    sweep = agree(workdir, asked)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if sweep is None:
            _copy(code(workdir), asked, root)
            sweep = asked
        if sweep != read(workdir):
            atomic.write(workdir / 'sweep.json', json.dumps(sweep._asdict(), indent=1) + '\n')
    except OSError as error:
        raise ValueError(f'--workdir={workdir}: {error.filename} cannot be written ({error.strerror})') from None
    return sweep


def forget(workdir: Path) -> None:
    """Takes back what freeze has made."""
    (workdir / 'sweep.json').unlink(missing_ok=True)
    shutil.rmtree(code(workdir), ignore_errors=True)


def _copy(target: Path, sweep: Sweep, root: Path) -> None:
    """The copy is made beside its place and moved there whole."""
    made, old = (target.with_name(f'.code.{uuid.uuid4().hex}.{end}') for end in ('tmp', 'old'))
    try:
        for name in _files(root):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, made / name)
        config = made / sweep.frozen.partition(':')[0]
        if not config.exists():
            config.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sweep.config.partition(':')[0], config)
        if target.exists():  # of a start that ended before it had written sweep.json
            os.rename(target, old)
        os.rename(made, target)
    finally:
        for left in (made, old):
            shutil.rmtree(left, ignore_errors=True)


def _place(config: str, root: Path) -> str:
    """Where 'FILE.py:arg' lies in the copy."""
    name, colon, argument = config.partition(':')
    file = Path(name).resolve()
    inside = file.is_relative_to(root.resolve()) and file.relative_to(root.resolve()).parts[0] in _PARTS
    place = file.relative_to(root.resolve()) if inside else Path(_ELSEWHERE, file.name)
    return f'{place}{colon}{argument}'


def _files(root: Path) -> list[str]:
    """Files of the checkout that a run needs: what git does not ignore, new ones too; without git, all but caches."""
    listed = _git(root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', *_PARTS)
    names = (
        listed.split('\0')
        if listed
        else [str(path.relative_to(root)) for part in _PARTS for path in [root / part, *(root / part).rglob('*')]]
    )
    return [name for name in names if name and '__pycache__' not in name and (root / name).is_file()]


def _git(root: Path, *arguments: str) -> str | None:
    """git's answer; None where there is no git, or no repository."""
    try:
        done = subprocess.run(['git', '-C', str(root), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return None if done.returncode else done.stdout
