"""Recursions of both codes with what drives them, and the solvers that the tests compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pyzag import chunktime, nonlinear, ode
from pyzag.operators.dense import DenseBlockJacobian

import neml2fe
from neml2fe.pyzag import NEML2PyzagModel
from neml2fe.pyzag import chunktime as our_chunktime
from neml2fe.pyzag import nonlinear as ours

DECK = Path(__file__).parent.parent / "neml2" / "steel.i"
N, S = 14, 3  # 13 steps
WAYS = [("thomas", 1, 0), ("thomas", 5, 2), ("pcr", 4, 0), ("hybrid", 13, 0)]
VALUES, GRADIENTS = 1e-10, 1e-10  # of the largest value
PARAMETERS = ["isotropic_hardening_R", "yield_surface_sy", "flow_rate_eta", "elasticity_E"]
# Of the powers of the material's units.
SCALE = torch.tensor([100.0] * 12 + [0.01], dtype=torch.float64)


def way(code: Any, name: str) -> Any:
    hybrid = code.BidiagonalHybridFactorization(min_size=3)
    return {
        "thomas": code.BidiagonalThomasFactorization,
        "pcr": code.BidiagonalPCRFactorization,
        "hybrid": hybrid,
    }[name]


def theirs_solver(func: Any, how: tuple[str, int, int], **kwargs: Any) -> Any:
    name, block, first = how
    return nonlinear.RecursiveNonlinearEquationSolver(
        func,
        step_generator=nonlinear.StepGenerator(block, first_block_size=first),
        predictor=nonlinear.PreviousStepsPredictor(),
        direct_solve_operator=way(chunktime, name),
        nonlinear_solver=chunktime.ChunkNewtonRaphson(rtol=1e-13, atol=1e-11, **kwargs),
    )


def our_solver(func: Any, how: tuple[str, int, int] = ("thomas", 5, 0), **kwargs: Any) -> Any:
    name, block, first = how
    return ours.RecursiveNonlinearEquationSolver(
        func,
        step_generator=ours.StepGenerator(block, first),
        predictor=ours.PreviousStepsPredictor(),
        direct_solve_operator=way(our_chunktime, name),
        nonlinear_solver=our_chunktime.ChunkNewtonRaphson(rtol=1e-13, atol=1e-11, **kwargs),
        backend="chunk",
    )


def gradients(y: torch.Tensor, wrt: Sequence[torch.Tensor], scale: Any = 1.0) -> list[torch.Tensor]:
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)
    loss = (weights * y / scale).sum() + ((y / scale) ** 2).sum()
    return list(torch.autograd.grad(loss, list(wrt)))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


def steel() -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Our model of the deck, initial state and forces: three strain cycles."""
    system = neml2fe.load_nonlinear_system(DECK, "system")
    model = NEML2PyzagModel(system, include_parameters=PARAMETERS)
    time = torch.linspace(0.0, 1.0, N, dtype=torch.float64).reshape(N, 1).expand(N, S).clone()
    ways = torch.tensor(
        [[1.0, -0.4, -0.5, 0, 0, 0], [0, 0, 0, 0.3, 0.8, 0], [0.7, 0.7, -1, 0, 0, 1]],
        dtype=torch.float64,
    )
    strain = 0.006 * torch.sin(6.0 * time)[..., None] * ways
    forces = model.assemble_forces({"strain": strain, "t": 5.0 * time})
    return model, model.assemble_state({"stress": torch.zeros(S, 6, dtype=torch.float64)}), forces


class VanDerPol(torch.nn.Module):
    """x' = y, y' = mu (1 - x^2) y - k x + t / 5."""

    def __init__(self) -> None:
        super().__init__()
        self.mu = torch.nn.Parameter(torch.tensor(1.3, dtype=torch.float64))
        self.k = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, t: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = state[..., 0], state[..., 1]
        rates = torch.stack([y, self.mu * (1 - x**2) * y - self.k * x + t[..., 0] / 5], -1)
        first = torch.stack([torch.zeros_like(x), torch.ones_like(x)], -1)
        second = torch.stack([-2 * self.mu * x * y - self.k, self.mu * (1 - x**2)], -1)
        return rates, torch.stack([first, second], -2)


class Algebraic(torch.nn.Module, nonlinear.NonlinearFunctionOperatorFactory):
    """2 x + a x^3 = K x~1 + f, an operator of pyzag that is no ODE."""

    lookback = 1

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor([0.5, 0.8], dtype=torch.float64))
        self.K = torch.nn.Parameter(torch.tensor([[1.6, 0.3], [-0.4, 1.2]], dtype=torch.float64))

    @property
    def wrapper(self) -> Any:
        return ode.DenseODEWrapper()

    def make_operator(self, prev_solution: Any, forces: Any, inverse_operator: Any) -> Any:
        return nonlinear.ChunkOp(self, prev_solution, forces, inverse_operator)

    def evaluate_raw(self, x_full: torch.Tensor, forces: Any) -> Any:
        old, x = x_full[:-1], x_full[1:]
        residual = 2 * x + self.a * x**3 - old @ self.K.mT - forces[0][1:]
        diag = torch.diag_embed(2 + 3 * self.a * x**2)
        return residual, DenseBlockJacobian(diag=diag, sub=-self.K.expand_as(diag))


CASES: dict[str, Callable[[], Any]] = {
    "backward": lambda: ode.BackwardEulerODE(VanDerPol()),
    "forward": lambda: ode.ForwardEulerODE(VanDerPol()),
    "algebraic": Algebraic,
}


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    t = torch.linspace(0.0, 2.0, N, dtype=torch.float64).reshape(N, 1, 1).expand(N, S, 1).clone()
    return torch.linspace(-1.0, 1.5, 2 * S, dtype=torch.float64).reshape(S, 2), t
