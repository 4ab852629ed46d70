"""The README's snippets and every example, at reduced size, as a newcomer would run them."""

from __future__ import annotations

import csv
import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import torch

from neml2fe import io
from neml2fe.cli.main import main
from neml2fe.fem.mesh.polycrystal import random_orientations, voronoi_box
from neml2fe.input import load_input

ROOT = Path(__file__).parents[2]


def neml2fe(*words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neml2fe", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def ran(*words: str | Path, cwd: Path = ROOT) -> None:
    """The command line in this process, which saves the start of another."""
    os.chdir(cwd)
    try:
        with warnings.catch_warnings():  # also gives back how warnings are shown
            assert main([*map(str, words)]) == 0
    finally:
        os.chdir(ROOT)


def snippets() -> list[str]:
    """The indented Python blocks of the README."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"(?:^    .*\n|^\n)+", text, flags=re.M)
    dedented = ["\n".join(line[4:] for line in b.splitlines()) for b in blocks]
    return [b for b in dedented if "import" in b]


def test_first_snippet_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    os.chdir(ROOT)
    exec(snippets()[0], {})
    (claimed,) = re.findall(r"print\(.*# (.*)", snippets()[0])
    assert capsys.readouterr().out.strip() == claimed


def test_finite_elements_from_python(tmp_path: Path) -> None:
    os.chdir(ROOT)
    code = snippets()[1].replace('"out"', repr(str(tmp_path))).replace("end=4", "end=0.5")
    space: dict[str, object] = {}
    exec(code, space)
    assert (tmp_path / "plate.png").stat().st_size > 10_000
    assert space["run"].steps[-1].time == 0.5  # type: ignore[attr-defined]


def test_material_point_example(tmp_path: Path) -> None:
    """Fewer steps and rates; the faster test is the stronger one, as viscosity has it."""
    deck = ROOT / "examples/material_point/uniaxial.i"
    short = "torch.linspace(0.0, 1.0, 9)"
    ran(
        "run", deck, "-o", tmp_path,
        "--set", f"Tensors/path/expr={short}",
        "--set", "Tensors/rates/expr=Scalar(torch.logspace(-4.0, -1.0, 2))",
        cwd=tmp_path,
    )  # fmt: skip
    rows = io.read_table(tmp_path / "uniaxial.csv")
    last = rows["step"] == 8
    slow, fast = rows["stress_11"][last]
    assert 300.0 < slow < 0.9 * fast
    assert np.abs(rows["stress_22"]).max() < 1e-7
    assert (tmp_path / "uniaxial.png").stat().st_size > 10_000
    saved = torch.load(tmp_path / "uniaxial.pt", weights_only=True)
    assert saved["output.8.stress"].shape == (2, 6)


@pytest.mark.parametrize("name", ["rubber", "plasticity", "logarithmic"])
def test_finite_strain_example(name: str, tmp_path: Path) -> None:
    """In simple shear, the shear stress is by far larger than the one normal to the plane."""
    deck = ROOT / f"examples/material_point/finite_strain_{name}.i"
    few = {
        "rubber": ("--set", "Tensors/times/expr=Scalar(torch.linspace(0.0, 1.0, 5))"),
        "plasticity": (),
        "logarithmic": ("--set", "Tensors/rates/expr=torch.logspace(-3.0, -2.0, 2)"),
    }[name]
    ran("run", deck, "-o", tmp_path, *few, cwd=tmp_path)
    saved = torch.load(tmp_path / f"finite_strain_{name}.pt", weights_only=True)
    last = max(int(key.split(".")[1]) for key in saved if key.endswith(".cauchy_stress"))
    stress = saved[f"output.{last // 2}.cauchy_stress"]
    assert bool((stress[..., 5] > 2.0 * stress[..., 2].abs()).all())
    assert (tmp_path / f"{'steel' if name == 'logarithmic' else name}.csv").exists()


def test_short_viscoplasticity_example(tmp_path: Path) -> None:
    """One heated pull: faster is stronger, and the heat's expansion is part of the strain."""
    deck = ROOT / "examples/material_point/short_viscoplasticity.i"
    ran(
        "run", deck, "-o", tmp_path,
        "--set", "Tensors/path/expr=torch.linspace(0.0, 0.02, 6)",
        "--set", "Tensors/rates/expr=Scalar(torch.logspace(-5.0, -1.0, 2))",
        "--set", "Tensors/warm/expr=Scalar(torch.linspace(293.15, 573.15, 6).unsqueeze(-1))",
        cwd=tmp_path,
    )  # fmt: skip
    rows = io.read_table(tmp_path / "uniaxial.csv")
    slow, fast = (rows["stress_11"][rows["step"] == 5][k] for k in (0, 1))
    assert 100.0 < slow < 0.9 * fast
    assert np.abs(rows["stress_22"]).max() < 1e-7


def test_short_sheet_example(tmp_path: Path) -> None:
    """Plastic strains across the pull and through the thickness are as r0 and r90 say."""
    deck = ROOT / "examples/material_point/short_sheet.i"
    times = "Tensors/times/expr=Scalar(torch.linspace(0.0, 1.0, 4).unsqueeze(-1))"
    ran("run", deck, "-o", tmp_path, "--set", times, cwd=tmp_path)
    rows = io.read_table(tmp_path / "tension.csv")
    across = [rows[f"plastic_strain_{c}"][-2 + k] for k, c in enumerate(("22", "11"))]
    thick = rows["plastic_strain_33"][-2:]
    assert across[0] / thick[0] == pytest.approx(0.7, rel=1e-6)
    assert across[1] / thick[1] == pytest.approx(0.9, rel=1e-6)


def test_perforated_plate_example(tmp_path: Path) -> None:
    deck = ROOT / "examples/perforated_plate/plate.i"
    done = neml2fe("run", deck, "-o", tmp_path, "--set", "Drivers/plate/end_time=0.6")
    rows = io.read_table(tmp_path / "plate.csv")
    assert rows["time"][-1] == 0.6
    assert np.allclose(rows["top_reaction"], -rows["bottom_reaction"], rtol=1e-9, atol=1e-8)
    for name in ("plate.pvd", "plate.csv", "plate.checkpoint", "plate.png", "plate_load.png"):
        assert (tmp_path / name).exists()
        assert name in done.stdout


@pytest.mark.mpi
def test_perforated_plate_example_on_two_ranks(tmp_path: Path) -> None:
    pytest.importorskip("petsc4py")
    deck = ROOT / "examples/perforated_plate/plate.i"
    end = ("--set", "Drivers/plate/end_time=0.6")
    ran("run", deck, "-o", tmp_path / "one", *end)
    neml2fe("run", "--ranks", "2", deck, "-o", tmp_path / "two", *end)
    one, two = (io.read_table(tmp_path / n / "plate.csv") for n in ("one", "two"))
    np.testing.assert_allclose(one["top_reaction"], two["top_reaction"], rtol=1e-9, atol=1e-8)


def figure_of(example: str) -> dict[str, Any]:
    """The closed forms that the script of the example's figure compares with."""
    return runpy.run_path(str(ROOT / f"examples/{example}/figure.py"))


def test_cooks_membrane_example(tmp_path: Path) -> None:
    """On 4 x 4 elements, those with B-bar bend, the ordinary ones lock; neither is too soft."""
    lift = {}
    for bbar in ("true", "false"):
        sets = [
            f"Meshes/membrane/file={ROOT}/meshes/cooks_membrane_quad_4.msh",
            f"Bodies/panel/volumetric_locking_correction={bbar}",
        ]
        deck = load_input(ROOT / "examples/cooks_membrane/cook.i", sets)
        deck.get("Drivers", "cook").run(tmp_path / bbar, quiet=True)
        rows = io.read_table(tmp_path / bbar / "cook.csv")
        assert rows["shear_y_force"][-1] == pytest.approx(1.8, rel=1e-12)
        assert rows["clamp_y_reaction"][-1] == pytest.approx(-1.8, rel=1e-9)
        lift[bbar] = rows["corner"][-1]
    assert 1.3 * lift["false"] < lift["true"] < 2.2


def test_necking_bar_example(tmp_path: Path) -> None:
    """The load has its maximum between those of even bars of the least and of the full radius,
    and the neck is then thinner than an even bar."""
    ran(
        "run", ROOT / "examples/necking_bar/bar.i", "-o", tmp_path,
        "--set", "Meshes/bar/file=meshes/necking_bar_5.msh",
        "--set", "Drivers/bar/end_time=0.55", "--set", "Drivers/bar/output_times=0.55",
        "--set", "Drivers/bar/dt_max=0.05",
    )  # fmt: skip
    rows = io.read_table(tmp_path / "bar.csv")
    load = rows["pull_reaction"] / 1e3
    space = figure_of("necking_bar")
    even = space["considere"]()[1]
    assert 0.982**2 * even < load.max() < even
    assert load[-1] < 0.995 * load.max()
    ratio = space["neck_ratio"](rows)[-1]
    assert 0.8 < ratio < 0.97 * (1 + 2 * 3.3 / space["LENGTH"]) ** -0.5
    assert abs(rows["energy_balance"][-1]) < 1e-9


def test_thick_cylinder_example(tmp_path: Path) -> None:
    """Stresses after the start-up are elastic; then those at the bore grow by creep."""
    deck = ROOT / "examples/thick_cylinder/pipe.i"
    ran(
        "run", deck, "-o", tmp_path,
        "--set", "Drivers/pipe/end_time=60", "--set", "Drivers/pipe/output_times='4 60'",
    )  # fmt: skip
    rows = io.read_table(tmp_path / "pipe.csv")
    started = rows["time"] == 4.0
    space = figure_of("thick_cylinder")
    exact = space["elastic"](np.array([50.0]))["hoop"][0]
    crept = space["stationary"](np.array([50.0]))[0]["hoop"][0]
    assert rows["hoop"][started][0] == pytest.approx(exact, abs=0.5)
    assert exact < rows["hoop"][started][0] + 0.5 < rows["hoop"][-1] < crept + 0.5
    assert rows["middle_reaction"][-1] == pytest.approx(-40.0 * np.pi * 50**2, rel=1e-8)


def test_polycrystal_example(tmp_path: Path) -> None:
    """Twelve grains are free of lateral stress, about as stiff as many (to within a tenth beyond
    Reuss and Voigt), and then flow between Sachs and Taylor."""
    mesh = voronoi_box(12, (4, 4, 4), (1.0, 1.0, 1.0), seed=1)
    orientation = random_orientations(12, seed=2)[mesh.cell_data["grain"][0] - 1]
    small = tmp_path / "grains.vtu"
    meshio.Mesh(mesh.points, list(mesh.cells), cell_data={"orientation": [orientation]}).write(
        small
    )
    ran(
        "run", ROOT / "examples/polycrystal/polycrystal.i", "-o", tmp_path,
        "--set", f"Meshes/grains/file={small}",
        "--set", "Drivers/polycrystal/end_time=4", "--set", "Drivers/polycrystal/output_times=4",
    )  # fmt: skip
    rows = io.read_table(tmp_path / "polycrystal.csv")
    stress, space = rows["cell_stress_zz"], figure_of("polycrystal")
    for component in ("xx", "yy", "yz", "xz", "xy"):
        assert np.abs(rows[f"cell_stress_{component}"]).max() < 1e-4
    low, high = space["young_bounds"]()
    assert 0.9 * low < stress[1] / rows["cell_strain_zz"][1] / 1e3 < 1.1 * high
    assert space["SACHS"] * 40 < stress[-1] < space["TAYLOR"] * 50


def test_interface_debonding_example(tmp_path: Path) -> None:
    """While the crack grows, the load is that of beams on an elastic foundation."""
    ran(
        "run", ROOT / "examples/interface_debonding/cantilever.i", "-o", tmp_path,
        "--set", "Drivers/cantilever/end_time=0.6", "--set", "Drivers/cantilever/dt_max=0.04",
        "--set", "Drivers/cantilever/output_times=0.6",
    )  # fmt: skip
    rows = io.read_table(tmp_path / "cantilever.csv")
    space = figure_of("interface_debonding")
    opening, load = 2 * rows["up_displacement"], rows["up_reaction"]
    expected = space["theory"](opening, 1 / space["WAVE"])
    assert load[1] == pytest.approx(expected[1], rel=0.03)
    assert np.allclose(load[opening > 2.5], expected[opening > 2.5], rtol=0.01)
    assert np.count_nonzero(opening > 2.5) > 2


def test_notched_specimen_example(tmp_path: Path) -> None:
    """Two of the ten images and three iterations give all but the hardening, which shows later."""
    folder = ROOT / "examples/notched_specimen_dic"
    sets = {
        "Drivers/pull/end_time": 4,
        "Drivers/pull/output_times": 4,
        "Measurements/camera/file": f"{folder}/data/image_0[12].csv",
        "Measurements/camera/times": "2 4",
        "Measurements/load/times": "1 2 3 4",
        "Measurements/clip/times": "1 2 3 4",
        "Calibrations/fit/max_iterations": 3,
    }
    words = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    assert main(["calibrate", f"{folder}/fit.i", "-o", str(tmp_path), *words]) != 0  # at its limit
    with (tmp_path / "parameters.csv").open() as file:
        fitted = {row["parameter"]: float(row["fitted"]) for row in csv.DictReader(file)}
    assert fitted["yield_surface.sy"] == pytest.approx(320.0, rel=0.01)
    assert fitted["equivalent_stress.F"] == pytest.approx(0.4, rel=0.02)
    assert fitted["equivalent_stress.N"] == pytest.approx(2.0, rel=0.05)


def test_every_example_is_tested() -> None:
    """A new example deck must come with a test here."""
    decks = {
        str(p.relative_to(ROOT / "examples"))
        for p in (ROOT / "examples").rglob("*.i")
        if "results" not in p.parts
    }
    assert decks == {
        "steel.i",
        "material_point/elasticity.i",
        "material_point/short_sheet.i",
        "material_point/short_viscoplasticity.i",
        "material_point/uniaxial.i",
        "material_point/finite_strain_logarithmic.i",
        "material_point/finite_strain_plasticity.i",
        "material_point/finite_strain_rubber.i",
        "perforated_plate/plate.i",
        "cooks_membrane/cook.i",
        "necking_bar/bar.i",
        "thick_cylinder/pipe.i",
        "polycrystal/polycrystal.i",
        "interface_debonding/cantilever.i",
        "notched_specimen_dic/pull.i",
        "notched_specimen_dic/fit.i",
        "calibration_quick/fit.i",  # tests/e2e/test_calibrate.py
        "calibration/model.i",  # tests/e2e/test_example_*.py
        "calibration/deterministic.i",
    }
