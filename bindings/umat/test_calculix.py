"""CalculiX with the UMAT linked in, against neml2fe's own finite elements.

CalculiX is a program to build, of its own licence: these tests run where the environment variable
NEML2FE_CALCULIX names the folder for `build_calculix.sh` to build it in. It is built there by the
first run, and linked with the library of the tests by all others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import plate
import pytest
from filelock import FileLock
from umat_laws import DECK, n_state

from neml2fe import fem, load_model
from neml2fe.export.layout import Layout
from neml2fe.fem.mesh import generate
from neml2fe.material import Material

BUILD = Path(__file__).with_name("build_calculix.sh")
FOLDER = os.environ.get("NEML2FE_CALCULIX")

pytestmark = [
    pytest.mark.skipif(
        FOLDER is None,
        reason="NEML2FE_CALCULIX names no folder for build_calculix.sh to build CalculiX in",
    ),
    pytest.mark.timeout(1200),  # the first time it is compiled
]


@pytest.fixture(scope="session")
def ccx(umat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CalculiX with the library of the tests."""
    assert FOLDER is not None
    folder, own = Path(FOLDER), tmp_path_factory.mktemp("calculix") / "ccx"
    folder.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"MAKEFLAGS": f"-j{os.cpu_count()}"}
    with FileLock(folder / "lock"):
        built = subprocess.run([BUILD, folder, umat], capture_output=True, text=True, env=env)
        assert built.returncode == 0, built.stdout + built.stderr
        shutil.copy(folder / "ccx", own)
    return own


def run(ccx: Path, folder: Path, deck: str, threads: int = 1) -> subprocess.CompletedProcess[str]:
    """CalculiX with `deck` as job.inp in `folder`."""
    (folder / "job.inp").write_text(deck)
    return subprocess.run(
        [ccx, "job"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )


def cube() -> fem.Mesh:
    """One element with the sets of the plate, so high that it is strained by half a percent: with
    more there are so many increments that the seven digits of their times are too few."""
    lengths = 10.0, 100.0, 4.0
    mesh = generate.box(1, 1, 1, "hexahedron", lengths)
    x, y, z = (mesh.points / lengths).round().astype(int).T
    sets = {"bottom": y == 0, "top": y == 1, "corner": (x == 0) & (y == 0), "back": z == 0}
    sets["hole"] = x == 1
    return fem.Mesh(
        mesh.points, mesh.cells, node_sets={name: np.flatnonzero(of) for name, of in sets.items()}
    )


def test_plate_in_calculix(
    ccx: Path, laws: dict[str, Material], layouts: dict[str, Layout], tmp_path: Path
) -> None:
    """To the seven digits that CalculiX prints; two of its threads call UMAT at once."""
    mesh = plate.plate("C3D8")
    deck = plate.deck(mesh, "C3D8", "PERZYNA", n_state(layouts["perzyna"]), dt=1.0)
    done = run(ccx, tmp_path, deck, threads=2)
    assert done.returncode == 0, done.stdout[-2000:]
    force, hole = plate.compare(tmp_path / "job.dat", laws["perzyna"], mesh, "C3D8")
    assert force < 1e-6 and hole < 1e-6


def test_calculix_cuts_increments_that_fail(
    ccx: Path, layouts: dict[str, Layout], tmp_path: Path
) -> None:
    """A law that allows itself few corrections, in increments that are too large for it, against
    the same law with as many as it wants in the increments that were left."""
    laws = tmp_path / "laws.i"
    laws.write_text(DECK.replace("max_its = 3", "max_its = 50") + "[]\n")
    patient, mesh = Material(load_model(str(laws), "hasty"), backend="kernel"), cube()
    deck = plate.deck(mesh, "C3D8", "HASTY", n_state(layouts["hasty"]), dt=4.0)
    done = run(ccx, tmp_path, deck)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "requested by a material user routine (through pnewdt)" in " ".join(done.stdout.split())
    force, hole = plate.compare(tmp_path / "job.dat", patient, mesh, "C3D8")
    assert force < 1e-6 and hole < 1e-6


@pytest.mark.parametrize(
    ("name", "state_variables", "properties", "told"),
    [
        ("PERZINA", 19, [0.0], "PERZINA"),
        ("PERZYNA", 2, [0.0], "NSTATV"),
        ("PERZYNA", 19, [1.0, 2.0], "NPROPS"),
    ],
    ids=["name", "state variables", "properties"],
)
def test_calculix_stops_at_what_is_wrong_in_its_deck(
    name: str, state_variables: int, properties: list[float], told: str, ccx: Path, tmp_path: Path
) -> None:
    done = run(ccx, tmp_path, plate.deck(cube(), "C3D8", name, state_variables, properties))
    assert done.returncode not in (0, -11)
    assert "neml2fe UMAT: " in done.stderr and told in done.stderr
