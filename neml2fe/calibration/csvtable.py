"""Columns of numbers from a CSV file as machines and spreadsheets write them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neml2fe.errors import InputError, suggest


@dataclass(frozen=True)
class Cells:
    """Text by column, and the line in the file of each row."""

    file: str
    lines: list[int]
    columns: dict[str, list[str]]

    def without_units(self) -> Cells:
        """Without the first row where that has text, but no number: the units."""
        first = [cells[0] for cells in self.columns.values() if cells]
        if not any(first) or any(_is_number(cell) for cell in first if cell):
            return self
        rest = {name: cells[1:] for name, cells in self.columns.items()}
        return Cells(self.file, self.lines[1:], rest)

    def numbers(self, column: str, optional: bool = False) -> Tensor:
        """`(n,)`, NaN where an optional cell is empty or NaN."""
        numbers = []
        for i, (line, cell) in enumerate(zip(self.lines, self.columns[column], strict=True)):
            try:
                number = float(cell) if cell or not optional else math.nan
            except ValueError:
                number = math.inf
            if math.isinf(number) or (math.isnan(number) and not optional):
                message = f"column '{column}': expected a number, got '{cell}'"
                if i == 0 and cell:
                    message += "; if this line holds units, set skip_after = 1"
                raise InputError(message, f"{self.file}:{line}")
            numbers.append(number)
        return torch.tensor(numbers, dtype=torch.float64)


@dataclass(frozen=True)
class CSVTable:
    """A file with a header of column names. Without `delimiter` it is found: tab, semicolon, comma.

    Lines that begin with `comment`, `skip_before` lines before the header and `skip_after` rows
    after it are left out, and so are empty ones.
    """

    file: str | os.PathLike[str]
    delimiter: str | None = None
    comment: str = "#"
    skip_before: int = 0
    skip_after: int = 0
    encoding: str = "utf-8-sig"

    def cells(self, names: Sequence[str]) -> Cells:
        """The columns of these names. Raises `InputError` with file and line."""
        header_line, header, rows = self._rows()
        for name in names:
            if header.count(name) != 1:
                known = suggest(name, header)
                why = "is given twice" if name in header else f"does not exist{known}"
                raise InputError(f"the column '{name}' {why}", f"{self.file}:{header_line}")
        cells = {name: [row[header.index(name)] for _, row in rows] for name in names}
        lines = [line for line, _ in rows]
        self._decimal(cells, lines)
        return Cells(str(self.file), lines, cells)

    def _rows(self) -> tuple[int, list[str], list[tuple[int, list[str]]]]:
        """Line and cells of the header, and of each row; empty ones are left out."""
        try:
            with open(self.file, newline="", encoding=self.encoding) as file:
                text = [
                    "\n"
                    if i < self.skip_before
                    or (self.comment and line.lstrip().startswith(self.comment))
                    else line
                    for i, line in enumerate(file)
                ]
            first = next((line for line in text if line.strip()), "")
            delimiter = self.delimiter or next((d for d in "\t;" if d in first), ",")
            reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True)
            rows = [(reader.line_num, [" ".join(cell.split()) for cell in row]) for row in reader]
        except OSError as error:
            raise InputError(f"cannot read '{self.file}': {error.strerror}") from None
        except (LookupError, ValueError, csv.Error) as error:
            raise InputError(
                f"not a CSV file in the encoding {self.encoding}: {error}", str(self.file)
            ) from None
        rows = [(line, row) for line, row in rows if any(row)]
        if not rows:
            message = "the file is empty; a header with column names and data are needed"
            raise InputError(message, str(self.file))
        (header_line, header), data = rows[0], rows[1 + self.skip_after :]
        while not header[-1]:  # a separator at the end of the line
            header.pop()
        for line, row in data:
            if len(row) < len(header) or any(row[len(header) :]):
                message = f"{len(row)} values for the {len(header)} columns of the header"
                if delimiter == ",":
                    message += "; decimal commas need semicolons or tabs between columns"
                raise InputError(message, f"{self.file}:{line}")
        return header_line, header, data

    def _decimal(self, cells: dict[str, list[str]], lines: list[int]) -> None:
        """Decimal commas become points. Both in one file may be separators of thousands."""
        commas, points = (
            [
                (lines[i], c, cell)
                for c, column in cells.items()
                for i, cell in enumerate(column)
                if sign in cell
            ]
            for sign in ",."
        )
        if commas and points:
            (line, column, cell), other = commas[0], points[0]
            raise InputError(
                f"column '{column}': '{cell}' has a comma, '{other[2]}' in line {other[0]} a "
                "point; write decimals in one way, and no separators of thousands",
                f"{self.file}:{line}",
            )
        for column, texts in cells.items():
            cells[column] = [cell.replace(",", ".") for cell in texts]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
