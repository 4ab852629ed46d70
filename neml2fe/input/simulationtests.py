"""`[Tests]` blocks: simulated tests, and tests of specimens, that one calibration may join."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neml2fe.calibration.interface import Problem
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import (
    Measurement,
    NodalMotion,
    SimulationProblem,
    VirtualFieldsProblem,
)
from neml2fe.calibration.simulations.timed import Renamed
from neml2fe.errors import InputError, suggest
from neml2fe.fem import ControlDisplacement, ControlForce, Dirichlet, RigidBody
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.adjoint.inputs import tensors_of_problem
from neml2fe.fem.collective import collectively
from neml2fe.input.arguments import Call
from neml2fe.input.calibration import SPECIMENS, Calibration, specimen_fit
from neml2fe.input.deck import Block, located
from neml2fe.input.fieldparameters import FieldParameter, field_of, with_fields
from neml2fe.input.meshes import MeshSource
from neml2fe.input.search import chosen_blocks
from neml2fe.input.simulation import FiniteElementDriver
from neml2fe.input.virtualwork import MeasuredWork

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

_CHECKPOINTS = Call(
    Checkpoints,
    renamed={
        "schedule": "checkpoints",
        "every": "checkpoint_every",
        "snapshots": "checkpoint_count",
        "memory": "checkpoint_memory",
        "folder": "checkpoint_folder",
    },
)
FIELDS: dict[str, tuple[str, ...]] = {
    "SimulationTest": ("driver", "measurements", *_CHECKPOINTS.fields()),
    "SpecimenTest": SPECIMENS,
}
_GRIPS = (Dirichlet, RigidBody, ControlDisplacement, ControlForce)
PetscOptions = Mapping[str, str | None]


@dataclass(frozen=True)
class SimulationTest:
    """A finite-element run of a test, and what was measured in it."""

    block: Block
    driver: FiniteElementDriver
    measurements: dict[str, Measurement | MeasuredWork]
    checkpoints: Checkpoints

    @property
    def work(self) -> MeasuredWork | None:
        """What is measured of a test by virtual fields, which is nothing else."""
        return next((m for m in self.measurements.values() if isinstance(m, MeasuredWork)), None)

    def member(
        self, parameters: Sequence[FitParameter], comm: Any, options: PetscOptions
    ) -> Problem:
        """This test as a part of a fit of those `parameters` that it has. Collective.

        Raises `InputError` where measurements, parameters and simulation do not fit.
        """
        driver, measurements, motion = self._prepared(parameters, comm)
        problem = driver.make_problem(comm, options)
        try:
            front = self._front()
            known = [front + name for name in tensors_of_problem(problem)]
            with located(self.block):
                own = resolved(parameters, known)
            own = {name: full.removeprefix(front) for name, full in own.items()}
            fitted = [p for p in parameters if p.name in own]
            for parameter in fitted:
                if isinstance(parameter, FieldParameter):
                    self._check_field(parameter)
            arguments = (
                *(problem, driver.stepping, measurements),
                [dataclasses.replace(p, name=own[p.name]) for p in fitted],
            )
            with driver.placed(), located(self.block):
                found = (
                    SimulationProblem(*arguments, checkpoints=self.checkpoints)
                    if motion is None
                    else VirtualFieldsProblem(motion, *arguments, checkpoints=self.checkpoints)
                )
            return Renamed(found, fitted, known)
        except BaseException:
            problem.close()
            raise

    def _prepared(
        self, parameters: Sequence[FitParameter], comm: Any
    ) -> tuple[FiniteElementDriver, dict[str, Measurement], NodalMotion | None]:
        """The driver with tensors for fields that are fitted, and with the motion of all nodes
        where that is measured; what is compared; and the motion, if its noise is to count."""
        fields = [p for p in parameters if isinstance(p, FieldParameter)]
        driver, measurements = self.driver, self.measurements
        if not fields and self.work is None:
            return driver, measurements, None  # type: ignore[return-value]
        mesh = collectively(comm, driver.mesh.load, every_rank=True)
        driver = with_fields(driver, fields, mesh)
        motion = None
        if work := self.work:
            start = float(driver.problem.get("start_time", 0.0))
            motion, measured = collectively(comm, lambda: work.on(mesh, start), every_rank=True)
            (name,) = measurements
            driver = dataclasses.replace(driver, conditions=[*motion.conditions()])
            mesh, measurements = motion.mesh, {name: measured}
        loaded = MeshSource(driver.mesh.block, lambda: mesh)
        weighed = motion if work is not None and work.displacement_noise else None
        return dataclasses.replace(driver, mesh=loaded), measurements, weighed  # type: ignore[return-value]

    def _check_field(self, parameter: FieldParameter) -> None:
        """That what is fitted as a field is one of the driver."""
        if field_of(self.driver, parameter.name) is None:
            raise parameter.place.require("parameter").error(
                f"'{parameter.name}' is no field: a value of every element or node takes the place "
                "of one of 'field_names' of the driver or a body; type = FitParameter fits one "
                "value"
            )

    def _front(self) -> str:
        """The name of the model, where there is one only: decks write it before a parameter of a
        model that is no composition."""
        materials: list[Any] = [body.material for body in self.driver.bodies]
        if len({id(material) for material in materials}) > 1:
            return ""
        material = materials[0]
        while not hasattr(material, "model"):
            material = material.material
        return f"{material.model.label}."


@dataclass(frozen=True)
class SpecimenTest:
    """Histories of material points, and what was measured of them."""

    block: Block
    fit: Calibration

    def member(
        self, parameters: Sequence[FitParameter], comm: Any, options: PetscOptions
    ) -> Problem | None:
        """This test as a part of a fit, on the first rank only. Collective."""
        known = [name for name, _ in self.fit.system.model.named_parameters()]
        with located(self.block):
            own = resolved(parameters, known)

        def made() -> Problem | None:
            if comm is not None and comm.rank != 0:
                return None
            fitted = [dataclasses.replace(p, name=own[p.name]) for p in parameters if p.name in own]
            with located(self.block):
                problem = dataclasses.replace(self.fit, fitted=fitted).problem()
            return Renamed(problem, [p for p in parameters if p.name in own], known)

        return collectively(comm, made, every_rank=True)


def resolved(parameters: Sequence[FitParameter], known: Sequence[str]) -> dict[str, str]:
    """Full names of the parameters among those `known`, as far as they are there. A name such as
    `yield_surface.sy` stands for `return_map.flow.yield_surface.sy` too: parts from the left or
    between may be left out. Raises `InputError` where several have what is left."""
    found = {}
    for parameter in parameters:
        name = parameter.name
        fits = [name] if name in known else [k for k in known if _stands_for(name, k)]
        if len(fits) > 1:
            raise InputError(
                f"the parameter '{name}' may be {' or '.join(fits)}; write one of them"
            )
        if fits:
            found[name] = fits[0]
    if not found:
        names = ", ".join(parameter.name for parameter in parameters)
        near = suggest(parameters[0].name, short_names(known))
        raise InputError(f"this test has none of the parameters that are fitted, {names}{near}")
    return found


def short_names(known: Sequence[str]) -> list[str]:
    """The last two parts of each name."""
    return list(dict.fromkeys(".".join(name.split(".")[-2:]) for name in known))


def _stands_for(name: str, full: str) -> bool:
    parts, all_parts = name.split("."), full.split(".")
    rest = iter(all_parts)
    return all(part in rest for part in parts) and all_parts[-1] == parts[-1]


def build_test(source: Input, block: Block) -> SimulationTest | SpecimenTest:
    """All measurements of the deck take part unless some are listed; of a camera that a
    VirtualFields takes its motion from, that one only."""
    if block.require("type").as_str() == "SpecimenTest":
        return SpecimenTest(block, specimen_fit(source, block, ()))
    value = block.require("driver")
    driver = source.refer("Drivers", value)
    if not isinstance(driver, FiniteElementDriver):
        raise value.error(f"'{value.as_str()}' is no FiniteElementDriver")
    chosen = chosen_blocks(source, block, "Measurements")
    if not chosen:
        raise block.error("nothing is measured; the deck needs blocks in [Measurements]")
    measurements = {b.name: source.get("Measurements", b.name) for b in chosen}
    listed = block.get("measurements")
    works = [m for m in measurements.values() if isinstance(m, MeasuredWork)]
    if works and not listed:
        cameras = [work.camera for work in works]
        measurements = {n: m for n, m in measurements.items() if m not in cameras}
    if works and len(measurements) > 1:
        raise (listed or block).error(
            "a test by VirtualFields compares nothing else, as its camera prescribes all nodes: "
            "let 'measurements' name that one, and fit others in a test of their own"
        )
    odd = [c for c in driver.conditions if not isinstance(c, _GRIPS)]
    if works and odd:
        raise value.error(
            f"'{odd[0].name}' of the driver is a {type(odd[0]).__name__}; VirtualFields know the "
            "load of the load cell only, and grips, whose place the motion takes"
        )
    return SimulationTest(block, driver, measurements, _CHECKPOINTS.build(source, block))
