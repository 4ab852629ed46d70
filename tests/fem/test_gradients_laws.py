"""Gradients through histories of many laws: against differences, and against sensitivities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gradients_box import (
    EP,
    LAWS,
    assert_right,
    assert_transposed,
    deck_model,
    law,
    param,
    parametrised,
    sides,
)

import neml2fe
from neml2fe.fem import Body, ElementField, Mesh, NodalField, Problem
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.observations import (
    ElementMeans,
    NodalDisplacements,
    Reaction,
)
from neml2fe.material import Material

PLATE = rectangle(2, 2, "quad", distortion=0.2)
BLOCK = box(1, 2, 1, "hexahedron", distortion=0.2)
RING = Mesh(PLATE.points + np.array([0.5, 0.0]), PLATE.cells, PLATE.boundaries)
WHAT = {"force": Reaction("pull"), "nodes": NodalDisplacements()}
PLASTIC = {"force": Reaction("pull"), "cross": Reaction("shear"), "plastic": ElementMeans(EP)}

ANGLES = param([[0.1, -0.2, 0.15], [-0.3, 0.05, 0.2]])
TEMPERATURE = param([300.0 + 40.0 * k for k in range(9)])


def tabulated() -> Material:
    """Young's modulus and yield stress from tables over the temperature T."""
    tables = """
    [Tensors]
      [temperatures]
        type = Python
        expr = 'Scalar(torch.tensor([250.0, 400.0, 700.0], dtype=torch.float64))'
      []
      [young]
        type = Python
        expr = 'Scalar(torch.tensor([2.1e5, 2.0e5, 1.7e5], dtype=torch.float64))'
      []
      [yield]
        type = Python
        expr = 'Scalar(torch.tensor([220.0, 190.0, 120.0], dtype=torch.float64))'
      []
    []
    [Models]
      [E_of_T]
        type = ScalarLinearInterpolation
        argument = 'T'
        abscissa = 'temperatures'
        ordinate = 'young'
      []
      [sy_of_T]
        type = ScalarLinearInterpolation
        argument = 'T'
        abscissa = 'temperatures'
        ordinate = 'yield'
      []
    []
    """
    body = LAWS["voce"].replace("E = 2e5", "E = E_of_T").replace("= 200", "= 'sy_of_T'")
    return Material(parametrised(deck_model(body, tables)), backend="kernel")


def crystal() -> Material:
    """Copper with twelve slip systems."""
    deck = Path(__file__).parents[2] / "examples" / "polycrystal" / "polycrystal.i"
    return Material(parametrised(neml2fe.load_model(deck, "crystal")), backend="kernel")


SETTINGS = {
    "elastic": lambda: (Problem(PLATE, law("elastic"), sides(2)), WHAT),
    "elastic_3d": lambda: (Problem(BLOCK, law("elastic"), sides(3)), WHAT),
    "elastic_axisymmetric": lambda: (
        Problem(RING, law("elastic"), sides(2), formulation="axisymmetric"),
        WHAT,
    ),
    "j2": lambda: (Problem(PLATE, law("j2"), sides(2)), PLASTIC),
    "j2_3d": lambda: (Problem(BLOCK, law("j2"), sides(3)), PLASTIC),
    "voce": lambda: (Problem(PLATE, law("voce"), sides(2)), PLASTIC),
    "b_bar": lambda: (
        Problem(PLATE, Body(law("voce"), volumetric_locking_correction=True), sides(2)),
        PLASTIC,
    ),
    "plane_stress": lambda: (
        Problem(PLATE, law("j2"), sides(2), formulation="plane_stress"),
        PLASTIC,
    ),
    "logarithmic": lambda: (
        Problem(PLATE, law("j2"), sides(2, 0.1), kinematics="finite"),
        PLASTIC,
    ),
    "f_bar": lambda: (
        Problem(
            PLATE,
            Body(law("voce"), volumetric_locking_correction=True),
            sides(2, 0.03),
            kinematics="finite",
        ),
        PLASTIC,
    ),
    "plane_stress_finite": lambda: (
        Problem(PLATE, law("j2"), sides(2, 0.03), formulation="plane_stress", kinematics="finite"),
        PLASTIC,
    ),
    "temperature": lambda: (
        Problem(
            PLATE, tabulated(), sides(2), fields={"T": NodalField(TEMPERATURE)}, tolerance=1e-13
        ),
        PLASTIC,
    ),
    "crystal": lambda: (
        Problem(BLOCK, crystal(), sides(3, 0.01), fields={"orientation": ElementField(ANGLES)}),
        {"force": Reaction("pull"), "slip": ElementMeans("slip_hardening")},
    ),
    "chaboche": lambda: (Problem(PLATE, law("chaboche"), sides(2)), PLASTIC),
}


OPTIONS = {
    "crystal": {"sizes": (3e-4, 3e-5)},
    "temperature": {"sizes": (1e-3, 1e-4), "seed": 2},
    "chaboche": {"sizes": (1e-3, 5e-5)},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_differences(name: str) -> None:
    assert_right(*SETTINGS[name](), **OPTIONS.get(name, {}))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "crystal" else ()) for n in SETTINGS]
)
def test_sensitivities_and_gradients_are_transposes(name: str) -> None:
    assert_transposed(*SETTINGS[name]())
