r"""Recursive nonlinear functions: R_k(x_k, x_{k-1}; f_k, f_{k-1}, theta) = 0 for k = 1, 2, ...

A recursion is anything that evaluates the residuals of many consecutive steps at once, and their
derivatives by the states of the same step, A_k, and of the step before, B_k. All that the solver
needs beyond that has a default here, made of residuals and automatic differentiation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from neml2fe.errors import InputError
from neml2fe.pyzag.operators import DenseBlockJacobian


@dataclass(frozen=True)
class Linearised:
    """Residuals R `(m, S, n)` of m steps, A^-1 R `(m, S, n)` and A^-1 B `(m, S, n, n)`."""

    residual: torch.Tensor
    correction: torch.Tensor
    propagation: torch.Tensor


class NonlinearFunctionOperatorFactory(ABC):
    """A recursion; parameters are found if it is a `torch.nn.Module` as well.

    Write `evaluate_raw`. It gets m + 1 consecutive states `(m + 1, S, n)` of S specimens and the
    forces of the same steps `(m + 1, S, n_force)`, and returns the residuals of the last m steps
    `(m, S, n)` with their `DenseBlockJacobian`. Residuals must be differentiable by torch with
    respect to states, forces and parameters (twice for Hessian-vector products).
    """

    lookback = 1
    packing: Any = None  # how variables lie in rows, where that changes from run to run

    @abstractmethod
    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        """Residuals and Jacobian of the steps."""

    def residual(self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]) -> torch.Tensor:
        """The residuals alone, `(m, S, n)`."""
        return self.evaluate_raw(x_full, forces)[0]

    def held_modules(self) -> list[torch.nn.Module]:
        """Modules whose parameters it uses besides its own."""
        return []

    def check(self, y0: torch.Tensor, forces: Sequence[torch.Tensor]) -> None:  # noqa: B027
        """Raise InputError where initial state `(S, n)` and forces `(N, S, n_force)` cannot be
        right; nothing by default."""

    def _evaluated(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        """`evaluate_raw`, whose shapes are checked."""
        residual, jacobian = self.evaluate_raw(x_full, forces)
        shape = tuple(x_full[1:].shape)
        for name, tensor, expected in (
            ("residuals", residual, shape),
            ("Jacobian diag", jacobian.diag, (*shape, shape[-1])),
            ("Jacobian sub", jacobian.sub, (*shape, shape[-1])),
        ):
            if tuple(tensor.shape) != expected:
                raise InputError(
                    f"{type(self).__name__}.evaluate_raw: the {name} have shape "
                    f"{tuple(tensor.shape)}, expected {expected} for states of shape "
                    f"{tuple(x_full.shape)}"
                )
        return residual, jacobian

    def separable(self, n_specimens: int) -> bool:
        """Whether some of the specimens can be evaluated without the others.

        By default so if no tensor that the module holds has a dimension of as many entries as
        there are specimens.
        """
        if not isinstance(self, torch.nn.Module):
            return False
        held = tree_leaves([_contents(member) for member in self.modules()])
        return not any(n_specimens in t.shape for t in held if isinstance(t, torch.Tensor))

    def only(self, specimens: torch.Tensor) -> AbstractContextManager[None]:
        """A context in which states and forces are those of some specimens."""
        return nullcontext()

    def linearisation(self, forces: Sequence[torch.Tensor]) -> Callable[[torch.Tensor], Linearised]:
        """One step of Newton's method for each of m steps, as a function of `x_full`."""

        @torch.no_grad()
        def linearised(x_full: torch.Tensor) -> Linearised:
            residual, jacobian = self._evaluated(x_full, forces)
            right = torch.cat((residual.unsqueeze(-1), jacobian.sub), dim=-1)
            # Without checks: a singular block is not to stop the other specimens.
            found = torch.linalg.solve_ex(jacobian.diag, right)[0]
            return Linearised(residual, found[..., 0], found[..., 1:])

        return linearised

    def swept_back(
        self,
        x_full: torch.Tensor,
        forces: Sequence[torch.Tensor],
        substitute: Callable[[torch.Tensor], torch.Tensor],
        wanted: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """The adjoint of m steps.

        `substitute` gives w = A^T lambda `(m, S, n)` from A^-1 B. Returns w, A^-1 B and
        -R_z^T lambda for the tensors z of `wanted`, among `forces` and parameters.
        """
        with torch.enable_grad():
            residual, jacobian = self._evaluated(x_full, forces)
        diag, sub = jacobian.diag.detach(), jacobian.sub.detach()
        propagation = torch.linalg.solve_ex(diag, sub)[0]
        w = substitute(propagation)
        adjoint = torch.linalg.solve_ex(diag.mT, w.unsqueeze(-1))[0].squeeze(-1)
        return w, propagation, gradients(residual, wanted, -adjoint)

    def driven(
        self,
        x_full: torch.Tensor,
        forces: Sequence[torch.Tensor],
        wrt: Sequence[torch.Tensor],
        rates: Sequence[Sequence[torch.Tensor]],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A^-1 R_z z' `(m, S, n, P)` for P lists of rates z' of the tensors z of `wrt`, among
        `forces` and parameters; and A^-1 B."""
        with torch.enable_grad():
            residual, jacobian = self.evaluate_raw(x_full, forces)
            # The product with a transposed derivative is linear in the seed: its derivative by
            # that is the derivative itself.
            seed = torch.zeros_like(residual, requires_grad=True)
            pulled = gradients(residual, wrt, seed, create_graph=True)
            columns = [
                gradients(sum_of_products(pulled, rate), [seed], None, retain_graph=True)[0]
                for rate in rates
            ]
        right = torch.cat((torch.stack(columns, -1), jacobian.sub.detach()), dim=-1)
        found = torch.linalg.solve_ex(jacobian.diag.detach(), right)[0]
        return found[..., : len(rates)], found[..., len(rates) :]


class NonlinearRecursiveFunction(torch.nn.Module, NonlinearFunctionOperatorFactory):
    """A recursion of which only `residual(x_full, forces)` is written: the Jacobian comes from
    automatic differentiation, in 2 n reverse sweeps over all steps."""

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        with torch.enable_grad():
            x = x_full.detach().requires_grad_()
            residual = self.residual(x, [f.detach() for f in forces])
            n, m = residual.shape[-1], len(residual)
            diag = residual.new_zeros(*residual.shape, n)
            sub = torch.zeros_like(diag)
            # Residuals of every other step have no state in common: one sweep serves them all.
            for first in range(min(2, m)):
                for i in range(n):
                    seed = torch.zeros_like(residual)
                    seed[first::2, ..., i] = 1.0
                    (row,) = torch.autograd.grad(residual, x, seed, retain_graph=True)
                    diag[first::2, ..., i, :] = row[1:][first::2]
                    sub[first::2, ..., i, :] = row[:-1][first::2]
        return self.residual(x_full, forces), DenseBlockJacobian(diag.detach(), sub.detach())

    @abstractmethod
    def residual(self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]) -> torch.Tensor:
        """Residuals `(m, S, n)` of states `(m + 1, S, n)` and forces `(m + 1, S, n_force)`."""


def gradients(
    of: torch.Tensor,
    wrt: Sequence[torch.Tensor],
    seed: torch.Tensor | None,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> list[torch.Tensor]:
    """`torch.autograd.grad` with zeros for what has no influence."""
    if not wrt or not of.requires_grad:
        return [torch.zeros_like(z) for z in wrt]
    found = torch.autograd.grad(
        of,
        list(wrt),
        seed,
        allow_unused=True,
        create_graph=create_graph,
        retain_graph=retain_graph or create_graph,
    )
    return [torch.zeros_like(z) if g is None else g for z, g in zip(wrt, found, strict=True)]


def sum_of_products(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> torch.Tensor:
    """Inner product of two lists of tensors."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def _contents(member: torch.nn.Module) -> list[object]:
    """Attributes, parameters and buffers."""
    return [v for k, v in vars(member).items() if k != "_modules"]
