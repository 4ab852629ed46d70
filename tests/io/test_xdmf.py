"""Fields as XDMF and HDF5: what the XML says is what the HDF5 files hold."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from neml2fe.errors import InputError, OutputError
from neml2fe.io import Fields, XdmfSeries

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [2.0, 0.5]])
QUAD, TRIANGLE = np.array([[0, 1, 2, 3]]), np.array([[1, 4, 2]])


def part(t: float, mixed: bool = True) -> Fields:
    cells = [("quad", QUAD), ("triangle", TRIANGLE if mixed else TRIANGLE[:0])]
    n = [len(nodes) for _, nodes in cells]
    return Fields(
        POINTS,
        cells,
        {"u": t * POINTS, "stress": np.tile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (5, 1))},
        {"p": [np.full(k, t) for k in n]},
    )


def read(item: ET.Element, folder: Path) -> NDArray:
    """The array that a DataItem names, of the shape and type that it says."""
    assert item.text is not None
    file, path = item.text.split(":")
    with h5py.File(folder / file) as data:
        array = data[path][()]
    assert array.shape == tuple(map(int, item.attrib["Dimensions"].split()))
    kind = {"Float": "f", "Int": "i"}[item.attrib["NumberType"]]
    assert (array.dtype.kind, array.dtype.itemsize) == (kind, int(item.attrib["Precision"]))
    return array


def steps(series: XdmfSeries) -> list[ET.Element]:
    return ET.parse(series.path).getroot().findall("Domain/Grid/Grid")


def times(series: XdmfSeries) -> list[float]:
    return [float(step.find("Time").attrib["Value"]) for step in steps(series)]


def write(series: XdmfSeries, t: float) -> None:
    fields = part(t)
    series.write(t, fields.points, fields.cells, fields.point_data, fields.cell_data)


def test_fields_of_one_rank(tmp_path: Path) -> None:
    series = XdmfSeries(tmp_path, "plate")
    for t in (0.1, 0.25):
        write(series, t)
    assert times(series) == [0.1, 0.25]
    grid = steps(series)[1]
    assert grid.attrib["GridType"] == "Uniform"
    topology = grid.find("Topology")
    assert topology.attrib == {"TopologyType": "Mixed", "NumberOfElements": "2"}
    assert read(topology[0], tmp_path).tolist() == [5, 0, 1, 2, 3, 4, 1, 4, 2]
    assert np.array_equal(read(grid.find("Geometry")[0], tmp_path)[:, :2], POINTS)
    found = {a.attrib["Name"]: a for a in grid.findall("Attribute")}
    assert found["u"].attrib["AttributeType"] == "Vector"
    assert np.array_equal(read(found["u"][0], tmp_path)[:, :2], 0.25 * POINTS)
    assert read(found["p"][0], tmp_path).tolist() == [0.25, 0.25]
    assert found["p"].attrib["Center"] == "Cell"
    stress = read(found["stress"][0], tmp_path)[0].reshape(3, 3)
    r = np.sqrt(0.5)
    expected = [[1.0, 6 * r, 5 * r], [6 * r, 2.0, 4 * r], [5 * r, 4 * r, 3.0]]
    assert stress == pytest.approx(np.array(expected), rel=1e-15)


def test_ranks_make_a_spatial_collection(tmp_path: Path) -> None:
    series = XdmfSeries(tmp_path, "plate")
    name = series.next_name(0.5)
    pieces = [
        series.write_piece(name, part(0.5, mixed), r) for r, mixed in enumerate((True, False))
    ]
    series.complete(0.5, name, pieces)
    (step,) = steps(series)
    assert step.attrib["CollectionType"] == "Spatial" and times(series) == [0.5]
    kinds = [g.find("Topology").attrib["TopologyType"] for g in step.findall("Grid")]
    assert kinds == ["Mixed", "Quadrilateral"]
    for grid in step.findall("Grid"):
        for item in grid.iter("DataItem"):
            read(item, tmp_path)
    assert read(step.findall("Grid")[1].find("Topology")[0], tmp_path).tolist() == QUAD.tolist()


def test_resume_keeps_earlier_steps(tmp_path: Path) -> None:
    first = XdmfSeries(tmp_path, "plate")
    for t in (0.1, 0.2, 0.3):
        write(first, t)
    again = XdmfSeries(tmp_path, "plate")
    assert again.resume(0.2) == 2
    assert not (tmp_path / "plate_0002.h5").exists()
    write(again, 0.4)
    assert times(again) == [0.1, 0.2, 0.4]
    for step in steps(again):
        for item in step.iter("DataItem"):
            read(item, tmp_path)


def test_full_disk_leaves_earlier_steps(tmp_path: Path, monkeypatch) -> None:
    series = XdmfSeries(tmp_path, "plate")
    write(series, 0.1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Group, "create_dataset", full)
        with pytest.raises(OutputError, match=r"plate_0001\.h5: No space left"):
            write(series, 0.2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plate.xdmf", "plate_0000.h5"]
    assert times(series) == [0.1]


def test_killed_run_leaves_a_readable_series(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from neml2fe.io import XdmfSeries\n"
        "series, x = XdmfSeries(sys.argv[1], 'plate'), np.random.rand(30000, 3)\n"
        "cells = [('triangle', np.arange(30000).reshape(-1, 3))]\n"
        "for step in range(100000):\n"
        "    series.write(step, x, cells, {'x': x})\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "plate_0010.h5").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    series = XdmfSeries(tmp_path, "plate")
    found = steps(series)
    assert len(found) >= 10
    for step in found:
        for item in step.iter("DataItem"):
            read(item, tmp_path)


def test_without_h5py_one_clear_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"need h5py.*neml2fe\[hdf5\]"):
        XdmfSeries(tmp_path, "plate")


def test_damaged_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "plate.xdmf").write_text("<Xdmf><Domain>")
    with pytest.raises(OutputError, match=r"plate\.xdmf"):
        XdmfSeries(tmp_path, "plate").resume(1.0)
