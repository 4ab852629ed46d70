"""Derivatives of trajectories in which specimens failed: of what was found before, and only that.

States that failed are NaN, which would spread through sums over specimens. So the specimens that
went equally far are swept by themselves, to where they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from neml2fe.errors import ConvergenceError
from neml2fe.pyzag.chunks import Chunks, Engine
from neml2fe.pyzag.recursion import NonlinearFunctionOperatorFactory

Tensors = Sequence[torch.Tensor]
Bars = tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]


def finite(y: torch.Tensor) -> bool:
    """Whether all numbers are; one pass through memory instead of several, and no copies."""
    return bool(torch.isfinite(y.sum())) or bool(torch.isfinite(y).all())


def backward(
    engine: Engine,
    y: torch.Tensor,
    forces: Tensors,
    y_bar: torch.Tensor,
    parameters: Tensors,
    first: int = 0,
) -> Bars:
    """`engine.backward`. `first` is the number of the first state, for messages.

    Raises ConvergenceError where a gradient is asked of a state that failed.
    """
    if finite(y):
        return engine.backward(y, forces, y_bar, parameters)
    y0_bar = torch.zeros_like(y_bar[0])
    force_bars = [torch.zeros_like(f) for f in forces if f.requires_grad]
    parameter_bars = [torch.zeros_like(p) for p in parameters]
    for rows, some in _groups(engine.func, y, y_bar, first):
        with _only(engine.func, some, forces, rows) as parts:
            start, of_forces, of_parameters = engine.backward(
                y[:rows, some], parts, y_bar[:rows, some], parameters
            )
        y0_bar[some] = start
        for total, bar in zip(force_bars, of_forces, strict=True):
            total[:rows, some] = bar
        for total, bar in zip(parameter_bars, of_parameters, strict=True):
            total += bar
    return y0_bar, force_bars, parameter_bars


def curvature(
    chunks: Chunks,
    y: torch.Tensor,
    forces: Tensors,
    y_bar: torch.Tensor,
    parameters: Tensors,
    y0_rate: torch.Tensor,
    rates: Tensors,
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """`chunks.curvature`, likewise."""
    if finite(y):
        return chunks.curvature(y, forces, y_bar, parameters, y0_rate, rates)
    of_y, of_y_bar = torch.zeros_like(y), torch.zeros_like(y)
    force_bars = [torch.zeros_like(f) for f in forces if f.requires_grad]
    parameter_bars = [torch.zeros_like(p) for p in parameters]
    n = len(force_bars)
    for rows, some in _groups(chunks.func, y, y_bar, 0):
        with _only(chunks.func, some, forces, rows) as parts:
            found, mu, of_forces, of_parameters = chunks.curvature(
                y[:rows, some],
                parts,
                y_bar[:rows, some],
                parameters,
                y0_rate[some],
                [*(r[:rows, some] for r in rates[:n]), *rates[n:]],
            )
        of_y[:rows, some], of_y_bar[:rows, some] = found, mu
        for total, bar in zip(force_bars, of_forces, strict=True):
            total[:rows, some] = bar
        for total, bar in zip(parameter_bars, of_parameters, strict=True):
            total += bar
    return of_y, of_y_bar, force_bars, parameter_bars


@contextmanager
def _only(
    func: NonlinearFunctionOperatorFactory, some: torch.Tensor, forces: Tensors, rows: int
) -> Iterator[list[torch.Tensor]]:
    with func.only(some):
        yield [f.detach()[:rows, some].requires_grad_(f.requires_grad) for f in forces]


def _groups(
    func: NonlinearFunctionOperatorFactory, y: torch.Tensor, y_bar: torch.Tensor, first: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """Numbers of states that are known, and the specimens that have so many."""
    failed = ~torch.isfinite(y).all(-1)
    wrong = (failed & (y_bar != 0.0).any(-1)).nonzero()
    if len(wrong):
        step, specimen = wrong[0].tolist()
        raise ConvergenceError(
            f"a gradient is asked of specimen {specimen} at step {first + step}, which did not "
            "converge; leave the states of specimens that failed out of the loss (torch.where, not "
            "a product with zero)"
        )
    if not func.separable(y.shape[1]):
        raise ConvergenceError(
            f"{type(func).__name__} holds values of all {y.shape[1]} specimens, of which some did "
            "not converge; a gradient without these needs its methods `separable` and `only`"
        )
    known = torch.where(failed.any(0), failed.to(torch.int64).argmax(0), len(failed))
    for rows in known.unique().tolist():
        if rows > 0:
            yield rows, (known == rows).nonzero().squeeze(-1)
