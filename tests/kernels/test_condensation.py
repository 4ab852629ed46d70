"""Unknowns that are eliminated before numbers are known cost no digits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import neml2fe
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem
from neml2fe.kernels.condensation import condensation
from neml2fe.material import Material
from neml2fe.models import Model
from neml2fe.models.fields import Input, Output
from neml2fe.types import SR2, Scalar

DECKS = Path(__file__).parents[1] / "decks"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "decks"


class Relaxation(Model, abstract=True):
    """Six numbers that relax by themselves, the first at the rate k, and meet in one."""

    E = Input(SR2, "Strain")
    k = Input(Scalar, "The first pivot")
    stress = Input(SR2, "Unknown")
    residual = Output(SR2, "Residual")

    def forward(self, E: SR2, k: Scalar, stress: SR2) -> SR2:
        u, f64 = stress.data, torch.float64
        weights = torch.tensor([1.0, 0.5, 0.3, 0.2, 0.7, 0.4], dtype=f64)
        c = (u.square() * weights + u).sum(-1, keepdim=True)
        rates = torch.cat([k.data.unsqueeze(-1), torch.ones_like(u[..., 1:])], -1)
        shares = torch.tensor([1.0, 0.3, 0.2, 0.1, -0.2, 0.4], dtype=f64)
        return SR2(rates * u + shares * c - E.data)


def both(model: Model, strain: str) -> tuple[Material, Material]:
    return Material(model, strain, backend="kernel"), Material(model, strain, backend="eager")


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("pivot", [1.0, 1e-6, 1e-10, 1e-14, 1e-16, 1e-30, 0.0])
def test_a_pivot_that_vanishes(pivot: float) -> None:
    system = NonlinearSystem(Relaxation(), ["stress"], ["residual"])
    update = ImplicitUpdate(equation_system=system, solver=Newton(None, 1e-12, 1e-12, 50))
    kernel, eager = both(update, "E")
    strain = 0.01 * torch.randn(100, 6, dtype=torch.float64)
    strain[:, 0] += 0.05
    fields = {"k": torch.full((100,), pivot, dtype=torch.float64)}
    a, b = (m.update(strain, {}, 1.0, 1.0, fields) for m in (kernel, eager))
    assert not a.status.any() and not b.status.any()
    assert difference(a.stress, b.stress) < 1e-12
    assert difference(a.tangent, b.tangent) < 1e-11
    bar = torch.ones_like(strain)
    a, b = (m.vjp(strain, {}, 1.0, 1.0, bar, fields=fields) for m in (kernel, eager))
    assert difference(a.strain, b.strain) < 1e-11
    # Proportional to the first unknown, which Newton's tolerance leaves at 1e-12.
    assert difference(a.fields["k"], b.fields["k"]) < 1e-10


def test_a_product_that_swamps_the_identity() -> None:
    """Gurson's law: the condensed matrix holds numbers of 1e9 and more beside ones."""
    model = neml2fe.load_model(DECKS / "plasticity_gtn.i", "model")
    kernel, eager = both(model, "E")
    for size in (2e-3, 5e-3):
        strain = size * torch.randn(100, 6, dtype=torch.float64)
        a, b = (m.update(strain, m.initial_state(100), 1.0, 1.0) for m in (kernel, eager))
        assert not a.status.any() and not b.status.any()
        assert difference(a.stress, b.stress) < 1e-12
        assert difference(a.tangent, b.tangent) < 1e-11
    strain = 1e-2 * torch.randn(100, 6, dtype=torch.float64)
    a, b = (m.update(strain, m.initial_state(100), 1.0, 1.0) for m in (kernel, eager))
    assert not a.status.any() and not b.status.any()


@pytest.mark.parametrize(("deck", "unknowns", "left"), [("perzyna", 7, 5), ("chaboche6", 43, 13)])
def test_how_many_are_left(deck: str, unknowns: int, left: int) -> None:
    material = Material(neml2fe.load_model(BENCHMARKS / f"{deck}.i", "model"))
    strain = torch.zeros(1, 6, dtype=torch.float64)
    inputs = material._inputs(strain, material.initial_state(1), 1.0, 1.0, None)
    (stage,) = material.compiled.kernels(inputs).program.stages
    found = condensation(stage.residual, stage.unknowns)
    assert stage.unknowns.numel() == unknowns
    assert found.dense.shape == (left, left)
    assert sorted(found.eliminated + found.kept) == list(range(unknowns))
