"""Recursions and ODEs of two states, the loop over their steps that autograd unrolls, and decks
as recursions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from ladder import DECKS, f64, randn

import neml2fe
from neml2fe.drivers.result import History
from neml2fe.pyzag import NEML2PyzagModel, ode
from neml2fe.pyzag.nonlinear import NonlinearFunctionOperatorFactory, NonlinearRecursiveFunction
from neml2fe.pyzag.operators import DenseBlockJacobian

N, S = 13, 4  # twelve steps of four specimens
SWAP = f64([[0.0, 1.0], [1.0, 0.0]])
WITHOUT_BATCH = ("uniaxial_linear",)  # decks of a single specimen
Forces = Sequence[torch.Tensor]


class Linear(torch.nn.Module, NonlinearFunctionOperatorFactory):
    """M x_k = K x_{k-1} + f_k w: the first residual is not -1 times the initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.M = torch.nn.Parameter(f64([[2.0, 0.4], [-0.3, 1.5]]))
        self.K = torch.nn.Parameter(f64([[1.7, -0.5], [0.6, 1.1]]))
        self.w = torch.nn.Parameter(f64([0.3, -0.2]))

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Forces
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        old, x = x_full[:-1], x_full[1:]
        residual = x @ self.M.mT - old @ self.K.mT - forces[0][1:] * self.w
        blocks = [b.expand(*x.shape, 2) for b in (self.M, -self.K)]
        return residual, DenseBlockJacobian(*blocks)


class Cubic(torch.nn.Module, NonlinearFunctionOperatorFactory):
    """2 x + a x^3 + 0.3 swapped(x) = (1 + f~1 / 5) (b x~1 + c sin x~1) + f.

    `a` may differ by specimen, `(S, 2)`.
    """

    def __init__(self, a: torch.Tensor | None = None) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(f64([0.5, 0.8]) if a is None else a)
        self.b = torch.nn.Parameter(f64([[1.6, 0.3], [-0.4, 1.2]]))
        self.c = torch.nn.Parameter(f64(0.7))

    def residual(self, x_full: torch.Tensor, forces: Forces) -> torch.Tensor:
        old, x, f = x_full[:-1], x_full[1:], forces[0]
        left = 2.0 * x + self.a * x**3 + 0.3 * x @ SWAP
        return left - (1.0 + f[:-1] / 5.0) * (old @ self.b.mT + self.c * old.sin()) - f[1:]

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Forces
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        old, x, f = x_full[:-1], x_full[1:], forces[0]
        diag = torch.diag_embed(2.0 + 3.0 * self.a * x**2) + 0.3 * SWAP
        slope = self.b + torch.diag_embed(self.c * old.cos())
        sub = -(1.0 + f[:-1] / 5.0).unsqueeze(-1) * slope
        return self.residual(x_full, forces), DenseBlockJacobian(diag, sub)


class CubicByResidual(Cubic, NonlinearRecursiveFunction):
    """The same of which the residual alone is used."""

    evaluate_raw = NonlinearRecursiveFunction.evaluate_raw


class VanDerPol(torch.nn.Module):
    """x' = y, y' = mu (1 - x^2) y - k x + t / 5, with slopes."""

    def __init__(self) -> None:
        super().__init__()
        self.mu = torch.nn.Parameter(f64(1.3))
        self.k = torch.nn.Parameter(f64(0.7))

    def forward(self, t: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = state.unbind(-1)
        rates = torch.stack([y, self.mu * (1.0 - x**2) * y - self.k * x + t[..., 0] / 5.0], -1)
        first = torch.stack([torch.zeros_like(x), torch.ones_like(x)], -1)
        second = torch.stack([-2.0 * self.mu * x * y - self.k, self.mu * (1.0 - x**2)], -1)
        return rates, torch.stack([first, second], -2)


RECURSIONS = {
    "linear": Linear,
    "cubic": Cubic,
    "cubic by residual": CubicByResidual,
    "backward Euler": lambda: ode.BackwardEulerODE(VanDerPol()),
    "forward Euler": lambda: ode.ForwardEulerODE(VanDerPol()),
}


def start(n: int = N, s: int = S) -> tuple[torch.Tensor, torch.Tensor]:
    """An initial state `(s, 2)` and a growing force `(n, s, 1)`, both with gradients."""
    force = (0.05 + 0.2 * torch.rand(n, s, 1, dtype=torch.float64)).cumsum(0)
    return randn(s, 2).requires_grad_(), force.requires_grad_()


def unrolled(recursion: torch.nn.Module, y0: torch.Tensor, *forces: torch.Tensor) -> torch.Tensor:
    """Newton's method for one step after another, all of it on autograd's tape."""
    evaluate = Cubic.evaluate_raw if isinstance(recursion, Cubic) else type(recursion).evaluate_raw
    known = [y0]
    for k in range(1, len(forces[0])):
        x, window = known[-1], [f[k - 1 : k + 1] for f in forces]
        for _ in range(9):
            residual, jacobian = evaluate(recursion, torch.stack([known[-1], x]), window)
            x = x - torch.linalg.solve(jacobian.diag[0], residual[0])
        known.append(x)
    return torch.stack(known)


def loss(y: torch.Tensor) -> torch.Tensor:
    """Every state counts, the initial one too, and not in the same way."""
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)
    return (weights * y).sum() + (y**3).sum()


def worst(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """The largest difference, relative to the largest entry of each tensor."""
    assert [a.shape for a in found] == [b.shape for b in expected]
    differences = [
        float(((a - b).abs().max() / b.abs().max()).detach())
        for a, b in zip(found, expected, strict=True)
    ]
    assert all(d == d for d in differences), "NaN"
    return max(differences)


@dataclass(frozen=True)
class DeckCase:
    """A deck of `tests/decks`: its system as a recursion, packed, and its driver's history."""

    model: NEML2PyzagModel
    y0: torch.Tensor  # (S, n_state)
    forces: torch.Tensor  # (N, S, n_force)
    known: dict[str, torch.Tensor]  # unknowns at the steps 1 to N - 1, (N - 1, S, *shape)


@cache
def _history(deck: str, n: int | None) -> tuple[str, History]:
    """Name of the system, and what the driver finds in the first n steps at tight tolerances."""
    newton = "Solvers/newton/"
    source = neml2fe.load_input(
        DECKS / f"{deck}.i", [f"{newton}abs_tol=1e-11", f"{newton}rel_tol=1e-13"]
    )
    driver = source.get_driver("driver").driver
    driver.prescribed = {name: value[:n] for name, value in driver.prescribed.items()}
    return source.deck.blocks("EquationSystems")[0].name, driver.run()


def deck_case(deck: str, n: int | None = None, backend: str = "eager", **options: Any) -> DeckCase:
    """The first n steps of a deck's driver."""
    system, history = _history(deck, n)
    # Read once more: tests change parameters.
    fresh = neml2fe.load_nonlinear_system(DECKS / f"{deck}.i", system)
    model = NEML2PyzagModel(fresh, backend=backend, **options)
    forces = {v: _stacked([row[v] for row in history.inputs], deck) for v in model.fvars}
    known = {v: _stacked([row[v] for row in history.outputs[1:]], deck) for v in model.svars}
    first = {v: history.outputs[0].get(v, torch.zeros_like(known[v][0])) for v in model.svars}
    packed = model.assemble_state({v: t.detach() for v, t in first.items()})
    return DeckCase(model, packed, model.assemble_forces(forces), known)


def _stacked(rows: list[torch.Tensor], deck: str) -> torch.Tensor:
    found = torch.stack(rows).detach()
    return found.unsqueeze(1) if deck in WITHOUT_BATCH else found


def cycled(deck: str, n: int, s: int, backend: str = "eager", **options: Any) -> DeckCase:
    """Strain cycles of s specimens in random directions, into plasticity both ways."""
    case = deck_case(deck, 2, backend, **options)
    model = case.model
    time = torch.linspace(0.0, 1.0, n, dtype=torch.float64)[:, None].expand(n, s)
    way = randn(s, 6)
    strain = 0.008 * torch.sin(6.0 * time).unsqueeze(-1) * way / way.norm(dim=-1, keepdim=True)
    values = {"E": strain, "t": 5.0 * time, "T": 300.0 + 100.0 * time * torch.rand(s).double()}
    forces = model.assemble_forces({v: values[v] for v in model.fvars})
    return DeckCase(model, case.y0.new_zeros(s, model.nstate), forces, {})
