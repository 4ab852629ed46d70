"""Failures and mistakes: what each solver says of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyzag.nonlinear", reason="pyzag is not installed: make bindings-test")

import torch
from pyzag import nonlinear, ode
from pyzag.operators.dense import DenseBlockJacobian

from neml2fe.errors import ConvergenceError, InputError, ModelError
from neml2fe.pyzag import nonlinear as ours

sys.path.insert(0, str(Path(__file__).parent))
from neml2fe_pyzag import Operator, Recursion
from pyzag_cases import (
    CASES,
    N,
    S,
    our_solver,
    steel,
    theirs_solver,
)

pytestmark = pytest.mark.filterwarnings("ignore:pyzag lowered")


def test_their_solver_says_that_it_fails() -> None:
    model, y0, forces = steel()
    solver = theirs_solver(Operator(model), ("thomas", 5, 0), miter=2, throw_on_fail=True)
    with pytest.raises(RuntimeError, match="did not succeed"):
        nonlinear.solve_adjoint(solver, y0, N, forces)


def test_states_that_are_not_finite() -> None:
    """pyzag by itself would return its guess as the solution, and zero as the gradient. The other
    specimens converge in up to 18 iterations, and are the same to the bit."""
    how, enough = ("thomas", 5, 2), 30
    model, y0, good = steel()
    forces = good.clone()
    forces[6:, 1] = torch.nan
    loud = theirs_solver(Operator(model), how, miter=enough, throw_on_fail=True)
    with pytest.raises(RuntimeError, match="did not succeed"):
        nonlinear.solve_adjoint(loud, y0, N, forces)
    recorded = theirs_solver(Operator(model), how, miter=enough, record_failed=True)
    with pytest.warns(UserWarning, match="did not succeed"):
        y = nonlinear.solve_adjoint(recorded, y0, N, forces)
    assert recorded.nonlinear_solver.failed.tolist() == [False, True, False]
    expected = nonlinear.solve(theirs_solver(Operator(model), how, miter=enough), y0, N, good)
    assert torch.equal(y[:, [0, 2]], expected[:, [0, 2]])
    assert bool(torch.isnan(y[7:, 1]).all())
    with pytest.raises(ConvergenceError, match=r"1 of 3 specimens .* \(specimen 1\)"):
        y[:, 0].sum().backward()


class Overflow(ours.NonlinearRecursiveFunction):
    """x = x~1 + f, where all but the states are infinite."""

    def residual(self, x_full: torch.Tensor, forces: Any) -> torch.Tensor:
        return x_full[1:] - x_full[:-1] - forces[0][1:]


def test_states_are_nan_where_residuals_are_infinite() -> None:
    f = torch.ones(N, S, 1, dtype=torch.float64)
    f[6:, 1] = torch.inf
    with pytest.warns(UserWarning, match="did not succeed"):
        y = nonlinear.solve(
            theirs_solver(Operator(Overflow()), ("thomas", 1, 0), miter=5), f[0], N, f
        )
    assert bool(torch.isnan(y[6:, 1]).all()) and bool(
        (y[:6] == 1.0 + torch.arange(6)[:, None, None]).all()
    )
    assert bool((y[-1, [0, 2]] == N).all())


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
