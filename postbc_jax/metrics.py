"""Rows of numbers on disk: strict JSON lines, TensorBoard where wanted, and rewinding them when a run is resumed.

The loop writes them while a stage runs; the report and the user read them afterwards. Only process 0 writes.
"""

import json
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import jax
import numpy as np

from postbc_jax import atomic

Row = Mapping[str, Any]
Path = str | os.PathLike


class Writer(Protocol):
    """Where rows go. Rows are flat: {'stage': ..., 'chunk': ..., 'step': ..., name: scalar, string or list, ...}."""

    def append(self, row: Row) -> None:
        """Adds one row; it survives the death of this process."""

    def sync(self) -> None:
        """Returns when every row so far survives the death of this machine."""

    def rewind(self, keep: Callable[[Row], bool]) -> None:
        """Drops every row for which keep(row) is false, all of them or none."""

    def close(self) -> None:
        """Ends writing."""


class JsonLines:
    """One JSON object a line. Numbers that are not finite are written as null, because JSON has no word for them.

    float32 values are written with the fewest digits that give the same float32 back.
    """

    def __init__(self, path: Path):
        """Opens `path` for appending, makes its folder, and drops a last line that was only half written.

        Raises:
          ValueError: path is a folder.
        """
        self._path = pathlib.Path(path)
        if self._path.is_dir():
            raise ValueError(f'{path}: is a folder; JSON lines need a file')
        self._file = None
        if jax.process_index() == 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.rewind(lambda row: True)

    def append(self, row: Row) -> None:
        """Adds one row. Raises ValueError for a value that is no number, string, list or mapping."""
        if self._file:
            self._file.write(_encode(row, self._path))
            self._file.flush()

    def sync(self) -> None:
        if self._file:
            os.fsync(self._file.fileno())

    def rewind(self, keep: Callable[[Row], bool]) -> None:
        """See Writer. Lines that stay keep their bytes; the file is exchanged in one step."""
        if jax.process_index() != 0:
            return
        self.close()
        old = self._path.read_bytes() if self._path.exists() else b''
        new = b''.join(line for line, row in _rows(old, self._path) if keep(row))
        if new != old:
            atomic.write(self._path, new)
        self._file = open(self._path, 'a', encoding='utf-8')  # noqa: SIM115 (open until close)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


class TensorBoard:
    """Event files: one run (sub-folder) for each combination of the `curve` columns, one scalar for each number.

    Event files cannot be rewound. A resumed run writes the same numbers at the same steps again, which lie on top of
    the first ones.
    """

    def __init__(self, directory: Path, curve: tuple[str, ...] = ('stage', 'learner'), step: str = 'step'):
        """
        Args:
          directory: the log directory to give to `tensorboard --logdir`.
          curve: the columns that say which run a row belongs to; a column that a row lacks is left out.
          step: the column to use as the horizontal axis.

        Raises:
          ValueError: tensorboardX is not installed.
        """
        try:
            import tensorboardX
        except ImportError as error:
            raise ValueError("TensorBoard needs tensorboardX: pip install 'postbc_jax[tensorboard]'") from error
        self._open = tensorboardX.SummaryWriter
        self._directory, self._curve, self._step = pathlib.Path(directory), curve, step
        self._writers = {}

    def append(self, row: Row) -> None:
        if jax.process_index() != 0:
            return
        name = '-'.join(f'{column}={row[column]}' for column in self._curve if column in row)
        run = re.sub(r'[^\w=.,+-]', '_', name) or 'run'
        if run not in self._writers:
            self._writers[run] = self._open(str(self._directory / run))
        step = int(row.get(self._step, 0))
        for column, value in row.items():
            value = _plain(value, self._directory)
            if column not in (*self._curve, self._step) and _is_number(value) and math.isfinite(value):
                self._writers[run].add_scalar(column, value, step)

    def sync(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def rewind(self, keep: Callable[[Row], bool]) -> None:
        """Does nothing: see the class."""

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


class Tee:
    """Several writers as one."""

    def __init__(self, *writers: Writer):
        self._writers = writers

    def append(self, row: Row) -> None:
        for writer in self._writers:
            writer.append(row)

    def sync(self) -> None:
        for writer in self._writers:
            writer.sync()

    def rewind(self, keep: Callable[[Row], bool]) -> None:
        for writer in self._writers:
            writer.rewind(keep)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def read(path: Path) -> list[dict]:
    """Every complete row of a JSON lines file; a last line without its end is still being written and is left out.

    Raises:
      ValueError: the file is missing, or a line is not a JSON object: the message names file and line.
    """
    try:
        text = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f'{path}: cannot be read ({error.strerror})') from error
    return [row for _, row in _rows(text, path)]


def write(path: Path, rows: Iterable[Row]) -> None:
    """Writes a JSON lines file in one piece, as JsonLines would row by row; on process 0, whole or not at all.

    Raises:
      ValueError: a value that is no number, string, list or mapping; there is no such folder.
    """
    if jax.process_index() == 0:
        atomic.write(path, ''.join(_encode(row, path) for row in rows))


def _rows(text: bytes, path: Path) -> list[tuple[bytes, dict]]:
    """(line with its end, row) for every complete line."""
    lines = text.split(b'\n')[:-1]
    return [(line + b'\n', decode(line, path, number)) for number, line in enumerate(lines, 1)]


def decode(line: str | bytes, path: Path, number: int) -> dict:
    """The row of line `number` of a JSON lines file.

    Raises:
      ValueError: it is not a JSON object; the message names file and line.
    """
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ValueError(f'{path}: line {number} is not JSON ({error})') from error
    if not isinstance(row, dict):
        raise ValueError(f'{path}: line {number} holds a {type(row).__name__}, not a JSON object')
    return row


def _refuse_constant(name: str):
    raise ValueError(f'{name} is not strict JSON')


def _encode(row: Row, path: Path) -> str:
    return json.dumps(_plain(row, path), allow_nan=False) + '\n'


def _plain(value: Any, path: Path) -> Any:
    """Numpy and jax values as what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, path) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, path) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        array = np.asarray(value)
        if array.ndim:
            return [_plain(item, path) for item in array]
        # float(str(x)), not float(x): 0.1 in float32 is written 0.1, not 0.10000000149011612.
        value = float(str(array[()])) if np.issubdtype(array.dtype, np.floating) else array.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int | str):
        return value
    raise ValueError(f'{path}: a row cannot hold a {type(value).__name__} ({value!r}); numbers, strings and lists only')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
