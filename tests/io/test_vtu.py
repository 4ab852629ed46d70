"""Fields written for ParaView: read back, continued, and left whole by a crash."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import meshio
import numpy as np
import pytest

from neml2fe.errors import InputError, OutputError
from neml2fe.io import Fields, VtuSeries, mises

POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [2.0, 0.5]])
CELLS = [("quad", np.array([[0, 1, 2, 3]])), ("triangle", np.array([[1, 4, 2]]))]


def listed(series: VtuSeries) -> dict[float, Path]:
    items = ET.parse(series.path).getroot().findall("Collection/DataSet")
    return {float(i.attrib["timestep"]): series.directory / i.attrib["file"] for i in items}


def write_steps(series: VtuSeries, times: list[float]) -> None:
    for t in times:
        series.write(t, POINTS, CELLS, {"temperature": np.full(5, t)})


def test_fields_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    u, vector, tensor = rng.normal(size=(5, 2)), rng.normal(size=(5, 3)), rng.normal(size=(5, 3, 3))
    p = [rng.normal(size=1), rng.normal(size=1)]
    failed = [np.array([True]), np.array([False])]
    path = VtuSeries(tmp_path / "new" / "folder", "plate").write(
        0.5, POINTS, CELLS, {"u": u, "v": vector, "F": tensor}, {"p": p, "failed": failed}
    )
    assert path.name == "plate_0000.vtu"
    mesh = meshio.read(path)
    assert np.array_equal(mesh.points, np.c_[POINTS, np.zeros(5)])
    assert [(b.type, b.data.tolist()) for b in mesh.cells] == [
        (kind, nodes.tolist()) for kind, nodes in CELLS
    ]
    assert np.array_equal(mesh.point_data["u"], np.c_[u, np.zeros(5)])
    assert np.array_equal(mesh.point_data["v"], vector)
    assert np.array_equal(mesh.point_data["F"], tensor.reshape(5, 9))
    assert [a.tolist() for a in mesh.cell_data["p"]] == [a.tolist() for a in p]
    assert [a.tolist() for a in mesh.cell_data["failed"]] == [[1], [0]]
    assert b'compressor="vtkZLibDataCompressor"' in path.read_bytes()


def test_mandel_tensor_becomes_true_components_in_paraview_order(tmp_path: Path) -> None:
    true = np.array([[11.0, 12.0, 13.0], [12.0, 22.0, 23.0], [13.0, 23.0, 33.0]])
    r = np.sqrt(2.0)
    mandel = np.array([11.0, 22.0, 33.0, r * 23.0, r * 13.0, r * 12.0])
    stress = np.tile(mandel, (5, 1))
    path = VtuSeries(tmp_path, "s").write(
        0.0, POINTS, CELLS, {"stress": stress, "stress_mises": mises(stress)}
    )
    mesh = meshio.read(path)
    xx_yy_zz_xy_yz_xz = [11.0, 22.0, 33.0, 12.0, 23.0, 13.0]
    assert mesh.point_data["stress"][3] == pytest.approx(xx_yy_zz_xy_yz_xz, rel=1e-15)
    deviator = true - np.trace(true) / 3 * np.eye(3)
    expected = np.sqrt(1.5 * np.sum(deviator**2))
    assert mesh.point_data["stress_mises"] == pytest.approx(np.full(5, expected), rel=1e-14)


def test_mises_of_uniaxial_and_shear_stress() -> None:
    assert mises([[-250.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, np.sqrt(2) * 100]]) == pytest.approx(
        [250.0, np.sqrt(3) * 100]
    )


def test_series_lists_every_step_with_its_time(tmp_path: Path) -> None:
    series = VtuSeries(tmp_path, "plate")
    write_steps(series, [0.1, 0.2, 1 / 3])
    assert list(listed(series)) == [0.1, 0.2, 1 / 3]
    for t, path in listed(series).items():
        assert meshio.read(path).point_data["temperature"][0] == t
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "plate.pvd",
        "plate_0000.vtu",
        "plate_0001.vtu",
        "plate_0002.vtu",
    ]


def test_resume_drops_later_steps(tmp_path: Path) -> None:
    write_steps(VtuSeries(tmp_path, "plate"), [0.1, 0.2, 0.3, 0.4])
    again = VtuSeries(tmp_path, "plate")
    assert again.resume(0.2) == 2
    assert not (tmp_path / "plate_0003.vtu").exists()
    write_steps(again, [0.25])
    assert list(listed(again)) == [0.1, 0.2, 0.25]
    assert meshio.read(tmp_path / "plate_0002.vtu").point_data["temperature"][0] == 0.25


def test_resume_without_a_series_starts_one(tmp_path: Path) -> None:
    series = VtuSeries(tmp_path, "plate")
    assert series.resume(0.2) == 0
    write_steps(series, [0.3])
    assert list(listed(series)) == [0.3]


def test_new_series_removes_its_own_old_steps_only(tmp_path: Path) -> None:
    write_steps(VtuSeries(tmp_path, "plate"), [0.1, 0.2, 0.3])
    write_steps(VtuSeries(tmp_path, "plate_2"), [0.1, 0.2])
    write_steps(VtuSeries(tmp_path, "plate"), [0.5])
    assert sorted(p.name for p in tmp_path.glob("*.vtu")) == [
        "plate_0000.vtu",
        "plate_2_0000.vtu",
        "plate_2_0001.vtu",
    ]


def test_damaged_series_is_named(tmp_path: Path) -> None:
    (tmp_path / "plate.pvd").write_text("<VTKFile><Collection>")
    with pytest.raises(OutputError, match=r"plate\.pvd"):
        VtuSeries(tmp_path, "plate").resume(1.0)


@pytest.mark.parametrize(
    ("time", "point_data", "cell_data", "message"),
    [
        (0.1, {}, {}, "later than 0.1"),
        (float("nan"), {}, {}, "nan"),
        (0.2, {"u": np.zeros((4, 2))}, {}, r"'u' has shape \(4, 2\); 5 rows"),
        (0.2, {"u": np.array(["a"] * 5)}, {}, "'u' holds"),
        (0.2, {}, {"p": [np.zeros(1)]}, "'p' has 1 arrays; the mesh has 2 blocks"),
        (0.2, {}, {"p": [np.zeros(1), np.zeros(2)]}, "'p' has shape"),
    ],
)
def test_fields_that_do_not_fit(tmp_path, time, point_data, cell_data, message) -> None:
    series = VtuSeries(tmp_path, "plate")
    write_steps(series, [0.1])
    with pytest.raises(InputError, match=message):
        series.write(time, POINTS, CELLS, point_data, cell_data)
    write_steps(series, [0.3])
    assert list(listed(series)) == [0.1, 0.3]


def test_full_disk_leaves_earlier_steps_readable(tmp_path: Path, monkeypatch) -> None:
    series = VtuSeries(tmp_path, "plate")
    write_steps(series, [0.1])

    def half_written(path: str, mesh: meshio.Mesh, **_: object) -> None:
        Path(path).write_bytes(b"<VTKFile>")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(meshio.vtu, "write", half_written)
        with pytest.raises(OutputError, match=r"plate_0001\.vtu: No space left on device"):
            write_steps(series, [0.2])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plate.pvd", "plate_0000.vtu"]
    assert list(listed(series)) == [0.1]
    write_steps(series, [0.2])
    assert list(listed(series)) == [0.1, 0.2]


def test_unwritable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.plate_0000\.vtu"):
        write_steps(VtuSeries(tmp_path / "file", "plate"), [0.1])


def test_killed_run_leaves_a_readable_series(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from neml2fe.io import VtuSeries\n"
        "series, x = VtuSeries(sys.argv[1], 'plate'), np.random.rand(3000, 3)\n"
        "cells = [('triangle', np.arange(3000).reshape(-1, 3))]\n"
        "for step in range(100000):\n"
        "    series.write(step, x, cells, {'x': x})\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    series = VtuSeries(tmp_path, "plate")
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "plate_0020.vtu").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
            if series.path.exists():  # readable while the run goes on
                listed(series)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    files = listed(series)
    assert len(files) >= 20
    for path in files.values():
        assert meshio.read(path).point_data["x"].shape == (3000, 3)


# --- pieces of several ranks ---------------------------------------------------------------
def halves(t: float) -> list[Fields]:
    """Two ranks' parts of a strip; the second has no triangle."""
    points = [POINTS, np.array([[2.0, 0.5], [3.0, 0.0], [3.0, 1.0], [2.0, 1.0]])]
    cells = [CELLS, [("quad", np.array([[0, 1, 2, 3]])), ("triangle", np.empty((0, 3), int))]]
    return [
        Fields(
            x,
            c,
            {"temperature": np.full(len(x), t), "u": x},
            {"stress": [np.full((len(nodes), 6), t) for _, nodes in c]},
        )
        for x, c in zip(points, cells, strict=True)
    ]


def write_pieces(series: VtuSeries, t: float) -> str:
    name = series.next_name(t)
    pieces = [series.write_piece(name, part, rank) for rank, part in enumerate(halves(t))]
    series.complete(t, name, pieces)
    return name


def test_ranks_write_pieces_that_one_file_puts_together(tmp_path: Path) -> None:
    series = VtuSeries(tmp_path, "strip")
    for t in (0.1, 0.2):
        write_pieces(series, t)
    files = listed(series)
    assert [p.name for p in files.values()] == ["strip_0000.pvtu", "strip_0001.pvtu"]
    root = ET.parse(files[0.2]).getroot()
    sources = [piece.attrib["Source"] for piece in root.iter("Piece")]
    assert sources == ["strip_0001_0.vtu", "strip_0001_1.vtu"]
    declared = {
        array.attrib["Name"]: int(array.attrib.get("NumberOfComponents", 1))
        for array in root.iter("PDataArray")
    }
    assert declared == {"Points": 3, "temperature": 1, "u": 3, "stress": 6}
    for source, part in zip(sources, halves(0.2), strict=True):
        mesh = meshio.read(tmp_path / source)
        assert {n: a.shape[1:] for n, a in mesh.point_data.items()} == {
            "temperature": (),
            "u": (3,),
        }
        assert np.array_equal(mesh.points[:, :2], part.points)
        assert sum(len(b.data) for b in mesh.cells) == sum(len(nodes) for _, nodes in part.cells)


def test_piece_that_is_missing_leaves_the_list_as_it_was(tmp_path: Path, monkeypatch) -> None:
    """A rank that meets a full disk: the step is never listed, and can be written again."""
    series = VtuSeries(tmp_path, "strip")
    write_pieces(series, 0.1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    name = series.next_name(0.2)
    series.write_piece(name, halves(0.2)[0], 0)
    with monkeypatch.context() as patch:
        patch.setattr(meshio.vtu, "write", full)
        with pytest.raises(OutputError, match=r"strip_0001_1\.vtu: No space left"):
            series.write_piece(name, halves(0.2)[1], 1)
    assert list(listed(series)) == [0.1]
    write_pieces(series, 0.2)
    assert list(listed(series)) == [0.1, 0.2]


def test_full_disk_at_the_list_keeps_the_step_out(tmp_path: Path, monkeypatch) -> None:
    series = VtuSeries(tmp_path, "strip")
    write_steps(series, [0.1])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ET.ElementTree, "write", full)
        with pytest.raises(OutputError, match=r"strip\.pvd: No space left"):
            write_steps(series, [0.2])
    assert list(listed(series)) == [0.1]
    write_steps(series, [0.2])
    assert list(listed(series)) == [0.1, 0.2]


def test_new_series_removes_pieces_of_more_ranks(tmp_path: Path) -> None:
    first = VtuSeries(tmp_path, "strip")
    for t in (0.1, 0.2):
        write_pieces(first, t)
    (tmp_path / "strip_0000_2.vtu").write_text("left by a third rank")
    write_pieces(VtuSeries(tmp_path, "strip"), 0.5)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "strip.pvd",
        "strip_0000.pvtu",
        "strip_0000_0.vtu",
        "strip_0000_1.vtu",
    ]
    write_steps(VtuSeries(tmp_path, "strip"), [0.5])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["strip.pvd", "strip_0000.vtu"]


def test_resume_drops_later_pieces(tmp_path: Path) -> None:
    first = VtuSeries(tmp_path, "strip")
    for t in (0.1, 0.2, 0.3):
        write_pieces(first, t)
    again = VtuSeries(tmp_path, "strip")
    assert again.resume(0.2) == 2
    assert not list(tmp_path.glob("strip_0002*"))
    assert len(list(tmp_path.glob("strip_0001_?.vtu"))) == 2
    write_steps(again, [0.4])  # one rank goes on
    assert [p.name for p in listed(again).values()][1:] == ["strip_0001.pvtu", "strip_0002.vtu"]


@pytest.mark.parametrize(
    ("kind", "nodes"), [("quad8", 8), ("hexahedron20", 20), ("wedge", 6), ("vertex", 1)]
)
def test_cell_types_read_back(kind: str, nodes: int, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(nodes, 3))
    cells = [(kind, np.arange(nodes)[None])]
    path = VtuSeries(tmp_path, "one").write(0.0, x, cells, {"x": x[:, 0]})
    mesh = meshio.read(path)
    assert mesh.cells[0].type == kind and np.array_equal(mesh.cells[0].data, cells[0][1])
    assert np.array_equal(mesh.points, x)
