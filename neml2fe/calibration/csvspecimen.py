"""`CSVSpecimen`: the history of one specimen from a CSV file as a testing machine wrote it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from neml2fe.calibration.csvtable import CSVTable
from neml2fe.calibration.specimens import COMPONENTS, Specimens
from neml2fe.calibration.units import convert
from neml2fe.errors import InputError, suggest
from neml2fe.types.mandel import SQRT2

HELD = 100.0  # a first increment below 1/HELD of the first value: the value is held, not growing
AT_ONCE = 1e-6  # of the first time increment: how long a held value takes to be applied


@dataclass(frozen=True)
class CSVColumn:
    """A column by its name in the header, and the variable that it gives.

    `variable` is `time`, a tensor component `strain_11` .. `stress_12`, an engineering shear
    strain `gamma_23`, `gamma_13`, `gamma_12` (twice the tensor's), or another scalar variable of
    the model. `unit` and `to` are units of `units.py`; without them values stand as they are.

    `weight` multiplies the weights of measured values. `sigma` is the standard deviation of this
    column's noise, in `to` units: it divides the weights by its square, so that residuals come
    out in standard deviations under a noise model of `sigma = 1`. Without it, the residual of a
    shear component is that of its Mandel component, sqrt(2) times the tensor's.

    Raises `InputError` for units, weights and components that cannot be.
    """

    column: str
    variable: str
    unit: str | None = None
    to: str | None = None
    weight: float = 1.0
    sigma: float | None = None

    def __post_init__(self) -> None:
        component(self.variable)
        if (self.unit is None) != (self.to is None):
            raise InputError(f"column '{self.column}': give both unit and to, or neither")
        if self.unit is not None and self.to is not None:
            convert(0.0, self.unit, self.to)
        if not 0.0 <= self.weight < math.inf:
            raise InputError(f"column '{self.column}': weight must be at least 0: {self.weight:g}")
        if self.sigma is not None and not 0.0 < self.sigma < math.inf:
            raise InputError(f"column '{self.column}': sigma must be positive, got {self.sigma:g}")


@dataclass(frozen=True)
class CSVSpecimen:
    """One specimen; `read()` gives it as `Specimens` of one, float64.

    What drives: the variables in `control` are prescribed from their columns; in components
    without one the stress is zero (`others = stress`) or the strain is (`strain`). A uniaxial
    test is `("strain_11",)`, creep and ratcheting `("stress_11",)`. Columns named in `inputs` and
    `constants` are other inputs of the model; everything else is measured and compared.

    Time: a column, or `strain_rate`, at which the first variable of `control` moves along its
    path from zero on; in units of the model.

    Start: data often begin at a small preload. With `start = zero`, a file whose first driving
    value is not zero gets an undeformed row before it: earlier by the time that the first rate
    takes to get there; just before it where the value is held (changes by less than 1 % in the
    first increment), as a load that is applied at once; or at `start_time`, in the unit of the
    time column. `start = first` takes the first row as the undeformed state. The start is never
    compared.

    Left out of the comparison, but driving still: rows with 0 in the column `mask` (1 counts),
    values within `leave_out`, ranges `(variable, from, to)` after conversion of units, and with
    `missing = mask` measured cells that are empty or NaN (`error`: refused).

    `max_rows` thins the comparison of long files: of the rows that would be compared, so many
    keep their weight, at even distances from the first to the last. All rows drive: a history
    with fewer would be integrated in coarser steps, and another model would fit it.

    The file: columns are parted by `delimiter` (found among tab, semicolon and comma), decimal
    commas are understood unless commas part columns, lines that start with `comment` are
    skipped, as are `skip_before` lines before the header and `skip_after` rows after it (units).

    Raises `InputError`, naming file, line, column and value.
    """

    file: str | Path
    columns: Sequence[CSVColumn]
    name: str = ""  # that of the file without its ending
    control: Sequence[str] = ("strain_11",)
    others: str = "stress"
    strain_rate: float | None = None
    inputs: Sequence[str] = ("temperature",)
    constants: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0
    mask: str | None = None
    leave_out: Sequence[tuple[str, float, float]] = ()
    missing: str = "error"
    start: str = "zero"
    start_time: float | None = None
    max_rows: int | None = None
    delimiter: str | None = None
    comment: str = "#"
    skip_before: int = 0
    skip_after: int = 0
    encoding: str = "utf-8-sig"

    def __post_init__(self) -> None:
        for option, choices in _CHOICES.items():
            if getattr(self, option) not in choices:
                self._refuse(f"{option} is {' or '.join(choices)}, got '{getattr(self, option)}'")
        variables = [c.variable for c in self.columns]
        places = [component(v) for v in variables]
        for i, (variable, place) in enumerate(zip(variables, places, strict=True)):
            if variable in [*variables[:i], *self.constants] or (place and place in places[:i]):
                self._refuse(f"'{variable}' is given twice")
        if ("time" in variables) == (self.strain_rate is not None):
            self._refuse("give either a column of variable 'time' or a strain_rate")
        for name in [*self.control, *(name for name, _, _ in self.leave_out)]:
            if name not in variables and not (name == "time" and self.strain_rate is not None):
                self._refuse(f"no column gives '{name}'{suggest(name, variables)}")
        driven = {place[1] for v in self.control if (place := component(v)) is not None}
        if not driven or len(driven) < len(self.control):
            self._refuse("control names components of strain or stress, each component once")
        for variable, place in zip(variables, places, strict=True):
            if place and place[0] == self.others and place[1] not in driven:
                self._refuse(f"'{variable}' is measured, but held at zero: name it in control")
        slow = self.strain_rate is not None and not 0.0 < self.strain_rate < math.inf
        if slow or (self.strain_rate is not None and self.control[0].startswith("stress")):
            self._refuse("strain_rate must be positive, and control must name a strain first")
        if self.max_rows is not None and self.max_rows < 2:
            self._refuse(f"max_rows must be at least 2, got {self.max_rows}")
        if not 0.0 <= self.weight < math.inf:
            self._refuse(f"weight must be at least 0, got {self.weight:g}")

    def _refuse(self, message: str) -> None:
        raise InputError(message, str(self.file))

    def read(self) -> Specimens:
        """The specimen, with at least two rows: its start and one step.

        Its conditions are the constants, means of the inputs, and, where a strain is the first
        driving variable, `strain_rate`: its path over the time it took.
        """
        lines, values, weights = self._values()
        if len(lines) < 2:
            rows = "one row" if lines else "no rows"
            self._refuse(f"{rows} of data; a history needs at least two")
        if self.strain_rate is not None:
            path = values[self.control[0]]
            values["time"] = path.diff(prepend=path.new_zeros(1)).abs().cumsum(0) / self.strain_rate
        stuck = (values["time"].diff() <= 0.0).nonzero()
        if len(stuck):
            i = int(stuck[0])
            before, after = (float(t) for t in values["time"][i : i + 2])
            raise InputError(
                f"the time does not grow: {after:.9g} after {before:.9g} in line {lines[i]}",
                f"{self.file}:{lines[i + 1]}",
            )
        for variable, low, high in self.leave_out:
            inside = (values[variable] >= low) & (values[variable] <= high)
            weights = {name: w.masked_fill(inside, 0.0) for name, w in weights.items()}
        if self.start == "zero":
            self._start(values, weights)
        for w in weights.values():
            w[0] = 0.0
        if self.max_rows is not None:
            self._thin(weights, self.max_rows)
        return self._specimen(values, weights)

    def _start(self, values: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
        """Puts an undeformed row before the first, if that is not one."""
        driven = torch.stack([values[name] for name in self.control])
        first, increment = driven[:, 0].abs(), (driven[:, 1] - driven[:, 0]).abs()
        if not bool((first > 0.0).any()):
            return
        time = values["time"]
        increments = torch.where(first <= HELD * increment, first / increment, AT_ONCE)
        at = time[0] - (time[1] - time[0]) * increments[first > 0.0].max()
        if self.strain_rate is not None:
            at = time.new_zeros(())
        if self.start_time is not None:
            at = time.new_tensor(self._in_model_time(self.start_time))
        if not bool(at < time[0]):
            self._refuse(f"start_time {float(at):g} is not before the first {float(time[0]):g}")
        for name, x in values.items():
            before = at if name == "time" else x[0] if name in self.inputs else x.new_zeros(())
            values[name] = torch.cat([before[None], x])
        for name, w in weights.items():
            weights[name] = torch.cat([w.new_zeros(1), w])

    def _in_model_time(self, time: float) -> float:
        for column in self.columns:
            if column.variable == "time" and column.unit is not None and column.to is not None:
                return convert(time, column.unit, column.to)
        return time

    def _thin(self, weights: dict[str, Tensor], n: int) -> None:
        """Leaves no more than n rows with weights."""
        if not weights:
            return
        compared = torch.stack(list(weights.values())).any(dim=0).nonzero().flatten()
        if len(compared) <= n:
            return
        kept = torch.zeros(len(next(iter(weights.values()))), dtype=torch.bool)
        kept[compared[torch.linspace(0, len(compared) - 1, n).round().long()]] = True
        weights.update({name: w.masked_fill(~kept, 0.0) for name, w in weights.items()})

    def _specimen(self, values: dict[str, Tensor], weights: dict[str, Tensor]) -> Specimens:
        n = len(values["time"])
        zeros = values["time"].new_zeros
        control = zeros(n, 1, 6) + (self.others == "stress")
        prescribed = {"strain": zeros(n, 1, 6), "stress": zeros(n, 1, 6)}
        measured: dict[str, Tensor] = {}
        counting: dict[str, Tensor] = {}
        for column in self.columns:
            name, place = column.variable, component(column.variable)
            x, w = values[name], weights.get(name)
            if place is None:
                if w is not None:
                    measured[name], counting[name] = x[:, None], w[:, None]
                continue
            kind, i, factor = place[0], place[1], _mandel(name)
            if w is None:
                control[:, 0, i] = float(kind == "stress")
                prescribed[kind][:, 0, i] = factor * x
            else:
                own = 1.0 if column.sigma is None else factor**2
                measured.setdefault(kind, zeros(n, 1, 6))[:, 0, i] = factor * x
                counting.setdefault(kind, zeros(n, 1, 6))[:, 0, i] = w / own
        inputs = {name: values[name][:, None] for name in self.inputs if name in values}
        inputs |= {name: zeros(n, 1) + value for name, value in self.constants.items()}
        conditions = {name: x.mean(0) for name, x in inputs.items()}
        if not self.control[0].startswith("stress"):
            path = values[self.control[0]].diff().abs().sum()
            duration = values["time"][-1] - values["time"][0]
            conditions["strain_rate"] = (path / duration)[None]
        return Specimens(
            names=(self.name or Path(self.file).stem,),
            times=values["time"][:, None],
            lengths=torch.tensor([n]),
            control=control,
            **prescribed,
            fields=inputs,
            measured=measured,
            weights=counting,
            conditions=conditions,
        )

    # --- the file ---------------------------------------------------------------------
    def _values(self) -> tuple[list[int], dict[str, Tensor], dict[str, Tensor]]:
        """Line numbers; values in the model's units, and weights of the measured ones, (n,)."""
        table = CSVTable(
            self.file,
            self.delimiter,
            self.comment,
            self.skip_before,
            self.skip_after,
            self.encoding,
        )
        names = [c.column for c in self.columns]
        cells = table.cells([*names, *([self.mask] if self.mask else [])])
        counts = torch.ones(len(cells.lines), dtype=torch.float64)
        if self.mask:
            counts = cells.numbers(self.mask)
            texts = cells.columns[self.mask]
            for line, cell, count in zip(cells.lines, texts, counts.tolist(), strict=True):
                if count not in (0.0, 1.0):
                    message = f"column '{self.mask}': the mask is 0 or 1, not '{cell}'"
                    raise InputError(message, f"{self.file}:{line}")
        values, weights = {}, {}
        for column in self.columns:
            name = column.variable
            measured = name not in (*self.control, *self.inputs, "time")
            optional = measured and self.missing == "mask"
            x = cells.numbers(column.column, optional)
            if column.unit is not None and column.to is not None:
                x = convert(x, column.unit, column.to)
            values[name] = x.nan_to_num(0.0)
            if measured:
                weight = self.weight * column.weight / (column.sigma or 1.0) ** 2
                weights[name] = weight * counts * ~x.isnan()
        return cells.lines, values, weights


_CHOICES = {
    "others": ("stress", "strain"),
    "missing": ("error", "mask"),
    "start": ("zero", "first"),
}


def component(variable: str) -> tuple[str, int] | None:
    """Kind and Mandel index of `strain_11`, ..., `gamma_12`; None for another variable."""
    kind, _, suffix = variable.rpartition("_")
    allowed = COMPONENTS[3:] if kind == "gamma" else COMPONENTS
    if kind in ("strain", "stress", "gamma") and suffix in allowed:
        return ("stress" if kind == "stress" else "strain"), COMPONENTS.index(suffix)
    if variable in ("strain", "stress", "gamma") or (
        kind in ("strain", "stress", "gamma") and suffix.isdigit()
    ):
        known = [f"{kind or variable}_{c}" for c in allowed]
        raise InputError(f"'{variable}' is not a component; known: {', '.join(known)}")
    return None


def _mandel(variable: str) -> float:
    """The factor from a tensor component or an engineering shear strain to Mandel notation."""
    if variable.startswith("gamma"):
        return 1.0 / SQRT2
    return SQRT2 if variable.endswith(COMPONENTS[3:]) else 1.0
