"""Tensors from the columns of a CSV file: one row for each entry of the batch."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence

import torch

from neml2fe.errors import InputError, suggest


def read_csv_tensor(
    path: str | os.PathLike[str],
    components: Sequence[str],
    variable: str | None = None,
    column_names: Sequence[str] | None = None,
) -> torch.Tensor:
    """Reads one tensor, float64, of shape (N,) for one component or (N, k) for k.

    The columns are named by `column_names`, or as `variable` followed by each suffix in
    `components` (`("",)` for a scalar, `("_xx", "_yy", ...)` for a symmetric tensor). With
    neither, the file must hold one variable that has all components. Values are taken as they
    stand: those of a symmetric tensor are Mandel components.

    Raises InputError for a file that cannot be read, columns that are missing or given twice,
    rows of another length than the header, and values that are not finite numbers.
    """
    name = os.fspath(path)
    header, rows = read_rows(name)
    columns = [
        position(header, column, name)
        for column in _choose(header, components, variable, column_names, name)
    ]
    values = [[number(row[i], header[i], name, line) for i in columns] for line, row in rows]
    tensor = torch.tensor(values, dtype=torch.float64)
    return tensor if len(columns) > 1 else tensor.squeeze(1)


def read_rows(name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each row with its line number; blank lines are skipped."""
    try:
        with open(name, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except OSError as error:
        raise InputError(f"cannot read the CSV file '{name}': {error.strerror}") from None
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise InputError(f"'{name}' is not a CSV file in UTF-8: {error}") from None
    rows = [(line, row) for line, row in rows if any(row)]
    if len(rows) < 2:
        raise InputError("a header with column names and at least one row are needed", name)
    header = rows[0][1]
    for line, row in rows[1:]:
        if len(row) != len(header):
            message = f"{len(row)} values for the {len(header)} columns of the header"
            raise InputError(message, f"{name}:{line}")
    return header, rows[1:]


def _choose(
    header: list[str],
    components: Sequence[str],
    variable: str | None,
    column_names: Sequence[str] | None,
    name: str,
) -> list[str]:
    if column_names is not None:
        if variable is not None:
            raise InputError("give either a variable or its column names, not both", name)
        if len(column_names) != len(components):
            message = f"{len(column_names)} column names for {len(components)} components"
            raise InputError(message, name)
        return list(column_names)
    if variable is None:
        first = components[0]
        stems = {column.removesuffix(first) for column in header if column.endswith(first)}
        whole = sorted(s for s in stems if all(s + c in header for c in components))
        if len(whole) != 1:
            found = ", ".join(whole) if whole else "none"
            raise InputError(f"name the variable to read; complete ones here: {found}", name)
        variable = whole[0]
    return [variable + component for component in components]


def position(header: list[str], column: str, name: str) -> int:
    """The place of a column. Raises `InputError` unless it is there once."""
    if header.count(column) > 1:
        raise InputError(f"the column '{column}' is given twice", f"{name}:1")
    if column not in header:
        raise InputError(f"there is no column '{column}'{suggest(column, header)}", f"{name}:1")
    return header.index(column)


def number(cell: str, column: str, name: str, line: int) -> float:
    """A cell as a finite number. Raises `InputError`."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        message = f"column '{column}': expected a finite number, got '{cell}'"
        raise InputError(message, f"{name}:{line}")
    return value
