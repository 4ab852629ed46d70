"""`[Parameters] type = FieldParameter`: a parameter with a value of every element or node."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import Tikhonov, TotalVariation, Weighing
from neml2fe.calibration.simulations.penalties import OF, FieldPenalty
from neml2fe.calibration.simulations.tests_fit import WEIGHING
from neml2fe.errors import InputError, suggest
from neml2fe.fem import ElementField, Mesh, NodalField
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.input.simulation import FiniteElementDriver

OWN = ("of", "penalty", "weight", "weight_by", "smoothing")
_PENALTIES: dict[str, type[FieldPenalty]] = {
    "tikhonov": Tikhonov,
    "total_variation": TotalVariation,
}


@dataclass(frozen=True)
class FieldParameter(FitParameter):
    """Takes the place of a field of the driver, with values of `of`, elements or nodes."""

    of: str = "elements"
    place: Block = field(default_factory=lambda: Block("", "", ""), repr=False)

    @property
    def is_penalised(self) -> bool:
        return self.place.get("penalty") is not None

    @property
    def weighing_by(self) -> str:
        by = self.place.get("weight_by")
        return by.as_str() if by else "given"

    def weighing(self, mesh: Mesh) -> Weighing:
        """Its penalty on the mesh, and how that weighs."""
        kind = self.place.require("penalty").as_str()
        weights, options = self.place.require("weight").as_floats(), {}
        if smoothing := self.place.get("smoothing"):
            options["smoothing"] = smoothing.as_float()
        with located(self.place):
            penalty = _PENALTIES[kind](mesh, self.name, weights[0], of=self.of, **options)
        return Weighing(penalty, self.weighing_by, weights)


def field_parameter(block: Block, given: FitParameter) -> FieldParameter:
    """What a block says, whose fields that all parameters have are `given`."""
    of = _word(block.get("of"), OF, "elements")
    kind, by = block.get("penalty"), _word(block.get("weight_by"), WEIGHING, "given")
    if kind is None:
        if odd := next((v for name in OWN[2:] if (v := block.get(name))), None):
            raise odd.error("it is for a penalty: tikhonov or total_variation")
    else:
        _word(kind, _PENALTIES, "")
        weights = block.require("weight")
        if any(w <= 0.0 for w in weights.as_floats()):
            raise weights.error(f"weights of a penalty must be positive, got {weights.text}")
        n, few = len(weights.as_floats()), by == "l_curve"
        if n < 3 if few else n != 1:
            wanted = "at least three weights" if few else "one weight"
            raise weights.error(f"weight_by = {by} needs {wanted}, got {n}")
        smoothing = block.get("smoothing")
        if kind.as_str() == "total_variation":
            if not block.require("smoothing").as_float() > 0.0:
                raise block.require("smoothing").error("the smoothing must be positive")
        elif smoothing:
            raise smoothing.error("only total_variation has a smoothing")
    known = {f.name: getattr(given, f.name) for f in dataclasses.fields(FitParameter)}
    return FieldParameter(**known, of=of, place=block)


def _word(value: FieldValue | None, known: Any, default: str) -> str:
    if value is None:
        return default
    if value.as_str() not in known:
        raise value.error(f"no choice '{value.text}'{suggest(value.text, known)}")
    return value.as_str()


# --- the fields of a driver --------------------------------------------------------------
def field_of(driver: FiniteElementDriver, name: str) -> str | None:
    """The field of the driver or of one of its bodies, such as `fields.E` or `sheet.fields.E`, that
    a parameter means; None where there is none. Raises `InputError` where there are several."""
    known = dict(_fields(driver))
    if name in known:
        return name
    found = [full for full in known if full.endswith(f".{name}")]
    if len(found) > 1:
        raise InputError(f"the field '{name}' may be {' or '.join(found)}; write one of them")
    return found[0] if found else None


def _fields(driver: FiniteElementDriver) -> Iterator[tuple[str, Any]]:
    yield from ((f"fields.{n}", v) for n, v in driver.problem.get("fields", {}).items())
    for body in driver.bodies:
        yield from ((f"{body.name}.fields.{n}", v) for n, v in body.fields.items())


def with_fields(
    driver: FiniteElementDriver, parameters: Sequence[FieldParameter], mesh: Mesh
) -> FiniteElementDriver:
    """The driver with a tensor in place of each field that is fitted. Raises `InputError` for start
    values that do not fit."""
    known, found = dict(_fields(driver)), {}
    for parameter in parameters:
        with located(parameter.place):
            name = field_of(driver, parameter.name)
            if name is not None:
                found[name] = _field(parameter, known[name], mesh)
    own = {**driver.problem.get("fields", {}), **_within("fields.", found)}
    bodies = [
        dataclasses.replace(b, fields={**b.fields, **_within(f"{b.name}.fields.", found)})
        for b in driver.bodies
    ]
    problem = {**driver.problem, "fields": own} if own else driver.problem
    return dataclasses.replace(driver, problem=problem, bodies=bodies)


def _within(prefix: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {n.removeprefix(prefix): v for n, v in found.items() if n.startswith(prefix)}


def _field(parameter: FieldParameter, before: Any, mesh: Mesh) -> ElementField | NodalField:
    """With the start values of the parameter, else those of the field `before`."""
    kind = ElementField if parameter.of == "elements" else NodalField
    n = mesh.n_elements if parameter.of == "elements" else mesh.n_nodes
    start = parameter.initial if parameter.initial is not None else before
    if isinstance(start, kind):
        start = start.values
    try:
        values = torch.as_tensor(np.asarray(start, dtype=np.float64)).clone()
    except (TypeError, ValueError):
        raise InputError(
            f"the field '{parameter.name}' has no start value for each of the {parameter.of}: give "
            "it as 'initial'"
        ) from None
    if values.ndim == 0:
        values = values.expand(n).clone()
    if len(values) != n:
        raise InputError(f"{len(values)} start values for {n} {parameter.of}")
    return kind(values.requires_grad_())
