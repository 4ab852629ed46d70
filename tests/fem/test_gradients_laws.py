"""Gradients through histories of many laws: against differences, and against sensitivities."""

from __future__ import annotations

import numpy as np
import pytest
from gradients_box import EP, assert_right, assert_transposed, law, sides

from neml2fe.fem import Body, Mesh, Problem
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.observations import (
    ElementMeans,
    NodalDisplacements,
    Reaction,
)

PLATE = rectangle(2, 2, "quad", distortion=0.2)
BLOCK = box(1, 2, 1, "hexahedron", distortion=0.2)
RING = Mesh(PLATE.points + np.array([0.5, 0.0]), PLATE.cells, PLATE.boundaries)
WHAT = {"force": Reaction("pull"), "nodes": NodalDisplacements()}
PLASTIC = {"force": Reaction("pull"), "cross": Reaction("shear"), "plastic": ElementMeans(EP)}

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
            sides(2, 0.1),
            kinematics="finite",
        ),
        PLASTIC,
    ),
    "plane_stress_finite": lambda: (
        Problem(PLATE, law("j2"), sides(2, 0.1), formulation="plane_stress", kinematics="finite"),
        PLASTIC,
    ),
    "chaboche": lambda: (Problem(PLATE, law("chaboche"), sides(2)), PLASTIC),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_differences(name: str) -> None:
    assert_right(*SETTINGS[name]())


@pytest.mark.parametrize("name", SETTINGS)
def test_sensitivities_and_gradients_are_transposes(name: str) -> None:
    assert_transposed(*SETTINGS[name]())
