"""`solve`: a whole run of a problem as one node of torch's graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from neml2fe.errors import ConvergenceError, Error, InputError, suggest
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.adjoint.gradients import Gradients, agree, same_on_every_rank
from neml2fe.fem.adjoint.inputs import refuse_duals, tensors_of_problem, with_parameters
from neml2fe.fem.adjoint.sensitivity import Direction, push
from neml2fe.fem.adjoint.shape import check_observations, follow
from neml2fe.fem.adjoint.sweep import reverse
from neml2fe.fem.adjoint.tape import Tape
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.tensors import check_constants
from neml2fe.fem.observations import BoundObservation, Instant, Observation
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.fem.simulation import simulate
from neml2fe.fem.stepping import TimeStepping

Tensor = torch.Tensor
Observations = Mapping[str, Observation | BoundObservation]


@dataclass(frozen=True)
class Solution:
    """What a run gave, the same on every rank.

    - `times` `(T,)`: when observations were made; `solution["name"]` is `(T, ...)`, with a graph
      to every tensor that the problem is made of.
    - `steps`: the end of every step that was taken.
    - `storage`: how the states are kept for the gradient; empty where none is needed.
    """

    times: Tensor
    values: dict[str, Tensor]
    steps: list[float]
    storage: str
    _run: _Run

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.values:
            raise InputError(f"nothing is observed as '{name}'{suggest(name, self.values)}")
        return self.values[name]

    def sensitivities(self, directions: Sequence[Direction]) -> dict[str, Tensor]:
        """How the observations change along D directions, by name `(T, ..., D)`. Collective.

        A direction holds rates of tensors by name (`tensors_of_problem`). Raises `Error` where the
        run was not recorded or something has changed since, `InputError` for one that does not fit.
        """
        return self._run.push(directions)

    def release(self) -> None:
        """Drop the states that are kept for derivatives, which there are no more."""
        self._run.release()


def solve(
    problem: Problem,
    stepping: TimeStepping | Sequence[float],
    observe: Observations,
    times: Sequence[float] = (),
    *,
    parameters: Mapping[str, Tensor] | None = None,
    checkpoints: Checkpoints | None = None,
    record: bool | None = None,
    quiet: bool = True,
) -> Solution:
    """Run `problem` from its start and observe it; `loss(solution).backward()` gives exact
    gradients of the steps that were taken. Collective.

    - `stepping`: how to choose steps, or the ends of the steps to take, such as `Solution.steps`
      of another run.
    - `observe`: observations by name, made at `times`, which steps end at; none: after each step.
    - `parameters`: tensors in place of parameters of the materials, by the names of
      `parameters_of`.
    - `checkpoints`: how much memory the states may take that the gradient needs.
    - `record`: whether to keep what derivatives need; None: where a gradient may be asked for.

    Every rank must compute the same loss from the results, and gets the same gradients: those of
    the parameters of materials, and of tensors among fields, initial states, loads and prescribed
    displacements. They are derivatives at fixed step sizes. A gradient is refused (`Error`) where
    a step did not converge well enough, or something was changed in between.

    Raises `ConvergenceError` where the simulation fails, `InputError` for observations or times
    that do not fit.
    """
    parameters = dict(parameters or {})
    for condition in problem.conditions:
        check_constants(condition)
    check_observations(problem, observe)
    with with_parameters(problem, parameters):
        known = tensors_of_problem(problem)
        refuse_duals(known)
        tensors = [t for t in known.values() if t.requires_grad]
        graph = torch.is_grad_enabled() and bool(tensors)
        shapes = [(n, tuple(t.shape), t.requires_grad) for n, t in known.items()]
        if not agree(problem.comm, [shapes, graph, record]):
            raise Error(
                "the ranks ask for different gradients: the same tensors must require them on "
                "every rank, inside or outside of torch.no_grad alike"
            )
        recording = graph if record is None else record
        kept = (checkpoints or Checkpoints()) if recording else None
        run = _Run(
            problem, stepping, _bound(problem, observe), times, parameters, tensors, kept, quiet
        )
        if graph and recording:
            values = _Solve.apply(run, *tensors)
        else:
            with torch.no_grad():
                values = run.march()
    return Solution(
        torch.tensor(run.times, dtype=torch.float64),
        dict(zip(run.observe, values, strict=True)),
        run.steps,
        run.tape.trail.describe() if run.tape is not None else "",
        run,
    )


def _bound(problem: Problem, observe: Observations) -> dict[str, BoundObservation]:
    if not observe:
        raise InputError("nothing is observed: name at least one observation")
    return {
        name: o if isinstance(o, BoundObservation) else o.bind(problem)
        for name, o in observe.items()
    }


class _Run:
    """One run: what was asked for, what was observed, and the tape of its steps."""

    def __init__(
        self,
        problem: Problem,
        stepping: TimeStepping | Sequence[float],
        observe: dict[str, BoundObservation],
        times: Sequence[float],
        parameters: Mapping[str, Tensor],
        tensors: Sequence[Tensor],
        checkpoints: Checkpoints | None,
        quiet: bool,
    ) -> None:
        self.problem, self.observe, self.parameters = problem, observe, parameters
        self.tensors, self._checkpoints, self._quiet = tensors, checkpoints, quiet
        self.tape: Tape | None = None
        self._inputs: dict[str, tuple[Tensor, Tensor]] = {}  # with copies of what they were
        self._wanted = sorted({float(t) for t in times})
        self._stepping = stepping
        self.times: list[float] = []
        self.steps: list[float] = []
        self._rows: dict[int, int] = {}  # of the observations at the end of steps, from 1
        self._values: dict[str, list[Tensor]] = {name: [] for name in observe}

    # --- forward ---------------------------------------------------------------------------
    def march(self) -> tuple[Tensor, ...]:
        """Take the steps; the observations, `(T, ...)` each. Collective."""
        problem = self.problem
        follow(problem)
        problem.reset()
        if self._checkpoints is not None:
            self.tape = Tape(problem, self._checkpoints)
        if isinstance(self._stepping, TimeStepping):
            stops = [*self._stepping.stops, *self._wanted]
            stepping = replace(self._stepping, stops=stops)
            stepping.check_reach(problem.time, self._wanted, resumed=False)
            simulate(problem, stepping, quiet=self._quiet, listener=self)
        else:
            self._repeat(self._stepping)
        if self._wanted and len(self.times) != len(self._wanted):
            missing = sorted(set(self._wanted) - set(self.times))
            raise InputError(f"no step ends at the times {', '.join(f'{t:g}' for t in missing)}")
        if not self.times:
            raise InputError("no step was asked for: there is nothing to observe")
        if self.tape is not None:
            inputs = tensors_of_problem(problem)
            self._inputs = {n: (t, t.detach().clone()) for n, t in inputs.items()}
        return tuple(torch.stack(values) for values in self._values.values())

    def _require_unchanged(self) -> None:
        """Raises `Error` where a tensor was changed in place since the run, be it by its `data`,
        which torch does not see."""
        if self.tape is None:
            raise Error("the run was not recorded: solve with record=True for its derivatives")
        for name, (tensor, before) in self._inputs.items():
            if not torch.allclose(tensor.detach(), before, rtol=0.0, atol=0.0, equal_nan=True):
                raise Error(f"'{name}' was changed between the run and its derivatives")
            if not tensor.requires_grad and any(tensor is t for t in self.tensors):
                raise Error(f"'{name}' required a gradient in the run, but does so no more")

    def _repeat(self, steps: Sequence[float]) -> None:
        """Steps that end where they are told to."""
        for time in steps:
            dt = time - self.problem.time
            self.before_step()
            result = self.problem.advance(time)
            if not result.converged:
                raise ConvergenceError(
                    f"the step to time {time:g} does not converge: {result.reason}"
                )
            self.after_step(dt, result)

    def before_step(self) -> None:
        if self.tape is not None:
            self.tape.before_step()

    def after_step(self, dt: float, result: StepResult) -> None:
        """Observe and record the step just taken. Collective."""
        if self.tape is not None:
            self.tape.record(dt, result)
        time = self.problem.time
        self.steps.append(time)
        near = [t for t in self._wanted if abs(t - time) <= 1e-9 * dt]
        if self._wanted and not near:
            return
        self._rows[len(self.steps)] = len(self.times)
        self.times.append(near[0] if near else time)
        now = Instant.of(self.problem)
        for name, observation in self.observe.items():
            self._values[name].append(observation.apply(now))

    def release(self) -> None:
        if self.tape is not None:
            self.tape.trail.close()
        self.tape = None

    # --- reverse ---------------------------------------------------------------------------
    def gradient(self, bars: Sequence[Tensor | None]) -> list[Tensor]:
        """Derivatives by `tensors` of a loss whose derivatives by observations are `bars`.
        Collective."""
        problem, tape = self.problem, self.tape
        if not same_on_every_rank(problem.comm, bars):
            raise Error(
                "the ranks differentiate different losses: each must compute the same loss from "
                "the observations, which all ranks have"
            )
        found = Gradients(self.tensors)

        def observed(n: int, to: Instant) -> None:
            row = self._rows.get(n)
            if row is None:
                return
            for observation, bar in zip(self.observe.values(), bars, strict=True):
                if bar is not None:
                    observation.pull(bar[row], to)

        with with_parameters(problem, self.parameters):
            collectively(problem.comm, self._require_unchanged, every_rank=True)
            assert tape is not None
            reverse(tape, observed, found)
        return found.total(problem.comm)

    # --- forward sensitivities ---------------------------------------------------------------
    def push(self, directions: Sequence[Direction]) -> dict[str, Tensor]:
        """Rates of the observations, `(T, ..., D)`. Collective."""
        found = {
            name: torch.zeros(len(self.times), *o.shape, len(directions), dtype=torch.float64)
            for name, o in self.observe.items()
        }

        def observed(n: int, d: int, rates: Instant) -> None:
            row = self._rows.get(n)
            if row is not None:
                for name, observation in self.observe.items():
                    found[name][row, ..., d] = observation.apply(rates)

        with with_parameters(self.problem, self.parameters):
            collectively(self.problem.comm, self._require_unchanged, every_rank=True)
            assert self.tape is not None
            push(self.tape, directions, observed)
        return found


class _Solve(torch.autograd.Function):
    """A run, with the reverse sweep as its derivative."""

    @staticmethod
    def forward(ctx: Any, run: _Run, *tensors: Tensor) -> Any:
        values = run.march()
        ctx.run = run
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return values

    @staticmethod
    def backward(ctx: Any, *bars: Tensor | None) -> Any:
        if torch.is_grad_enabled():
            raise Error(
                "a run has first derivatives only: ask for its gradient without create_graph; "
                "`Solution.sensitivities` gives Gauss-Newton products"
            )
        _ = ctx.saved_tensors  # torch's error where one was changed in place since
        return None, *ctx.run.gradient(bars)
