"""`[Drivers] type = FiniteElementDriver`: a finite-element run as a deck describes it."""

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
from neml2fe.errors import ConvergenceError, InputError
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.functions import TimeFunction
from neml2fe.input.deck import Block, Deck, FieldValue, located
from neml2fe.input.finite_element import MeshSource, time_function
from neml2fe.input.models import option
from neml2fe.input.replay import NAME, override_options, write_replay
from neml2fe.material import Material

if TYPE_CHECKING:
    from neml2fe.input.factory import Input


@dataclass
class FiniteElementDriver:
    """A finite-element run as a deck describes it; `run` carries it out on all ranks."""

    name: str
    deck: Deck
    mesh: MeshSource
    material: Material
    conditions: list[fem.Condition]
    end_time: float
    dt: float
    start_time: float = 0.0
    dt_min: float | None = None
    dt_max: float | None = None
    growth: float = 1.5
    cutback: float = 0.5
    easy_iterations: int = 5
    stops: list[float] = field(default_factory=list)
    formulation: str = "auto"
    quadrature_degree: int | None = None
    fields: Mapping[str, TimeFunction] = field(default_factory=dict)
    tolerance: float = 1e-12
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
            start_time=self.start_time,
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
        except ConvergenceError as error:
            self._keep_failed_point(problem, directory, error)
            raise
        finally:
            problem.close()

    def _keep_failed_point(
        self, problem: fem.Problem, directory: Path, error: ConvergenceError
    ) -> None:
        """Write a deck that repeats the update of one failed point, and say so. Collective."""
        point = problem.failed_point()
        if point is None:
            return
        path = directory / f"{self.name}_{NAME}.i"

        def write() -> None:
            write_replay(path, self.deck, self.material, point)

        collectively(problem.comm, write)
        sets = override_options(self.deck)
        error.message += f"; to repeat {point.place} alone: neml2fe run {path} {NAME}{sets}"


_REFERENCES = ("mesh", "material", "boundary_conditions", "field_names", "field_values")
_PLAIN = {
    f.name: f
    for f in dataclasses.fields(FiniteElementDriver)
    if f.name not in ("name", "deck", "mesh", "material", "conditions", "fields")
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
        deck=source.deck,
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
