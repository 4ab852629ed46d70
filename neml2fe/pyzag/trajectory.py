"""A trajectory as a node of torch's graph, and its adjoint as another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from neml2fe.errors import InputError
from neml2fe.kernels import repeated
from neml2fe.pyzag.binding import Binding
from neml2fe.pyzag.chunks import Chunks, Engine, Splits
from neml2fe.pyzag.failures import backward, curvature

Tensors = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Run:
    """What a trajectory needs besides tensors. Nothing of it changes with the next run."""

    engine: Engine
    chunks: Chunks  # for second derivatives
    binding: Binding
    n: int
    n_forces: int
    report: Callable[[Splits, torch.Tensor], None]
    calls: int  # repetitions: whether kernels pay is the same for forward and backward
    packing: object  # of variables in rows

    @contextmanager
    def restored(self, parameters: Tensors) -> Iterator[Tensors]:
        """What the run found, for its derivatives: parameters (yielded, as they may have been
        frozen since), packing and repetitions."""
        parameters = [p if p.requires_grad else p.detach().requires_grad_() for p in parameters]
        func = self.engine.func
        packing, func.packing = func.packing, self.packing
        try:
            with self.binding.bound(parameters), repeated(self.calls):
                yield parameters
        finally:
            func.packing = packing

    def split(self, tensors: Tensors) -> tuple[Tensors, Tensors]:
        return tensors[: self.n_forces], tensors[self.n_forces :]


class Trajectory(torch.autograd.Function):
    """States `(N, S, n)` from y0, forces and parameters."""

    @staticmethod
    def forward(ctx: Any, run: Run, y0: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        forces, _ = run.split(tensors)
        y, splits = run.engine.forward(y0, forces, run.n)
        run.report(splits, y)
        ctx.run = run
        ctx.save_for_backward(y, *tensors)
        return y

    @staticmethod
    def backward(ctx: Any, y_bar: torch.Tensor) -> Any:
        run: Run = ctx.run
        y, *tensors = ctx.saved_tensors
        forces, _ = run.split(tensors)
        wanted = sum(f.requires_grad for f in forces)
        y0_bar, *bars = Adjoint.apply(run, y, y_bar, *tensors)
        of_forces, of_parameters = iter(bars[:wanted]), bars[wanted:]
        return (
            None,
            y0_bar,
            *(next(of_forces) if f.requires_grad else None for f in forces),
            *of_parameters,
        )


class Adjoint(torch.autograd.Function):
    """Cotangents of y0, forces and parameters for those of the states."""

    @staticmethod
    def forward(
        ctx: Any, run: Run, y: torch.Tensor, y_bar: torch.Tensor, *tensors: torch.Tensor
    ) -> Any:
        forces, parameters = run.split(tensors)
        with run.restored(parameters) as parameters:
            y0_bar, of_forces, of_parameters = backward(run.engine, y, forces, y_bar, parameters)
        ctx.run = run
        ctx.save_for_backward(y, y_bar, *tensors)
        return y0_bar, *of_forces, *of_parameters

    @staticmethod
    def backward(ctx: Any, y0_rate: torch.Tensor, *rates: torch.Tensor) -> Any:
        run: Run = ctx.run
        y, y_bar, *tensors = ctx.saved_tensors
        forces, parameters = run.split(tensors)
        with torch.no_grad(), run.restored(parameters) as parameters:
            of_y, of_y_bar, of_forces, of_parameters = curvature(
                run.chunks, y, forces, y_bar, parameters, y0_rate, rates
            )
        found = iter(of_forces)
        mine = (
            of_y,
            of_y_bar,
            *(next(found) if f.requires_grad else None for f in forces),
            *of_parameters,
        )
        message = "trajectories have first and second derivatives"
        return None, *final(mine, message, y, y_bar, y0_rate, *rates, *tensors)


class Sparse(torch.autograd.Function):
    """Some components of a trajectory, of which only every k-th state is kept: the others are
    computed once more for the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        run: Run,
        every: int,
        components: torch.Tensor,
        y0: torch.Tensor,
        *tensors: torch.Tensor,
    ) -> torch.Tensor:
        forces, _ = run.split(tensors)
        found = y0.new_empty(run.n, *y0.shape[:-1], len(components))
        found[0] = y0[..., components]
        starts, whole = [y0], Splits()
        for a, b in stretches(run.n, every):
            part = [f[a : b + 1] for f in forces]
            y, splits = run.engine.forward(starts[-1], part, b - a + 1, a)
            found[a + 1 : b + 1] = y[1:, ..., components]
            starts.append(y[-1].clone())
            whole = whole.joined(splits, a)
        run.report(whole, found)
        ctx.run, ctx.every, ctx.components = run, every, components
        ctx.save_for_backward(torch.stack(starts), *tensors)
        return found

    @staticmethod
    def backward(ctx: Any, found_bar: torch.Tensor) -> Any:
        run: Run = ctx.run
        starts, *tensors = ctx.saved_tensors
        forces, parameters = run.split(tensors)
        force_bars = [torch.zeros_like(f) for f in forces if f.requires_grad]
        parameter_bars = [torch.zeros_like(p) for p in parameters]
        carried = torch.zeros_like(starts[0])
        with torch.no_grad(), run.restored(parameters) as parameters:
            for k, (a, b) in reversed(list(enumerate(stretches(run.n, ctx.every)))):
                part = [f.detach()[a : b + 1].requires_grad_(f.requires_grad) for f in forces]
                y, _ = run.engine.forward(starts[k], part, b - a + 1, a)
                y_bar = torch.zeros_like(y)
                y_bar[1:, ..., ctx.components] = found_bar[a + 1 : b + 1]
                y_bar[-1] += carried
                carried, of_forces, of_parameters = backward(
                    run.engine, y, part, y_bar, parameters, a
                )
                for total, bar in zip(force_bars, of_forces, strict=True):
                    total[a : b + 1] += bar
                for total, bar in zip(parameter_bars, of_parameters, strict=True):
                    total += bar
            carried[..., ctx.components] += found_bar[0]
        found = iter(force_bars)
        mine = (
            carried,
            *(next(found) if f.requires_grad else None for f in forces),
            *parameter_bars,
        )
        message = "with components or keep_every, trajectories have first derivatives only"
        return *(None,) * 3, *final(mine, message, found_bar, *tensors)


class Final(torch.autograd.Function):
    """Values without derivatives: who asks for one gets an error, not nothing."""

    @staticmethod
    def forward(ctx: Any, message: str, n: int, *tensors: torch.Tensor) -> Any:
        ctx.message = message
        return tuple(t.clone() for t in tensors[:n])

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> Any:
        raise InputError(f"{ctx.message}; a higher one is asked for")


def final(
    values: Sequence[torch.Tensor | None], message: str, *sources: torch.Tensor
) -> list[torch.Tensor | None]:
    """`values`, which depend on `sources` in ways that are not differentiated."""
    if not torch.is_grad_enabled():
        return list(values)
    present = [v for v in values if v is not None]
    found = iter(Final.apply(message, len(present), *present, *sources))
    return [None if v is None else next(found) for v in values]


def stretches(n: int, every: int) -> list[tuple[int, int]]:
    """First and last states of stretches of `every` steps, the last one perhaps shorter."""
    return [(a, min(a + every, n - 1)) for a in range(0, n - 1, every)]
