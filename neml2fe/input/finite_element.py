"""Blocks of a finite-element deck: meshes, functions, materials, conditions and the driver."""

from __future__ import annotations

import dataclasses
import shlex
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neml2fe import fem
from neml2fe.errors import InputError
from neml2fe.fem import generate
from neml2fe.fem.collective import collectively
from neml2fe.fem.functions import TimeFunction
from neml2fe.input.csvtensor import read_csv_tensor
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.input.expression import evaluate
from neml2fe.input.models import option
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
    folder: Path

    def load(self) -> fem.Mesh:
        block = self.block
        kind = block.get("type")
        if kind is None or kind.as_str() == "File":
            return fem.Mesh.read(self.folder / block.require("file").as_str())
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
    return MeshSource(block, Path(source.deck.path).parent)


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
        path = Path(source.deck.path).parent / table.as_str()
        columns = [block.require(f"{part}_column").as_str() for part in ("time", "value")]
        times, values = (read_csv_tensor(path, ("",), column_names=[c]) for c in columns)
        return fem.PiecewiseLinear(times.tolist(), values.tolist())


def time_function(source: Input, value: FieldValue, word: str | None = None) -> TimeFunction:
    """A number, or the function of that name."""
    word = value.as_str() if word is None else word
    try:
        return FieldValue(value.name, word, value.where, value.block).as_float()
    except InputError:
        function: TimeFunction = source.refer("Functions", value, word)
        return function


# --- [Materials] -----------------------------------------------------------------------
MATERIAL_FIELDS: dict[str, tuple[str, ...]] = {
    "Material": ("model", "strain", "stress", "time"),
}


def build_material(source: Input, block: Block) -> Material:
    names = {n: f.as_str() for n, f in block.fields.items() if n in ("strain", "stress", "time")}
    with located(block):
        return Material(source.refer("Models", block.require("model")), **names)


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


# --- [Drivers] type = FiniteElementDriver ----------------------------------------------
@dataclass
class FiniteElementDriver:
    """A finite-element run as a deck describes it; `run` carries it out on all ranks."""

    name: str
    mesh: MeshSource
    material: Material
    conditions: list[fem.Condition]
    end_time: float
    dt: float
    dt_min: float | None = None
    dt_max: float | None = None
    growth: float = 1.5
    cutback: float = 0.5
    easy_iterations: int = 5
    stops: list[float] = field(default_factory=list)
    formulation: str = "auto"
    quadrature_degree: int | None = None
    fields: Mapping[str, TimeFunction] = field(default_factory=dict)
    tolerance: float = 1e-10
    backend: str = "auto"
    petsc_options: str = ""
    device: str = "cpu"
    output_every: int = 1
    checkpoint_every: int = 10
    figure: str | None = None

    def stepping(self) -> fem.TimeStepping:
        return fem.TimeStepping(
            end=self.end_time,
            dt=self.dt,
            dt_min=self.dt_min,
            dt_max=self.dt_max,
            growth=self.growth,
            cutback=self.cutback,
            easy_iterations=self.easy_iterations,
            stops=self.stops,
        )

    def run(
        self,
        directory: Path,
        comm: Any = None,
        resume: Path | None = None,
        petsc_options: Mapping[str, str | None] | None = None,
        quiet: bool = False,
    ) -> fem.Run:
        """Carry out the run, writing into `directory`. Collective."""
        _check_device(self.device)
        root = comm is None or comm.rank == 0
        mesh = collectively(comm, self.mesh.load if root else lambda: None, every_rank=True)
        problem = fem.Problem(
            mesh,
            self.material,
            self.conditions,
            formulation=self.formulation,
            quadrature_degree=self.quadrature_degree,
            fields=self.fields,
            backend=self.backend,
            petsc_options={**parse_petsc_options(self.petsc_options), **(petsc_options or {})},
            tolerance=self.tolerance,
            device=self.device,
            comm=comm,
        )
        try:
            recorder = fem.Recorder(
                problem, directory, self.name, self.output_every, self.checkpoint_every
            )
            return fem.simulate(
                problem, self.stepping(), recorder, resume=resume, figure=self.figure, quiet=quiet
            )
        finally:
            problem.close()


_REFERENCES = ("mesh", "material", "boundary_conditions", "field_names", "field_values")
_PLAIN = {
    f.name: f
    for f in dataclasses.fields(FiniteElementDriver)
    if f.name not in ("name", "mesh", "material", "conditions", "fields")
}
DRIVER_FIELDS: dict[str, tuple[str, ...]] = {"FiniteElementDriver": (*_REFERENCES, *_PLAIN)}


def build_driver(source: Input, block: Block) -> FiniteElementDriver:
    """`mesh` and `material` may be left out where the deck has one; all boundary conditions
    of the deck act unless some are listed."""
    kinds = typing.get_type_hints(FiniteElementDriver)
    given: dict[str, Any] = {}
    for name, declared in _PLAIN.items():
        value = block.get(name)
        if value is not None:
            given[name] = _plain(source, value, kinds[name])
        elif declared.default is dataclasses.MISSING and (
            declared.default_factory is dataclasses.MISSING
        ):
            block.require(name)
    listed = block.get("boundary_conditions")
    names = (
        listed.as_list() if listed else [b.name for b in source.deck.blocks("BoundaryConditions")]
    )
    conditions = [
        source.refer("BoundaryConditions", listed, n) if listed
        else source.get("BoundaryConditions", n)
        for n in names
    ]  # fmt: skip
    driver = FiniteElementDriver(
        name=block.name,
        mesh=_only(source, block, "Meshes", "mesh"),
        material=_only(source, block, "Materials", "material"),
        conditions=conditions,
        fields=_fields(source, block),
        **given,
    )
    with located(block):
        driver.stepping()  # refuses sizes that make no sense before anything is read
    return driver


def _plain(source: Input, value: FieldValue, kind: Any) -> Any:
    if kind == list[float]:
        return value.as_floats()
    chosen = [k for k in typing.get_args(kind) if k is not type(None)] or [kind]
    return option(source, value, chosen[0])


def _only(source: Input, block: Block, section: str, name: str) -> Any:
    value = block.get(name)
    if value is not None:
        return source.refer(section, value)
    known = source.deck.blocks(section)
    if len(known) != 1:
        raise block.error(f"the field '{name}' must name one of the {len(known)} [{section}]")
    return source.get(section, known[0].name)


def _fields(source: Input, block: Block) -> dict[str, TimeFunction]:
    names, values = block.get("field_names"), block.get("field_values")
    if names is None and values is None:
        return {}
    if names is None or values is None or len(names.as_list()) != len(values.as_list()):
        raise block.error("'field_names' and 'field_values' must be equally long lists")
    pairs = zip(names.as_list(), values.as_list(), strict=True)
    return {name: time_function(source, values, word) for name, word in pairs}


def _check_device(name: str) -> None:
    """Raises `InputError` unless numbers can be put on the device and read back."""
    try:
        torch.zeros(1, dtype=torch.float64, device=name).cpu()
    except (RuntimeError, AssertionError, TypeError) as error:
        known = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device '{name}' cannot be used here ({reason}); found: {', '.join(known)}"
        ) from None


def parse_petsc_options(text: str) -> dict[str, str | None]:
    """`-ksp_type cg -pc_type gamg -ksp_monitor` to a mapping; flags have the value None."""
    options: dict[str, str | None] = {}
    last = ""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"PETSc options: {error} in {text}") from None
    for word in words:
        is_number = word[:1] == "-" and word[1:2].isdigit()
        if word.startswith("-") and not is_number:
            last = word.lstrip("-")
            options[last] = None
        elif last:
            options[last] = word
        else:
            raise InputError(f"PETSc options: expected an option like -ksp_type, got '{word}'")
    return options
