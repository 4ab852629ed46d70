"""Displacements measured along an edge as a boundary condition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neml2fe.calibration.fullfield import FullField
from neml2fe.calibration.fullfield.edge import edge_motion
from neml2fe.errors import InputError
from neml2fe.fem.conditions.functions import breakpoints, values_at
from neml2fe.fem.observations import DisplacementsAt
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck


def edge(missing: tuple[int, int] | None = None, rows: int = 1) -> FullField:
    """Nine points along x = 2, y from 0 to 4 (or several rows beside it), at times 1 and 3:
    u = t (1 + y), v = t y^2."""
    y = np.linspace(0, 4, 9)
    points = np.concatenate([np.stack([2 - 0.1 * k + 0 * y, y], 1) for k in range(rows)])
    times = np.array([1.0, 3.0])
    y = points[:, 1]
    u = times[:, None, None] * np.stack([1 + y, y**2], -1)
    if missing:
        u[missing] = np.nan
    return FullField(points, times, u)


PLACES = np.array([[2.0, 0.25], [2.0, 1.0], [2.0, 3.9]])


@pytest.mark.parametrize(
    ("time", "scale"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (2.5, 2.5), (3, 3)]
)
def test_straight_in_space_and_time(time: float, scale: float) -> None:
    motion = edge_motion(edge(), "x")
    assert breakpoints(motion) == [0.0, 1.0, 3.0]
    found = values_at(motion, time, PLACES, "value")
    np.testing.assert_allclose(found, scale * (1 + PLACES[:, 1]), rtol=1e-13, atol=1e-13)


def test_missing_points_are_bridged() -> None:
    motion = edge_motion(edge(missing=(0, 3)), "x")
    found = values_at(motion, 1.0, PLACES, "value")
    np.testing.assert_allclose(found, 1 + PLACES[:, 1], rtol=1e-13)


def test_polynomials_are_exact_and_average_noise() -> None:
    motion = edge_motion(edge(missing=(1, 2), rows=3), "y", degree=2)
    found = values_at(motion, 3.0, PLACES, "value")
    np.testing.assert_allclose(found, 3 * PLACES[:, 1] ** 2, rtol=1e-11, atol=1e-11)
    clean = edge(rows=20)
    noise = np.random.default_rng(0).normal(0, 0.1, clean.displacements.shape)
    noisy = FullField(clean.points, clean.times, clean.displacements + noise)
    plain, fitted = (
        values_at(edge_motion(noisy, "y", d), 3.0, PLACES, "value") - 3 * PLACES[:, 1] ** 2
        for d in (None, 2)
    )
    assert np.abs(fitted).max() < 0.3 * np.abs(plain).max()


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="one of x, y, not 'z'"):
        edge_motion(edge(), "z")
    with pytest.raises(InputError, match="at least 0"):
        edge_motion(edge(), "x", -1)
    holes = edge()
    holes.displacements[1, 1:] = np.nan
    with pytest.raises(InputError, match=r"image 2 has 1 valid points.*at least 2"):
        edge_motion(holes, "x")
    with pytest.raises(InputError, match="at least 12 in different places"):
        edge_motion(edge(), "x", 11)
    with pytest.raises(InputError, match="all in one place"):
        edge_motion(FullField([[1, 1], [1, 1]], [1.0], np.zeros((1, 2, 2))), "x")
    motion = edge_motion(edge(), "x")
    with pytest.raises(InputError, match=r"from time 0 to 3, not at 3\.5"):
        values_at(motion, 3.5, PLACES, "value")
    with pytest.raises(InputError, match=r"\(2, 9\) lies off the ends"):
        values_at(motion, 1.0, np.array([[2.0, 9.0]]), "value")


DECK = """
[Models]
  [law]
    type = LinearIsotropicElasticity
    coefficients = '100 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
[Materials]
  [law]
    model = 'law'
    strain = 'strain'
  []
[]
[Meshes]
  [square]
    type = Rectangle
    divisions = '2 2'
    lengths = '1 1'
    cell_type = 'quad'
  []
[]
[Measurements]
  [camera]
    type = FullField
    file = 'field.csv'
    time_column = 'image'
  []
[]
[Functions]
  [right_x]
    type = MeasuredDisplacement
    measurement = 'camera'
    component = 'x'
    box = '0.9 -1; 1.1 2'
  []
  [right_y]
    type = MeasuredDisplacement
    measurement = 'camera'
    component = 'y'
    box = '0.9 -1; 1.1 2'
    degree = 1
  []
[]
[BoundaryConditions]
  [left_x]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
  []
  [left_y]
    type = Dirichlet
    boundary = 'left'
    component = 'y'
  []
  [right_x]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 'right_x'
  []
  [right_y]
    type = Dirichlet
    boundary = 'right'
    component = 'y'
    value = 'right_y'
  []
[]
[Drivers]
  [run]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    end_time = 2
    dt = 2
  []
[]
"""


def test_a_deck_moves_its_edge_as_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{x},{y},{t * (0.01 + 0.002 * y) * x},{-0.003 * t * x * y},{t}"
        for t in (1, 2)
        for x in (0.0, 0.5, 1.0)
        for y in (-0.1, 0.3, 0.7, 1.1)
    ]
    Path("field.csv").write_text("\n".join(["x,y,u,v,image", *rows]) + "\n")
    driver = Input(parse_deck(DECK, "deck.i")).get_driver("run")
    problem = driver.make_problem()
    places = np.array([[1.0, 0.0], [1.0, 0.5], [1.0, 1.0]])
    found = problem.solve(driver.stepping, {"u": DisplacementsAt(places)})
    assert found.steps == [1.0, 2.0]  # steps end at images
    y = places[:, 1]
    for time, u in zip(found.steps, found["u"].detach().numpy(), strict=True):
        np.testing.assert_allclose(u[:, 0], time * (0.01 + 0.002 * y), rtol=1e-9)
        np.testing.assert_allclose(u[:, 1], -0.003 * time * y, rtol=1e-9, atol=1e-12)
    problem.close()
