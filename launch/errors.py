"""Errors as the launchers show them: what this project refuses is one line, a fault keeps its traceback."""

import dis
import re
from pathlib import Path

import postbc_jax

_OURS = (Path(__file__).parent, Path(__file__).parents[1] / 'experiments', Path(postbc_jax.__file__).parent)


def refusal(error: Exception) -> str | None:
    """The one line to show, or None where the error is a fault and needs its traceback.

    A refusal is a ValueError or FloatingPointError that a `raise` of this project's own code has raised: those of jax,
    numpy or Python say nothing of what to change. A simulator's failure (HostError of envs.pool) is one too, also
    where jax has wrapped it in an error of its own on its way out of a callback.
    """
    if isinstance(error, RuntimeError):
        found = re.search(r'\bHostError: (.+)', f'{type(error).__name__}: {error}')
        return found and found[1].strip()
    if isinstance(error, ValueError | FloatingPointError) and _raised_by_us(error):
        return str(error)
    return None


def _raised_by_us(error: Exception) -> bool:
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    code = last.tb_frame.f_code
    # Not the frame alone: what C code raises, and what jax raises and hides its frames of, ends in our frame too.
    raises = dis.opname[code.co_code[last.tb_lasti]] == 'RAISE_VARARGS'
    return raises and any(Path(code.co_filename).resolve().is_relative_to(folder.resolve()) for folder in _OURS)
