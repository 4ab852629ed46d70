"""What `neml2fe calibrate` fits: a problem, what to say of it, and the report that it ends in."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neml2fe.errors import InputError
from neml2fe.fem.collective import collectively

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.interface import Problem
    from neml2fe.calibration.specimens import Specimens
    from neml2fe.input.calibration import Calibration
    from neml2fe.input.search import Search
    from neml2fe.input.simulationcalibration import SimulationCalibration

_NAMED = 3  # specimens of a group; more are counted
Say = Callable[[str], None]


@dataclass(frozen=True)
class Fitting:
    """A problem that is ready to be fitted on the ranks of `comm`; rank 0 is the `root`."""

    calibration: Search
    problem: Problem
    report: Callable[[Path, FitResult], Path]
    pace: Callable[[], float] | None = None
    comm: Any = None

    @property
    def root(self) -> bool:
        return self.comm is None or self.comm.rank == 0

    @contextlib.contextmanager
    def record(self, path: Path, resume: bool) -> Iterator[Path]:
        """Where this rank records the fit: all but the first in a copy that is thrown away."""
        if self.comm is None:
            yield path
            return
        copy = collectively(self.comm, lambda: path.read_bytes() if resume else b"")
        if self.root:
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / path.name
            if resume:
                own.write_bytes(copy)
            yield own


@contextlib.contextmanager
def specimens(calibration: Calibration, comm: Any, say: Say) -> Iterator[Fitting]:
    """A fit to specimens."""
    if comm is not None:
        raise InputError("a fit to specimens runs in one process; start it without an MPI launcher")
    tests = calibration.specimens
    say(
        f"{calibration.name}: {count(len(tests.names), 'specimen')} with "
        f"{count(int(tests.n_values.sum()), 'measured value')}"
    )
    for line in _groups(tests):
        say(f"  {line}")
    problem = calibration.problem()
    how = problem.solver.outcome
    say(f"{count(len(problem.parameters.names), 'parameter')}; backend {how.backend}: {how.reason}")
    for name, why in problem.flagged.items():
        print(f"warning: specimen {name} is left out: {why}", flush=True)

    def report(folder: Path, result: FitResult) -> Path:
        from neml2fe.calibration.report import write_report

        return write_report(
            folder,
            f"Calibration {calibration.name}",
            result,
            problem.specimens,
            problem.predict(result.x),
            problem.parameters,
            problem.flagged,
            noise=calibration.noise,
            units=calibration.units,
        )

    yield Fitting(calibration, problem, report)


@contextlib.contextmanager
def simulations(
    calibration: SimulationCalibration, comm: Any, petsc_options: dict[str, str | None], say: Say
) -> Iterator[Fitting]:
    """A fit to simulated tests, on the ranks of `comm`."""
    from neml2fe.calibration.simulations.outcome import tested
    from neml2fe.calibration.simulations.tests_fit import TestsFit, write_posterior

    problem = calibration.problem(comm, petsc_options)
    try:
        say(
            f"{calibration.name}: {count(len(problem.members), 'test')}, "
            f"{count(len(problem.parameters.names), 'parameter')}"
        )
        flagged = {}
        for name, found in tested(problem).items():
            flagged.update(found.flagged)
            for line in found.words:
                say(f"  {name}: {line}")
        for line in calibration.words:
            say(f"  {line}")
        for name, why in flagged.items():
            say(f"warning: specimen {name} is left out: {why}")

        def report(folder: Path, result: FitResult) -> Path:
            from neml2fe.calibration.simulations.report import write_report

            title = f"Calibration {calibration.name}"
            root = comm is None or comm.rank == 0
            compared = {name: found.compared for name, found in tested(problem).items()}
            path = write_report(
                folder, title, result, problem, compared, flagged=flagged, root=root
            )
            if root and isinstance(result, TestsFit) and result.posterior is not None:
                write_posterior(folder / "posterior.csv", result.posterior)
            return path

        yield Fitting(calibration, problem, report, problem.pace, comm)
    finally:
        problem.close()


def _groups(tests: Specimens) -> list[str]:
    """What drives and what is compared, with the specimens for which it holds."""
    from neml2fe.calibration.channels import drives_and_compared

    lines = []
    for words, names in drives_and_compared(tests).items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        lines.append(f"{', '.join(names[:_NAMED])}{more}: {words}")
    return lines


def count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
