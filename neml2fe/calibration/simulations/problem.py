"""`SimulationProblem`: a finite-element simulation of a test, in the form that a fit takes."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.simulations.loss import loss_of
from neml2fe.calibration.simulations.measurements import (
    Measurement,
    Values,
    check_noise,
)
from neml2fe.errors import InputError, suggest
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.adjoint.inputs import tensors_of_problem
from neml2fe.fem.adjoint.solve import Solution, solve
from neml2fe.fem.problem import Problem
from neml2fe.fem.stepping import TimeStepping
from neml2fe.kernels import repeated

CALLS = 100  # of a simulation in a fit, about: whether to compile depends on it
FEW, MANY = 50, 500  # measured times: fewer need no warning, and more need one


class SimulationProblem:
    """One test: measured data against a simulation of the test.

    `parameters` name tensors of the simulation (`tensors_of_problem`): parameters of its materials,
    fields such as a parameter of every element, loads. Of a name with dots parts may be left out as
    long as one tensor has all the others: `yield_surface.sy` for `update.flow.yield_surface.sy`,
    which is also what `CalibrationProblem` calls it. Each simulation begins at the start of
    `problem`, whose tensors are those of the caller again afterwards. Steps end at the times of the
    measurements; a warning tells of very many. Gradients are adjoint, Jacobians are by forward
    sensitivities of the same run.

    With a communicator, `problem` is distributed, and every rank has all data and parameters.

    Raises `InputError` where measurements, parameters and simulation do not fit, and where the
    noise of one of several measurements is not known.
    """

    def __init__(
        self,
        problem: Problem,
        stepping: TimeStepping,
        measurements: Mapping[str, Measurement],
        parameters: Sequence[FitParameter],
        *,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        if not measurements:
            raise InputError("a test needs at least one measurement")
        check_noise({name: m.noise_is_known for name, m in measurements.items()})
        self.simulation, self.stepping = problem, stepping
        self.measurements = {n: m.under(problem.conditions) for n, m in measurements.items()}
        self._checkpoints = checkpoints
        self.tensors = tensors_of_problem(problem)
        names = [_full_name(p.name, self.tensors) for p in parameters]
        for full, count in Counter(names).items():
            if count > 1:
                raise InputError(f"parameter '{full}' is to be fitted twice")
        self.fitted = {name: self.tensors[name] for name in names}
        """The tensors that are fitted by their full names, in the order of `parameters`"""
        given = {p.name: self.tensors[name] for p, name in zip(parameters, names, strict=True)}
        self.parameters = ParameterSet.of(given, parameters)
        self._tolerance = 1e-9 * (stepping.end - problem.start_time)
        self.times = self._ends_of_steps()
        """All measured times, at which steps end"""
        self._warn_of_many_steps()
        self._observe = {
            f"{name}/{what}": observation.bind(problem)
            for name, m in self.measurements.items()
            for what, observation in m.observations().items()
        }
        self._last: tuple[bytes, Solution] | None = None

    def _warn_of_many_steps(self) -> None:
        n = len(self.times)
        own = math.ceil(
            (self.stepping.end - self.simulation.start_time) / (self.stepping.dt_max or math.inf)
        )
        if n <= own or n <= min(MANY, max(FEW, 5 * own)):
            return
        comm = self.simulation.comm
        if comm is None or comm.rank == 0:
            counts = ", ".join(f"{len(m.times)} in {k}" for k, m in self.measurements.items())
            warnings.warn(
                f"a step ends at each of {n} measured times ({counts}), where the time stepping "
                f"alone takes about {own}: a simulation may take that much longer. Take data at "
                "fewer times: `Series.at` and `FullField.at_times` or `at_images`; `times`, "
                "`images` and `times_of` in a deck",
                stacklevel=3,
            )

    def _ends_of_steps(self) -> list[float]:
        """The times of all measurements, but the start: no step ends there, nothing has happened
        yet. Those that only round-off tells apart are one."""
        start, end, tolerance = self.simulation.start_time, self.stepping.end, self._tolerance
        found = [start]
        for time in sorted(float(t) for m in self.measurements.values() for t in m.times):
            if not start - tolerance <= time <= end + tolerance:
                raise InputError(
                    f"measured at time {time:g}; the simulation runs from {start:g} to {end:g}"
                )
            if time > found[-1] + tolerance:
                found.append(min(time, end))
        if len(found) == 1:
            raise InputError(f"nothing is measured after the start of the simulation at {start:g}")
        return found[1:]

    @property
    def noise_is_known(self) -> bool:
        return all(m.noise_is_known for m in self.measurements.values())

    # --- what `fit` asks for ------------------------------------------------------------------
    def residuals(self, x: Tensor) -> Tensor:
        return self.compared(self.simulated(x))

    def loss(self, x: Tensor) -> Tensor:
        return loss_of(self, x)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals and their Jacobian: a simulation, and one linear solution a step and
        parameter."""
        with self.at(x):
            solution = self._recorded(x)
            rates = solution.sensitivities(list(self.directions(x)))
        values = solution.values
        columns = [
            self._change(values, {n: r[..., d] for n, r in rates.items()}) for d in range(len(x))
        ]
        return self.compared(values), torch.stack(columns, -1)

    # --- simulation ---------------------------------------------------------------------------
    def simulated(self, x: Tensor) -> Values:
        """What the measurements observe at x, by `<measurement>/<observation>`."""
        with self.at(x):
            return self._recorded(x).values

    def compared(self, values: Values) -> Tensor:
        """Residuals of all measurements, one after the other."""
        return torch.cat([self.residuals_of(name, values) for name in self.measurements])

    def residuals_of(self, name: str, values: Values) -> Tensor:
        """Those of one measurement."""
        return self.measurements[name].residuals(self.values_of(name, values))

    def values_of(self, name: str, values: Values) -> Values:
        """What one measurement observes, at its own times."""
        times, prefix = self.measurements[name].times - self._tolerance, f"{name}/"
        rows = np.searchsorted(self.times, times)
        rows[times <= self.simulation.start_time] = -1
        found = {}
        for key, value in values.items():
            if key.startswith(prefix):
                with_start = torch.cat([value, value.new_zeros(1, *value.shape[1:])])
                found[key.removeprefix(prefix)] = with_start[rows]
        return found

    def _recorded(self, x: Tensor) -> Solution:
        """A run at x, where the tensors are, that has derivatives; the last one is kept."""
        key = self._key(x)
        if self._last is None or self._last[0] != key:
            self._last = None
            with torch.no_grad():
                self._last = key, self.solved(record=True)
        return self._last[1]

    def _key(self, x: Tensor) -> bytes:
        """Of x and the values of all tensors that are not fitted, which a caller may change."""
        digest = hashlib.blake2b(x.detach().numpy().tobytes())
        for name, tensor in self.tensors.items():
            if name not in self.fitted:
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.digest()

    def solved(self, record: bool | None = None) -> Solution:
        """A run with the tensors of the simulation as they are (see `at`). Collective."""
        return solve(
            self.simulation, self.stepping, self._observe, self.times,
            checkpoints=self._checkpoints, record=record,
        )  # fmt: skip

    @contextmanager
    def at(self, x: Tensor) -> Iterator[None]:
        """With the tensors of the simulation at x."""
        wanted = list(self.parameters.as_parameters(x.detach()).values())
        before = [t.detach().clone() for t in self.fitted.values()]
        try:
            self._set(wanted)
            with repeated(CALLS):
                yield
        finally:
            self._set(before)

    def _set(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for tensor, value in zip(self.fitted.values(), values, strict=True):
                tensor.data.copy_(value)  # no new version: gradients are of the values at x

    def directions(self, x: Tensor) -> Iterator[dict[str, Tensor]]:
        """Changes of the tensors with each component of x."""
        for row in torch.diag(self.parameters.slopes(x)):
            parts = row.split([t.numel() for t in self.fitted.values()])
            yield {
                name: part.to(t).reshape(t.shape)
                for (name, t), part in zip(self.fitted.items(), parts, strict=True)
            }

    def _change(self, values: Values, rates: Values) -> Tensor:
        found: Tensor
        _, found = torch.func.jvp(self.compared, (dict(values),), (dict(rates),))  # type: ignore[misc]
        return found

    def value(self, x: Tensor) -> Tensor:
        """The loss `()` without a gradient."""
        return 0.5 * self.residuals(x).square().sum()

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The loss `()` and its gradient by x `(P,)`: a simulation and its reverse sweep."""
        self._last = None  # one record of a run at a time, for the memory
        with self.at(x), torch.enable_grad():
            solution = self.solved()
            loss = 0.5 * self.compared(solution.values).square().sum()
            found = torch.autograd.grad(loss, list(self.fitted.values()))
        natural = torch.cat([g.detach().cpu().double().reshape(-1) for g in found])
        return loss.detach(), natural * self.parameters.slopes(x.detach())


def _full_name(name: str, tensors: Mapping[str, Tensor]) -> str:
    """The name among `tensors` that has the parts of `name`, in this order, the last one last."""
    if name in tensors:
        return name
    *parts, last = name.split(".")
    found = []
    for full in tensors:
        *before, end = full.split(".")
        rest = iter(before)
        if end == last and all(part in rest for part in parts):
            found.append(full)
    if not found:
        raise InputError(f"the simulation has no tensor '{name}'{suggest(name, tensors)}")
    if len(found) > 1:
        raise InputError(f"'{name}' may be any of {', '.join(found)}: say more of its name")
    return found[0]
