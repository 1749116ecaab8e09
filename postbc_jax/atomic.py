"""Writing a file whole or not at all; used by whatever is written in one piece: demonstrations, rows, settings, report.

The bytes go to a temporary file beside the target, which it replaces only when it is complete and on the disk.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Yields the name of a temporary file; on success it becomes `path`, on any failure nothing is left of it.

    Raises:
      ValueError: the folder does not exist, or `path` is a folder.
    """
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise ValueError(f'{path}: the folder {folder} does not exist: make it first')
    if os.path.isdir(path):
        raise ValueError(f'{path}: is a folder: give the name of a file')
    # not tempfile, whose files nobody else may read
    temporary = os.path.join(folder, f'.{name}.{uuid.uuid4().hex}.tmp')
    try:
        yield temporary
        with open(temporary, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file, text as UTF-8; raises as `replacing` does."""
    with replacing(path) as temporary, open(temporary, 'wb') as file:
        file.write(content.encode() if isinstance(content, str) else content)
