"""A failed point is repeated alone, also of one of several bodies and of a law seen through plane
stress or the logarithmic strain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_runs import Ended, settings

from neml2fe import io

Cli = Callable[..., Ended]

DECK = """
[Models]
  [strong]
    type = LinearElasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
  []
  [weak]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    yield_stress = 100
    flow = 'perzyna(eta = 100, n = 5)'
    thermal_expansion = 1e-6
    reference_temperature = 300
  []
[]
[Materials]
  [strong]
    model = 'strong'
  []
  [weak]
    model = 'weak'
    backend = 'eager'
  []
[]
[Meshes]
  [sheet]
    type = Polycrystal
    grains = 2
    divisions = '2 1'
    lengths = '2 1'
    seed = 1
    cell_type = 'quad'
  []
[]
[Bodies]
  [one]
    material = 'strong'
    regions = 'grain_1'
  []
  [other]
    material = 'weak'
    regions = 'grain_2'
    field_names = 'temperature'
    field_values = 'heat'
  []
[]
[Functions]
  [stretch]
    type = Expression
    expr = '0.004 * t'
  []
  [heat]
    type = Expression
    expr = '300 + 10 * t'
  []
[]
[BoundaryConditions]
  [left]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
  []
  [bottom]
    type = Dirichlet
    boundary = 'bottom'
    component = 'y'
  []
  [right]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 'stretch'
  []
[]
[Drivers]
  [sheet]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    backend = 'scipy'
    end_time = 1
    dt = 0.25
    dt_min = 0.25
  []
[]
"""
TOO_FEW = settings("Models/weak/max_its=2")


@pytest.mark.parametrize("formulation", ["plane_strain", "plane_stress"])
@pytest.mark.parametrize("kinematics", ["small", "finite"])
def test_a_failed_point_is_repeated(
    formulation: str, kinematics: str, neml2fe: Cli, tmp_path: Path
) -> None:
    deck = tmp_path / "deck.i"
    deck.write_text(DECK)
    how = settings(
        f"Drivers/sheet/formulation={formulation}", f"Drivers/sheet/kinematics={kinematics}"
    )
    failed = neml2fe("run", deck, "-q", *how, *TOO_FEW)
    replay = tmp_path / "results" / "sheet_failed_point.i"
    failed.refused("points did not converge", f"neml2fe run {replay} failed_point", code=1)

    again = neml2fe("run", replay, "failed_point", "-q", *TOO_FEW)
    again.refused("step 1 of 1", "for 1 of 1 specimens", code=1)
    mended = neml2fe("run", replay, "failed_point", "-q", "--output", tmp_path)
    assert mended.code == 0, mended.err
    table = io.read_table(tmp_path / "failed_point.csv")
    assert table["temperature"][-1] == pytest.approx(300.0 + 10.0 * table["time"][-1])
    held = abs(table["stress_33"][-1]) < 1e-6 * table["stress_11"][-1]
    assert held == (formulation == "plane_stress")
    assert 0.0 < table["strain_11"][0] <= table["strain_11"][-1] < 0.004
