"""Figures: that the picture shows what was given, and that bad input is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from neml2fe.errors import InputError, OutputError
from neml2fe.io import faces, figures

matplotlib_image = pytest.importorskip("matplotlib.image")

# One element of every type on the unit square or cube, nodes in meshio's order.
SQUARE = np.array(
    [[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5], [0.5, 0.5]]
)
PLANE = {
    "triangle": SQUARE[[0, 1, 3]],
    "triangle6": SQUARE[[0, 1, 3, 4, 8, 7]],
    "quad": SQUARE[:4],
    "quad8": SQUARE[:8],
    "quad9": SQUARE,
}
CUBE = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1.0]]
)
HEX_EDGES = ["01", "12", "23", "30", "45", "56", "67", "74", "04", "15", "26", "37"]
TET_EDGES = ["01", "12", "20", "03", "13", "23"]
TET = CUBE[[0, 1, 3, 4]]


def midsides(corners: np.ndarray, edges: list[str]) -> np.ndarray:
    return np.concatenate([corners, [corners[[int(a), int(b)]].mean(axis=0) for a, b in edges]])


HEX20 = midsides(CUBE, HEX_EDGES)
FACE_CENTRES = [[0, 0.5, 0.5], [1, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0]]
SOLID = {
    "tetra": TET,
    "tetra10": midsides(TET, TET_EDGES),
    "hexahedron": CUBE,
    "hexahedron20": HEX20,
    "hexahedron27": np.concatenate([HEX20, FACE_CENTRES, [[0.5, 0.5, 1], [0.5, 0.5, 0.5]]]),
}


def one(points: np.ndarray, kind: str) -> list[tuple[str, np.ndarray]]:
    return [(kind, np.arange(len(points))[None])]


def grid(n: int) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """n by n quadrilaterals on the unit square."""
    t = np.linspace(0, 1, n + 1)
    points = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2)
    i, j = (a.ravel() for a in np.mgrid[:n, :n])
    first = i * (n + 1) + j
    return points, [("quad", np.stack([first, first + n + 1, first + n + 2, first + 1], axis=1))]


def pixels(path: Path) -> np.ndarray:
    image = matplotlib_image.imread(path)[..., :3]
    assert image.shape[0] > 250 and image.shape[1] > 500
    assert image.std() > 0.05  # not a blank page
    assert (image[:2] > 0.99).all() and (image[:, -2:] > 0.99).all()  # nothing cut off
    return image


def share(image: np.ndarray, colour: tuple[float, float, float], tolerance: float = 0.03) -> float:
    """The part of the pixels that have this colour."""
    return float((np.abs(image - colour).max(axis=-1) < tolerance).mean())


YELLOW, PURPLE, GREY = (0.993, 0.906, 0.144), (0.267, 0.005, 0.329), (0.769, 0.769, 0.769)


@pytest.mark.parametrize("kind", PLANE | SOLID)
def test_polygons_enclose_the_element(kind: str) -> None:
    """Outward faces: the divergence theorem gives the area or the volume of the element."""
    points = (PLANE | SOLID)[kind]
    found, solid = faces.polygons(one(points, kind))
    x = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))
    measure = 0.0
    for p in found:
        nodes, owner = faces.triangles(p)
        a, b, c = x[nodes[:, 0]], x[nodes[:, 1]], x[nodes[:, 2]]
        area = np.cross(b - a, c - a) / 2
        measure += np.sum(area * a) / 3 if solid else area[:, 2].sum()
        assert np.all(np.sum(area * faces.normals(x, p.nodes)[owner], axis=1) > 0)
    exact = {"triangle": 0.5, "triangle6": 0.5, "tetra": 1 / 6, "tetra10": 1 / 6}.get(kind, 1.0)
    assert measure == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize("kind", ["quad8", "triangle6", "hexahedron20", "tetra10"])
def test_polygons_pass_through_mid_side_nodes_in_turn(kind: str) -> None:
    points = (PLANE | SOLID)[kind]
    for p in faces.polygons(one(points, kind))[0]:
        walk = points[p.nodes]
        ends = np.roll(walk, 1, axis=1), np.roll(walk, -1, axis=1)
        assert np.allclose(walk[:, 1::2], (ends[0] + ends[1])[:, 1::2] / 2)


def test_surface_of_two_cubes_has_no_inner_face() -> None:
    points = np.concatenate([CUBE, CUBE[[1, 2, 5, 6]] + [1, 0, 0]])
    cells = [("hexahedron", np.array([[0, 1, 2, 3, 4, 5, 6, 7], [1, 8, 9, 2, 5, 10, 11, 6]]))]
    found, solid = faces.polygons(cells)
    assert solid and sum(len(p.nodes) for p in found) == 10
    creases = faces.outline(points, found, creases=True)
    length = np.linalg.norm(np.diff(points[creases], axis=1), axis=-1).sum()
    assert length == pytest.approx(4 * 2 + 8 * 1)  # the edges of a 2 x 1 x 1 box


def test_outline_of_a_plane_mesh_is_its_boundary() -> None:
    points, cells = grid(5)
    x = np.pad(points, ((0, 0), (0, 1)))
    ends = x[faces.outline(x, faces.polygons(cells)[0], creases=False)]
    assert len(ends) == 20
    middle = ends.mean(axis=1)[:, :2]
    assert np.all((np.abs(middle - 0.5).max(axis=1) - 0.5) == pytest.approx(0.0))


@pytest.mark.parametrize("kind", PLANE | SOLID)
def test_field_on_every_element(tmp_path: Path, kind: str) -> None:
    points = (PLANE | SOLID)[kind].astype(float)
    figures.field(tmp_path / "n.png", points, one(points, kind), points[:, 0], 0.1 * points)
    figures.field(tmp_path / "c.png", points, one(points, kind), [np.array([3.0])])
    pixels(tmp_path / "n.png")
    pixels(tmp_path / "c.png")


def test_field_colours_the_cells_by_their_values(tmp_path: Path) -> None:
    points, cells = grid(20)
    values = np.zeros(400)
    values[:100] = 1.0  # the left quarter
    path = figures.field(tmp_path / "f.png", points, cells, [values], title="t", label="p")
    image = pixels(path)
    assert path == tmp_path / "f.png"
    quarter, rest = share(image, YELLOW), share(image, PURPLE)
    assert rest > 0.2 and quarter / rest == pytest.approx(1 / 3, rel=0.15)
    columns = np.abs(image - YELLOW).max(axis=-1) < 0.03
    assert columns[:, : image.shape[1] // 3].sum() > 0.8 * columns.sum()


def test_nodal_field_is_smooth_even_on_one_element(tmp_path: Path) -> None:
    figures.field(tmp_path / "f.png", PLANE["quad"], one(SQUARE[:4], "quad"), SQUARE[:4, 0])
    image = (pixels(tmp_path / "f.png") * 255).astype(int)
    middle = image[image.shape[0] // 2, : int(0.8 * image.shape[1])]
    assert len(np.unique(middle, axis=0)) > 80


def test_unconverged_values_are_grey(tmp_path: Path) -> None:
    points, cells = grid(10)
    values = np.linspace(0, 1, 100)
    values[:50] = np.nan
    figures.field(tmp_path / "f.png", points, cells, [values])
    assert share(pixels(tmp_path / "f.png"), GREY) > 0.2


def test_displacement_moves_the_mesh(tmp_path: Path) -> None:
    points, cells = grid(10)
    values = [np.zeros(100)]
    u = np.stack([points[:, 0] * 1e-4, 0 * points[:, 0]], axis=1)
    figures.field(tmp_path / "0.png", points, cells, values)
    figures.field(tmp_path / "auto.png", points, cells, values, u)
    figures.field(tmp_path / "big.png", points, cells, values, u, scale=1e4)
    ratio = []
    for name in ("0", "auto", "big"):
        image = pixels(tmp_path / f"{name}.png")
        body = np.abs(image - (0.128, 0.567, 0.551)).max(axis=-1) < 0.02
        rows = np.flatnonzero(body.mean(axis=1) > 0.3)
        columns = np.flatnonzero(body.mean(axis=0) > 0.2)  # not those of the colour bar
        ratio.append(np.ptp(columns) / np.ptp(rows))
    assert ratio[0] == pytest.approx(1.0, abs=0.02)
    assert ratio[1] == pytest.approx(1.1, abs=0.02)  # 1e-4 is magnified a thousand times
    assert ratio[2] == pytest.approx(2.0, abs=0.03)


@pytest.mark.parametrize("count", [1, 5, 40])
def test_stress_strain(tmp_path: Path, count: int) -> None:
    e = np.linspace(0, 0.02, 50)
    curves = [(f"specimen {i}", e, (200 + 10 * i) * np.tanh(800 * e)) for i in range(count)]
    path = figures.stress_strain(tmp_path / "s.png", curves, ylabel="stress (MPa)", title="Steel")
    image = pixels(path)
    coloured = np.ptp(image, axis=-1) > 0.3
    assert coloured.mean() > 0.002
    if count > 10:  # a colour scale at the right edge instead of a legend
        assert coloured[:, int(0.85 * image.shape[1]) :].mean() > 0.05


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_load_curve(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"load.{suffix}"
    t = np.linspace(0, 6, 30)
    assert figures.load_curve(path, t, np.sin(t), "displacement (mm)", "reaction (N)") == path
    assert path.stat().st_size > 5000
    if suffix == "png":
        assert (np.ptp(pixels(path), axis=-1) > 0.3).mean() > 0.002


def test_bad_input(tmp_path: Path) -> None:
    path, quad = tmp_path / "f.png", one(SQUARE[:4], "quad")
    x, v = SQUARE[:4], np.arange(4.0)
    with pytest.raises(InputError, match="no curve"):
        figures.stress_strain(path, [])
    with pytest.raises(InputError, match=r"curve 'a': x has shape \(2,\) and y \(3,\)"):
        figures.stress_strain(path, [("a", [0, 1], [0, 1, 2])])
    with pytest.raises(InputError, match=r"\.png, \.pdf or \.svg"):
        figures.load_curve(tmp_path / "f.bmp", [0, 1], [0, 1], "x", "y")
    with pytest.raises(InputError, match=r"nodal values .*\(3,\).*\(4,\)"):
        figures.field(path, x, quad, v[:3])
    with pytest.raises(InputError, match="cell values"):
        figures.field(path, x, quad, [v])
    with pytest.raises(InputError, match="no finite value"):
        figures.field(path, x, quad, np.full(4, np.nan))
    with pytest.raises(InputError, match="'line' cannot be drawn"):
        figures.field(path, x, [("line", np.array([[0, 1]]))], v)
    with pytest.raises(InputError, match="displacement must be finite; node 2"):
        figures.field(path, x, quad, v, np.where(x[:, :1] + x[:, 1:] > 1.5, np.inf, x))
    with pytest.raises(InputError, match="3 displacements are given for 4 points"):
        figures.field(path, x, quad, v, x[:3])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.f\.png"):
        figures.load_curve(tmp_path / "file" / "f.png", [0, 1], [0, 1], "x", "y")
    assert not path.exists()


def test_without_matplotlib_the_message_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'neml2fe\[figures\]'"):
        figures.load_curve(tmp_path / "f.png", [0, 1], [0, 1], "x", "y")


def test_no_global_state_of_matplotlib_changes(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.load_curve(tmp_path / "f.png", [0, 1], [0, 1], "x", "y")
    assert dict(matplotlib.rcParams) == before
