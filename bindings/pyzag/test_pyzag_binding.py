"""The same trajectories and gradients from both codes' solvers, with recursions of both."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyzag.nonlinear", reason="pyzag is not installed: make bindings-test")

import torch
from pyzag import nonlinear
from pyzag.reparametrization import RangeRescale, Reparameterizer

from neml2fe.pyzag import nonlinear as ours

sys.path.insert(0, str(Path(__file__).parent))
from neml2fe_pyzag import Operator, Recursion
from pyzag_cases import (
    CASES,
    DECK,
    GRADIENTS,
    PARAMETERS,
    SCALE,
    VALUES,
    WAYS,
    N,
    S,
    difference,
    gradients,
    inputs,
    our_solver,
    steel,
    theirs_solver,
)

pytestmark = pytest.mark.filterwarnings("ignore:pyzag lowered")


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


class Run(torch.nn.Module):
    """The trajectory as a function of the forces."""

    def __init__(self, solve: Callable[..., torch.Tensor], solver: Any, y0: torch.Tensor) -> None:
        super().__init__()
        self.solve, self.solver, self.y0 = solve, solver, y0

    def forward(self, forces: torch.Tensor) -> torch.Tensor:
        return self.solve(self.solver, self.y0, N, forces)


def test_their_scales_of_our_parameters() -> None:
    model, y0, forces = steel()
    plain = Run(nonlinear.solve_adjoint, theirs_solver(Operator(model), WAYS[1]), y0)
    expected = plain(forces)
    of_plain = gradients(expected, list(plain.parameters()), SCALE)
    scales = {"solver.func.function.yield_surface_sy": RangeRescale(100.0, 400.0)}
    Reparameterizer(scales)(plain)
    found = plain(forces)
    names = [name.rpartition("function.")[2] for name, _ in plain.named_parameters()]
    of_scaled = dict(zip(names, gradients(found, list(plain.parameters()), SCALE), strict=True))
    assert difference(found / SCALE, expected / SCALE) < VALUES
    of_scaled["yield_surface_sy"] = (
        of_scaled.pop("parametrizations.yield_surface_sy.original") / 300.0
    )
    for name, known in zip(PARAMETERS, of_plain, strict=True):
        assert difference(of_scaled[name], known) < GRADIENTS


def test_their_statistics_of_our_parameters() -> None:
    """Parameters that are samples, one a specimen."""
    pyro = pytest.importorskip("pyro", reason="pyro is not installed: make bindings-test")
    from pyzag.stochastic import HierarchicalStatisticalModel, MapNormal

    model, y0, forces = steel()
    values = {
        name: (getattr(model, name) * torch.linspace(0.9, 1.1, S).double())
        .detach()
        .requires_grad_()
        for name in PARAMETERS
    }
    theirs = Run(nonlinear.solve_adjoint, theirs_solver(Operator(model), WAYS[1]), y0)
    noise = torch.tensor(0.1, dtype=torch.float64)
    statistics = HierarchicalStatisticalModel(theirs, MapNormal(0.1), noise)
    sites = {f"solver.func.function.{name}": value for name, value in values.items()}
    drawn = pyro.poutine.trace(pyro.condition(statistics, data=sites)).get_trace(forces)
    found = drawn.nodes["obs"]["fn"].base_dist.loc

    model = steel()[0]
    for name, value in values.items():
        setattr(model, name, torch.nn.Parameter(value.detach().clone()))
    mine = Run(ours.solve_adjoint, ours.RecursiveNonlinearEquationSolver(model), y0)
    expected = mine(forces)
    assert difference(found / SCALE, expected / SCALE) < VALUES
    of_theirs = gradients(found, list(values.values()), SCALE)
    of_ours = gradients(expected, [getattr(model, n) for n in PARAMETERS], SCALE)
    for a, b in zip(of_theirs, of_ours, strict=True):
        assert a.shape == (S,)
        assert difference(a, b) < GRADIENTS
