"""Tables of numbers as CSV: a header line of column names, then one row a step.

Floats are written with as many digits as it takes to read the same float back.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError, OutputError
from neml2fe.io.paths import cannot_write, replacing


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _number(value: object) -> int | float:
    """A plain int or float, whose text form is exact."""
    x = np.asarray(value)
    if x.shape != () or x.dtype.kind not in "biuf":
        raise InputError(f"a table holds numbers, not {value!r}")
    return float(x) if x.dtype.kind == "f" else int(x)


class TableWriter:
    """Writes a CSV row by row; each row is in the file when `write` returns.

    Args:
        path: The file; an existing one is replaced unless `resume_at` is given.
        columns: Column names, for the header.
        resume_at: Continue the file at `path`, keeping the rows whose column `time` is
            not later than this; a row that was cut short by a crash is dropped.

    Raises:
        InputError: if column names repeat or are empty, or `resume_at` is given without a
            column `time`.
        OutputError: if the file cannot be written, or its columns are not `columns`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str],
        resume_at: float | None = None,
    ) -> None:
        self.path = Path(path)
        self.columns = list(columns)
        _check_names(self.columns, str(self.path))
        head = _lines([self.columns])
        if resume_at is not None and self.path.exists():
            head += _kept_rows(self.path, self.columns, resume_at)
        with replacing(self.path) as temporary:
            temporary.write_bytes(head)
        try:
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def write(self, row: Mapping[str, object]) -> None:
        """Append one row given by column name.

        Raises:
            InputError: if a column is missing, unknown or not a number.
            OutputError: if the disk refuses; the file then ends with the row before.
        """
        if row.keys() != set(self.columns):
            raise InputError(
                f"a row of {self.path} needs the columns {', '.join(self.columns)}; "
                f"given: {', '.join(row)}"
            )
        data = _lines([[_number(row[name]) for name in self.columns]])
        start = self._file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._file.truncate(start)
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _kept_rows(path: Path, columns: list[str], time: float) -> bytes:
    """The rows of the file up to `time`, byte for byte."""
    if "time" not in columns:
        raise InputError(f"{path} can be continued only if it has a column 'time'")
    at = columns.index("time")
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        if not lines or lines[0] != _lines([columns]):
            raise OutputError(f"cannot continue {path}: its columns are not {', '.join(columns)}")
        whole = [line for line in lines[1:] if line.endswith(b"\n")]
        return b"".join(line for line in whole if float(line.split(b",")[at]) <= time)
    except OSError as error:
        raise cannot_write(path, error) from error
    except (IndexError, ValueError) as error:
        raise OutputError(f"cannot continue {path}: it is damaged ({error})") from error


def write_columns(path: str | os.PathLike[str], columns: Mapping[str, ArrayLike]) -> Path:
    """Write a whole table, columns of equal length (n,) by name, in one go.

    Raises:
        InputError: if a column is not a row of numbers or the lengths differ.
        OutputError: if the file cannot be written; the one before is kept.
    """
    arrays = {name: np.asarray(data) for name, data in columns.items()}
    _check_names(list(arrays), os.fspath(path))
    for name, x in arrays.items():
        if x.ndim != 1 or x.dtype.kind not in "biuf":
            raise InputError(f"column '{name}' must be numbers of shape (n,), not {x.shape}")
    lengths = {name: len(x) for name, x in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"the columns of {path} differ in length: {lengths}")
    rows = zip(*(x.tolist() for x in arrays.values()), strict=True)
    with replacing(path) as temporary:
        temporary.write_bytes(_lines([arrays.keys()]) + _lines(rows))
    return Path(path)


def read_table(
    path: str | os.PathLike[str], allow_nan: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Read a CSV with a header into columns (n,) by name, in the file's order.

    Raises:
        InputError: naming file, line and column, if the file is missing, a row has too few
            or too many values, a value is not a number, or is not finite (NaN and
            infinity pass with `allow_nan`).
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            names = [name.strip() for name in next(reader, [])]
            _check_names(names, f"{path}:1")
            rows = [
                _row(f"{path}:{reader.line_num}", names, row, allow_nan) for row in reader if row
            ]
    except OSError as error:
        raise InputError(f"cannot read the table {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV text file: {error}") from error
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
    return {name: table[:, i].copy() for i, name in enumerate(names)}


def _check_names(names: list[str], where: str) -> None:
    if not any(names):
        raise InputError("the table has no column names in its first line", where)
    for i, name in enumerate(names):
        if not name:
            raise InputError(f"column {i + 1} has no name", where)
        if name in names[:i]:
            raise InputError(f"column name '{name}' occurs twice", where)
    if all(_is_number(name) for name in names):
        raise InputError(
            "the column names are all numbers; the first line must name the columns", where
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _row(where: str, names: list[str], row: list[str], allow_nan: bool) -> list[float]:
    if len(row) != len(names):
        raise InputError(f"{len(row)} values; the header names {len(names)} columns", where)
    try:
        values = [float(text) for text in row]
    except ValueError:
        i = next(i for i, text in enumerate(row) if not _is_number(text))
        raise InputError(f"column '{names[i]}': {row[i]!r} is not a number", where) from None
    if not allow_nan and not math.isfinite(sum(values)):
        for name, value in zip(names, values, strict=True):
            if not math.isfinite(value):
                raise InputError(f"column '{name}': {value} is not a finite number", where)
    return values
