"""Writing a file so that it is always whole: under its name stands the old one or the new one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from neml2fe.errors import OutputError


def cannot_write(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The `OutputError` that names the file and the operating system's reason."""
    return OutputError(f"cannot write {os.fspath(path)}: {error.strerror or error}")


def remove(path: Path) -> None:
    """Remove a file if it is there. Raises `OutputError`."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def remove_temporaries(directory: Path, stems: Iterable[str]) -> None:
    """Remove what killed processes left of files of these `stems` that they were writing, the
    numbered ones of series included. Not while another process writes such files.

    Raises `OutputError`.
    """
    names = "|".join(map(re.escape, stems))
    temporary = re.compile(rf"\.({names})(_\d{{4,}}(_\d+)?)?\.\d+\.tmp(\..*)?")
    for path in directory.iterdir() if directory.is_dir() else ():
        if temporary.fullmatch(path.name):
            remove(path)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` if the block succeeds.

    The temporary file keeps the suffix, by which writers choose the format. Parent
    directories are made. When the block raises, `path` is as it was before. What a killed
    process leaves under the temporary name is for `remove_temporaries`.

    Raises:
        OutputError: for any `OSError` (unwritable directory, full disk).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
