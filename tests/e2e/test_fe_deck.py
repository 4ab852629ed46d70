"""The decks of docs/finite-elements.md run, and give what can be worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from e2e_runs import Ended, all_on_ranks
from mpi_ranks import has_mpi

from neml2fe import io

GUIDE = Path(__file__).parents[2] / "docs" / "finite-elements.md"
BLOCKS = re.findall(r"```(?:python)?\n(# (\w+\.\w+)\n.*?)```", GUIDE.read_text(), re.DOTALL)
DECKS = {name: text for text, name in BLOCKS}
E, NU = 200e3, 0.3

Cli = Callable[..., Ended]
Table = dict[str, np.ndarray]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the guide."""
    for name, text in DECKS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def ran(neml2fe: Cli, folder: Path, name: str, *more: str) -> Table:
    ended = neml2fe("run", folder / f"{name}.i", "--quiet", "--output", folder / "out", *more)
    assert ended.code == 0, ended.err
    return io.read_table(folder / "out" / f"{name}.csv")


def test_the_guide_has_a_deck_of_each_kind() -> None:
    assert set(DECKS) == {
        "laws.i", "tension.i", "tension.py", "rubber.i", "shaft.i", "press.i", "composite.i",
        "joint.i", "heated.i", "grains.i",
    }  # fmt: skip


def test_a_sheet_in_deck_and_python(
    neml2fe: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deck = ran(neml2fe, folder, "tension")
    stress = E * 0.02 / 20.0
    assert deck["right_reaction"][-1] == pytest.approx(10.0 * stress, rel=1e-9)
    assert deck["waist"][-1] == pytest.approx(-NU * stress / E * 10.0, rel=1e-9)
    assert deck["peak"][-1] == pytest.approx(stress, rel=1e-9)
    assert (folder / "out" / "tension_report.html").exists()
    monkeypatch.chdir(folder)
    exec(compile(DECKS["tension.py"], "tension.py", "exec"), {})
    python = io.read_table(folder / "python" / "tension.csv")
    for mine, other in (("right_reaction", "right_x_reaction"), ("waist", "waist")):
        assert python[other] == pytest.approx(deck[mine], rel=1e-12, abs=1e-12)


def test_a_follower_pressure_is_the_true_stress(neml2fe: Cli, folder: Path) -> None:
    table = ran(neml2fe, folder, "rubber")
    assert table["stress"][-1] == pytest.approx(-0.8, rel=1e-8)


def test_a_spinning_shaft(neml2fe: Cli, folder: Path) -> None:
    """Love's solution for a solid cylinder without axial strain."""
    table = ran(neml2fe, folder, "shaft")
    exact = 7.8e-9 * 1000.0**2 * 100.0**3 * (1.0 - 2.0 * NU) * (1.0 + NU) / (4.0 * E)
    assert table["growth"][-1] == pytest.approx(exact, rel=1e-4)


def test_a_rigid_plate(neml2fe: Cli, folder: Path) -> None:
    """The lateral strains between floor and plate are held, but for its middle."""
    table = ran(neml2fe, folder, "press")
    force = table["down_reaction"][-1]
    hardened = 200.0 + 2e3 * 0.005
    assert -1.5 * 10.0 * hardened < force < -10.0 * 200.0
    assert abs(table["level_reaction"][-1]) < 1e-6 * abs(force)


def test_a_composite_cell(neml2fe: Cli, folder: Path) -> None:
    """The mean stress lies between those of equal stress and equal strain."""
    table = ran(neml2fe, folder, "composite")
    (column,) = [name for name in table if "stress_xx" in name]
    assert 50e3 * 1e-3 < table[column][-1] < 200e3 * 1e-3


def test_a_joint_is_a_spring_in_series(neml2fe: Cli, folder: Path) -> None:
    table = ran(neml2fe, folder, "joint")
    stress = 0.02 / (20.0 / E + 1.0 / 1e5)
    assert table["right_reaction"][-1] == pytest.approx(10.0 * stress, rel=1e-9)


def test_a_bar_that_is_heated(neml2fe: Cli, folder: Path) -> None:
    table = ran(neml2fe, folder, "heated")
    force = -E * 1e-5 * 100.0 * 10.0
    assert table["right_reaction"][1:] == pytest.approx([0.5 * force, force], rel=1e-9)


def test_orientations_of_grains(neml2fe: Cli, folder: Path) -> None:
    """Stiffer than the softest direction of the crystal, softer than its stiffest."""
    table = ran(neml2fe, folder, "grains")
    (column,) = [name for name in table if "stress_xx" in name]
    mixed = table[column][-1] / 1e-3
    assert 66.7e3 < mixed < 191e3
    one = "RegionField\n    values = 'turned'\n  []\n[]\n[Tensors]\n  [turned]\n"
    one += "    type = Python\n    expr = 'MRP(torch.tensor([0.0, 0.0, 0.0]))'"
    random = "RandomOrientations\n    grains = 5\n    seed = 2"
    (folder / "grains.i").write_text(DECKS["grains.i"].replace(random, one))
    assert ran(neml2fe, folder, "grains")[column][-1] / 1e-3 == pytest.approx(66.7e3, rel=1e-9)


@pytest.mark.mpi
def test_bodies_and_orientations_on_two_ranks(neml2fe: Cli, folder: Path) -> None:
    """The same tables; and one message where the deck is wrong."""
    if not has_mpi():
        pytest.skip("no MPI")
    (folder / "wrong.i").write_text(DECKS["composite.i"].replace("grain_2", "grain_3"))
    names = ("composite", "grains", "wrong")
    runs = {n: ["run", folder / f"{n}.i", "-q", "-o", folder / "two"] for n in names}
    found = all_on_ranks(2, runs, folder)
    for name in names[:2]:
        assert found[name].code == 0, found[name].err
        one, two = ran(neml2fe, folder, name), io.read_table(folder / "two" / f"{name}.csv")
        (column,) = [column for column in one if "stress_xx" in column]
        assert two[column] == pytest.approx(one[column], rel=1e-9)
    errors = [line for line in found["wrong"].err.splitlines() if "error" in line]
    assert found["wrong"].code == 2 and len(errors) == 1
    assert "the mesh has no region 'grain_3'" in errors[0] and "[Bodies/soft]" in errors[0]


# What is right, what stands there instead, the block that is at fault, words of the message.
MISTAKES = [
    ("tension", "boundary = 'right'", "boundary = 'rigth'", "[right]", "did you mean 'right'?"),
    ("tension", "component = 'y'", "component = 'z'", "[bottom]", "no component 'z'"),
    ("tension", "variable = 'mises'", "variable = 'misses'", "[peak]", "'misses'"),
    ("tension", "point = '10 10'", "point = '30 10'", "[waist]", "probe 'waist'"),
    ("tension", "'plane_stress'", "'plane_stres'", "[tension]", "did you mean 'plane_stress'?"),
    ("tension", "report = true", "kinematics = 'large'", "[tension]", "known: auto, finite, small"),
    ("tension", "report = true", "format = 'vtk'", "[tension]", "did you mean 'vtu'?"),
    ("composite", "'grain_2'", "'grain_3'", "[soft]", "the mesh has no region 'grain_3'"),
    ("composite", "regions = 'grain_2'", "regions = 'grain_1'", "[composite]", "grain_2"),
    ("composite", "strain_names = 'xx'", "strain_names = 'zz'", "[cell]", "no strain component"),
    ("press", "component = 'rz'", "component = 'rx'", "[level]", "'rx'"),
    ("press", "body = 'plate'", "body = 'plat'", "[down]", "plat"),
    ("shaft", "    density = 7.8e-9\n", "", "[spin]", "density"),
    ("heated", "field_names = 'temperature'", "field_names = 'heat'", "[heated]", "temperature"),
    ("grains", "    grains = 5\n    seed = 2", "    grains = 4\n    seed = 2", "[texture]",
     "field 'orientation': "),
    ("rubber", "material = 'rubber'\n    v", "material = 'rubber'\n    field_names = 'T'\n"
     "    field_values = '1'\n    v", "[block]", "no field 'T'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "right", "wrong", "block", "words"), MISTAKES)
def test_a_mistake_that_the_mesh_shows(
    name: str, right: str, wrong: str, block: str, words: str, neml2fe: Cli, folder: Path
) -> None:
    """It is told with the place of the block, before anything is written."""
    deck = folder / f"{name}.i"
    assert right in DECKS[deck.name]
    deck.write_text(DECKS[deck.name].replace(right, wrong, 1))
    lines = deck.read_text().splitlines()
    at = max(k for k, line in enumerate(lines, 1) if line.strip() == block)
    ended = neml2fe("run", deck, "--output", folder / "out")
    (line,) = [x for x in ended.err.splitlines() if not x.startswith("neml2fe: warning: `torch.")]
    assert line.startswith(f"neml2fe: error: {deck}:{at}: [") and words in line, line
    assert ended.code == 2 and "Traceback" not in ended.out
    assert not (folder / "out").exists() or not list((folder / "out").iterdir())
