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
from neml2fe.implicit.tracing import GUESS, PARAMETER, SOLVE, UNKNOWNS
from neml2fe.kernels import BAR, SOLUTION, Kernels, Request


@dataclass
class Problem:
    """What `solve` needs besides tensors: the system, its solvers, and how the flat arguments
    map to names. The outcome of the last solve by point is left in `status` and `iterations`.
    With `kernels` these do the solve and its reverse mode.
    """

    system: NonlinearSystem
    solver: Newton
    given: list[str]
    parameters: list[str]
    base_ndim: dict[str, int]
    input_sensitivity: LinearSolver
    parameter_sensitivity: LinearSolver
    kernels: Kernels | None = None
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
        if self.kernels is not None:
            kernel = self.kernels.kernel(SOLVE)
            found = kernel(len(guess), self._named(guess, theta), [self.solver], like=guess)
            self.status, self.iterations = found.status, found.iterations
            return found.arrays[UNKNOWNS]
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
                result.iterations[failed] += again.iterations
            result.u[failed] = again.u
            result.status[failed] = again.status
        self.status, self.iterations = result.status, result.iterations
        return result.u

    def _named(self, guess: torch.Tensor, theta: tuple[torch.Tensor, ...]) -> Raw:
        """The arguments of a kernel."""
        given, parameters = self.split(theta)
        return {**given, **{PARAMETER + n: p for n, p in parameters.items()}, GUESS: guess}

    def adjoint(
        self, u: torch.Tensor, u_bar: torch.Tensor, *theta: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Cotangents of `theta` for those of u, by the kernel."""
        assert self.kernels is not None
        given, parameters = self.split(theta)
        names = [*given, *(PARAMETER + n for n in parameters)]
        kernel = self.kernels.kernel(Request("vjp", (UNKNOWNS,), tuple(names)))
        arguments = {**self._named(u, theta), SOLUTION: u, BAR + UNKNOWNS: u_bar}
        shared = [PARAMETER + n for n, p in parameters.items() if p.ndim == self.base_ndim[n]]
        found = kernel(len(u), arguments, like=u, summed=[BAR + n for n in shared])
        return tuple(found.arrays[BAR + n].to(t.dtype) for n, t in zip(names, theta, strict=True))

    def eager_adjoint(
        self, u: torch.Tensor, u_bar: torch.Tensor, *theta: torch.Tensor, wanted: list[int]
    ) -> tuple[torch.Tensor, ...]:
        """The cotangents of the `wanted` ones of `theta`, by torch operations."""
        jacobian = self.jacobian(u, *theta)
        of_inputs = any(i < len(self.given) for i in wanted)
        solver = self.input_sensitivity if of_inputs else self.parameter_sensitivity
        adjoint = -solver.solve(jacobian.mT, u_bar, transposed(self.layout(*theta)))

        def of_wanted(*chosen: torch.Tensor) -> torch.Tensor:
            full = list(theta)
            for i, value in zip(wanted, chosen, strict=True):
                full[i] = value
            return self.residual(u, *full)

        _, vjp = torch.func.vjp(of_wanted, *(theta[i] for i in wanted))  # type: ignore[misc]
        return vjp(adjoint)


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
        if problem.kernels is not None:
            every = Adjoint.apply(problem, u, u_bar, *theta)
            found = tuple(every[i] for i in wanted)
        else:
            found = problem.eager_adjoint(u, u_bar, *theta, wanted=wanted)
        gradients: list[torch.Tensor | None] = [None] * len(theta)
        for i, gradient in zip(wanted, found, strict=True):
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
        fold = _Fold(info.batch_size, problem, guess, in_dims[1])
        u = Solve.apply(problem, fold(guess, in_dims[1]), *fold.all(theta, in_dims[2:]))
        return u.reshape(info.batch_size, fold.n_points, -1), 0


class Adjoint(torch.autograd.Function):
    """`Problem.adjoint` as a node of the graph; its own derivatives come from `eager_adjoint`."""

    @staticmethod
    def forward(problem: Problem, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return problem.adjoint(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.problem = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def jvp(ctx: Any, _p: None, *rates: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        problem: Problem = ctx.problem
        tensors = ctx.saved_tensors
        full = (
            torch.zeros_like(v) if t is None else t for v, t in zip(tensors, rates, strict=True)
        )
        everything = list(range(len(tensors) - 2))
        return torch.func.jvp(  # type: ignore[misc]
            lambda *values: problem.eager_adjoint(*values, wanted=everything),
            tuple(v.contiguous() for v in tensors),
            tuple(full),
        )[1]

    @staticmethod
    def backward(ctx: Any, *bars: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        problem: Problem = ctx.problem
        tensors = ctx.saved_tensors
        everything = list(range(len(tensors) - 2))
        _, vjp = torch.func.vjp(  # type: ignore[misc]
            lambda *values: problem.eager_adjoint(*values, wanted=everything), *tensors
        )
        return None, *vjp(tuple(bars))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], problem: Problem, *tensors: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], tuple[int, ...]]:
        """Fold the mapped dimension into the points; sums over the points are then one for each
        entry of it."""
        fold = _Fold(info.batch_size, problem, tensors[0], in_dims[1])
        theta = fold.all(tensors[2:], in_dims[3:], split_shared=True)
        first = (fold(t, d) for t, d in zip(tensors[:2], in_dims[1:3], strict=True))
        found = Adjoint.apply(problem, *first, *theta)
        bars = []
        for i, bar in enumerate(found):
            bar = bar.reshape(info.batch_size, fold.n_points, *bar.shape[1:])
            bars.append(bar.sum(1) if fold.shared(i, tensors[i + 2], in_dims[i + 3]) else bar)
        return tuple(bars), (0,) * len(bars)


class _Fold:
    """Tensors `(N, ...)` with one mapped dimension as `(maps * N, ...)`."""

    def __init__(self, n_maps: int, problem: Problem, like: torch.Tensor, dim: int | None) -> None:
        self.n_maps, self.problem = n_maps, problem
        self.n_points = len(like if dim is None else like.movedim(dim, 0)[0])

    def __call__(self, value: torch.Tensor, dim: int | None) -> torch.Tensor:
        n = self.n_maps
        value = value.movedim(dim, 0) if dim is not None else value.expand(n, *value.shape)
        return value.reshape(n * self.n_points, *value.shape[2:])

    def all(
        self,
        theta: tuple[torch.Tensor, ...],
        dims: tuple[int | None, ...],
        split_shared: bool = False,
    ) -> list[torch.Tensor]:
        """Given variables and parameters; what is the same for all points stays so, unless it is
        to be split."""
        folded = []
        for i, (value, dim) in enumerate(zip(theta, dims, strict=True)):
            if self.shared(i, value, dim):
                if dim is None and not split_shared:
                    folded.append(value)
                    continue
                value = (
                    value.expand(self.n_maps, *value.shape)
                    if dim is None
                    else value.movedim(dim, 0)
                )
                value = value.unsqueeze(1).expand(-1, self.n_points, *value.shape[1:])
                dim = 0
            folded.append(self(value, dim))
        return folded

    def shared(self, i: int, value: torch.Tensor, dim: int | None) -> bool:
        """Whether the i-th of given variables and parameters is the same for all points."""
        k = i - len(self.problem.given)
        if k < 0:
            return False
        return value.ndim - (dim is not None) == self.problem.base_ndim[self.problem.parameters[k]]
