"""`[Calibrations] type = SimulationCalibration`: a fit of simulations to tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from neml2fe.calibration.interface import Problem
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import (
    GaussianPrior,
    RegularisedProblem,
    VirtualFieldsProblem,
    Weighing,
    fit_tests,
)
from neml2fe.calibration.simulations.timed import Renamed, TimedProblem
from neml2fe.errors import suggest
from neml2fe.fem.algebra import petsc_available
from neml2fe.fem.collective import collectively
from neml2fe.input.calibrationchecks import check_parameters, check_search
from neml2fe.input.deck import Block
from neml2fe.input.fieldparameters import FieldParameter, field_of
from neml2fe.input.priors import priors
from neml2fe.input.search import SEARCH, Search, chosen_blocks, mistakes_at, plain_options
from neml2fe.input.simulationtests import SimulationTest, SpecimenTest, short_names

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult, Iteration
    from neml2fe.input.factory import Input

_OWN = ("tests", "parameters", "groups")
_UNCERTAINTIES = ("intervals", "laplace", "none")
FIELDS: dict[str, tuple[str, ...]] = {"SimulationCalibration": (*_OWN, *SEARCH)}


@dataclass(frozen=True, kw_only=True)
class SimulationCalibration(Search):
    """A fit to tests as a deck describes it. Ranks form `groups`, each with tests of its own."""

    tests: dict[str, SimulationTest | SpecimenTest]
    fitted: dict[str, FitParameter]  # by block
    places: dict[str, Block]
    prior: dict[str, tuple[float, float]]
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
        try:
            with mistakes_at(self.block):
                self._check_all_used(found)
                self._check_prior(found)
        except BaseException:
            found.close()
            raise
        return found

    def minimised(self, problem: Problem) -> Problem:
        if not self.prior:
            return problem
        return RegularisedProblem(problem, [GaussianPrior.of(problem.parameters, self.prior)])

    def fit(
        self,
        problem: Problem,
        record: Path,
        resume: bool,
        on_iteration: Callable[[Iteration], None],
    ) -> FitResult:
        """Raises as `fit_tests` does; `record` is the file that keeps the progress."""
        assert isinstance(problem, TimedProblem)
        works = [t.work for t in self.tests.values() if isinstance(t, SimulationTest)]
        weigh = any(work is not None and work.displacement_noise for work in works)
        with mistakes_at(self.block):
            return fit_tests(
                problem,
                penalties=self._weighings(),
                prior=self.prior,
                weigh=(lambda x: _weigh(problem, x)) if weigh else None,
                with_posterior=self.uncertainty == "laplace",
                optimiser=self.optimiser,
                record=record,
                resume=resume,
                on_iteration=on_iteration,
                **self.options,
            )

    @property
    def words(self) -> list[str]:
        """What is fitted otherwise than is usual, in lines."""
        lines = []
        for name, test in self.tests.items():
            if isinstance(test, SimulationTest) and test.work:
                camera = test.work.block.require("camera").text
                lines.append(f"{name}: '{camera}' prescribes all nodes, in place of the grips")
        for p in self.penalised:
            kind = p.place.require("penalty").text
            lines.append(f"{p.name}: {kind} of the {p.of}, weight {p.weighing_by}; no uncertainty")
        return lines

    @property
    def penalised(self) -> list[FieldParameter]:
        """The fields that have a penalty."""
        every = [p for p in self.fitted.values() if isinstance(p, FieldParameter)]
        return [parameter for parameter in every if parameter.is_penalised]

    def _weighings(self) -> list[Weighing]:
        """Of each penalised field, on the mesh of the first test that has it."""
        found = []
        for parameter in self.penalised:
            tests = [t for t in self.tests.values() if isinstance(t, SimulationTest)]
            test = next(t for t in tests if field_of(t.driver, parameter.name))
            found.append(parameter.weighing(test.driver.mesh.load()))
        return found

    def _check_prior(self, problem: TimedProblem) -> None:
        for name, place in self.places.items():
            if self.fitted[name].name in self.prior and not problem.noise_is_known:
                raise place.require("prior_deviation").error(
                    "it is weighed against the noise, which must be known: give all measurements "
                    "one"
                )

    def _check_all_used(self, problem: TimedProblem) -> None:
        """That every parameter is one of some test."""
        used = problem.parameters.tensor_names
        known = [n for m in problem.members.values() if isinstance(m, Renamed) for n in m.known]
        for name, parameter in self.fitted.items():
            if parameter.name not in used:
                place, near = self.places[name], suggest(parameter.name, short_names(known))
                message = f"no test has a parameter '{parameter.name}'{near}"
                raise place.require("parameter").error(message)


def _weigh(problem: TimedProblem, x: Tensor) -> None:
    """Virtual fields by the noise of the displacements too, after a fit that ended at x."""

    def of(member: Any, own: Tensor) -> None:
        inner = member.problem if isinstance(member, Renamed) else member
        if isinstance(inner, VirtualFieldsProblem):
            inner.weigh(own)

    problem.of_each(of, x)


def build_calibration(source: Input, block: Block) -> SimulationCalibration:
    """All tests and parameters of the deck take part unless some are listed. L-BFGS is the choice
    for fields, which have too many values for a Jacobian; where they are penalised there is no
    uncertainty, and with priors it is that of Laplace."""
    check_search(block, _UNCERTAINTIES)
    chosen = chosen_blocks(source, block, "Parameters")
    check_parameters(block, chosen)
    for place in chosen:
        if scatter := place.get("scatter"):
            raise scatter.error("scatter between specimens is for type = Calibration only")
    tests = chosen_blocks(source, block, "Tests")
    if not tests:
        raise block.error("there is nothing to fit to; the deck needs blocks in [Tests]")
    groups = block.get("groups")
    if groups and not 1 <= groups.as_int() <= len(tests):
        raise groups.error(f"expected 1 to {len(tests)} groups, one test at least for each")
    fitted = {b.name: source.get("Parameters", b.name) for b in chosen}
    places = {b.name: b for b in chosen}
    prior = priors(fitted, places)
    fields = [p for p in fitted.values() if isinstance(p, FieldParameter)]
    given = plain_options(source, block, SimulationCalibration, SEARCH)
    usual = "none" if fields else "laplace" if prior else "intervals"
    given = {"uncertainty": usual, "optimiser": "lbfgs" if fields else "least_squares", **given}
    if any(p.is_penalised for p in fields) and given["uncertainty"] != "none":
        raise block.require("uncertainty").error(
            "penalised fields have none: their Jacobian is too large, and the penalty is no data; "
            "leave it out, or uncertainty = none"
        )
    sought = [p.place for p in fields if p.weighing_by != "given"]
    if len(sought) > 1:
        raise (
            sought[1]
            .require("weight_by")
            .error(f"only one weight can be found, that of [{sought[0].path}]; give the others")
        )
    return SimulationCalibration(
        name=block.name,
        block=block,
        tests={b.name: source.get("Tests", b.name) for b in tests},
        fitted=fitted,
        places=places,
        prior=prior,
        groups=groups.as_int() if groups else 1,
        **given,
    )
