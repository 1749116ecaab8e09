"""Errors as the launchers show them: what this project refuses is one line, a fault keeps its traceback."""

import contextlib
import dis
import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import postbc_jax

_OURS = (Path(__file__).parent, Path(__file__).parents[1] / 'experiments', Path(postbc_jax.__file__).parent)


def refusal(error: Exception) -> str | None:
    """The one line to show, or None where the error is a fault and needs its traceback.

    A refusal is a ValueError or FloatingPointError that a `raise` of this project's own code has raised: those of jax,
    numpy or Python say nothing of what to change. A simulator's failure (HostError of envs.pool) is one too, also
    where jax has wrapped it in an error of its own on its way out of a callback; and so is a full disk.
    """
    if full(error):
        return _full(error)
    if isinstance(error, RuntimeError):
        found = re.search(r'\bHostError: (.+)', f'{type(error).__name__}: {error}')
        return found and found[1].strip()
    if isinstance(error, ValueError | FloatingPointError) and _raised_by_us(error):
        return str(error)
    return None


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """Ends the process with 'error: ' and the refusal, and status 1, where one is raised within; a fault goes on."""
    try:
        yield
    except Exception as error:
        said = refusal(error)
        if said is None:
            raise
        sys.exit(f'error: {said}')


_NO_ROOM = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))


def full(error: BaseException) -> bool:
    """Whether it says, or comes of one that says, that a disk or a quota is full."""
    return any(text in str(one) for one in _chain(error) for text in _NO_ROOM)


def _full(error: BaseException) -> str:
    said = next(str(one) for one in _chain(error) if any(text in str(one) for text in _NO_ROOM))
    what = next(text for text in _NO_ROOM if text in said)
    path = re.search(r'[\'"](/[^\'"]+)[\'"]', said)
    return f'{path[1] if path else "a file"}: {what}: make room and run the same command again; what was saved is whole'


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error, what it was raised from or while handling, and so on."""
    found = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _raised_by_us(error: Exception) -> bool:
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    code = last.tb_frame.f_code
    # Not the frame alone: what C code raises, and what jax raises and hides its frames of, ends in our frame too.
    raises = dis.opname[code.co_code[last.tb_lasti]] == 'RAISE_VARARGS'
    return raises and any(Path(code.co_filename).resolve().is_relative_to(folder.resolve()) for folder in _OURS)
