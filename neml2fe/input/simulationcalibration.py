"""`[Calibrations] type = SimulationCalibration`: a fit of simulations to tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neml2fe.calibration.interface import Problem
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations.timed import Renamed, TimedProblem
from neml2fe.errors import suggest
from neml2fe.fem.algebra import petsc_available
from neml2fe.fem.collective import collectively
from neml2fe.input.calibrationchecks import check_parameters, check_search
from neml2fe.input.deck import Block
from neml2fe.input.search import SEARCH, Search, chosen_blocks, mistakes_at, plain_options
from neml2fe.input.simulationtests import SimulationTest, SpecimenTest, short_names

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

_OWN = ("tests", "parameters", "groups")
FIELDS: dict[str, tuple[str, ...]] = {"SimulationCalibration": (*_OWN, *SEARCH)}


@dataclass(frozen=True, kw_only=True)
class SimulationCalibration(Search):
    """A fit to tests as a deck describes it. Ranks form `groups`, each with tests of its own."""

    tests: dict[str, SimulationTest | SpecimenTest]
    fitted: dict[str, FitParameter]  # by block
    places: dict[str, Block]
    groups: int = 1

    def problem(
        self, comm: Any = None, petsc_options: Mapping[str, str | None] | None = None
    ) -> TimedProblem:
        """The tests on the ranks of `comm`. Collective; `close` it in the end.

        Raises `InputError` where deck, data and simulations do not fit.
        """
        size = 1 if comm is None else comm.size
        if self.groups > size:
            field = self.block.require("groups")
            raise field.error(f"{self.groups} groups need as many ranks at least, there are {size}")
        mine, part = 0, comm
        if self.groups > 1:
            petsc_available()  # which all ranks must start together
            mine = comm.rank * self.groups // size
            part = comm.Split(mine, comm.rank)
        parameters, options = list(self.fitted.values()), petsc_options or {}

        def members() -> dict[str, Problem | None]:
            return {
                name: test.member(parameters, part, options) if k % self.groups == mine else None
                for k, (name, test) in enumerate(self.tests.items())
            }

        found = TimedProblem(collectively(comm, members, every_rank=True), comm)
        with mistakes_at(self.block):
            self._check_all_used(found)
        return found

    def _check_all_used(self, problem: TimedProblem) -> None:
        """That every parameter is one of some test."""
        used = problem.parameters.tensor_names
        known = [n for m in problem.members.values() if isinstance(m, Renamed) for n in m.known]
        for name, parameter in self.fitted.items():
            if parameter.name not in used:
                place, near = self.places[name], suggest(parameter.name, short_names(known))
                message = f"no test has a parameter '{parameter.name}'{near}"
                raise place.require("parameter").error(message)


def build_calibration(source: Input, block: Block) -> SimulationCalibration:
    """All tests and parameters of the deck take part unless some are listed."""
    check_search(block)
    fitted = chosen_blocks(source, block, "Parameters")
    check_parameters(block, fitted)
    for place in fitted:
        if scatter := place.get("scatter"):
            raise scatter.error("scatter between specimens is for type = Calibration only")
    tests = chosen_blocks(source, block, "Tests")
    if not tests:
        raise block.error("there is nothing to fit to; the deck needs blocks in [Tests]")
    groups = block.get("groups")
    if groups and not 1 <= groups.as_int() <= len(tests):
        raise groups.error(f"expected 1 to {len(tests)} groups, one test at least for each")
    return SimulationCalibration(
        name=block.name,
        block=block,
        tests={b.name: source.get("Tests", b.name) for b in tests},
        fitted={b.name: source.get("Parameters", b.name) for b in fitted},
        places={b.name: b for b in fitted},
        groups=groups.as_int() if groups else 1,
        **plain_options(source, block, SimulationCalibration, SEARCH),
    )
