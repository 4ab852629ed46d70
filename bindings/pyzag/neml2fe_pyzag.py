"""Recursions of neml2fe for pyzag's solvers, and those of pyzag for neml2fe's.

    solver = pyzag.nonlinear.RecursiveNonlinearEquationSolver(Operator(model))      # pyzag drives
    solver = neml2fe.pyzag.nonlinear.RecursiveNonlinearEquationSolver(Recursion(func))   # neml2fe

Both codes have a recursion return residuals and blocks of their derivatives from `evaluate_raw`;
what differs is in what they are wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from neml2fe_pyzag_blocks import CheckedJacobian, FailingChunk, dense
from pyzag import nonlinear, ode
from pyzag.operators.base import BlockJacobian

from neml2fe.errors import InputError, ModelError
from neml2fe.pyzag.operators import DenseBlockJacobian
from neml2fe.pyzag.recursion import NonlinearFunctionOperatorFactory

__all__ = ["Operator", "Recursion"]


class Operator(torch.nn.Module, nonlinear.NonlinearFunctionOperatorFactory):
    """A recursion of neml2fe, such as `neml2fe.pyzag.NEML2PyzagModel`, as an operator of pyzag.

    States and forces are packed in rows as `function` packs them. Its parameters are those of the
    solver; pyzag differentiates by all of them, and for its adjoint all must require a gradient
    (leave others out with `include_parameters`).

    Residuals that are not finite have not converged: pyzag raises or warns as its nonlinear solver
    is told (`throw_on_fail`), and states are NaN from there on; a gradient is then
    `neml2fe.errors.ConvergenceError`. pyzag takes the derivative of the first residual by
    the initial state for -1 and the forces for constants: gradients by these are right for
    recursions like x_k - x_{k-1} - ... only, and are not there at all.
    """

    def __init__(self, function: NonlinearFunctionOperatorFactory) -> None:
        super().__init__()
        if not isinstance(function, NonlinearFunctionOperatorFactory):
            raise ModelError(
                f"Operator takes a recursion of neml2fe.pyzag, not a {type(function).__name__}; "
                "one of pyzag's needs no wrapping"
            )
        if function.lookback != 1:
            raise InputError(f"pyzag looks back one step; the recursion {function.lookback}")
        self.function = function

    @property
    def lookback(self) -> int:
        return 1

    @property
    def wrapper(self) -> ode.ODEWrapper:
        return ode.DenseODEWrapper()

    def make_operator(
        self,
        prev_solution: torch.Tensor,
        forces: Sequence[torch.Tensor],
        inverse_operator: Any,
    ) -> nonlinear.NonlinearFunctionOperator:
        self.function.check(prev_solution[0], forces)
        return FailingChunk(self, prev_solution, forces, inverse_operator)

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, BlockJacobian]:
        residual, blocks = self.function.evaluate_raw(x_full, forces)
        bad = ~torch.isfinite(residual.detach()).all(-1)[..., None, None]
        diag = torch.where(bad, torch.nan, blocks.diag.detach())  # no step of Newton's method
        return residual, CheckedJacobian(diag, blocks.sub.detach(), residual.detach(), self)


class Recursion(torch.nn.Module, NonlinearFunctionOperatorFactory):
    """A recursion of pyzag, one of its ODEs or any other operator factory, for the solvers of
    neml2fe, with gradients by forces and initial state as well.

    Its parameters are those of the solver; some may be frozen. Values that differ by specimen are
    recognised as `NonlinearFunctionOperatorFactory.separable` of neml2fe says.
    """

    def __init__(self, function: nonlinear.NonlinearFunctionOperatorFactory) -> None:
        super().__init__()
        pyzags = isinstance(function, nonlinear.NonlinearFunctionOperatorFactory)
        if not pyzags or isinstance(function, Operator):
            raise ModelError(
                f"Recursion takes an operator factory of pyzag, not a {type(function).__name__}; "
                "one of neml2fe needs no wrapping"
            )
        self.function = function
        self.lookback = function.lookback

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        residual, blocks = self.function.evaluate_raw(x_full, list(forces))
        return residual, dense(blocks, self.function.wrapper)
