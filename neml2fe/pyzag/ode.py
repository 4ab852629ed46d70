r"""Euler's methods for $\dot x = g(t, x)$ as recursions of states."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neml2fe.errors import ModelError
from neml2fe.models.derivatives import pointwise_jacobian
from neml2fe.pyzag.operators import DenseBlockJacobian
from neml2fe.pyzag.recursion import NonlinearFunctionOperatorFactory


class IntegrateODE(torch.nn.Module, NonlinearFunctionOperatorFactory):
    """Base of the methods, which differ in where they take the rates.

    `ode(t, x, *others)` gets times `(m, *batch)`, states `(m, *batch, n)` and the other forces
    of m points, and returns the rates `(m, *batch, n)`: alone, or in a pair with their
    derivatives by the states `(m, *batch, n, n)`. Alone, they are differentiated automatically,
    for which the rate at a point must depend on the state at that point only.

    The first force is the time, `(N, *batch, 1)` as all forces of a solver; the last dimension is
    passed on to `ode`.
    """

    def __init__(self, ode: torch.nn.Module) -> None:
        super().__init__()
        self.ode = ode
        self._gives_slopes = True  # until `ode` returns rates alone

    def _rates(
        self, x: torch.Tensor, t: torch.Tensor, others: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rates `(m, *batch, n)` at the points and their derivatives by the states."""
        found = self.ode(t, x, *others) if self._gives_slopes else None
        if found is None or isinstance(found, torch.Tensor):
            self._gives_slopes = False
            rates, _, slopes = pointwise_jacobian(lambda at: (self.ode(t, at, *others), ()), x)
        else:
            rates, slopes = found
        if rates.shape != x.shape or slopes.shape != (*x.shape, x.shape[-1]):
            raise ModelError(
                f"{type(self.ode).__name__}: rates of states {tuple(x.shape)} must have the same "
                f"shape and derivatives one dimension more, not {tuple(rates.shape)} and "
                f"{tuple(slopes.shape)}"
            )
        return rates, slopes


class BackwardEulerODE(IntegrateODE):
    r"""$R_k = x_k - x_{k-1} - (t_k - t_{k-1})\, g(t_k, x_k)$."""

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        t, dt = _times(forces[0], x_full)
        old, x = x_full[:-1], x_full[1:]
        rates, slopes = self._rates(x, t[1:], [f[1:] for f in forces[1:]])
        one = _identity(slopes)
        jacobian = DenseBlockJacobian(one - dt.unsqueeze(-1) * slopes, -one.expand_as(slopes))
        return x - old - dt * rates, jacobian


class ForwardEulerODE(IntegrateODE):
    r"""$R_k = x_k - x_{k-1} - (t_k - t_{k-1})\, g(t_{k-1}, x_{k-1})$."""

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        t, dt = _times(forces[0], x_full)
        old, x = x_full[:-1], x_full[1:]
        rates, slopes = self._rates(old, t[:-1], [f[:-1] for f in forces[1:]])
        one = _identity(slopes)
        jacobian = DenseBlockJacobian(one.expand_as(slopes), -one - dt.unsqueeze(-1) * slopes)
        return x - old - dt * rates, jacobian


def _times(t: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Times of all states of the batch, and their increments `(m, *batch, 1)`."""
    points, given = tuple(x.shape[:-1]), tuple(t.shape)
    if t.ndim == x.ndim and given[-1] == 1:
        points = (*points, 1)
    elif t.ndim == 1:
        t = t.reshape(-1, *(1,) * (x.ndim - 2))
    try:
        t = t.expand(points)
    except RuntimeError:
        raise ModelError(
            f"times {given} do not fit states {tuple(x.shape)}: the first force must be "
            "(m + 1, *batch), (m + 1, *batch, 1) or (m + 1,)"
        ) from None
    dt = t.diff(dim=0)
    return t, dt if t.ndim == x.ndim else dt.unsqueeze(-1)


def _identity(blocks: torch.Tensor) -> torch.Tensor:
    return torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
