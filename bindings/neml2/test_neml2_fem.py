"""NEML2's laws in finite elements."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("neml2", reason="neml2 is not installed: make bindings-test")

import torch

from neml2fe import fem
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.material import Material

sys.path.insert(0, str(Path(__file__).parent))
from neml2_cases import ROOT, choose, difference, ours, theirs
from neml2fe_neml2 import Neml2Material


def pulled(material: Neml2Material | Material, amplitude: float = 0.01) -> fem.Problem:
    conditions = [
        fem.Dirichlet("left", "x"),
        fem.Dirichlet("left", "y"),
        fem.Dirichlet("right", "x", lambda t: amplitude * t),
    ]
    return fem.Problem(rectangle(2, 1, "quad"), material, conditions, formulation="plane_strain")


def marched(problem: fem.Problem, end: float, dt: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Displacements and reactions at the end."""
    fem.simulate(problem, fem.TimeStepping(end=end, dt=dt), quiet=True)
    return torch.as_tensor(problem.u), torch.tensor(
        list(problem.load_row().values()), dtype=torch.float64
    )


def test_a_perforated_plate_with_both() -> None:
    mesh = fem.Mesh.read(ROOT / "meshes" / "perforated_plate.msh")
    found = []
    for material in (theirs(), ours()):
        choose(material, "nothing")
        conditions = [
            fem.Dirichlet("bottom", "y"),
            fem.Dirichlet("corner", "x"),
            fem.Dirichlet("top", "y", lambda t: 0.2 * t),
        ]
        problem = fem.Problem(mesh, material, conditions, formulation="plane_strain")
        found.append(marched(problem, end=1.0, dt=1.0))
        assert bool((problem.point_fields()[0]["equivalent_plastic_strain"] > 1e-3).any())
    for mine, known in zip(*found, strict=True):
        assert difference(mine, known) < 1e-9


def test_a_step_that_fails_is_cut() -> None:
    """Newton's method of NEML2 gives up at large strains in one step."""
    material = theirs()
    choose(material, "nothing")
    whole, halves = (pulled(material, amplitude=0.06) for _ in range(2))
    ends = [marched(whole, end=1.0, dt=1.0), marched(halves, end=1.0, dt=0.5)]
    assert whole.steps == halves.steps == 2
    for one, other in zip(*ends, strict=True):
        assert difference(one, other) < 1e-9


STEPS = fem.TimeStepping(end=1.0, dt=0.5)
OBSERVED = {"force": fem.Reaction("right_x"), "points": fem.NodalDisplacements()}
FITTED = (".R", ".sy", ".eta", ".C", ".E")


def loss_of(solution: fem.Solution) -> torch.Tensor:
    return 1e-4 * solution["force"].square().sum() + 1e3 * solution["points"].square().sum().sqrt()


def test_derivatives_of_a_run() -> None:
    """Gradients and sensitivities of a history, against those with neml2fe's own law."""
    gradients, rates = [], []
    for material in (theirs(), ours()):
        chosen = choose(material, *FITTED)
        solution = pulled(material).solve(STEPS, OBSERVED)
        assert bool((solution["force"] > 1.0).all())
        loss_of(solution).backward()
        gradients.append({name: value.grad for name, value in chosen.items()})
        along = {n: v.detach() for n, v in chosen.items() if n.endswith((".eta", ".C"))}
        rates.append(solution.sensitivities([along]))
    for name, known in gradients[1].items():
        assert difference(gradients[0][name], known) < 1e-8
    for name, known in rates[1].items():
        assert difference(rates[0][name], known) < 1e-8


def test_other_tensors_in_place_of_parameters() -> None:
    """Parameters that an optimiser computes from its own."""
    found = []
    for material in (theirs(), ours()):
        before = {name: value.item() for name, value in choose(material, *FITTED).items()}
        factor = torch.tensor(1.05, dtype=torch.float64, requires_grad=True)
        scaled = {name: factor * value for name, value in before.items()}
        loss = loss_of(pulled(material).solve(STEPS, OBSERVED, parameters=scaled))
        loss.backward()
        found.append(torch.stack([loss.detach(), factor.grad]))
        now = material.parameters
        assert {name: now[name].item() for name in before} == before
        assert all(value.grad is None for value in now.values())
    assert difference(found[0][:1], found[1][:1]) < 1e-9
    assert difference(found[0][1:], found[1][1:]) < 1e-8
