"""Results that two ranks write: the same as those of one, and one message where a rank cannot."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import meshio
import numpy as np
import pytest
from mpi_ranks import NEEDS_MPI, script_on_ranks
from numpy.typing import NDArray
from results_on_ranks import march

from neml2fe.io import read_table

pytestmark = NEEDS_MPI
SCRIPT = Path(__file__).parent / "results_on_ranks.py"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    march(folder / "whole")
    march(folder / "half", end=0.5)
    return folder


@pytest.fixture(scope="module")
def two(one: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(one / "half", folder / "from_one")
    for job in ("whole", "half", "rest"):
        script_on_ranks(2, SCRIPT, folder, job)
    return folder


def agree(one: Path, other: Path) -> None:
    """Tables equal to 1e-9 of the largest value of a column."""
    a, b = read_table(one / "strip.csv"), read_table(other / "strip.csv")
    assert list(a) == list(b)
    for name in a:
        if name == "energy_balance":
            assert np.abs(a[name]).max() < 1e-10 and np.abs(b[name]).max() < 1e-10
        elif name != "newton_iterations":
            error = np.abs(a[name] - b[name]).max()
            assert error <= 1e-9 * max(np.abs(a[name]).max(), 1e-6), (name, error)


def rows(pieces: list[meshio.Mesh], of: str) -> dict[tuple[float, ...], dict[str, NDArray]]:
    """Values at each node or cell of all pieces, by its position."""
    found: dict[tuple[float, ...], dict[str, NDArray]] = {}
    for mesh in pieces:
        if of == "nodes":
            places, data = mesh.points, mesh.point_data
        else:
            places = mesh.points[mesh.cells[0].data].mean(axis=1)
            data = {name: blocks[0] for name, blocks in mesh.cell_data.items()}
        for k, place in enumerate(np.round(places, 9).tolist()):
            here = {name: np.asarray(values[k]) for name, values in data.items()}
            known = found.setdefault(tuple(place), here)
            for name, value in here.items():  # ranks agree on the nodes that they share
                assert np.array_equal(known[name], value, equal_nan=True), name
    return found


@pytest.mark.parametrize("stem", ["strip", "strip_points"])
def test_pieces_make_up_the_fields_of_one_rank(stem: str, one: Path, two: Path) -> None:
    listing = (two / "whole" / f"{stem}.pvd").read_text()
    files = re.findall(r'timestep="([^"]+)" part="0" file="([^"]+)"', listing)
    assert files == [(t, f"{stem}_000{k}.pvtu") for k, t in enumerate(("0.0", "0.5", "1.0"))]
    whole = ET.parse(two / "whole" / files[-1][1]).getroot()
    sources = [piece.attrib["Source"] for piece in whole.iter("Piece")]
    assert sources == [f"{stem}_0002_{rank}.vtu" for rank in (0, 1)]
    pieces = [meshio.read(two / "whole" / name) for name in sources]
    assert min(len(mesh.cells[0].data) for mesh in pieces) > 0
    single = [meshio.read(one / "whole" / f"{stem}_0002.vtu")]
    for of in ("nodes", "cells"):
        found, expected = rows(pieces, of), rows(single, of)
        assert found.keys() == expected.keys()
        names = next(iter(expected.values()))
        for name in names:
            a, b = (np.array([v[name] for v in data.values()]) for data in (
                {place: found[place] for place in expected}, expected))  # fmt: skip
            scale = np.nanmax(np.abs(b), initial=1e-6)
            assert np.array_equal(np.isnan(a), np.isnan(b)), name
            assert np.nanmax(np.abs(a - b), initial=0.0) <= 1e-9 * scale, name


def test_table_with_probes_and_energies(one: Path, two: Path) -> None:
    agree(one / "whole", two / "whole")
    assert read_table(two / "whole" / "strip.csv")["peak"][-1] > 1e-4


def test_nothing_else_is_written(two: Path) -> None:
    names = {path.name for path in (two / "whole").iterdir()}
    assert not any(name.startswith(".") for name in names)
    for name in ("strip.png", "strip_load.png", "strip_report.html", "strip_report.md"):
        assert name in names
    assert "Shares of the ranks" in (two / "whole" / "strip_report.md").read_text()


def test_xdmf_of_two_ranks(two: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    steps = ET.parse(two / "xdmf" / "strip.xdmf").getroot().findall("Domain/Grid/Grid")
    assert [step.attrib["CollectionType"] for step in steps] == ["Spatial"] * 2
    cells = 0
    for grid in steps[-1].findall("Grid"):
        cells += int(grid.find("Topology").attrib["NumberOfElements"])
        for item in grid.iter("DataItem"):
            file, path = item.text.split(":")
            with h5py.File(two / "xdmf" / file) as data:
                shape = tuple(map(int, item.attrib["Dimensions"].split()))
                assert data[path].shape == shape
    assert cells == 8


def test_resumed_run_is_the_same_to_the_last_bit(two: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        kinds = ("*.csv", "*.pvd", "*.pvtu", "*.vtu")
        return {p.name: p.read_bytes() for kind in kinds for p in folder.glob(kind)}

    assert contents(two / "parts") == contents(two / "whole")


def test_run_of_one_rank_goes_on_on_two(one: Path, two: Path) -> None:
    agree(one / "whole", two / "from_one")
    listing = (two / "from_one" / "strip.pvd").read_text()
    assert re.findall(r'file="([^"]+)"', listing) == [
        *("strip_0000.vtu", "strip_0001.vtu", "strip_0002.pvtu")
    ]


def test_faults_reach_every_rank(two: Path) -> None:
    faults = json.loads((two / "faults.json").read_text())
    for messages in faults.values():
        assert len(messages) == 2 and len(set(messages)) == 1, messages
    lost = "InputError: probe 'lost': the point (2, 0.5) is outside of the mesh, 1 away"
    assert faults["outside"][0] == lost
    assert faults["full"][0] == (
        f"OutputError: cannot write {two}/full/strip_0001_1.vtu: No space left on device"
    )
    listing = (two / "full" / "strip.pvd").read_text()
    assert re.findall(r'file="([^"]+)"', listing) == ["strip_0000.pvtu"]
    for rank in (0, 1):
        assert "stress" in meshio.read(two / "full" / f"strip_0000_{rank}.vtu").point_data
    assert read_table(two / "full" / "strip.csv")["time"].tolist() == [0.0, 0.5]
