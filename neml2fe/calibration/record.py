"""A fit's progress on disk: JSON lines, one an iteration, readable after a kill at any moment.

The first line is a header (parameters, bounds, seed), each further one an iteration with its
values in natural units and its run, which counts how often the fit was resumed before. A last line
that was cut short is ignored.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neml2fe.calibration.parameters import ParameterSet
from neml2fe.errors import InputError, OutputError

if TYPE_CHECKING:
    from neml2fe.calibration.fit import Iteration

_FORMAT, _VERSION = "neml2fe fit", 1
_KEYS = {"number", "start", "loss", "gradient_norm", "values", "seconds"}


@dataclass(frozen=True)
class Recorded:
    """What a record holds. `size` is the length in bytes of its complete lines."""

    header: dict[str, Any]
    iterations: list[dict[str, Any]]
    size: int


def read(path: str | os.PathLike[str]) -> Recorded:
    """Read a record; one killed before its header was complete gives an empty header.

    Raises OutputError for a file that is absent, not a record, or damaged before its last line.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise OutputError(f"cannot read the record {path}: {error.strerror}") from error
    size = content.rfind(b"\n") + 1
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(content[:size].splitlines(), start=1):
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            row = None
        if number == 1 and not (isinstance(row, dict) and row.get("format") == _FORMAT):
            raise OutputError(f"{path} is not the record of a fit")
        if number == 1 and row.get("version") != _VERSION:
            raise OutputError(
                f"{path} has record version {row.get('version')}; this one reads {_VERSION}"
            )
        if number > 1 and not (isinstance(row, dict) and row.keys() >= _KEYS):
            raise OutputError("a damaged line in the record of a fit", f"{path}:{number}")
        rows.append(row)
    if not rows and content and not b'{"format": "neml2fe fit"'.startswith(content[:24]):
        raise OutputError(f"{path} is not the record of a fit")
    return Recorded(rows[0] if rows else {}, rows[1:], size)


def best(path: str | os.PathLike[str], parameters: ParameterSet) -> Tensor | None:
    """The x `(P,)` of lowest loss in a record; None where it holds no iteration yet.

    Raises InputError if the record is of other parameters, or its best point lies outside of the
    bounds of these.
    """
    recorded = read(path)
    if recorded.header:
        theirs, ours = recorded.header["parameters"], parameters.names
        if theirs != ours:
            missing = [name for name in ours if name not in theirs] or ["none"]
            extra = [name for name in theirs if name not in ours] or ["none"]
            raise InputError(
                f"the record {path} is of other parameters, so the fit cannot go on from it: it "
                f"lacks {', '.join(missing)}; it has besides {', '.join(extra)}"
                if set(theirs) != set(ours)
                else f"the record {path} has the parameters in another order: {', '.join(theirs)}"
            )
    if not recorded.iterations:
        return None
    lowest = min(recorded.iterations, key=lambda row: row["loss"])
    values = torch.tensor([lowest["values"][n] for n in parameters.names], dtype=torch.float64)
    round_off = 1e-12 * values.abs()
    outside = (values < parameters.lower - round_off) | (values > parameters.upper + round_off)
    if bool(outside.any()):
        i = int(outside.nonzero()[0])
        raise InputError(
            f"the record {path} has {parameters.names[i]} = {values[i]:g} at its best, outside of "
            f"the bounds {parameters.lower[i]:g} to {parameters.upper[i]:g}"
        )
    values = torch.minimum(torch.maximum(values, parameters.lower), parameters.upper)
    return parameters.scaled(values).clamp(0.0, 1.0)


def trail(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The iterations that led to the best one, which is the last: of its own start, and where that
    went on from earlier runs, theirs before it."""
    if not rows:
        return []
    k = min(range(len(rows)), key=lambda i: rows[i]["loss"])
    run, start = rows[k].get("run", 0), rows[k]["start"]
    own = [row for row in rows[: k + 1] if (row.get("run", 0), row["start"]) == (run, start)]
    if start:
        return own
    # A resumed run repeats the point that it begins with.
    return trail([row for row in rows if row.get("run", 0) < run])[:-1] + own


class Record:
    """Appends iterations to a record; a context manager.

    A record at `path` is replaced, or with `resume` continued behind its last complete line.
    Every line is on disk (fsync) when `append` returns. Raises OutputError if that fails.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parameters: ParameterSet,
        *,
        seed: int,
        optimiser: str,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        # Read even where it will be replaced: another file is refused, not overwritten.
        old = read(path) if resume or self.path.exists() else None
        keep = old.size if old and resume else 0
        earlier = old.iterations if old and resume else []
        self._run = 1 + max((row.get("run", 0) for row in earlier), default=-1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("r+b" if resume else "wb")
            self._file.truncate(keep)
            self._file.seek(keep)
        except OSError as error:
            raise OutputError(f"cannot write the record {path}: {error.strerror}") from error
        if not keep:
            self._write(
                {
                    "format": _FORMAT,
                    "version": _VERSION,
                    "optimiser": optimiser,
                    "seed": seed,
                    "parameters": parameters.names,
                    "lower": parameters.lower.tolist(),
                    # JSON has no infinity
                    "upper": [u if math.isfinite(u) else None for u in parameters.upper.tolist()],
                }
            )

    def append(self, iteration: Iteration) -> None:
        """Write one iteration."""
        self._write({**asdict(iteration), "run": self._run})

    def _write(self, row: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write the record {self.path}: {error.strerror}") from error

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
