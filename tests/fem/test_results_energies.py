"""Energies of runs: against closed forms, and the balance of what goes in and what is taken up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_box import HERE, halves, material, mesh

import neml2fe
from neml2fe.fem import Body, Dirichlet, Mesh, Pressure, Problem, Traction
from neml2fe.fem.conditions.conditions import BodyForce, Springs
from neml2fe.fem.mesh.generate import box
from neml2fe.fem.results.energies import Energies
from neml2fe.fem.results.nodal import Averages
from neml2fe.material import Material

E, YIELD, TANGENT = 70e3, 250.0, 700.0
SYMMETRIC = [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Dirichlet("back", "z")]


def march(of: Mesh, bodies: Any, conditions: list, times: list[float], **more: Any):
    problem = Problem(of, bodies, conditions, backend="scipy", **more)
    energies = Energies(problem, Averages(problem))
    rows = []
    for time in times:
        result = problem.advance(time)
        assert result.converged, result.reason
        energies.update()
        rows.append(energies.row())
    return problem, rows


def test_before_the_first_step_all_is_zero() -> None:
    problem = Problem(mesh("quad"), material(), SYMMETRIC[:2], backend="scipy")
    row = Energies(problem, Averages(problem)).row()
    assert set(row.values()) == {0.0}
    assert list(row) == [
        *("internal_energy", "external_work", "stored_energy", "dissipated_energy"),
        "energy_balance",
    ]


def test_plastic_bar_against_its_stress_strain_curve() -> None:
    """Uniaxial tension of a cube with linear hardening: work is the area under the curve."""
    first = YIELD / E
    conditions = [*SYMMETRIC, Dirichlet("right", "x", lambda t: 2.0 * t)]
    _, rows = march(
        box(1, 1, 1, "hexahedron", lengths=(2.0, 2.0, 2.0)),
        material("j2"),
        conditions,
        [first, 0.01, 0.03],
    )
    for strain, row in zip([first, 0.01, 0.03], rows, strict=True):
        stress = YIELD + TANGENT * (strain - first)
        work = 0.5 * YIELD * first + 0.5 * (YIELD + stress) * (strain - first)
        stored = 0.5 * stress**2 / E
        assert row["internal_energy"] == pytest.approx(8 * work, rel=1e-10)
        assert row["external_work"] == pytest.approx(8 * work, rel=1e-10)
        assert row["stored_energy"] == pytest.approx(8 * stored, rel=1e-10)
        assert row["dissipated_energy"] == pytest.approx(8 * (work - stored), abs=1e-9)
        assert abs(row["energy_balance"]) < 1e-11


def test_elastic_body_stores_all_of_the_work() -> None:
    """Loads of all kinds in proportion: the work is half of force times displacement."""
    conditions = [
        *SYMMETRIC[:2],
        Traction("right", [lambda t: 30.0 * t, lambda t: -5.0 * t]),
        Pressure("top", lambda t: 20.0 * t),
        BodyForce([0.0, lambda t: 4.0 * t]),
    ]
    for cell_type in ("quad", "triangle6"):
        _, rows = march(mesh(cell_type), material(), conditions, [0.25, 1.0])
        assert rows[1]["internal_energy"] == pytest.approx(16 * rows[0]["internal_energy"])
        for row in rows:
            assert row["stored_energy"] == pytest.approx(row["external_work"], rel=1e-11)
            assert abs(row["dissipated_energy"]) < 1e-11 * row["external_work"]
            assert abs(row["energy_balance"]) < 1e-11


def test_two_bodies_of_which_one_yields() -> None:
    bodies = [Body(material("j2"), ["low"]), Body(material("elastic"), ["high"])]
    conditions = [*SYMMETRIC[:2], Dirichlet("right", "x", lambda t: 0.01 * t)]
    _, rows = march(halves(), bodies, conditions, [0.3, 0.6, 1.0, 1.1])
    assert rows[0]["dissipated_energy"] == pytest.approx(0.0, abs=1e-9)
    dissipated = [row["dissipated_energy"] for row in rows]
    assert dissipated == sorted(dissipated) and dissipated[-1] > 0.1
    assert max(abs(row["energy_balance"]) for row in rows) < 1e-10


def test_springs_take_up_energy() -> None:
    conditions = [
        *SYMMETRIC[:2],
        Springs("right", [50.0, 0.0]),
        Traction("right", [lambda t: t, 0.0]),
    ]
    problem, rows = march(mesh("quad"), material(), conditions, [0.5, 1.0])
    right = problem.local.points[:, 0] == 1.0
    u = problem.u.reshape(-1, 2)[right, 0]
    assert np.ptp(u) < 1e-3 * u.mean()  # nearly the same everywhere
    assert rows[-1]["other_energy"] == pytest.approx(0.5 * 50.0 * u.mean() ** 2, rel=1e-5)
    assert abs(rows[-1]["energy_balance"]) < 1e-11


def stretched(bodies: Any, n: int) -> list[dict[str, float]]:
    """A cube pulled by 60 % in `n` steps, held at both ends."""
    conditions = [
        *SYMMETRIC,
        Dirichlet("right", "x", lambda t: 0.6 * t),
        Dirichlet("right", "y"),
        Dirichlet("right", "z"),
    ]
    times = [k / n for k in range(1, n + 1)]
    return march(box(1, 1, 1, "hexahedron"), bodies, conditions, times)[1]


def hyperelastic(**options: Any) -> Material:
    return Material(neml2fe.load_model(HERE / "hyperelastic.i", "model"), **options)


def test_energy_that_the_material_names() -> None:
    """What the trapezoidal rule makes of the work tends to it with the square of the step."""
    errors = []
    for n in (8, 16):
        rows = stretched(hyperelastic(energy="strain_energy"), n)
        assert max(abs(row["energy_balance"]) for row in rows) < 1e-10
        errors.append(abs(rows[-1]["dissipated_energy"] / rows[-1]["internal_energy"]))
    assert errors[1] < 1e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.2)


def test_balance_with_volumetric_correction() -> None:
    """It is exact at any step; forces without a potential store nothing that could be named."""
    named = hyperelastic(energy="strain_energy")
    rows = stretched(Body(named, volumetric_locking_correction=True), 2)
    assert max(abs(row["energy_balance"]) for row in rows) < 1e-10
    assert "stored_energy" not in rows[0]


def test_without_a_named_energy_finite_strain_has_no_stored_one() -> None:
    rows = stretched(hyperelastic(), 2)
    assert list(rows[0]) == ["internal_energy", "external_work", "energy_balance"]


def test_follower_pressure_does_external_work() -> None:
    """All that it does is stored: there is no other energy."""
    named = hyperelastic(energy="strain_energy")
    conditions = [*SYMMETRIC, Pressure("right", lambda t: -400.0 * t, follower=True)]
    cube = box(1, 1, 1, "hexahedron")
    for n in (8, 16):
        _, rows = march(cube, named, conditions, [k / n for k in range(1, n + 1)])
        assert "other_energy" not in rows[-1]
        assert rows[-1]["external_work"] > 10.0
        assert max(abs(row["energy_balance"]) for row in rows) < 1e-10
        error = abs(rows[-1]["stored_energy"] / rows[-1]["external_work"] - 1.0)
        assert error < 0.3 / n**2


HEATED = """
[Models]
  [model]
    type = LinearElasticity
    elasticity = 'isotropic(E = 70e3, nu = 0.3)'
    thermal_expansion = 1e-5
    reference_temperature = 300
  []
[]
"""


def test_heated_elastic_bar_claims_no_dissipation(tmp_path: Path) -> None:
    """The load does work on the thermal strain, which is neither stored nor dissipated."""
    (tmp_path / "heated.i").write_text(HEATED)
    heated = Material(neml2fe.load_model(tmp_path / "heated.i", "model"))
    fields = {name: lambda t: 300.0 + 100.0 * (t - 1.0) * (t > 1.0) for name in heated.field_spec}
    conditions = [
        *SYMMETRIC[:2],
        Traction("right", [lambda t: 50.0 * min(t, 1.0), 0.0]),
    ]
    _, rows = march(mesh("quad"), heated, conditions, [1.0, 2.0], fields=fields)
    assert rows[1]["internal_energy"] > 1.5 * rows[0]["internal_energy"]
    assert list(rows[1]) == ["internal_energy", "external_work", "energy_balance"]
    assert abs(rows[1]["energy_balance"]) < 1e-10
