"""Writing a file so that it is always whole: under its name stands the old one or the new one."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neml2fe.errors import OutputError


def cannot_write(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The `OutputError` that names the file and the operating system's reason."""
    return OutputError(f"cannot write {os.fspath(path)}: {error.strerror or error}")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` if the block succeeds.

    The temporary file keeps the suffix, by which writers choose the format. Parent
    directories are made. When the block raises, `path` is as it was before. What a killed
    process left under the temporary name is removed.

    Raises:
        OutputError: for any `OSError` (unwritable directory, full disk).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.stem)}.*.tmp{glob.escape(path.suffix)}"):
            left.unlink(missing_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
