"""`ImplicitUpdate`: solve r(u; g, theta) = 0 per point and differentiate u(g, theta) exactly.

By the implicit function theorem du = -(dr/du)^-1 (dr/dg dg + dr/dtheta dtheta). Forward
mode solves with the Jacobian, reverse mode with its transpose, once each, whatever the
number of Newton iterations; both rules are themselves differentiable, which gives second
derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.implicit.newton import DenseLU, Newton, Status
from neml2fe.implicit.system import NonlinearSystem, Raw
from neml2fe.models import Model, Option
from neml2fe.models.functional import batch_shape, parameter_base_ndims
from neml2fe.models.model import Spec, Values


@dataclass
class SolveLog:
    """Per-point outcome of the implicit updates run inside `recorded_solves`.

    Tensors have the batch shape of the update; several updates combine by the worst
    status and the sum of iterations.
    """

    status: torch.Tensor | None = None
    iterations: torch.Tensor | None = None
    labels: list[str] = field(default_factory=list)

    def add(self, label: str, status: torch.Tensor, iterations: torch.Tensor) -> None:
        self.labels.append(label)
        known = self.status is not None and self.iterations is not None
        self.status = torch.maximum(self.status, status) if known else status  # type: ignore[arg-type]
        self.iterations = self.iterations + iterations if known else iterations  # type: ignore[operator]


_log: ContextVar[SolveLog | None] = ContextVar("neml2fe_solve_log", default=None)


@contextmanager
def recorded_solves() -> Iterator[SolveLog]:
    """Within this context a point that does not converge yields NaN and a status in the log.

    Outside of it, `ImplicitUpdate` raises `ConvergenceError` instead.
    """
    log = SolveLog()
    token = _log.set(log)
    try:
        yield log
    finally:
        _log.reset(token)


class ImplicitUpdate(Model):
    """The unknowns of `equation_system` as functions of everything else.

    `predictor` computes the initial guess; without one each unknown starts from its value
    one step back, or from zero when the system has none. Points that fail from there are
    continued from the old to the new values of the given variables in a few increments;
    this changes the initial guess only, never the equations.
    """

    equation_system: NonlinearSystem = Option(NonlinearSystem, "System to solve")
    solver: Newton = Option(Newton, "Nonlinear solver")
    predictor: Model | None = Option(Model, "Model of the initial guess", default=None)

    def setup(self) -> None:
        system = self.equation_system
        self.adopt(system.model.label, system.model)
        if self.predictor is not None:
            self.adopt("predictor", self.predictor)
            for name, kind in self.predictor.output_spec.items():
                if system.unknowns.get(name) is not kind:
                    raise ModelError(
                        f"{self.label}: the predictor computes '{name}' ({kind.__name__}), "
                        "which is no unknown of that type"
                    )

    @cached_property
    def input_spec(self) -> Spec:
        extra = self.predictor.input_spec if self.predictor is not None else {}
        return {**self.equation_system.given, **extra}

    @cached_property
    def output_spec(self) -> Spec:
        return self.equation_system.unknowns

    def _evaluate(self, values: Values) -> Values:
        system = self.equation_system
        parameters: Raw = dict(system.model.named_parameters())
        base_ndim = parameter_base_ndims(system.model)
        batch = batch_shape(system.model, values.values())

        def per_point(value: torch.Tensor, base: int) -> torch.Tensor:
            shape = value.shape[value.ndim - base :]
            # Contiguous: forward-mode duals refuse the overlapping memory of expanded tensors.
            return value.expand((*batch, *shape)).reshape(_size(batch), *shape).contiguous()

        points = {name: per_point(v.data, v.base_ndim()) for name, v in values.items()}
        for name, value in parameters.items():
            if value.ndim > base_ndim[name]:
                parameters[name] = per_point(value, base_ndim[name])
        problem = _Problem(self, list(system.given), list(parameters), base_ndim, batch)
        like = next(iter([*points.values(), *parameters.values()]))
        guess = self._guess(points, like.new_zeros(_size(batch)))
        u = _Solve.apply(problem, guess, *(points[n] for n in system.given), *parameters.values())
        unknowns = system.unpack(u)
        return {
            name: kind(unknowns[name].reshape((*batch, *kind.BASE_SHAPE)))
            for name, kind in system.unknowns.items()
        }

    def _guess(self, points: Raw, zeros: torch.Tensor) -> torch.Tensor:
        """Initial unknowns `(N, n)`; `zeros` `(N,)` gives number, dtype and device of points."""
        system = self.equation_system
        guess: Raw = {}
        if self.predictor is not None:
            typed = {n: k(points[n]) for n, k in self.predictor.input_spec.items()}
            guess = {n: v.data for n, v in self.predictor._evaluate(typed).items()}
        for name, kind in system.unknowns.items():
            if name not in guess:
                zero = zeros.new_zeros(len(zeros), *kind.BASE_SHAPE)
                guess[name] = points.get(f"{name}~1", zero)
        return system.pack(guess)


@dataclass
class _Problem:
    """What `_Solve` needs besides tensors: how its flat arguments map to names."""

    update: ImplicitUpdate
    given: list[str]
    parameters: list[str]
    base_ndim: dict[str, int]
    batch: tuple[int, ...]

    def split(self, theta: tuple[torch.Tensor, ...]) -> tuple[Raw, Raw]:
        n = len(self.given)
        return (
            dict(zip(self.given, theta[:n], strict=True)),
            dict(zip(self.parameters, theta[n:], strict=True)),
        )

    def residual(self, u: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        return self.update.equation_system.residual(u, *self.split(theta))

    def jacobian(self, u: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        return self.update.equation_system.linearise(u, *self.split(theta))[1]

    def solve(self, guess: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        """Newton with continuation for the points that fail; `(N, n)`, NaN where all fails."""
        system, solver = self.update.equation_system, self.update.solver
        given, parameters = self.split(theta)
        per_point = {n for n, v in parameters.items() if v.ndim > self.base_ndim[n]}

        def at(points: torch.Tensor, values: Raw) -> tuple[Raw, Raw]:
            chosen = {n: v[points] if n in per_point else v for n, v in parameters.items()}
            return {n: v[points] for n, v in values.items()}, chosen

        def run(values: Raw, start: torch.Tensor, subset: torch.Tensor) -> Any:
            return solver.solve(
                lambda u, k: system.linearise(u, *at(subset[k], values)),
                lambda u, k: system.residual(u, *at(subset[k], values)),
                start,
            )

        everyone = torch.arange(len(guess), device=guess.device)
        result = run(given, guess, everyone)
        failed = (result.status != Status.CONVERGED).nonzero().squeeze(-1)
        if len(failed):
            u = guess[failed]
            for fraction in (0.125, 0.25, 0.5, 0.75, 1.0):
                partial = {n: _between(given, n, fraction) for n in given}
                again = run(partial, u, failed)
                u = torch.where(torch.isfinite(again.u), again.u, u)
            result.u[failed] = again.u
            result.status[failed] = again.status
            result.iterations[failed] += again.iterations
        self._report(result.status, result.iterations)
        return result.u

    def _report(self, status: torch.Tensor, iterations: torch.Tensor) -> None:
        log = _log.get()
        if log is not None:
            shape = self.batch if status.numel() == _size(self.batch) else status.shape
            log.add(self.update.label, status.reshape(shape), iterations.reshape(shape))
            return
        failed = (status != Status.CONVERGED).nonzero().squeeze(-1)
        if len(failed):
            first = int(failed[0])
            raise ConvergenceError(
                f"'{self.update.label}' did not converge at {len(failed)} of {len(status)} "
                f"points (first: point {first}, "
                f"{Status(int(status[first])).name.lower().replace('_', ' ')}); "
                "use smaller steps, a better predictor or NewtonWithLineSearch"
            )


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for k in shape:
        n *= k
    return n


def _between(given: Raw, name: str, fraction: float) -> torch.Tensor:
    """`name` between its value one step back, when there is one, and now."""
    old = given.get(f"{name}~1")
    return given[name] if old is None else old + fraction * (given[name] - old)


class _Solve(torch.autograd.Function):
    """u(g, theta) from Newton, with implicit derivatives in both modes and under vmap."""

    @staticmethod
    def forward(problem: _Problem, guess: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return problem.solve(guess, *theta)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.problem = inputs[0]
        ctx.save_for_backward(output, *inputs[2:])
        ctx.save_for_forward(output, *inputs[2:])

    @staticmethod
    def backward(ctx: Any, u_bar: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        problem: _Problem = ctx.problem
        u, *theta = ctx.saved_tensors
        wanted = [i for i in range(len(theta)) if ctx.needs_input_grad[i + 2]]
        jacobian = problem.jacobian(u, *theta)
        adjoint = -DenseLU().solve(jacobian.transpose(-1, -2), u_bar)

        def of_wanted(*chosen: torch.Tensor) -> torch.Tensor:
            full = list(theta)
            for i, value in zip(wanted, chosen, strict=True):
                full[i] = value
            return problem.residual(u, *full)

        _, vjp = torch.func.vjp(of_wanted, *(theta[i] for i in wanted))  # type: ignore[misc]
        gradients: list[torch.Tensor | None] = [None] * len(theta)
        for i, gradient in zip(wanted, vjp(adjoint), strict=True):
            gradients[i] = gradient
        return None, None, *gradients

    @staticmethod
    def jvp(ctx: Any, _p: None, _g: None, *tangents: torch.Tensor | None) -> torch.Tensor:
        problem: _Problem = ctx.problem
        u, *theta = ctx.saved_tensors
        full = tuple(
            torch.zeros_like(v) if t is None else t.contiguous()
            for v, t in zip(theta, tangents, strict=True)
        )
        _, rate = torch.func.jvp(  # type: ignore[misc]
            lambda *values: problem.residual(u, *values), tuple(theta), full
        )
        return -DenseLU().solve(problem.jacobian(u, *theta), rate)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], problem: _Problem, guess: torch.Tensor, *theta: Any
    ) -> tuple[torch.Tensor, int]:
        """Fold the mapped dimension into the points, so that the batch is solved at once."""
        n_maps, n_given = info.batch_size, len(problem.given)
        shared: list[torch.Tensor] = []
        n_points = guess.shape[0] if in_dims[1] is None else guess.movedim(in_dims[1], 0).shape[1]

        def fold(value: torch.Tensor, dim: int | None) -> torch.Tensor:
            value = value.movedim(dim, 0) if dim is not None else value.expand(n_maps, *value.shape)
            return value.reshape(n_maps * n_points, *value.shape[2:])

        for i, (value, dim) in enumerate(zip(theta, in_dims[2:], strict=True)):
            if i >= n_given:
                name = problem.parameters[i - n_given]
                base = problem.base_ndim[name]
                if dim is None and value.ndim == base:
                    shared.append(value)
                    continue
                if dim is not None and value.ndim - 1 == base:
                    value = value.movedim(dim, 0).unsqueeze(1)
                    value = value.expand(n_maps, n_points, *value.shape[2:])
                    dim = 0
            shared.append(fold(value, dim))
        u = _Solve.apply(problem, fold(guess, in_dims[1]), *shared)
        return u.reshape(n_maps, n_points, -1), 0
