"""u(g, theta) with r(u; g, theta) = 0 as one node of torch's graph.

By the implicit function theorem du = -(dr/du)^-1 (dr/dg dg + dr/dtheta dtheta). Forward
mode solves with the Jacobian, reverse mode with its transpose, once each, whatever the
number of Newton iterations; both rules are themselves differentiable, which gives second
derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from neml2fe.implicit.linear_solvers import LinearSolver, transposed
from neml2fe.implicit.newton import Newton, Status
from neml2fe.implicit.system import Layout, NonlinearSystem, Raw


@dataclass
class Problem:
    """What `solve` needs besides tensors: the system, its solvers, and how the flat arguments
    map to names. The outcome of the last solve by point is left in `status` and `iterations`.
    """

    system: NonlinearSystem
    solver: Newton
    given: list[str]
    parameters: list[str]
    base_ndim: dict[str, int]
    input_sensitivity: LinearSolver
    parameter_sensitivity: LinearSolver
    status: torch.Tensor = field(init=False)
    iterations: torch.Tensor = field(init=False)

    def split(self, theta: tuple[torch.Tensor, ...]) -> tuple[Raw, Raw]:
        n = len(self.given)
        return (
            dict(zip(self.given, theta[:n], strict=True)),
            dict(zip(self.parameters, theta[n:], strict=True)),
        )

    def layout(self, *theta: torch.Tensor) -> Layout:
        return self.system.layout(*self.split(theta))

    def residual(self, u: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        return self.system.residual(u, *self.split(theta))

    def jacobian(self, u: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        return self.system.linearise(u, *self.split(theta))[1]

    def solve(self, guess: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        """Newton with continuation for the points that fail; `(N, n)`, NaN where all fails."""
        given, parameters = self.split(theta)
        per_point = {n for n, v in parameters.items() if v.ndim > self.base_ndim[n]}

        def at(points: torch.Tensor, values: Raw) -> tuple[Raw, Raw]:
            chosen = {n: v[points] if n in per_point else v for n, v in parameters.items()}
            return {n: v[points] for n, v in values.items()}, chosen

        def run(values: Raw, start: torch.Tensor, subset: torch.Tensor) -> Any:
            return self.solver.solve(
                lambda u, k: self.system.linearise(u, *at(subset[k], values)),
                lambda u, k: self.system.residual(u, *at(subset[k], values)),
                start,
                layout=self.layout(*theta),
            )

        everyone = torch.arange(len(guess), device=guess.device)
        result = run(given, guess, everyone)
        failed = (result.status != Status.CONVERGED).nonzero().squeeze(-1)
        if len(failed) and any(f"{name}~1" in given for name in given):
            u = guess[failed]
            for fraction in (0.125, 0.25, 0.5, 0.75, 1.0):
                partial = {n: _between(given, n, fraction) for n in given}
                again = run(partial, u, failed)
                u = torch.where(torch.isfinite(again.u), again.u, u)
            result.u[failed] = again.u
            result.status[failed] = again.status
            result.iterations[failed] += again.iterations
        self.status, self.iterations = result.status, result.iterations
        return result.u


def _between(given: Raw, name: str, fraction: float) -> torch.Tensor:
    """`name` between its value one step back, when there is one, and now."""
    old = given.get(f"{name}~1")
    return given[name] if old is None else old + fraction * (given[name] - old)


class Solve(torch.autograd.Function):
    """u(g, theta) from Newton, with implicit derivatives in both modes and under vmap."""

    @staticmethod
    def forward(problem: Problem, guess: torch.Tensor, *theta: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return problem.solve(guess, *theta)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.problem = inputs[0]
        ctx.save_for_backward(output, *inputs[2:])
        ctx.save_for_forward(output, *inputs[2:])

    @staticmethod
    def backward(ctx: Any, u_bar: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        problem: Problem = ctx.problem
        u, *theta = ctx.saved_tensors
        wanted = [i for i in range(len(theta)) if ctx.needs_input_grad[i + 2]]
        jacobian = problem.jacobian(u, *theta)
        of_inputs = any(i < len(problem.given) for i in wanted)
        solver = problem.input_sensitivity if of_inputs else problem.parameter_sensitivity
        adjoint = -solver.solve(jacobian.mT, u_bar, transposed(problem.layout(*theta)))

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
        problem: Problem = ctx.problem
        u, *theta = ctx.saved_tensors
        full = tuple(
            torch.zeros_like(v) if t is None else t.contiguous()
            for v, t in zip(theta, tangents, strict=True)
        )
        _, rate = torch.func.jvp(  # type: ignore[misc]
            lambda *values: problem.residual(u, *values), tuple(theta), full
        )
        jacobian = problem.jacobian(u, *theta)
        return -problem.input_sensitivity.solve(jacobian, rate, problem.layout(*theta))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], problem: Problem, guess: torch.Tensor, *theta: Any
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
        u = Solve.apply(problem, fold(guess, in_dims[1]), *shared)
        return u.reshape(n_maps, n_points, -1), 0
