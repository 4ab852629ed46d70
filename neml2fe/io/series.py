"""`FieldSeries`: fields at a sequence of times, in pieces that ranks write side by side.

A list file names the steps with their times and is the one to open. It is renewed only after all
pieces of a step are complete, so it never names a file that is missing or cut short: the series
can be opened while the run goes on, and after it was killed.
"""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as ET
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import meshio
import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError, OutputError
from neml2fe.io.arrays import Fields
from neml2fe.io.paths import remove, replacing


@dataclass(frozen=True)
class ArrayInfo:
    """Type, such as `float64`, and shape of an array in a file."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def n_components(self) -> int:
        return self.shape[1] if len(self.shape) > 1 else 1

    @classmethod
    def of(cls, array: NDArray[np.generic]) -> ArrayInfo:
        return cls(array.dtype.name, array.shape)


@dataclass(frozen=True)
class Piece:
    """What a list must say of one rank's file. Cells are counted by meshio type."""

    file: str
    cells: tuple[tuple[str, int], ...]
    points: ArrayInfo
    point_data: dict[str, ArrayInfo]
    cell_data: dict[str, ArrayInfo]

    @classmethod
    def of(cls, file: str, mesh: meshio.Mesh) -> Piece:
        return cls(
            file,
            tuple((block.type, len(block.data)) for block in mesh.cells),
            ArrayInfo.of(mesh.points),
            {name: ArrayInfo.of(data) for name, data in mesh.point_data.items()},
            {name: ArrayInfo.of(np.concatenate(d)) for name, d in mesh.cell_data.items()},
        )


@dataclass(frozen=True)
class Entry:
    """A step of the list: its time, its name, and what the list says of it."""

    time: float
    name: str
    content: str


class FieldSeries(ABC):
    """Fields of numbered steps: `directory/stem_0000...`, `stem_0001...` and a list of them.

    One rank calls `write`. Of several, rank 0 asks for the `next_name`, each one writes its piece
    under it, and rank 0 completes the step with the pieces of all. The first step of a new
    series removes the numbered files that an earlier run left under the same stem.
    """

    list_suffix: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]  # of the numbered files

    def __init__(self, directory: str | os.PathLike[str], stem: str) -> None:
        self.directory = Path(directory)
        self.stem = stem
        self._entries: list[Entry] = []

    @property
    def path(self) -> Path:
        """The list of the steps, the file to open in ParaView."""
        return self.directory / f"{self.stem}{self.list_suffix}"

    def write(
        self,
        time: float,
        points: ArrayLike,
        cells: Sequence[tuple[str, ArrayLike]],
        point_data: Mapping[str, ArrayLike] | None = None,
        cell_data: Mapping[str, Sequence[ArrayLike]] | None = None,
    ) -> Path:
        """Write the fields at `time`, which must be later than the step before; see `Fields`.

        Raises:
            InputError: if a field does not fit the mesh or time does not advance.
            OutputError: if a file cannot be written; earlier steps stay readable.
        """
        name = self.next_name(time)
        piece = self.write_piece(name, Fields(points, cells, point_data or {}, cell_data or {}))
        self.complete(time, name, [piece])
        return self.directory / piece.file

    def next_name(self, time: float) -> str:
        """The name, without suffix, of the step at `time`.

        Raises `InputError` unless it is later than the step before.
        """
        last = self._entries[-1].time if self._entries else -math.inf
        if not (math.isfinite(time) and time > last):
            raise InputError(f"time {time} of series {self.path} must be later than {last}")
        return f"{self.stem}_{len(self._entries):04d}"

    def complete(self, time: float, name: str, pieces: Sequence[Piece]) -> None:
        """List the step `name`, whose pieces of all ranks are written."""
        entries = [*self._entries, Entry(float(time), name, self._content(time, name, pieces))]
        self._write_list(entries)
        self._entries = entries
        if len(entries) == 1:
            kept = {f"{name}{suffix}" for suffix in self.suffixes if len(pieces) > 1}
            self._remove_all_but({*kept, *(piece.file for piece in pieces)})

    def resume(self, time: float) -> int:
        """Continue the series on disk after `time`; later steps are dropped.

        Returns:
            The number of steps kept; 0 where no series was written before.

        Raises:
            OutputError: if the list is damaged or cannot be renewed.
        """
        if not self.path.exists():
            return 0
        try:
            found = self._read_list(ET.parse(self.path).getroot())
        except (ET.ParseError, KeyError, ValueError, OSError) as error:
            raise OutputError(f"cannot continue the series {self.path}: {error}") from error
        entries = [entry for entry in found if entry.time <= time]
        self._write_list(entries)
        self._entries = entries
        names = {entry.name for entry in entries}
        mine = self._numbered(self.directory, self.stem)
        self._remove_all_but({file for file, step in mine.items() if step in names})
        return len(entries)

    # --- of each format -----------------------------------------------------------------
    @abstractmethod
    def write_piece(self, name: str, fields: Fields, rank: int | None = None) -> Piece:
        """Write the part of one rank of several (`rank` None: the whole) of step `name`.

        Raises `InputError` for fields that do not fit and `OutputError` for a file that
        cannot be written.
        """

    @abstractmethod
    def _content(self, time: float, name: str, pieces: Sequence[Piece]) -> str:
        """What the list says of a step that is complete but for it."""

    @abstractmethod
    def _list(self, entries: Sequence[Entry]) -> ET.Element: ...

    @abstractmethod
    def _read_list(self, root: ET.Element) -> list[Entry]:
        """The inverse of `_list`; raises `KeyError` or `ValueError` if there is none."""

    # --- files --------------------------------------------------------------------------
    @classmethod
    def remove(cls, directory: Path, stem: str) -> None:
        """Remove the list and the numbered files that a run left. Raises `OutputError`."""
        if directory.is_dir():
            for name in [f"{stem}{cls.list_suffix}", *cls._numbered(directory, stem)]:
                remove(directory / name)

    def _write_list(self, entries: Sequence[Entry]) -> None:
        root = self._list(entries)
        ET.indent(root)
        with replacing(self.path) as temporary:
            ET.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)

    @classmethod
    def _numbered(cls, directory: Path, stem: str) -> dict[str, str]:
        """The numbered files of a series, each with the name of its step."""
        suffixes = "|".join(map(re.escape, cls.suffixes))
        numbered = re.compile(rf"({re.escape(stem)}_\d{{4,}})(_(0|[1-9]\d*))?({suffixes})")
        found = (numbered.fullmatch(path.name) for path in directory.iterdir())
        return {match[0]: match[1] for match in found if match}

    def _remove_all_but(self, kept: set[str]) -> None:
        """Of the numbered files."""
        for name in self._numbered(self.directory, self.stem):
            if name not in kept:
                remove(self.directory / name)
