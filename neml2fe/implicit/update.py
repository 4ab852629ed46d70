"""`ImplicitUpdate`: solve r(u; g, theta) = 0 per point and differentiate u(g, theta) exactly."""

from __future__ import annotations

from functools import cached_property

import torch

from neml2fe.errors import ConvergenceError, ModelError, suggest
from neml2fe.implicit.implicit_function import Problem, Solve
from neml2fe.implicit.linear_solvers import DenseLU, LinearSolver, SchurComplement
from neml2fe.implicit.log import current_log
from neml2fe.implicit.newton import Newton, Status
from neml2fe.implicit.points import Points
from neml2fe.implicit.substeps import Outcome, advance
from neml2fe.implicit.system import NonlinearSystem
from neml2fe.implicit.tracing import SOLVE, solve_kernels, trace_solve
from neml2fe.kernels import BACKENDS, KernelCache, Kernels, chosen_backend, current_tracer
from neml2fe.models import Model, Option
from neml2fe.models.model import Spec, Values


class ImplicitUpdate(Model):
    """The unknowns of `equation_system` as functions of everything else.

    `predictor` computes the initial guess; without one each unknown starts from its value
    one step back, or from zero when the system has none. Points that fail from there are
    continued from the old to the new values of the given variables in a few increments;
    this changes the initial guess only, never the equations.

    Only with a positive `max_substepping_level` the step of a point that fails nevertheless is
    halved, and each half again up to that depth: given variables with an old value, and
    `incremental_variables`, then go from the old to the new value in equal parts, and the
    unknowns of one part are the old values of the next. Derivatives are those of this chain.

    The sensitivity solvers solve the linear systems of the derivatives, by default directly.

    `backend`: `kernel` compiles the solve, in which each point then runs its own Newton loop
    (`neml2fe.kernels`); `eager` runs torch operations over all points; `auto` compiles where
    that pays and can be done. Systems with an iterative linear solver stay eager.
    """

    equation_system: NonlinearSystem = Option(NonlinearSystem, "System to solve")
    solver: Newton = Option(Newton, "Nonlinear solver")
    predictor: Model | None = Option(Model, "Model of the initial guess", default=None)
    input_sensitivity_solver: LinearSolver | None = Option(
        LinearSolver, "Linear solver of derivatives by inputs", default=None
    )
    param_sensitivity_solver: LinearSolver | None = Option(
        LinearSolver, "Linear solver of derivatives by parameters alone", default=None
    )
    max_substepping_level: int = Option(int, "How often a failing step may be halved", default=0)
    incremental_variables: list[str] = Option(
        list[str], "Given variables without an old value to divide as well", default=()
    )
    backend: str = Option(str, "What runs it", default="auto", choices=BACKENDS)

    def setup(self) -> None:
        system = self.equation_system
        self.kernels = KernelCache(system.model)
        self.adopt(system.model.label, system.model)
        if self.predictor is not None:
            self.adopt("predictor", self.predictor)
            for name, kind in self.predictor.output_spec.items():
                if system.unknowns.get(name) is not kind:
                    raise ModelError(
                        f"{self.label}: the predictor computes '{name}' ({kind.__name__}), "
                        "which is no unknown of that type"
                    )
        if self.max_substepping_level < 0:
            raise ModelError(f"{self.label}: max_substepping_level must be at least 0")
        for name in self.incremental_variables:
            if name not in system.given:
                raise ModelError(
                    f"{self.label}: incremental variable '{name}' is no given variable"
                    f"{suggest(name, system.given)}"
                )
        if self.max_substepping_level:
            self._require_divisible()

    def _require_divisible(self) -> None:
        system = self.equation_system
        for name in system.given:
            base, lag = name.rstrip("0123456789").rstrip("~"), name.partition("~")[2]
            if lag and base not in system.unknowns and base not in system.given:
                raise ModelError(
                    f"{self.label}: substeps need the value of '{base}' after each part of a "
                    f"step, but it is neither unknown nor given; make it an unknown or set "
                    "max_substepping_level = 0"
                )
            if lag not in ("", "1"):
                raise ModelError(f"{self.label}: substeps cannot advance '{name}'")

    @cached_property
    def input_spec(self) -> Spec:
        extra = dict(self.predictor.input_spec) if self.predictor is not None else {}
        given = self.equation_system.given
        old = {f"{n}~1": given[n] for n in self.incremental_variables}
        return {**given, **extra, **(old if self.max_substepping_level else {})}

    @cached_property
    def output_spec(self) -> Spec:
        return self.equation_system.unknowns

    def _evaluate(self, values: Values) -> Values:
        predicted: Values = {}
        if self.predictor is not None:
            given = {n: values[n] for n in self.predictor.input_spec}
            predicted = self.predictor._evaluate(given)
        points = Points.of(self.equation_system, values, predicted)
        tracer = current_tracer()
        if tracer is not None:
            return points.restored(trace_solve(self, tracer, points))
        outcome = advance(self, points, self.max_substepping_level)
        self._report(points, outcome)
        return points.restored(outcome.u)

    def solve(self, points: Points, guess: torch.Tensor | None = None) -> Outcome:
        """One solve of the system at all points, without substeps."""
        system = self.equation_system
        given = {name: points.values[name] for name in system.given}
        problem = Problem(
            system,
            self.solver,
            list(given),
            list(points.parameters),
            points.base_ndim,
            self.input_sensitivity_solver or DenseLU(),
            self.param_sensitivity_solver or DenseLU(),
        )
        if guess is None:
            guess = self.guess(points)
        problem.kernels = self._prepared_kernels(points, guess)
        u = Solve.apply(problem, guess, *given.values(), *points.parameters.values())
        return Outcome(u, problem.status, problem.iterations)

    def _prepared_kernels(self, points: Points, guess: torch.Tensor) -> Kernels | None:
        if chosen_backend(self.backend) == "eager" or not self.direct:
            return None
        kernels = solve_kernels(self, points, guess)
        prepared = kernels.prepared(self.backend, SOLVE, points.number, guess.device)
        return kernels if prepared else None

    @property
    def direct(self) -> bool:
        """Whether all linear systems are solved directly, as kernels do."""
        solvers = (
            self.solver.linear_solver,
            self.input_sensitivity_solver,
            self.param_sensitivity_solver,
        )
        direct = all(s is None or isinstance(s, DenseLU | SchurComplement) for s in solvers)
        if not direct and chosen_backend(self.backend) == "kernel":
            raise ModelError(f"{self.label}: kernels solve directly; use backend = 'eager'")
        return direct

    def guess(self, points: Points) -> torch.Tensor:
        """Initial unknowns `(N, n)`."""
        system, guess = self.equation_system, dict(points.guess)
        layout = system.layout({n: points.values[n] for n in system.given}, points.parameters)
        for name, kind in system.unknowns.items():
            if name not in guess:
                zero = points.like().new_zeros(points.number, *kind.BASE_SHAPE)
                guess[name] = points.values.get(f"{name}~1", zero)
        return layout.pack(guess)

    def _report(self, points: Points, outcome: Outcome) -> None:
        log, status = current_log.get(), outcome.status
        if log is not None:
            batch = points.batch if status.numel() == points.number else status.shape
            inner = len(batch) - points.entries  # the entries of a sub-batch fail as one point
            shaped = [status.reshape(batch), outcome.iterations.reshape(batch)]
            if points.entries:
                shaped = [v.flatten(inner).amax(-1) for v in shaped]
            log.add(self.label, *shaped)
            return
        failed = (status != Status.CONVERGED).nonzero().squeeze(-1)
        if len(failed):
            first = int(failed[0])
            raise ConvergenceError(
                f"'{self.label}' did not converge at {len(failed)} of {len(status)} "
                f"points (first: point {first}, "
                f"{Status(int(status[first])).name.lower().replace('_', ' ')}); "
                "use smaller steps, a better predictor or NewtonWithLineSearch"
            )
