"""Full fields and series from files of several programs, back again, and files that are wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neml2fe.calibration.fullfield import (
    MATCHID,
    MATCHID_STEREO,
    PLANE,
    SPACE,
    VIC_2D,
    VIC_3D,
    FieldColumns,
    FullField,
    from_grid,
    read_csv,
    read_numpy,
    read_series,
    read_vtu,
    write_csv,
    write_numpy,
    write_vtu,
)
from neml2fe.errors import InputError

PLAIN = "x,y,u,v\n0,0,0.5,1\n1,0,0.25,-1\n0,2,,3\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# --- dialects ---------------------------------------------------------------------------
def test_plain_columns(tmp_path: Path) -> None:
    field = read_csv(write(tmp_path / "a.csv", PLAIN + "4,4,nan,\n"), noise=0.1)
    assert field.points.tolist() == [[0, 0], [1, 0], [0, 2]]  # nothing is known of the last
    assert field.displacements[0, :2].tolist() == [[0.5, 1.0], [0.25, -1.0]]
    assert math.isnan(field.displacements[0, 2, 0]) and field.displacements[0, 2, 1] == 3.0
    assert field.times.tolist() == [0.0] and field.noise is not None


def test_matchid_with_semicolons_decimal_commas_and_a_degree_sign(tmp_path: Path) -> None:
    text = (
        "x_pic;y_pic;x [mm];y [mm];Horizontal Displacement U [mm];Vertical Displacement V [mm];"
        "Theta [°]\r\n"
        "120;80;1,5;-2,25;0,0125;-3,5e-3;0,1\r\n"
        "140;80;2,5;-2,25;NaN;NaN;0,1\r\n"
    )
    file = write(tmp_path / "img.csv", text, "latin-1")
    field = read_csv(file, MATCHID, encoding="latin-1")
    assert field.points.tolist() == [[1.5, -2.25]]
    assert field.displacements.tolist() == [[[0.0125, -0.0035]]]


def test_matchid_stereo_with_prefixes(tmp_path: Path) -> None:
    text = (
        "coor.X [mm],coor.Y [mm],coor.Z [mm],disp.Horizontal Displacement U [mm],"
        "disp.Vertical Displacement V [mm],disp.Out-Of-Plane: W [mm]\n1,2,3,0.1,0.2,0.3\n"
    )
    field = read_csv(write(tmp_path / "img.csv", text), MATCHID_STEREO)
    assert field.points.tolist() == [[1, 2, 3]]
    assert field.displacements.tolist() == [[[0.1, 0.2, 0.3]]]


def test_vic_3d_drops_what_is_not_correlated_and_tells_case(tmp_path: Path) -> None:
    header = '"X", "Y", "Z", "U", "V", "W", "exx", "x", "y", "u", "v", "q", "sigma"\n'
    rows = (
        "1.0, 2.0, 0.5, 0.1, 0.2, 0.3, 0, 500, 400, 9, 9, 9, 0.012\n"
        "0, 0, 0, 0, 0, 0, 0, 505, 400, 0, 0, 0, -1\n"
        "1.5, 2.0, 0.5, 0.1, 0.2, 0.4, 0, 510, 400, 9, 9, 9, 0.015\n"
    )
    field = read_csv(write(tmp_path / "B00001.csv", header + rows), VIC_3D)
    assert field.points.tolist() == [[1.0, 2.0, 0.5], [1.5, 2.0, 0.5]]
    assert field.displacements[0, 1].tolist() == [0.1, 0.2, 0.4]
    assert field.confidence is not None and field.confidence.tolist() == [[0.012, 0.015]]


def test_vic_2d_in_tabs_with_a_row_of_units(tmp_path: Path) -> None:
    text = "x\ty\tu\tv\tsigma\n[pixel]\t[pixel]\t[pixel]\t[pixel]\t\n10\t20\t0.5\t0.25\t0\n"
    field = read_csv(write(tmp_path / "a.csv", text), VIC_2D)
    assert field.points.tolist() == [[10, 20]] and field.displacements.tolist() == [[[0.5, 0.25]]]


# --- images -----------------------------------------------------------------------------
def test_a_pattern_takes_files_by_number_and_merges_points_by_place(tmp_path: Path) -> None:
    write(tmp_path / "i_10.csv", "x,y,u,v\n1,0,10,1\n0,0,10,0\n5,5,10,5\n")  # in another order
    write(tmp_path / "i_9.csv", "x,y,u,v\n0,0,9,0\n1,0.0000001,9,1\n0,1,9,2\n")
    write(tmp_path / "i_11.csv", "x,y,u,v\n0,1,11,2\n0,0,11,0\n1,0,11,1\n5,5,11,5\n")
    field = read_csv(str(tmp_path / "i_*.csv"), times=[0.5, 1.0, 2.0])
    assert field.times.tolist() == [0.5, 1.0, 2.0]
    np.testing.assert_allclose(field.points, [[0, 0], [1, 0], [0, 1], [5, 5]], atol=1e-6)
    expected = [[9, 9, 9, np.nan], [10, 10, np.nan, 10], [11, 11, 11, 11]]
    np.testing.assert_array_equal(field.displacements[:, :, 0], expected)
    np.testing.assert_array_equal(field.displacements[2, :, 1], [0, 1, 2, 5])


def test_one_file_of_all_images(tmp_path: Path) -> None:
    text = "frame,x,y,u,v\n7,0,0,1,1\n3,0,0,0,0\n3,1,0,0,0\n7,1,0,2,2\n"
    file = write(tmp_path / "all.csv", text)
    columns = FieldColumns(time="frame")
    field = read_csv(file, columns)
    assert field.times.tolist() == [3.0, 7.0]
    assert field.displacements[1].tolist() == [[1, 1], [2, 2]]
    assert read_csv(file, columns, times=[0.0, 0.4]).times.tolist() == [0.0, 0.4]


# --- bad files --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", None, "a.csv: the file is empty"),
        ("x,y,u,v\n", None, "a.csv: no rows of data"),
        ("x,y,u\n0,0,0\n", None, r"a.csv:1: no column is v: 'v' is looked for"),
        ("x,y,u,v,v [mm],v [px]\n0,0,0,0,0,0\n", None, ""),
        ("x,y,u,v [mm],v [px]\n0,0,0,0,0\n", None, r"a.csv:1: several columns may be v"),
        ("X,Y,U,V\n0,0,0,0\n", None, "'x' is looked for"),
        ("x,y,u,v\n0,0,0,0\n1,0,abc,0\n", None, "a.csv:3: column 'u': expected a number"),
        ("x,y,u,v\n0,0,0,0\n1,0,0\n", None, "a.csv:3: 3 values for the 4 columns"),
        ("x,y,u,v\n0,0,0,0\n0,0,1,0\n", None, r"rows 1 and 2 of the 2 points are both at \(0, 0\)"),
        ("x,y,u,v\n0,0,nan,nan\n", None, "no displacement is there in any image"),
        ("x,y,u,v,sigma\n0,0,0,0,-1\n", VIC_2D, "no point of this image is correlated"),
        ("t,x,y,u,v\n,0,0,0,0\n", FieldColumns(time="t"), "a.csv:2: column 't': expected a number"),
        ("x,y,u,v\n0,0,0,0\n", MATCHID, "Horizontal Displacement U, disp"),
    ],
)
def test_files_that_are_wrong(
    tmp_path: Path, text: str, columns: FieldColumns | None, message: str
) -> None:
    file = write(tmp_path / "a.csv", text)
    if not message:  # an exact name comes before one with a unit
        assert read_csv(file, columns).points.tolist() == [[0, 0]]
        return
    with pytest.raises(InputError, match=message):
        read_csv(file, columns)


def test_images_that_do_not_belong_together(tmp_path: Path) -> None:
    a = write(tmp_path / "a.csv", "x,y,u,v\n0,0,0,0\n1,0,0,0\n2,0,0,0\n")
    b = write(tmp_path / "b.csv", "x,y,u,v\n0.1,0,0,0\n1.1,0,0,0\n2,0,0,0\n")
    with pytest.raises(InputError, match=r"b.csv:2: only 1 of 3 points .*undeformed body"):
        read_csv([a, b])
    assert len(read_csv([a, b], tolerance=0.2).points) == 3
    with pytest.raises(InputError, match="2 images need as many times"):
        read_csv([a, a], times=[1.0])
    with pytest.raises(InputError, match="no file matches"):
        read_csv(str(tmp_path / "*.txt"))
    with pytest.raises(InputError, match="cannot read"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(InputError, match="for one file of all images"):
        read_csv([a, b], FieldColumns(time="t"))
    with pytest.raises(InputError, match="z needs one of w"):
        FieldColumns(z="z")


# --- round trips ------------------------------------------------------------------------
def some(dim: int, c: int) -> FullField:
    rng = np.random.default_rng(0)
    u = rng.normal(size=(3, 7, c))
    u[1, 2] = np.nan
    confidence = rng.random((3, 7))
    return FullField(rng.random((7, dim)), [0.0, 0.1, 0.7], u, confidence=confidence)


def same(a: FullField, b: FullField) -> None:
    np.testing.assert_array_equal(a.points, b.points)
    np.testing.assert_array_equal(a.times, b.times)
    np.testing.assert_array_equal(a.displacements, b.displacements)
    assert (a.confidence is None) == (b.confidence is None)
    if a.confidence is not None and b.confidence is not None:
        np.testing.assert_array_equal(a.confidence, b.confidence)


@pytest.mark.parametrize("dim", [2, 3])
def test_what_is_written_is_read_back(tmp_path: Path, dim: int) -> None:
    field = some(dim, dim)
    given = PLANE if dim == 2 else SPACE
    columns = FieldColumns(**{**given.named(), "confidence": "confidence"})
    same(read_csv(write_csv(field, tmp_path / "f.csv"), columns), field)
    same(read_vtu(write_vtu(field, tmp_path)), field)
    noisy = FullField(field.points, field.times, field.displacements, 0.01)
    again = read_numpy(write_numpy(noisy, tmp_path / "f.npz"))
    same(again, noisy)
    assert again.noise is not None and again.noise.reshape(-1).tolist() == [0.01]
    listed = sorted(tmp_path.glob("image_*.vtu"))
    assert read_vtu(listed, times=field.times).times.tolist() == field.times.tolist()


def test_a_plane_that_moves_in_space_comes_back_in_space(tmp_path: Path) -> None:
    field = some(2, 3)
    back = read_vtu(write_vtu(field, tmp_path))
    np.testing.assert_array_equal(back.points, field.positions)
    np.testing.assert_array_equal(back.displacements, field.displacements)
    same(read_vtu(tmp_path / "image.pvd", dim=2), field.in_plane())


# --- NumPy and VTU ----------------------------------------------------------------------
def test_grids_are_rows_of_y_and_columns_of_x(tmp_path: Path) -> None:
    u = np.arange(12.0).reshape(2, 2, 3)
    u[:, 1, 1] = np.nan
    field = from_grid(u, -u, step=0.5, origin=(10.0, 20.0), noise=0.1)
    assert field.points.tolist() == [[10, 20], [10.5, 20], [11, 20], [10, 20.5], [11, 20.5]]
    assert field.displacements[1, 3].tolist() == [9.0, -9.0]
    np.savez(tmp_path / "g.npz", u=u, v=-u, step=0.5, origin=[10.0, 20.0])
    same(read_numpy(tmp_path / "g.npz"), field)
    with pytest.raises(InputError, match="maps of displacement have one shape"):
        from_grid(u, u[0])


def test_numpy_rows_of_each_image(tmp_path: Path) -> None:
    for i in (0, 1):
        np.save(tmp_path / f"{i}.npy", np.array([[0, 0, i, 2 * i], [1, 0, 3.0, 4]])[:: 1 - 2 * i])
    field = read_numpy(str(tmp_path / "*.npy"), times=[1.0, 2.0])
    assert field.displacements.tolist() == [[[0, 0], [3, 4]], [[1, 2], [3, 4]]]


def _damaged(folder: Path) -> Path:
    return write(folder / "a.npz", "no archive")


def _misnamed(folder: Path) -> Path:
    np.savez(folder / "a.npz", point=np.zeros((3, 2)))
    return folder / "a.npz"


def _incomplete(folder: Path) -> Path:
    np.savez(folder / "a.npz", points=np.zeros((3, 2)), times=[0.0])
    return folder / "a.npz"


def _misshapen(folder: Path) -> Path:
    np.savez(folder / "a.npz", points=np.zeros((3, 2)), times=[0.0], displacements=np.zeros(3))
    return folder / "a.npz"


def _narrow(folder: Path) -> Path:
    np.save(folder / "a.npy", np.zeros((3, 3)))
    return folder / "a.npy"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_damaged, "a.npz: not a NumPy file|cannot read"),
        (_misnamed, "no array is named 'point'; did you mean 'points'"),
        (_incomplete, "the array 'displacements' is missing"),
        (_misshapen, r"a.npz: displacements of 1 images and 3 points"),
        (_narrow, r"x, y, u, v \(k, 4\)"),
        (lambda folder: folder / "none.npz", "cannot read"),
    ],
)
def test_numpy_files_that_are_wrong(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_numpy(make(tmp_path))


def test_vtu_files_that_are_wrong(tmp_path: Path) -> None:
    write_vtu(some(2, 2), tmp_path)
    with pytest.raises(InputError, match=r"no point data 'displacment'; did you mean"):
        read_vtu(tmp_path / "image_0000.vtu", "displacment")
    with pytest.raises(InputError, match="is no vector"):
        read_vtu(tmp_path / "image_0000.vtu", "confidence")
    with pytest.raises(InputError, match="there is no such file"):
        read_vtu(tmp_path / "none.vtu")
    for name in ("a.vtu", "a.pvd"):
        with pytest.raises(InputError, match=f"{name}: cannot read the"):
            read_vtu(write(tmp_path / name, "<VTKFile>"))


# --- series -----------------------------------------------------------------------------
def test_series_of_a_load_cell(tmp_path: Path) -> None:
    text = "Zeit [s];Kraft [kN];Weg\n0;0,0;0\n0,5;1,25;0\n1;;0\n"
    file = write(tmp_path / "load.csv", text)
    force = read_series(file, "Zeit [s]", "Kraft [kN]", factor=1000.0, noise=2.0)
    assert force.times.tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_array_equal(force.values, [0.0, 1250.0, np.nan])
    assert force.name == "Kraft [kN]" and force.valid.tolist() == [True, True, False]
    with pytest.raises(InputError, match=r"load.csv:1: the column 'Kraft' does not exist; did"):
        read_series(file, "Zeit [s]", "Kraft")
    write(file, "t,F\n0,1\n1,2\n1,3\n")
    with pytest.raises(InputError, match=r"load.csv:4: column 't': the time does not grow: 1"):
        read_series(file, "t", "F")
    with pytest.raises(InputError, match="factor"):
        read_series(file, "t", "F", factor=0.0)


def test_series_with_a_row_of_units(tmp_path: Path) -> None:
    file = write(tmp_path / "load.csv", "Time;Load;Note\n(s);(kN);\n0;0;a\n0,5;1,25;b\n")
    force = read_series(file, "Time", "Load", factor=1000.0)
    assert force.times.tolist() == [0.0, 0.5] and force.values.tolist() == [0.0, 1250.0]
    write(file, "Time;Load\n0;kN\n1;2\n")  # a row of data, spoilt
    with pytest.raises(InputError, match=r"load.csv:2: column 'Load': expected a number, got 'kN'"):
        read_series(file, "Time", "Load")
