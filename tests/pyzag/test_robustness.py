"""What a user may do between and around runs, without a wrong number or a lost gradient."""

from __future__ import annotations

import pytest
import torch
from recursions import cycled

from neml2fe.errors import InputError
from neml2fe.pyzag import nonlinear

N, S = 14, 6
Solver = nonlinear.RecursiveNonlinearEquationSolver


@pytest.fixture(scope="module")
def case():  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return cycled("perzyna_voce", N, S, "kernel")


@pytest.mark.parametrize(("exponent", "factor"), [(30.0, 10.0), (60.0, 3.0)])
def test_stiff_laws_march(case, exponent: float, factor: float) -> None:  # type: ignore[no-untyped-def]
    """Extrapolated guesses fail here; the march goes on without."""
    model, forces = case.model, case.model.split_forces(case.forces)
    forces = model.assemble_forces({**forces, "E": factor * forces["E"]})
    before = model.flow_rate_n.detach().clone()
    try:
        with torch.no_grad():
            model.flow_rate_n.fill_(exponent)
        found = Solver(model, backend="march").solve(case.y0, N, forces)
        expected = Solver(model, backend="sequential").solve(case.y0, N, forces)
    finally:
        with torch.no_grad():
            model.flow_rate_n.copy_(before)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


class Root(nonlinear.NonlinearRecursiveFunction):
    """x^2 = f, whose root the guess decides."""

    def residual(self, x_full: torch.Tensor, forces: list[torch.Tensor]) -> torch.Tensor:
        return x_full[1:] ** 2 - forces[0][1:]


def test_a_known_trajectory_is_guessed_at_its_own_steps() -> None:
    f = torch.ones(12, 1, 1, dtype=torch.float64)
    known = f.clone()
    known[6:] = -1.0
    predictor = nonlinear.FullTrajectoryPredictor(known)
    solver = Solver(Root(), nonlinear.StepGenerator(1), predictor=predictor)
    assert torch.equal(solver.solve(known[0], 12, f), known)
    assert torch.equal(nonlinear.solve(solver, known[0], 12, f, restart=known[:4]), known)
    assert torch.equal(nonlinear.solve_adjoint(solver, known[0], 12, f, keep_every=3), known)


def test_no_gradient_is_lost_with_a_tensor_that_is_no_parameter() -> None:
    class Decay(nonlinear.NonlinearRecursiveFunction):
        def __init__(self) -> None:
            super().__init__()
            self.rate = 2.0 * torch.ones((), dtype=torch.float64, requires_grad=True)

        def residual(self, x_full: torch.Tensor, forces: list[torch.Tensor]) -> torch.Tensor:
            return x_full[1:] - x_full[:-1] + self.rate * x_full[1:] * forces[0].diff(dim=0)

    t = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)[:, None, None]
    y0 = torch.ones(1, 1, dtype=torch.float64)
    with pytest.raises(InputError, match=r"Decay.rate requires a gradient"):
        nonlinear.solve_adjoint(Solver(Decay()), y0, 5, t)


@pytest.mark.parametrize("backend", ["march", "chunk"])
def test_freezing_a_parameter_before_backward(case, backend: str) -> None:  # type: ignore[no-untyped-def]
    model = case.model
    solver = Solver(model, nonlinear.StepGenerator(5), backend=backend)
    y = nonlinear.solve_adjoint(solver, case.y0, N, case.forces)
    (expected,) = torch.autograd.grad(y.sum(), model.flow_rate_n, retain_graph=True)
    model.elasticity_E.requires_grad_(False)
    try:
        (found,) = torch.autograd.grad(y.sum(), model.flow_rate_n)
    finally:
        model.elasticity_E.requires_grad_(True)
    assert torch.equal(found, expected)


def test_one_state_needs_no_kernel(case) -> None:  # type: ignore[no-untyped-def]
    y = Solver(case.model, backend="march").solve(case.y0, 1, case.forces[:1])
    assert torch.equal(y, case.y0.unsqueeze(0))


def test_constant_parameters_go_along_to_another_type() -> None:
    model = cycled("perzyna_voce", 6, 2, include_parameters=["yield_surface_sy"]).model
    model.to(torch.float32)
    assert {p.dtype for p in model.system.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("backend", ["march", "chunk"])
def test_packing_other_specimens_before_backward(case, backend: str) -> None:  # type: ignore[no-untyped-def]
    """Shapes of sub-batches belong to the run, too."""
    model = case.model
    solver = Solver(model, nonlinear.StepGenerator(5), backend=backend)
    y = nonlinear.solve_adjoint(solver, case.y0, N, case.forces)
    (expected,) = torch.autograd.grad(y.sum(), model.flow_rate_n, retain_graph=True)
    packing = model.packing
    grains = {n: (3, *shape) for n, shape in packing[0].items()}
    model.packing = (grains, packing[1])
    try:
        (found,) = torch.autograd.grad(y.sum(), model.flow_rate_n)
        assert model.packing == (grains, packing[1])
    finally:
        model.packing = packing
    assert torch.equal(found, expected)
