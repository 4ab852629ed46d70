"""`taylor_test`: is the gradient of a loss right? Against differences of many step sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from neml2fe.errors import ConvergenceError, InputError, suggest
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.adjoint.inputs import tensors_of_problem
from neml2fe.fem.adjoint.solve import Observations, Solution, solve
from neml2fe.fem.problem import Problem
from neml2fe.fem.stepping import TimeStepping

SIZES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


@dataclass(frozen=True)
class TaylorRow:
    """The derivative along a direction of one tensor, `gradient`, and by central differences of
    relative step size `sizes[k]`, `differences[k]` (NaN where a run fails)."""

    name: str
    gradient: float
    sizes: tuple[float, ...]
    differences: tuple[float, ...]

    @property
    def errors(self) -> list[float]:
        """Relative to the gradient, or to the largest difference where that is larger."""
        known = [abs(d) for d in self.differences if d == d]
        scale = max([abs(self.gradient), *known[-3:]], default=0.0)
        return [abs(d - self.gradient) / scale if scale else 0.0 for d in self.differences]

    @property
    def least(self) -> float:
        """The floor of the V."""
        return min((e for e in self.errors if e == e), default=float("nan"))


@dataclass(frozen=True)
class TaylorTest:
    """For a right gradient errors fall with the square of the step size until round-off makes them
    rise again: a V, whose floor is `least`."""

    rows: list[TaylorRow]

    @property
    def least(self) -> float:
        """The floor of the worst row."""
        return max((row.least for row in self.rows), default=float("nan"))

    def passed(self, tolerance: float = 1e-7) -> bool:
        """Whether the floors of all rows are at or below `tolerance`."""
        return all(row.least <= tolerance for row in self.rows)

    def __str__(self) -> str:
        width = max([len(row.name) for row in self.rows], default=4)
        sizes = self.rows[0].sizes if self.rows else ()
        head = f"{'':{width}}  {'gradient':>12}  " + "  ".join(f"{s:8.0e}" for s in sizes)
        lines = [
            f"{row.name:{width}}  {row.gradient:12.5e}  "
            + "  ".join(f"{error:8.1e}" for error in row.errors)
            for row in self.rows
        ]
        return "\n".join([head, *lines])


def taylor_test(
    problem: Problem,
    stepping: TimeStepping | Sequence[float],
    observe: Observations,
    loss: Callable[[Solution], torch.Tensor],
    times: Sequence[float] = (),
    *,
    names: Sequence[str] | None = None,
    sizes: Sequence[float] = SIZES,
    checkpoints: Checkpoints | None = None,
    seed: int = 0,
) -> TaylorTest:
    """Compare the gradient of `loss(solution)` with central differences over the same steps, one
    row for each tensor that requires a gradient (`names`: of these only). Collective.

    A number is changed by fractions `sizes` of itself, a tensor of several along a random direction
    relative to the size of its entries; what is zero, by fractions of one. Raises `InputError` for
    an unknown name, and what `solve` and the gradient raise.
    """
    known = {n: t for n, t in tensors_of_problem(problem).items() if t.requires_grad}
    for name in names or ():
        if name not in known:
            raise InputError(f"no tensor '{name}' requires a gradient{suggest(name, known)}")
    chosen = {n: known[n] for n in (known if names is None else names)}
    with torch.enable_grad():
        solution = solve(problem, stepping, observe, times, checkpoints=checkpoints)
        found = torch.autograd.grad(loss(solution), list(chosen.values()), allow_unused=True)
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for (name, tensor), gradient in zip(chosen.items(), found, strict=True):
        direction = _direction(tensor.detach(), generator)
        slope = 0.0 if gradient is None else float((gradient * direction).sum())

        def at(size: float, tensor: torch.Tensor = tensor, d: torch.Tensor = direction) -> float:
            before = tensor.detach().clone()
            try:
                tensor.data.copy_(before + size * d)
                with torch.no_grad():
                    return float(loss(solve(problem, solution.steps, observe, times)))
            except ConvergenceError:
                return float("nan")
            finally:
                tensor.data.copy_(before)

        differences = tuple((at(h) - at(-h)) / (2.0 * h) for h in sizes)
        rows.append(TaylorRow(name, slope, tuple(sizes), differences))
    return TaylorTest(rows)


def _direction(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    scale = float(tensor.abs().max()) if tensor.numel() else 0.0
    if tensor.numel() == 1:
        return torch.full_like(tensor, scale or 1.0)
    random = torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
    return random * (scale or 1.0)
