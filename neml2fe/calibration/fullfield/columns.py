"""Which columns of a CSV file hold what, for files of several programs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from neml2fe.calibration.csvtable import Cells, CSVTable
from neml2fe.errors import InputError, suggest

Names = str | Sequence[str]
_UNIT = re.compile(r"\s*[\[(][^\])]*[\])]$")


@dataclass(frozen=True)
class FieldColumns:
    """Names of columns: one, or several of which a file has one. Upper and lower case differ.

    A name in brackets at the end of a header, a unit, may be left out: "x" stands for "x [mm]"
    too. x, y and z are coordinates in the undeformed body, u, v and w displacements. `confidence`
    outside of `correlated` (from, to) says that a point was not found in the image. `time` is
    for one file of all images: the time or the number of the image of each row.
    """

    x: Names = "x"
    y: Names = "y"
    u: Names = "u"
    v: Names = "v"
    z: Names | None = None
    w: Names | None = None
    confidence: Names | None = None
    correlated: tuple[float, float] = (-math.inf, math.inf)
    time: Names | None = None

    def __post_init__(self) -> None:
        """Raises `InputError` for z without w."""
        if self.z is not None and self.w is None:
            raise InputError("a column of z needs one of w: points in space move in space")

    def named(self) -> dict[str, Names]:
        """What is looked for, by field."""
        fields = ("x", "y", "z", "u", "v", "w", "confidence", "time")
        return {name: given for name in fields if (given := getattr(self, name)) is not None}


MATCHID = FieldColumns(
    x=("x", "X", "coor.X", "Coor.X"),
    y=("y", "Y", "coor.Y", "Coor.Y"),
    u=("Horizontal Displacement U", "disp.Horizontal Displacement U"),
    v=("Vertical Displacement V", "disp.Vertical Displacement V"),
)
"""Files like those of MatchID, of one camera: "x [mm]", "Horizontal Displacement U [mm]"."""

MATCHID_STEREO = FieldColumns(
    x=MATCHID.x,
    y=MATCHID.y,
    z=("z", "Z", "coor.Z", "Coor.Z"),
    u=MATCHID.u,
    v=MATCHID.v,
    w=("Out-Of-Plane: W", "disp.Out-Of-Plane: W", "Out-Of-Plane Displacement W"),
)
"""Files like those of MatchID, of two cameras."""

VIC_2D = FieldColumns(confidence="sigma", correlated=(0.0, math.inf))
"""Files like those of Correlated Solutions' VIC-2D: x, y, u, v in pixels, sigma < 0 where not
correlated."""

VIC_3D = FieldColumns(
    x="X", y="Y", z="Z", u="U", v="V", w="W", confidence="sigma", correlated=(0.0, math.inf)
)
"""Files like those of Correlated Solutions' VIC-3D: X, Y, Z, U, V, W, sigma < 0 where not
correlated."""


@dataclass(frozen=True)
class FieldTable(CSVTable):
    """A file of points and displacements; a row of units below the header is found and skipped."""

    wanted: FieldColumns = field(default_factory=FieldColumns)

    def read(self) -> tuple[Cells, dict[str, Tensor]]:
        """The cells with their lines, and values `(n,)` by field; NaN where missing.

        Raises `InputError` with file, line and column.
        """
        line, header, _ = self._rows()
        named = {what: self._found(what, names, header, line)
                 for what, names in self.wanted.named().items()}  # fmt: skip
        cells = self.cells(list(named.values())).without_units()
        if not cells.lines:
            raise InputError("no rows of data below the header", str(self.file))
        return cells, {
            what: cells.numbers(name, optional=what != "time") for what, name in named.items()
        }

    def _rows(self) -> tuple[int, list[str], list[tuple[int, list[str]]]]:
        return self._parsed

    @cached_property
    def _parsed(self) -> tuple[int, list[str], list[tuple[int, list[str]]]]:
        """Read once, for the header and for the cells."""
        return super()._rows()

    def _found(self, what: str, names: Names, header: list[str], line: int) -> str:
        """The one column of the header that has one of these names."""
        wanted = [names] if isinstance(names, str) else list(names)
        bare = [_UNIT.sub("", name) for name in header]
        found = [name for name in header if name in wanted] or [
            name for name, short in zip(header, bare, strict=True) if short in wanted
        ]
        if len(found) == 1:
            return found[0]
        asked = f"'{wanted[0]}'" if len(wanted) == 1 else f"one of {', '.join(wanted)}"
        if found:
            message = f"several columns may be {what} ({asked}): {', '.join(found)}; name one fully"
        else:
            message = f"no column is {what}: {asked} is looked for{suggest(wanted[0], header)}"
        raise InputError(message, f"{self.file}:{line}")
