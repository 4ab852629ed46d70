"""Results against expected ones: every value within a tolerance, the worst named first."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from neml2fe.drivers.result import COMPONENTS
from neml2fe.errors import Error, InputError
from neml2fe.io.aligned import aligned

HEAD = (
    "variable",
    "step",
    "specimen",
    "component",
    "expected",
    "got",
    "difference",
    "tolerance",
)
SHOWN = 12  # deviations and names in a message


class MismatchError(Error):
    """A run that ended, but whose results are not the expected ones. `table` shows where."""

    exit_code = 1
    table = ""


@dataclass(frozen=True)
class Deviation:
    """A value that is off; `specimen` is its place in the batch, empty where there is none."""

    variable: str
    step: int
    specimen: str
    component: str
    expected: float
    got: float
    tolerance: float

    @property
    def difference(self) -> float:
        return abs(self.got - self.expected)

    @property
    def badness(self) -> float:
        """The difference in tolerances; a value that is not finite is worst of all."""
        if not math.isfinite(self.difference):
            return math.inf
        return self.difference / self.tolerance if self.tolerance else math.inf

    @property
    def rank(self) -> tuple[bool, float]:
        """The worst first; old values `x~1` repeat what was wrong before, and come last."""
        return "~" in self.variable, -self.badness

    @property
    def words(self) -> list[str]:
        numbers = [f"{self.expected:.9g}", f"{self.got:.9g}"]
        sizes = [f"{self.difference:.2e}", f"{self.tolerance:.2e}"]
        return [self.variable, str(self.step), self.specimen, self.component, *numbers, *sizes]


@dataclass
class Comparison:
    """Values that must agree to `atol + rtol * |expected|`, gathered by `add`."""

    rtol: float
    atol: float
    tensors: int = 0
    values: int = 0
    off: dict[str, int] = field(default_factory=dict)  # number of values off, by variable
    worst: list[Deviation] = field(default_factory=list)  # by rank
    largest: float = 0.0  # difference of the values that agree
    missing: list[str] = field(default_factory=list)  # expected, but not computed
    extra: list[str] = field(default_factory=list)  # computed, but not expected: no failure
    misshapen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be a number of at least 0")

    def add(
        self,
        variable: str,
        step: int,
        base: tuple[int, ...],
        got: torch.Tensor,
        expected: torch.Tensor,
    ) -> None:
        """Compare two tensors `(*batch, *base)`. What is the same at all points may be stored
        once, so that the batches must broadcast to each other; other shapes are a failure."""
        shapes = [tuple(x.shape) for x in (got, expected)]
        try:
            shape = torch.broadcast_shapes(*(s[: len(s) - len(base)] for s in shapes)) + base
            fits = all(s[len(s) - len(base) :] == base for s in shapes)
        except RuntimeError:
            fits = False
        if not fits:
            self.misshapen.append(
                f"{variable} at step {step} has shape {shapes[0]}, expected {shapes[1]}"
            )
            return
        a, b = (x.detach().cpu().double().expand(shape).numpy() for x in (got, expected))
        self.tensors += 1
        self.values += a.size
        with np.errstate(invalid="ignore"):
            difference, tolerance = np.abs(a - b), self.atol + self.rtol * np.abs(b)
            fine = (a == b) | ((difference <= tolerance) & np.isfinite(b))
        self.largest = max(self.largest, float(difference[fine & (a != b)].max(initial=0.0)))
        off = np.argwhere(~fine)
        if not len(off):
            return
        self.off[variable] = self.off.get(variable, 0) + len(off)
        n_batch = a.ndim - len(base)
        found = [
            Deviation(
                variable,
                step,
                ",".join(map(str, place[:n_batch])),
                _component(base, tuple(place[n_batch:])),
                float(b[tuple(place)]),
                float(a[tuple(place)]),
                float(tolerance[tuple(place)]),
            )
            for place in off
        ]
        self.worst = sorted([*self.worst, *found], key=lambda d: d.rank)[:SHOWN]

    @property
    def agrees(self) -> bool:
        return not (self.off or self.missing or self.misshapen)

    def summary(self, reference: str) -> str:
        """One line about a comparison that agrees."""
        line = (
            f"agrees with {reference}: {self.values} values in {self.tensors} tensors within "
            f"rtol {self.rtol:g} and atol {self.atol:g}, largest difference {self.largest:.1e}"
        )
        return f"{line}; not compared: {_listed(self.extra)}" if self.extra else line

    def table(self) -> str:
        """The worst values that are off, then names and shapes that are."""
        rows = [d.words for d in self.worst]
        lines = aligned(rows, HEAD, right=".r..rrrr") if rows else []
        total = sum(self.off.values())
        if total > len(rows):
            lines.append(f"  ... and {total - len(rows)} more values")
        lines += [f"  {text}" for text in self.misshapen[:SHOWN]]
        if len(self.misshapen) > SHOWN:
            lines.append(f"  ... and {len(self.misshapen) - SHOWN} more tensors of a wrong shape")
        for what, names in (("not computed", self.missing), ("not compared", self.extra)):
            lines += [f"  {what}: {_listed(names)}"] if names else []
        return "\n".join(lines)

    def require(self, reference: str) -> None:
        """Raises `MismatchError` unless everything agrees."""
        if self.agrees:
            return
        parts = []
        if self.off:
            names = ", ".join(f"{name} ({count})" for name, count in self.off.items())
            where = self.worst[0]
            place = f"component {where.component}, " if where.component else ""
            place += f"specimen {where.specimen}, " if where.specimen else ""
            parts.append(
                f"{sum(self.off.values())} of {self.values} values are off: {names}; worst is "
                f"{where.variable}, {place}step {where.step}: {where.got:.9g} instead of "
                f"{where.expected:.9g}"
            )
        if self.misshapen:
            parts.append(self.misshapen[0])
        if self.missing:
            parts.append(f"not computed: {_listed(self.missing)}")
        error = MismatchError(f"disagrees with {reference}: {'; '.join(parts)}")
        error.table = self.table()
        raise error


def _component(base: tuple[int, ...], place: tuple[int, ...]) -> str:
    """`11`, `22`, ... as the columns of tables say it."""
    names = COMPONENTS.get(base)
    if names is None:
        return ",".join(str(k + 1) for k in place)
    flat = int(np.ravel_multi_index(place, base)) if base else 0
    return names[flat].lstrip("_")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
