"""Blocks of a finite-element deck: meshes, functions, materials and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from neml2fe import fem
from neml2fe.fem.mesh import generate
from neml2fe.fem.conditions.functions import TimeFunction
from neml2fe.input.csvtensor import read_csv_tensor
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.input.expression import evaluate
from neml2fe.material import Material

if TYPE_CHECKING:
    from neml2fe.input.factory import Input


# --- [Meshes] --------------------------------------------------------------------------
MESH_FIELDS: dict[str, tuple[str, ...]] = {
    "File": ("file",),
    "Rectangle": ("divisions", "lengths", "cell_type"),
    "Box": ("divisions", "lengths", "cell_type"),
    "QuarterAnnulus": ("divisions", "radii", "cell_type"),
}


@dataclass
class MeshSource:
    """A mesh to be read or generated on rank 0 only, when the run starts."""

    block: Block

    def load(self) -> fem.Mesh:
        block = self.block
        kind = block.get("type")
        if kind is None or kind.as_str() == "File":
            return fem.Mesh.read(block.require("file").as_path())
        cell_type = block.require("cell_type").as_str()
        divisions = block.require("divisions").as_ints()
        with located(block):
            if kind.as_str() == "QuarterAnnulus":
                inner, outer = self._values("radii", 2)
                n_radial, n_circumferential = divisions
                return generate.quarter_annulus(
                    n_radial, n_circumferential, cell_type, inner, outer
                )
            make: Any = generate.rectangle if kind.as_str() == "Rectangle" else generate.box
            dim = 2 if kind.as_str() == "Rectangle" else 3
            if len(divisions) != dim:
                raise block.require("divisions").error(f"expected {dim} numbers of elements")
            return make(*divisions, cell_type, lengths=tuple(self._values("lengths", dim)))

    def _values(self, name: str, n: int) -> list[float]:
        values = self.block.require(name).as_floats()
        if len(values) != n:
            raise self.block.require(name).error(f"expected {n} numbers, got {len(values)}")
        return values


def build_mesh(source: Input, block: Block) -> MeshSource:
    return MeshSource(block)


# --- [Functions] -----------------------------------------------------------------------
FUNCTION_FIELDS: dict[str, tuple[str, ...]] = {
    "PiecewiseLinear": ("times", "values", "csv_file", "time_column", "value_column"),
    "Expression": ("expr",),
}


@dataclass
class Expression:
    """A function of the time `t` written as an expression of a deck."""

    text: FieldValue
    trust: bool

    def __call__(self, time: float) -> float:
        t = torch.tensor(time, dtype=torch.float64)
        value = evaluate(self.text.as_str(), {"t": t}, self.text.location, self.trust)
        if not isinstance(value, (int, float, torch.Tensor)):
            raise self.text.error(f"the expression gives a {type(value).__name__}, not a number")
        if isinstance(value, torch.Tensor) and value.numel() != 1:
            raise self.text.error(
                f"the expression gives a tensor of shape {tuple(value.shape)}, not a number"
            )
        return float(value)


def build_function(source: Input, block: Block) -> TimeFunction:
    if block.require("type").as_str() == "Expression":
        function = Expression(block.require("expr"), source.trust)
        function(0.0)  # a mistake should show before the run starts
        return function
    table = block.get("csv_file")
    with located(block):
        if table is None:
            return fem.PiecewiseLinear(
                block.require("times").as_floats(), block.require("values").as_floats()
            )
        path = table.as_path()
        columns = [block.require(f"{part}_column").as_str() for part in ("time", "value")]
        times, values = (read_csv_tensor(path, ("",), column_names=[c]) for c in columns)
        return fem.PiecewiseLinear(times.tolist(), values.tolist())


def time_function(source: Input, value: FieldValue, word: str | None = None) -> TimeFunction:
    """A number, or the function of that name."""
    word = value.as_str() if word is None else word
    number = value.number_or_none(word)
    function: TimeFunction = source.refer("Functions", value, word) if number is None else number
    return function


# --- [Materials] -----------------------------------------------------------------------
MATERIAL_FIELDS: dict[str, tuple[str, ...]] = {
    "Material": ("model", "strain", "stress", "time", "backend"),
}


def build_material(source: Input, block: Block) -> Material:
    words = {n: f.as_str() for n, f in block.fields.items() if n not in ("type", "model")}
    with located(block):
        return Material(source.refer("Models", block.require("model")), **words)


# --- [BoundaryConditions] --------------------------------------------------------------
CONDITION_FIELDS: dict[str, tuple[str, ...]] = {
    "Dirichlet": ("boundary", "component", "value"),
    "Traction": ("boundary", "value"),
    "Pressure": ("boundary", "value"),
    "BodyForce": ("value",),
}


def build_condition(source: Input, block: Block) -> fem.Condition:
    kind = block.require("type").as_str()
    given = block.require("value")
    many = [time_function(source, given, word) for word in given.as_list()]
    if kind == "BodyForce":
        return fem.BodyForce(many, label=block.name)
    boundary = block.require("boundary").as_str()
    if kind == "Traction":
        return fem.Traction(boundary, many, label=block.name)
    if len(many) != 1:
        raise given.error("expected one number or function")
    if kind == "Pressure":
        return fem.Pressure(boundary, many[0], label=block.name)
    return fem.Dirichlet(boundary, block.require("component").as_str(), many[0], label=block.name)
