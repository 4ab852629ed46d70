"""Structured meshes of every supported element type, for tests and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product

import numpy as np

from neml2fe.errors import InputError
from neml2fe.fem.mesh.elements import Array, Index, ReferenceElement, reference_element
from neml2fe.fem.mesh.facets import connect_facets
from neml2fe.fem.mesh.mesh import CellBlock, Mesh

_SIDES = [("left", "right"), ("bottom", "top"), ("back", "front")]


def rectangle(
    nx: int,
    ny: int,
    cell_type: str,
    lengths: Sequence[float] = (1.0, 1.0),
    distortion: float = 0.0,
    seed: int = 0,
) -> Mesh:
    """A rectangle of nx by ny quadrilaterals, or twice as many triangles.

    Boundaries: left, right (smallest and largest x), bottom, top (y). Each interior vertex is
    moved at random by up to `distortion` / 2 (at most 0.4 / 2) of the spacing in each
    direction; all edges stay straight.
    """
    return _lattice_mesh("rectangle", (nx, ny), cell_type, lengths, distortion, seed)


def box(
    nx: int,
    ny: int,
    nz: int,
    cell_type: str,
    lengths: Sequence[float] = (1.0, 1.0, 1.0),
    distortion: float = 0.0,
    seed: int = 0,
) -> Mesh:
    """A box of nx by ny by nz hexahedra, twice as many wedges or six times as many tetrahedra.

    Boundaries as for `rectangle`, and back, front (smallest and largest z).
    """
    return _lattice_mesh("box", (nx, ny, nz), cell_type, lengths, distortion, seed)


def with_sides(mesh: Mesh, tolerance: float = 1e-9) -> Mesh:
    """`mesh`, which fills a box or rectangle, with the boundaries that `box` or `rectangle` has.

    For meshes from files without groups. A facet on the surface belongs to a side if all its
    nodes are within `tolerance` times the mesh's extent from it.
    """
    facets = connect_facets(mesh.cells, mesh.n_nodes)
    surface = facets.first[facets.count == 1]
    of = facets.group_of(surface)
    low, high = mesh.bounding_box
    near = tolerance * (high - low).max()
    sides: dict[str, tuple[CellBlock, ...]] = {}
    for axis, pair in zip(range(mesh.dim), _SIDES, strict=False):
        for name, plane in zip(pair, (low[axis], high[axis]), strict=True):
            sides[name] = ()
            for g, group in enumerate(facets.groups):
                nodes = group.nodes(surface[of == g])
                on_side = (abs(mesh.points[nodes, axis] - plane) <= near).all(axis=1)
                sides[name] += (CellBlock(group.facets.cell_type, nodes[on_side]),)
    return replace(mesh, boundaries=mesh.boundaries | sides)


def quarter_annulus(
    n_radial: int, n_circumferential: int, cell_type: str, inner: float, outer: float
) -> Mesh:
    """The quarter x >= 0, y >= 0 of a ring with radii `inner` and `outer`.

    Boundaries: inner, outer, bottom (y = 0), left (x = 0). Mid-side nodes of quadratic
    elements lie on the true circles.
    """
    if not 0 < inner < outer:
        raise InputError(f"radii must satisfy 0 < inner < outer; got {inner} and {outer}")
    counts = (n_radial, n_circumferential)
    lattice, connectivity, element = _lattice_cells(counts, cell_type)
    fraction = lattice / (element.degree * np.array(counts))
    radius = inner + (outer - inner) * fraction[:, 0]
    # sin(pi/2 - a) instead of cos(a): x = 0 holds exactly on the left boundary.
    x, y = (radius * np.sin(np.pi / 2 * f) for f in (1 - fraction[:, 1], fraction[:, 1]))
    names = [("inner", "outer"), ("bottom", "left")]
    return Mesh(
        np.column_stack([x, y]),
        (CellBlock(cell_type, connectivity),),
        _sides(lattice, connectivity, element, names),
        name=f"quarter annulus of {n_radial} x {n_circumferential} {cell_type}",
    )


def _lattice_mesh(
    name: str,
    counts: tuple[int, ...],
    cell_type: str,
    lengths: Sequence[float],
    distortion: float,
    seed: int,
) -> Mesh:
    if not 0 <= distortion <= 0.4:
        raise InputError(f"distortion must lie between 0 and 0.4; got {distortion}")
    if len(lengths) != len(counts) or min(lengths) <= 0:
        raise InputError(f"a {name} needs {len(counts)} positive lengths; got {tuple(lengths)}")
    lattice, connectivity, element = _lattice_cells(counts, cell_type)
    last = element.degree * np.array(counts)
    points = lattice * np.array(lengths, dtype=np.float64) / last
    spacing = np.array(lengths) / counts
    inside = ((lattice > 0) & (lattice < last)).all(axis=1)
    shift = np.random.default_rng(seed).uniform(-0.5, 0.5, points.shape)
    points[inside] += distortion * spacing * shift[inside]
    return Mesh(
        _straighten(points, connectivity, element),
        (CellBlock(cell_type, connectivity),),
        _sides(lattice, connectivity, element, _SIDES),
        name=f"{name} of {' x '.join(map(str, counts))} {cell_type}",
    )


def _lattice_cells(
    counts: tuple[int, ...], cell_type: str
) -> tuple[Index, Index, ReferenceElement]:
    """Integer node positions (n_nodes, dim), connectivity, and the element.

    The nodes form a lattice with `degree` steps for each of the `counts` cubes; a cube
    holds one cube element or the simplices of its Kuhn subdivision.
    """
    element = reference_element(cell_type)
    dim = element.dim
    if dim != len(counts) or min(counts) < 1:
        raise InputError(
            f"{element.dim}-D elements of type {cell_type} need {element.dim} counts of at "
            f"least 1; got {counts}"
        )
    shape = tuple(element.degree * n + 1 for n in counts)
    lattice = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=-1)
    local = element.degree * _subdivision(element)
    origins = element.degree * np.array(list(product(*map(range, counts))))
    positions = origins[:, None, None, :] + np.rint(local).astype(np.int64)[None]
    connectivity = np.ravel_multi_index(tuple(np.moveaxis(positions, -1, 0)), shape)
    return lattice, connectivity.reshape(-1, element.n_nodes), element


def _subdivision(element: ReferenceElement) -> Array:
    """Node positions (n_elements, n_nodes, dim) of the elements that fill the unit cube."""
    if element.shape in ("quadrilateral", "hexahedron"):
        return element.nodes[None]
    # Kuhn: a simplex for each order of the axes, along the path from corner 0 to corner 1.
    # A prism is a triangle along z.
    n = 2 if element.shape == "prism" else element.dim
    cells = []
    for axes in permutations(range(n)):
        edges = np.eye(element.dim)
        edges[:n, :n] = np.cumsum(np.eye(n)[list(axes)], axis=0)
        if np.linalg.det(edges) < 0:
            edges[[n - 2, n - 1]] = edges[[n - 1, n - 2]]
        cells.append(element.nodes @ edges)
    return np.array(cells)


def _straighten(points: Array, connectivity: Index, element: ReferenceElement) -> Array:
    """Place every node by the (multi)linear map of its element's vertices."""
    linear = reference_element(element.linear_type)
    values, _ = linear.tabulate(element.nodes)
    values = np.round(8 * values) / 8  # what they are, so that vertices stay where they are
    placed = points.copy()
    placed[connectivity] = np.einsum(
        "kv,evi->eki", values, points[connectivity[:, : element.n_vertices]]
    )
    return placed


def _sides(
    lattice: Index,
    connectivity: Index,
    element: ReferenceElement,
    names: Sequence[tuple[str, str]],
) -> dict[str, tuple[CellBlock, ...]]:
    """The facets in the first and last layer of the lattice along each axis."""
    blocks = [
        (cell_type, connectivity[:, local].reshape(-1, local.shape[1]))
        for cell_type, local in element.facets
    ]
    sides: dict[str, tuple[CellBlock, ...]] = {}
    for axis, pair in zip(range(element.dim), names, strict=False):
        for name, layer in zip(pair, (0, lattice[:, axis].max()), strict=True):
            sides[name] = tuple(
                CellBlock(cell_type, facets[(lattice[facets, axis] == layer).all(axis=1)])
                for cell_type, facets in blocks
            )
    return sides
