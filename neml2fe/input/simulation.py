"""`[Drivers] type = FiniteElementDriver`: a finite-element run as a deck describes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neml2fe import fem
from neml2fe.errors import ConvergenceError, InputError, MeshError, ModelError
from neml2fe.fem.algebra.options_file import bare, read_options
from neml2fe.fem.collective import collectively
from neml2fe.input.arguments import Call
from neml2fe.input.deck import Block, Deck, FieldValue, located
from neml2fe.input.materials import material_of
from neml2fe.input.meshes import MeshSource
from neml2fe.input.replay import NAME, override_options, write_replay

if TYPE_CHECKING:
    from neml2fe.input.factory import Input


# What a deck gives of the calls in Python that make up a run.
PROBLEM = Call(
    fem.Problem, ("mesh", "bodies", "conditions", "petsc_options", "comm", "coordinates")
)
STEPPING = Call(fem.TimeStepping, renamed={"end": "end_time"})
RECORDER = Call(fem.Recorder, ("problem", "directory", "stem", "probes"), {"every": "output_every"})
SIMULATION = Call(fem.simulate, ("problem", "stepping", "recorder", "resume", "quiet", "listener"))
CALLS = (STEPPING, PROBLEM, RECORDER, SIMULATION)
_LISTS = {"bodies": "Bodies", "boundary_conditions": "BoundaryConditions", "probes": "Probes"}
_OPTIONS = ("petsc_options", "petsc_options_file")
PREFIX = "neml2fe_"  # of options in the environment and, where wanted, in decks
DRIVER_FIELDS: dict[str, tuple[str, ...]] = {
    "FiniteElementDriver": (
        "mesh",
        "material",
        *_LISTS,
        *(name for call in CALLS for name in call.fields()),
        *_OPTIONS,
    )
}


@dataclass
class FiniteElementDriver:
    """A finite-element run as a deck describes it; `run` carries it out on all ranks.

    `problem`, `recorder` and `simulation` are arguments of `fem.Problem`, `fem.Recorder` and
    `fem.simulate`.
    """

    name: str
    deck: Deck
    mesh: MeshSource
    bodies: list[fem.Body]
    conditions: list[fem.Condition]
    stepping: fem.TimeStepping
    problem: dict[str, Any] = field(default_factory=dict)
    recorder: dict[str, Any] = field(default_factory=dict)
    simulation: dict[str, Any] = field(default_factory=dict)
    petsc_options: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def backend(self) -> str:
        return str(self.problem.get("backend", "auto"))

    def run(
        self,
        directory: Path,
        comm: Any = None,
        resume: Path | None = None,
        petsc_options: Mapping[str, str | None] | None = None,
        quiet: bool = False,
    ) -> fem.Run:
        """Carry out the run, writing into `directory`. Collective."""
        problem = self.make_problem(comm, petsc_options)
        try:
            with self.placed():
                recorder = fem.Recorder(problem, directory, self.name, **self.recorder)
                return fem.simulate(
                    problem,
                    self.stepping,
                    recorder,
                    resume=resume,
                    quiet=quiet,
                    **self.simulation,
                )
        except ConvergenceError as error:
            self._keep_failed_point(problem, directory, error)
            raise
        finally:
            problem.close()

    def make_problem(
        self, comm: Any = None, petsc_options: Mapping[str, str | None] | None = None
    ) -> fem.Problem:
        """The problem on the ranks of `comm`, before its first step. Collective."""
        block = self.deck.block("Drivers", self.name)
        with located(block.get("device") or block):
            _check_device(self.problem.get("device", "cpu"))
        root = comm is None or comm.rank == 0
        mesh = collectively(comm, self.mesh.load if root else lambda: None, every_rank=True)
        with self.placed():
            return fem.Problem(
                mesh,
                self.bodies,
                self.conditions,
                petsc_options={**self.petsc_options, **bare(petsc_options or {}, PREFIX)},
                comm=comm,
                **self.problem,
            )

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Give errors about a condition, body, field or probe the place of its block, and others
        that have none that of the driver."""
        try:
            yield
        except (InputError, MeshError, ModelError) as error:
            block = self._spoken_of(error.message)
            if block:
                mesh = f" (mesh: {error.location})" if error.location else ""
                error.message, error.location = error.message + mesh, block.location
            error.location = error.location or self.deck.block("Drivers", self.name).location
            raise

    def _spoken_of(self, message: str) -> Block | FieldValue | None:
        """What the deck has of the part that a message names first."""
        for words, section in _SPOKEN.items():
            for name in re.findall(rf"\b(?:{words}) '([^']+)'", message):
                for block in self.deck.blocks(section):
                    if block.name == name:
                        return block
        named = re.search(r"(?<!no )(?<!scalar )\bfield '([^']+)'", message)
        return self._given(named[1]) if named else None

    def _given(self, variable: str) -> Block | FieldValue | None:
        """Where the values of a variable that varies over the body come from: a block of [Fields]
        or [Functions], or a number."""
        users = [self.deck.block("Drivers", self.name), *self.deck.blocks("Bodies")]
        for block in users:
            for stem in ("field", "initial_state"):
                names, values = (block.get(f"{stem}_{part}") for part in ("names", "values"))
                if names and values and variable in names.as_list():
                    word = values.as_list()[names.as_list().index(variable)]
                    known = [*self.deck.blocks("Fields"), *self.deck.blocks("Functions")]
                    return next((b for b in known if b.name == word), values)
        return None

    def _keep_failed_point(
        self, problem: fem.Problem, directory: Path, error: ConvergenceError
    ) -> None:
        """Write a deck that repeats the update of one failed point, and say so. Collective."""
        point = problem.failed_point()
        if point is None:
            return
        path = directory / f"{self.name}_{NAME}.i"
        material = next(s.material for s in problem.solids if s.name == point.body)

        def write() -> None:
            write_replay(path, self.deck, material, point)

        collectively(problem.comm, write)
        sets = override_options(self.deck)
        error.message += f"; to repeat {point.place} alone: neml2fe run {path} {NAME}{sets}"


_SPOKEN = {
    "conditions?|interface": "BoundaryConditions",
    "body": "Bodies",
    "probe": "Probes",
}


def build_driver(source: Input, block: Block) -> FiniteElementDriver:
    """`mesh` and `material` may be left out where the deck has one; all boundary conditions,
    bodies and probes of the deck take part unless some are listed."""
    parts = {name: _listed(source, block, name, section) for name, section in _LISTS.items()}
    recorder = RECORDER.arguments(source, block)
    if parts["probes"]:
        recorder["probes"] = parts["probes"]
    return FiniteElementDriver(
        name=block.name,
        deck=source.deck,
        mesh=_only(source, block, "Meshes", "mesh"),
        bodies=_bodies(source, block, parts["bodies"]),
        conditions=parts["boundary_conditions"],
        stepping=STEPPING.build(source, block),
        problem=PROBLEM.arguments(source, block),
        recorder=recorder,
        simulation=SIMULATION.arguments(source, block),
        petsc_options=_options(block),
    )


def _listed(source: Input, block: Block, name: str, section: str) -> list[Any]:
    """The blocks of a section that a driver lists, or all of them."""
    listed = block.get(name)
    if listed is None:
        return [source.get(section, b.name) for b in source.deck.blocks(section)]
    return [source.refer(section, listed, word) for word in listed.as_list()]


def _bodies(source: Input, block: Block, bodies: list[fem.Body]) -> list[fem.Body]:
    """The bodies of the run: those given, or one of a single material."""
    material = block.get("material")
    if bodies and material is not None:
        raise material.error("each body has its material; leave out this one or [Bodies]")
    if bodies:
        return bodies
    if material is not None:
        source.refer("Materials", material)
        return [fem.Body(material_of(source, material.as_str()))]
    known = source.deck.blocks("Materials")
    if len(known) != 1:
        raise block.error(
            f"the field 'material' must name one of the {len(known)} [Materials], or [Bodies] say "
            "where each is"
        )
    return [fem.Body(material_of(source, known[0].name))]


def _only(source: Input, block: Block, section: str, name: str) -> Any:
    value = block.get(name)
    if value is not None:
        return source.refer(section, value)
    known = source.deck.blocks(section)
    if len(known) != 1:
        raise block.error(f"the field '{name}' must name one of the {len(known)} [{section}]")
    return source.get(section, known[0].name)


def _options(block: Block) -> dict[str, str | None]:
    """The options of the field `petsc_options`, and of a file where these do not say otherwise."""
    found: dict[str, str | None] = {}
    for name, reader in (("petsc_options_file", _options_of_file), ("petsc_options", _written)):
        value = block.get(name)
        if value is not None:
            try:
                found.update(bare(reader(value), PREFIX))
            except InputError as error:
                raise value.error(str(error)) from None
    return found


def _options_of_file(value: FieldValue) -> dict[str, str | None]:
    return read_options(value.as_path())


def _written(value: FieldValue) -> dict[str, str | None]:
    return parse_petsc_options(value.as_str())


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
