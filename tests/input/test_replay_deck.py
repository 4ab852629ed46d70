"""The deck of a failed point drives the law itself by what the elements saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neml2fe.fem.failure import FailedPoint
from neml2fe.input import load_input
from neml2fe.input.replay import NAME, write_replay
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain

DECK = """
[Models]
  [rubber]
    type = NeoHookean
    bulk_modulus = 50
    shear_modulus = 1
    measure = CAUCHY
  []
  [steel]
    type = LinearElasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
  []
[]
[Materials]
  [rubber]
    model = 'rubber'
  []
  [steel]
    model = 'steel'
  []
[]
"""
F = np.array([[1.1, 0.05, 0.0], [0.0, 0.95, 0.0], [0.0, 0.0, 1.0]])


def replayed(folder: Path, seen: PointMaterial, normal: float) -> Any:
    """The last outputs of the replay of a point whose out-of-plane stretch was `normal`."""
    state = {n: v[0].numpy() for n, v in seen.initial_state(1).items()}
    if "out_of_plane_strain" in state:
        state["out_of_plane_strain"][2] = normal
    point = FailedPoint("body", 3, "quad", np.zeros(2), 2.0, 0.5, F, state, {})
    path = write_replay(folder / "out.i", load_input(folder / "deck.i").deck, seen, point)
    history = load_input(path).get_driver(NAME).driver.run()
    return {name: torch.as_tensor(getattr(v, "data", v)) for name, v in history.outputs[-1].items()}


@pytest.fixture
def materials(tmp_path: Path) -> dict[str, Material]:
    (tmp_path / "deck.i").write_text(DECK)
    source = load_input(tmp_path / "deck.i")
    return {name: source.get("Materials", name) for name in ("rubber", "steel")}


@pytest.mark.parametrize("plane_stress", [False, True])
def test_a_law_of_the_deformation_gradient(
    plane_stress: bool, materials: dict[str, Material], tmp_path: Path
) -> None:
    seen = finite_strain(materials["rubber"])
    seen = PlaneStress(seen) if plane_stress else seen
    found = replayed(tmp_path, seen, 0.9)[materials["rubber"].stress]
    full = F.copy()
    full[2, 2] = 0.9 if plane_stress else 1.0
    own = materials["rubber"].update(torch.as_tensor(full)[None], {}, 2.0, 0.5)
    assert found.reshape(6) == pytest.approx(own.stress[0].numpy(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("plane_stress", [False, True])
def test_a_law_of_small_strain_gets_the_logarithmic_one(
    plane_stress: bool, materials: dict[str, Material], tmp_path: Path
) -> None:
    seen = finite_strain(materials["steel"])
    seen = PlaneStress(seen) if plane_stress else seen
    found = replayed(tmp_path, seen, 1.0)["stress"].reshape(6).numpy()
    values, axes = np.linalg.eigh(F.T @ F)
    strain = axes @ np.diag(0.5 * np.log(values)) @ axes.T
    mean = np.trace(strain[:2, :2]) * (1.0 - 0.3 / 0.7 if plane_stress else 1.0)
    stress = 200e3 / 1.3 * (strain + 0.3 / 0.4 * mean * np.eye(3))
    wanted = [stress[0, 0], stress[1, 1], 0.0 if plane_stress else stress[2, 2]]
    assert found[:3] == pytest.approx(wanted, rel=1e-9, abs=1e-6)
    assert found[5] == pytest.approx(np.sqrt(2.0) * stress[0, 1], rel=1e-9)
