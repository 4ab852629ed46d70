"""The engine on a GPU, where there is one: the numbers of a CPU, and nothing goes back to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import neml2fe
from neml2fe.pyzag import NEML2PyzagModel, nonlinear

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
DECK = Path(__file__).parents[1] / "decks" / "perzyna_voce.i"
N, S = 24, 40


def run(device: str, backend: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
    update = neml2fe.load_model(DECK, "model")
    recursion = NEML2PyzagModel(update.equation_system).to(device)
    generator = torch.Generator().manual_seed(0)
    strain = torch.linspace(0.0, 0.02, N, dtype=torch.float64)[:, None, None] * torch.randn(
        S, 6, generator=generator, dtype=torch.float64
    )
    times = torch.linspace(0.0, 1.0, N, dtype=torch.float64)[:, None].expand(N, S)
    given = {"E": strain, "t": times}
    forces = recursion.assemble_forces({n: given[n].to(device) for n in recursion.fvars})
    y0 = torch.zeros(S, recursion.nstate, dtype=torch.float64, device=device)
    solver = nonlinear.RecursiveNonlinearEquationSolver(
        recursion, nonlinear.StepGenerator(6), backend=backend
    )
    y = nonlinear.solve_adjoint(solver, y0, N, forces)
    assert y.device.type == device
    return y, list(torch.autograd.grad(y.square().sum(), list(recursion.parameters())))


@pytest.mark.parametrize("backend", ["march", "chunk", "sequential"])
def test_trajectories_and_gradients_are_those_of_a_cpu(backend: str) -> None:
    y, gradients = run("cuda", backend)
    expected, others = run("cpu", "sequential")
    torch.testing.assert_close(y.cpu(), expected, rtol=1e-9, atol=1e-8)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient.cpu(), other, rtol=1e-9, atol=1e-8)
