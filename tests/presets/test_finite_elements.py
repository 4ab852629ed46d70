"""A preset as the material of a finite-element deck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cases import COMBINED

from neml2fe import io
from neml2fe.input import load_input
from neml2fe.input.simulation import FiniteElementDriver

DECK = f"""
[Models]
  [steel]{COMBINED}  []
[]
[Meshes]
  [square]
    type = Rectangle
    divisions = '2 2'
    lengths = '1 1'
    cell_type = 'quad'
  []
[]
[Functions]
  [pull]
    type = PiecewiseLinear
    times = '0 1 2'
    values = '0 0.004 0.001'
  []
[]
[BoundaryConditions]
  [left]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
    value = 0
  []
  [bottom]
    type = Dirichlet
    boundary = 'bottom'
    component = 'y'
    value = 0
  []
  [right]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 'pull'
  []
[]
[Materials]
  [body]
    model = 'steel'
  []
[]
[Drivers]
  [square]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    backend = 'scipy'
    end_time = 2
    dt = 0.25
    dt_max = 0.25
  []
[]
"""


def run(text: str, folder: Path) -> dict[str, np.ndarray]:
    folder.mkdir()
    (folder / "deck.i").write_text(text)
    driver = load_input(folder / "deck.i").get_driver("square")
    assert isinstance(driver, FiniteElementDriver)
    driver.run(folder, quiet=True)
    return io.read_table(folder / "square.csv")


def test_the_short_and_the_long_deck_give_the_same_reactions(tmp_path: Path) -> None:
    """The reaction of the homogeneous plane-strain pull lies between that of a uniaxial test
    with all hardening absent and elasticity."""
    short = run(DECK, tmp_path / "short")
    model = load_input(tmp_path / "short" / "deck.i").get_model("steel")
    head, tail = DECK.index("[Models]"), DECK.index("[Meshes]")
    long = run(DECK[:head] + model.expansion() + DECK[tail:], tmp_path / "long")
    assert np.array_equal(short["right_reaction"], long["right_reaction"])
    assert short["time"][-1] == 2.0
    peak = short["right_reaction"][np.argmin(abs(short["time"] - 1.0))]
    assert 200.0 / np.sqrt(3.0) < peak < 0.5 * 0.004 * 2e5 / (1.0 - 0.3**2)
    assert short["right_reaction"][-1] < 0.0


def test_temperature_comes_from_a_field(tmp_path: Path) -> None:
    """Held in x and in the plane's normal, free in y."""
    body = """
    type = LinearElasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    thermal_expansion = 1e-5
    reference_temperature = 300
  """
    text = DECK.replace(COMBINED, body)
    for old, new in (
        ("    formulation = 'plane_strain'\n", "    formulation = 'plane_strain'\n"
         "    field_names = 'temperature'\n    field_values = 'heat'\n"),
        ("[Functions]\n", "[Functions]\n  [heat]\n    type = PiecewiseLinear\n"
         "    times = '0 2'\n    values = '300 400'\n  []\n"),
        ("values = '0 0.004 0.001'", "values = '0 0 0'"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    found = run(text, tmp_path / "hot")
    held = -200e3 / (1.0 - 0.3**2) * (1.0 + 0.3) * 1e-5 * 100.0  # plane strain, free in y
    assert found["right_reaction"][-1] == pytest.approx(held, rel=1e-9)
