"""The laws of the tests, and where a deck keeps them."""

from __future__ import annotations

from pathlib import Path

from neml2fe import load_input
from neml2fe.export import Exported
from neml2fe.export.layout import Layout
from neml2fe.material import Material

ROOT = Path(__file__).parents[2]
DECK = """
[Tensors]
  [axes]
    type = Python
    expr = 'MRP(torch.tensor([0.1, 0.2, -0.05], dtype=torch.float64))'
  []
[]
[Models]
  [elastic]
    type = LinearElasticity
    elasticity = 'cubic(E = 1.2e5, nu = 0.35, G = 0.8e5)'
    orientation = axes
  []
  [j2]
    type = J2Plasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
    yield_stress = 200
    isotropic_hardening = 'voce(R = 150, d = 20)'
    abs_tol = 1e-11
    rel_tol = 1e-12
  []
  [hasty]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
    yield_stress = 100
    flow = 'perzyna(eta = 500, n = 4)'
    max_its = 3
  []
"""
MEASURES = ("PK1", "PK2", "KIRCHHOFF", "CAUCHY")
RUBBER = """
  [rubber_{measure}]
    type = NeoHookean
    shear_modulus = 300
    bulk_modulus = 500
    measure = {measure}
  []
"""
SMALL = ("elastic", "perzyna", "j2", "chaboche", "hot")
# Laws of the deformation gradient, and the stress that they give; `hencky` is j2 by the logarithmic
# strain.
FINITE = {**{f"rubber_{m.lower()}": m for m in MEASURES}, "metal": "CAUCHY", "hencky": "PK1"}
# How much of a deformation of 30 % a law is given in a few steps.
PART = {name: 0.1 if name in ("metal", "hencky") else 1.0 for name in FINITE}


def laws(folder: Path) -> dict[str, Material]:
    """By name, from a deck that is written to `folder` and from those of the repository."""
    deck = folder / "laws.i"
    deck.write_text(DECK + "".join(RUBBER.format(measure=m) for m in MEASURES) + "[]\n")
    own = load_input(deck)

    def law(path: str, name: str, *overrides: str) -> Material:
        return Material(load_input(ROOT / path, list(overrides)).get_model(name))

    return {
        "elastic": Material(own.get_model("elastic")),
        "j2": Material(own.get_model("j2")),
        "hencky": Material(own.get_model("j2")),
        "hasty": Material(own.get_model("hasty")),
        **{f"rubber_{m.lower()}": Material(own.get_model(f"rubber_{m}")) for m in MEASURES},
        "perzyna": law("tests/decks/perzyna_voce.i", "model"),
        "chaboche": law("tests/decks/chaboche.i", "model"),
        "hot": law(  # Young's modulus varies with T, yield stress with a predefined field
            "tests/decks/temperature.i",
            "model",
            "Models/flow_rate/reference_stress=700",
            "Models/yield_stress/from=dose",
        ),
        "metal": law("examples/material_point/finite_strain_plasticity.i", "plasticity"),
    }


def exported(laws: dict[str, Material]) -> list[Exported]:
    return [Exported(n.upper(), m, finite_strain=n == "hencky") for n, m in laws.items()]


def n_state(layout: Layout) -> int:
    """Numbers in STATEV."""
    return sum(v.size for v in layout.state)
