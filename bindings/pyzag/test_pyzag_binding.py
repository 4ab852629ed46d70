"""The same trajectories and gradients from both codes' solvers, with recursions of both."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyzag", reason="pyzag is not installed: make bindings-test")

import torch
from pyzag import chunktime, nonlinear, ode
from pyzag.operators.dense import DenseBlockJacobian

import neml2fe
from neml2fe.errors import ConvergenceError, InputError, ModelError
from neml2fe.pyzag import NEML2PyzagModel
from neml2fe.pyzag import chunktime as our_chunktime
from neml2fe.pyzag import nonlinear as ours

sys.path.insert(0, str(Path(__file__).parent))
from neml2fe_pyzag import Operator, Recursion

DECK = Path(__file__).parent.parent / "neml2" / "steel.i"
N, S = 14, 3  # 13 steps
WAYS = [("thomas", 1, 0), ("thomas", 5, 2), ("pcr", 4, 0), ("hybrid", 13, 0)]
VALUES, GRADIENTS = 1e-10, 1e-10  # of the largest value
PARAMETERS = ["isotropic_hardening_R", "yield_surface_sy", "flow_rate_eta", "elasticity_E"]
# Of the powers of the material's units.
SCALE = torch.tensor([100.0] * 12 + [0.01], dtype=torch.float64)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pyzag lowered")
        yield


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


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_our_system_in_their_solver(how: tuple[str, int, int]) -> None:
    model, y0, forces = steel()
    y0 = y0.requires_grad_()
    mine = ours.RecursiveNonlinearEquationSolver(model)  # a compiled march
    wrt = [*(getattr(model, n) for n in PARAMETERS), y0]
    expected = ours.solve_adjoint(mine, y0, N, forces)
    of_ours = gradients(expected, wrt, SCALE)
    found = nonlinear.solve_adjoint(theirs_solver(Operator(model), how), y0, N, forces)
    of_theirs = gradients(found, wrt, SCALE)
    assert bool((expected[-1, :, 12] > 1e-3).all())  # well into the plastic range
    assert difference(found / SCALE, expected / SCALE) < VALUES
    for a, b in zip(of_theirs, of_ours, strict=True):
        assert difference(a, b) < GRADIENTS


@pytest.mark.parametrize("how", WAYS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_their_operators_in_our_engine(case: str, how: tuple[str, int, int]) -> None:
    func = CASES[case]()
    y0, t = inputs()
    wrt = list(func.parameters())
    expected = nonlinear.solve_adjoint(theirs_solver(func, how), y0, N, t)
    of_theirs = gradients(expected, wrt)
    found = ours.solve_adjoint(our_solver(Recursion(func), how), y0, N, t)
    of_ours = gradients(found, wrt)
    assert difference(found, expected) < VALUES
    for a, b in zip(of_ours, of_theirs, strict=True):
        assert difference(a, b) < GRADIENTS


@pytest.mark.parametrize("case", CASES)
def test_what_our_engine_adds_to_theirs(case: str) -> None:
    """Gradients by initial state and forces, against plain backpropagation through their steps;
    and parameters that are frozen."""
    func = CASES[case]()
    frozen, *others = func.parameters()
    frozen.requires_grad_(False)
    y0, t = (x.requires_grad_() for x in inputs())
    found = ours.solve_adjoint(our_solver(Recursion(func)), y0, N, t)
    steps = [y0]
    for k in range(1, N):
        x = steps[-1].detach()
        for _ in range(30):  # the graph of the last one, at the solution, is the derivative
            x = x.detach()
            residual, blocks = func.evaluate_raw(torch.stack([steps[-1], x]), [t[k - 1 : k + 1]])
            x = x - torch.linalg.solve(blocks.diag[0].detach(), residual[0].unsqueeze(-1))[..., 0]
        steps.append(x)
    expected = torch.stack(steps)
    assert difference(found, expected) < VALUES
    for a, b in zip(
        gradients(found, [y0, t, *others]), gradients(expected, [y0, t, *others]), strict=True
    ):
        assert difference(a, b) < GRADIENTS


def test_models_of_neml2_in_our_engine() -> None:
    """The recursion that NEML2 itself makes for pyzag: its blocks are not dense tensors."""
    neml2 = pytest.importorskip("neml2", reason="neml2 is not installed: make bindings-test")
    model, y0, forces = steel()
    system = neml2.load_nonlinear_system(DECK, "system")
    func = neml2.pyzag.NEML2PyzagModel(system, include_parameters=PARAMETERS)
    func.assemble_state({n: v for n, v in model.split_state(y0).items()})
    assert list(func.svars) == model.svars
    theirs = func.assemble_forces({n: v for n, v in model.split_forces(forces).items()})
    wrt = [getattr(func, n) for n in PARAMETERS]
    found = ours.solve_adjoint(our_solver(Recursion(func)), y0, N, theirs)
    of_ours = gradients(found, wrt, SCALE)
    expected = ours.solve_adjoint(ours.RecursiveNonlinearEquationSolver(model), y0, N, forces)
    of_model = gradients(expected, [getattr(model, n) for n in PARAMETERS], SCALE)
    assert difference(found / SCALE, expected / SCALE) < VALUES
    for a, b in zip(of_ours, of_model, strict=True):
        assert difference(a, b) < GRADIENTS


def test_their_solver_says_that_it_fails() -> None:
    model, y0, forces = steel()
    solver = theirs_solver(Operator(model), ("thomas", 5, 0), miter=2, throw_on_fail=True)
    with pytest.raises(RuntimeError, match="did not succeed"):
        nonlinear.solve_adjoint(solver, y0, N, forces)


def test_states_that_are_not_finite() -> None:
    """pyzag by itself would return its guess as the solution, and zero as the gradient."""
    how = ("thomas", 5, 2)
    model, y0, forces = steel()
    forces[6:, 1] = torch.nan
    loud = theirs_solver(Operator(model), how, miter=12, throw_on_fail=True)
    with pytest.raises(RuntimeError, match="did not succeed"):
        nonlinear.solve_adjoint(loud, y0, N, forces)
    with pytest.warns(UserWarning, match="did not succeed"):
        y = nonlinear.solve_adjoint(theirs_solver(Operator(model), how, miter=12), y0, N, forces)
    model, y0, good = steel()
    expected = nonlinear.solve(theirs_solver(Operator(model), how), y0, N, good)
    assert difference(y[:, [0, 2]] / SCALE, expected[:, [0, 2]] / SCALE) < VALUES
    assert bool(torch.isnan(y[7:, 1]).all())
    with pytest.raises(ConvergenceError, match=r"1 of 3 specimens .* \(specimen 1\)"):
        y[:, 0].sum().backward()


class Root(torch.nn.Module, nonlinear.NonlinearFunctionOperatorFactory):
    """x^2 = f: without a solution where f < 0."""

    lookback = 1
    wrapper = ode.DenseODEWrapper()

    def make_operator(self, prev_solution: Any, forces: Any, inverse_operator: Any) -> Any:
        return nonlinear.ChunkOp(self, prev_solution, forces, inverse_operator)

    def evaluate_raw(self, x_full: torch.Tensor, forces: Any) -> Any:
        x = x_full[1:]
        diag = torch.diag_embed(2.0 * x)
        return x**2 - forces[0][1:], DenseBlockJacobian(diag=diag, sub=torch.zeros_like(diag))


def test_our_solver_names_specimens_that_fail() -> None:
    f = torch.ones(N, S, 1, dtype=torch.float64)
    f[6:, 1] = -1.0
    solver = our_solver(Recursion(Root()), miter=12)
    with pytest.raises(ours.TrajectoryError, match=r"1 of 3 .* \(specimen 1 at step 6\)"):
        ours.solve(solver, f[0], N, f)


def test_frozen_parameters_in_their_solver() -> None:
    model, y0, forces = steel()
    model.flow_rate_eta.requires_grad_(False)
    solver = theirs_solver(Operator(model), ("thomas", 5, 0))
    assert bool(torch.isfinite(nonlinear.solve(solver, y0, N, forces)).all())
    with pytest.raises(InputError, match=r"function\.flow_rate_eta requires none"):
        nonlinear.solve_adjoint(solver, y0, N, forces).sum().backward()


def test_wrong_arguments() -> None:
    model, y0, forces = steel()
    with pytest.raises(ModelError, match="not a BackwardEulerODE"):
        Operator(CASES["backward"]())
    for function in (model, Operator(model)):
        with pytest.raises(ModelError, match=f"not a {type(function).__name__}"):
            Recursion(function)
    solver = theirs_solver(Operator(model), ("thomas", 5, 0))
    with pytest.raises(InputError, match="row of 13 numbers"):
        nonlinear.solve(solver, y0[:, :7], N, forces)
    with pytest.raises(InputError, match="the forces must be a row of 7 numbers"):
        nonlinear.solve(solver, y0, N, forces[..., :6])
