"""The command line: what it offers, what it refuses, and how it says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import meshio
import numpy as np
import pytest
from e2e_runs import PLATE, POINT, Ended, process, settings

Cli = Callable[..., Ended]
DECK = PLATE.read_text()
GENERATED = DECK[DECK.index("    type = Rectangle") : DECK.index("  []\n[]")]
SQUARE = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]


def written(folder: Path, text: str) -> Path:
    deck = folder / "deck.i"
    deck.write_text(text.replace("!include ", f"!include {PLATE.parent}/"))
    return deck


# --- what it offers --------------------------------------------------------------------
def test_version_and_help(neml2fe: Cli) -> None:
    version = neml2fe("--version")
    assert version.code == 0 and version.out.strip().count(".") == 2
    top = neml2fe("--help")
    assert top.code == 0 and "run" in top.out and "doctor" in top.out
    run = neml2fe("run", "--help")
    assert run.code == 0
    for word in ("--ranks", "--resume", "--set", "--trust", "--traceback", "PETSc"):
        assert word in run.out


def test_doctor_as_a_module() -> None:
    ended = process("doctor")
    assert ended.code == 0 and not ended.err
    for word in ("torch", "PETSc", "MPI", "mpiexec", "matplotlib"):
        assert word in ended.out


def test_import_brings_in_nothing_heavy() -> None:
    code = "import sys, torch; had = set(sys.modules); import neml2fe; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    heavy = {"meshio", "basix", "petsc4py", "mpi4py", "matplotlib", "scipy", "nmhit"}
    assert not heavy & set(loaded.stdout.split()) and "neml2fe" in loaded.stdout.split()


def test_misused_command_line(neml2fe: Cli) -> None:
    for words in ([], ["run"], ["run", PLATE, "--nosuch"], ["run", PLATE, "plate", "more"]):
        ended = neml2fe(*words)
        assert ended.code == 2 and "neml2fe" in ended.err.splitlines()[-1]


# --- bad decks -------------------------------------------------------------------------
# What is right, what stands there instead, and words of the message; LINE is where it stands.
LINE = "line"
TYPOS = [
    ("[Materials]", "[Materals]", [LINE, "'Materials'"]),
    ("end_time", "endtime", [LINE, "'end_time'"]),
    ("FiniteElementDriver", "FiniteElementDrive", [LINE, "'FiniteElementDriver'"]),
    ("'model'", "'modle'", [LINE, "'model'"]),
    ("value = 'cycle'", "value = 'cycel'", [LINE, "'cycle'"]),
    ("lengths = '2 1'", "lengths = '2'", [LINE, "2 numbers"]),
    ("cell_type = 'quad'", "cell_type = 'quad7'", ["[Meshes/plate]", "quad9"]),
    ("value = '5 0'", "value = '5 0 0'", ["'shear'", "2 components"]),
    ("boundary = 'right'", "boundary = 'rigth'", ["'pull'", "did you mean 'right'"]),
    ("component = 'y'", "component = 'z'", ["'hold_y'", "known: x, y"]),
    ("0 0.45 1", "0 1.45 1", ["[Functions/cycle]", "increase"]),
]
EXPRESSION = "'0.01 * torch.sqrt(0.55 - t)'"


def refused_at(neml2fe: Cli, deck: Path, wrong: str, words: list[str]) -> None:
    """The deck is refused at the line with `wrong`, before anything is written."""
    lines = deck.read_text().splitlines()
    number = 1 + next(k for k, line in enumerate(lines) if wrong in line)
    ended = neml2fe("run", deck)
    ended.refused(*(f"{deck}:{number}:" if word == LINE else word for word in words))
    assert not list(deck.parent.glob("results/*.vtu"))


@pytest.mark.parametrize(("right", "wrong", "words"), TYPOS)
def test_typo(right: str, wrong: str, words: list[str], neml2fe: Cli, tmp_path: Path) -> None:
    assert right in DECK
    refused_at(neml2fe, written(tmp_path, DECK.replace(right, wrong, 1)), wrong, words)


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("torch.zeros(2) * t", "shape (2,)"),
        ("open('loads.txt')", "'open' is not allowed"),
        ("t.__class__", "__class__"),
        ("__import__('os')", "__import__"),
        ("t +", "t +"),
        ("[t]", "list"),
    ],
)
def test_bad_expression(expression: str, word: str, neml2fe: Cli, tmp_path: Path) -> None:
    text = DECK.replace(EXPRESSION, f"'''{expression}'''")
    text = text.replace("value = 'cycle'", "value = 'breaks'")
    refused_at(neml2fe, written(tmp_path, text), expression, [LINE, word])


def test_unclosed_block(neml2fe: Cli, tmp_path: Path) -> None:
    deck = written(tmp_path, DECK.rstrip()[:-2])
    neml2fe("run", deck).refused(f"{deck}:", "[Drivers]", "[]")


def test_no_deck_and_no_driver(neml2fe: Cli, tmp_path: Path) -> None:
    neml2fe("run", tmp_path / "absent.i").refused("absent.i")
    neml2fe("run", tmp_path).refused("directory")
    neml2fe("run", written(tmp_path, DECK.split("[Drivers]")[0])).refused("[Drivers]")
    neml2fe("run", PLATE, "plat").refused("'plat'", "did you mean 'plate'")
    neml2fe("run", POINT).refused("strained, uniaxial")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dt", ["Block/path/field=value"]),
        ("Drivers/plate/dt", ["Block/path/field=value"]),
        ("Drivers/plat/dt=1", ["did you mean 'plate'"]),
        ("Drivers/plate/dtt=1", ["dtt"]),
        ("Drivers/plate/dt=short", ["expected a number", "short"]),
        ("Drivers/plate/dt=-1", ["dt_min"]),
        ("Drivers/plate/output_every=1.5", ["integer"]),
        ("Drivers/plate/output_every=0", ["at least 1"]),
        ("Drivers/plate/formulation=plane_stain", ["did you mean 'plane_strain'"]),
        ("Drivers/plate/backend=petc", ["did you mean 'petsc'"]),
        ("Drivers/plate/device=gpu", ["device 'gpu'", "found: cpu"]),
        ("Drivers/plate/device=meta", ["device 'meta'", "found: cpu"]),
        ("Drivers/plate/figure=strss", ["no scalar field 'strss'"]),
        ("Drivers/plate/petsc_options=-ksp_type 'cg", ["PETSc options"]),
        ("Drivers/plate/petsc_options=ksp_type cg", ["-ksp_type"]),
    ],
)
def test_bad_override(override: str, words: list[str], neml2fe: Cli, tmp_path: Path) -> None:
    neml2fe("run", PLATE, "-o", tmp_path, *settings(override)).refused(*words)
    assert not list(tmp_path.glob("*.vtu"))


def test_cuda_without_a_gpu(neml2fe: Cli, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    ended = neml2fe("run", PLATE, "-o", tmp_path, *settings("Drivers/plate/device=cuda"))
    ended.refused("device 'cuda'", "found: cpu")


def test_bad_number_of_ranks(neml2fe: Cli) -> None:
    for ranks in ("0", "-1", "two"):
        neml2fe("run", PLATE, f"--ranks={ranks}").refused("--ranks", ranks)


def test_petsc_options_that_nothing_uses(neml2fe: Cli, tmp_path: Path) -> None:
    pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    short = settings("Drivers/plate/end_time=0.1")
    ended = neml2fe("run", PLATE, "-q", "-o", tmp_path, *short, "--", "-ksp_tipe", "cg")
    assert ended.code == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("neml2fe: warning: ") and "ksp_tipe" in line


def test_the_results_folder_is_a_file(neml2fe: Cli, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    neml2fe("run", PLATE, "-o", taken).refused(str(taken), "is a file")
    neml2fe("run", PLATE, "-q", "-o", taken / "below").refused(str(taken))
    neml2fe("run", POINT, "strained", "-q", "-o", taken).refused(str(taken), "is a file")
    assert taken.read_text() == "mine"


def test_traceback_on_demand(neml2fe: Cli, tmp_path: Path) -> None:
    bad = settings("BoundaryConditions/pull/boundary=rigth")
    ended = neml2fe("run", PLATE, "-o", tmp_path, *bad, "--traceback")
    assert ended.code == 2 and "Traceback" in ended.err and "MeshError" in ended.err


# --- expressions -----------------------------------------------------------------------
def test_plain_python_only_on_trust(neml2fe: Cli, tmp_path: Path) -> None:
    """A function that reads a file is refused, and runs for whoever trusts the deck."""
    (tmp_path / "load").write_text("0.001")
    expr = f"float(open('{tmp_path}/load').read()) * t"
    text = DECK.replace(EXPRESSION, f"'''{expr}'''")
    deck = written(tmp_path, text.replace("value = 'cycle'", "value = 'breaks'"))
    command = ["run", deck, "-q", "-o", tmp_path / "o", *settings("Drivers/plate/end_time=0.2")]
    neml2fe(*command).refused(str(deck), "open")
    assert neml2fe(*command, "--trust").code == 0
    assert "0.0002" in (tmp_path / "o" / "plate.csv").read_text().splitlines()[-1]


# --- bad meshes ------------------------------------------------------------------------
def meshed(folder: Path, points: list[list[float]], cell_type: str, nodes: list[int]) -> Path:
    mesh = meshio.Mesh(np.array(points), [(cell_type, np.array([nodes]))])
    meshio.write(folder / "mesh.vtu", mesh)
    return written(folder, DECK.replace(GENERATED, "    file = 'mesh.vtu'\n"))


PYRAMID = [*SQUARE, [0.5, 0.5, 1.0]]
MESHES = {
    "no group": (SQUARE, "quad", [0, 1, 2, 3], ["no boundary 'left'"]),
    "pyramid": (PYRAMID, "pyramid", [0, 1, 2, 3, 4], ["'pyramid'", "not supported", "wedge"]),
    "inverted": (SQUARE, "quad", [0, 1, 3, 2], ["quad element 0", "is inverted"]),
    "clockwise": (SQUARE, "quad", [0, 3, 2, 1], ["clockwise"]),
}


@pytest.mark.parametrize("name", MESHES)
def test_bad_mesh(name: str, neml2fe: Cli, tmp_path: Path) -> None:
    points, cell_type, nodes, words = MESHES[name]
    deck = meshed(tmp_path, points, cell_type, nodes)
    neml2fe("run", deck).refused(str(tmp_path / "mesh.vtu"), *words)


def test_no_mesh(neml2fe: Cli, tmp_path: Path) -> None:
    deck = meshed(tmp_path, SQUARE, "quad", [0, 1, 2, 3])
    (tmp_path / "mesh.vtu").unlink()
    neml2fe("run", deck).refused("mesh.vtu", "no such mesh file")
