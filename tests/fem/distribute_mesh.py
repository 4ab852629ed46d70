"""Run by test_distribution.py under mpiexec: TASK[:MESH] [TASK[:MESH] ...].

check:MESH compares a distribution with the whole mesh; bisect:MESH does so without a graph
partitioner; errors tries `collectively`; report:MESH tells each rank's error. Rank 0 prints, as
JSON, what each task found. A failed assertion ends all ranks.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings

import numpy as np
from mpi4py import MPI

from neml2fe.errors import Error, MeshError
from neml2fe.fem.collective import collectively
from neml2fe.fem.mesh import partition
from neml2fe.fem.mesh.distribution import (
    distribute,
    gather_elements,
    gather_interface,
    gather_nodes,
    scatter_elements,
    scatter_interface,
    scatter_nodes,
)
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.interfaces import split_all_regions
from neml2fe.fem.mesh.mesh import CellBlock, Mesh
from neml2fe.fem.mesh.polycrystal import voronoi_box

comm = MPI.COMM_WORLD


def mixed() -> Mesh:
    """A strip of quadrilaterals whose right half is cut into triangles, with groups."""
    strip = rectangle(12, 5, "quad")
    quads = strip.cells[0].connectivity
    right = strip.points[quads].mean(axis=1)[:, 0] > 0.5
    triangles = np.concatenate([quads[right][:, [0, 1, 2]], quads[right][:, [0, 2, 3]]])
    return Mesh(
        strip.points,
        (CellBlock("quad", quads[~right]), CellBlock("triangle", triangles)),
        strip.boundaries,
        {"corner": np.array([0])},
        {"soft": (np.arange(0, 30, 3), np.arange(1, 60, 2))},
        name="mixed",
    )


def bricks() -> Mesh:
    """Hexahedra of which a half is cut into wedges, all grains parted from each other."""
    grains = voronoi_box(8, (6, 4, 4), (1.5, 1.0, 1.0), seed=0)
    hexahedra = grains.cells[0].connectivity
    right = grains.points[hexahedra].mean(axis=1)[:, 0] > 0.75
    halves = [hexahedra[right][:, columns] for columns in ([0, 1, 2, 4, 5, 6], [0, 2, 3, 4, 6, 7])]
    cells = (CellBlock("hexahedron", hexahedra[~right]), CellBlock("wedge", np.vstack(halves)))
    (grain,) = grains.cell_data["grain"]
    parts = (grain[~right], np.tile(grain[right], 2))
    regions = {
        name: tuple(np.flatnonzero(g == i) for g in parts)
        for i, name in enumerate(grains.regions, 1)
    }
    sides = {name: grains.boundaries[name] for name in ("left", "bottom")}
    whole = Mesh(grains.points, cells, sides, regions=regions, name="bricks")
    return split_all_regions(whole, list(regions), "bond")


MESHES = {
    "bricks": bricks,
    "plate": lambda: rectangle(20, 20, "quad9"),
    "solid": lambda: box(5, 4, 3, "tetra10", distortion=0.3),
    "mixed": mixed,
    "small": lambda: rectangle(2, 2, "quad"),
    "smaller": lambda: rectangle(2, 1, "quad"),
}


def check(name: str) -> dict[str, list[int]]:
    """How many elements and nodes each rank owns."""
    mesh = MESHES[name]() if comm.rank == 0 else None
    local = distribute(mesh, comm)
    whole = MESHES[name]()  # to compare with; rank 0 alone passed it above
    assert (local.rank, local.size, local.n_global) == (comm.rank, comm.size, whole.n_nodes)
    assert local.name == whole.name

    # Ownership is a partition; owners number their nodes one after the other.
    owned = comm.allgather(local.nodes[: local.n_owned])
    assert sorted(np.concatenate(owned).tolist()) == list(range(whole.n_nodes))
    assert local.node_start == sum(len(nodes) for nodes in owned[: comm.rank])
    np.testing.assert_array_equal(np.concatenate(owned)[local.global_nodes], local.nodes)
    mine = local.node_start + np.arange(local.n_owned)
    np.testing.assert_array_equal(local.global_nodes[: local.n_owned], mine)

    # The local nodes are just those of the local cells, which are the original ones.
    np.testing.assert_array_equal(local.points, whole.points[local.nodes])
    used = [*local.cells, *(block for blocks in local.interfaces.values() for block in blocks)]
    touched = np.unique(np.concatenate([block.connectivity.ravel() for block in used]))
    np.testing.assert_array_equal(touched, np.arange(local.n_local))
    for ours, numbers, all_cells in zip(local.cells, local.elements, whole.cells, strict=True):
        assert ours.cell_type == all_cells.cell_type
        np.testing.assert_array_equal(
            local.nodes[ours.connectivity], all_cells.connectivity[numbers]
        )
    for b, block in enumerate(whole.cells):
        numbers = np.concatenate(comm.allgather(local.elements[b]))
        assert sorted(numbers.tolist()) == list(range(len(block.connectivity)))

    # Every facet is on one rank, in its original order, as a part of a cell there.
    assert list(local.boundaries) == list(whole.boundaries)
    for group, blocks in whole.boundaries.items():
        for ours, block in zip(local.boundaries[group], blocks, strict=True):
            assert ours.cell_type == block.cell_type
            assert ours.connectivity.shape[1] == block.connectivity.shape[1]
            facets = np.concatenate(comm.allgather(local.nodes[ours.connectivity]))
            assert sorted(facets.tolist()) == sorted(block.connectivity.tolist())
            cells = [set(row) for b in local.cells for row in b.connectivity.tolist()]
            assert all(any(set(f) <= c for c in cells) for f in ours.connectivity.tolist())

    for group, numbers in local.node_sets.items():
        expected = np.flatnonzero(np.isin(local.nodes, whole.boundary_nodes(group)))
        np.testing.assert_array_equal(numbers, expected)
    assert set(local.node_sets) == {*whole.boundaries, *whole.node_sets}
    for group, regions in whole.regions.items():
        pairs = zip(local.regions[group], local.elements, regions, strict=True)
        for ours, numbers, region in pairs:
            np.testing.assert_array_equal(np.isin(numbers, region).nonzero()[0], ours)

    # Every facet pair is on one rank, which has the element on its minus side.
    assert list(local.interfaces) == list(whole.interfaces)
    for group, blocks in whole.interfaces.items():
        for b, (ours, block) in enumerate(zip(local.interfaces[group], blocks, strict=True)):
            assert ours.cell_type == block.cell_type
            numbers = local.interface_numbers[group][b]
            rows = local.nodes[ours.connectivity]
            np.testing.assert_array_equal(rows, block.connectivity[numbers])
            every = np.concatenate(comm.allgather(numbers))
            assert sorted(every.tolist()) == list(range(len(block.connectivity)))
            cells = [set(row) for cell in local.cells for row in cell.connectivity.tolist()]
            minus = ours.connectivity[:, : ours.connectivity.shape[1] // 2]
            assert all(any(set(f) <= c for c in cells) for f in minus.tolist())
        values = [np.arange(3 * len(b.connectivity)).reshape(-1, 3) for b in blocks]
        there = scatter_interface(local, group, values if comm.rank == 0 else None)
        for b, numbers in enumerate(local.interface_numbers[group]):
            np.testing.assert_array_equal(there[b], values[b][numbers])
        back = gather_interface(local, group, there)
        assert (back is None) == (comm.rank > 0)
        for ours, given in zip(back or (), values, strict=False):
            np.testing.assert_array_equal(ours, given)

    # Values go out and come back unchanged, ghosts included.
    root = comm.rank == 0
    for values in (whole.points, np.arange(whole.n_nodes), whole.points[:, 0] > 0.5):
        there = scatter_nodes(local, values if root else None)
        np.testing.assert_array_equal(there, values[local.nodes])
        back = gather_nodes(local, there[: local.n_owned])
        assert (back is None) == (not root)
        if root:
            np.testing.assert_array_equal(back, values)
    blocks = [
        np.random.default_rng(b).uniform(size=(n, 4, 6)) for b, n in enumerate(local.n_elements)
    ]
    there = scatter_elements(local, blocks if root else None)
    back = gather_elements(local, there)
    for b, numbers in enumerate(local.elements):
        np.testing.assert_array_equal(there[b], blocks[b][numbers])
        if root:
            np.testing.assert_array_equal(back[b], blocks[b])

    try:
        scatter_nodes(local, whole.points[1:] if root else None)
    except MeshError as error:
        assert "rank 0 must pass values for all" in str(error)
    else:
        raise AssertionError("a wrong number of rows was accepted")

    elements = comm.allgather(sum(len(numbers) for numbers in local.elements))
    return {"elements": elements, "owned": comm.allgather(local.n_owned)}


def check_errors() -> None:
    """Every rank raises the error that one of them met; results reach all ranks."""
    caught = []

    def fail(error: Exception, rank: int):
        def function():
            if comm.rank == rank:
                raise error
            return comm.rank

        return function

    last = comm.size - 1
    for error, rank in [(MeshError("bad", "here"), 0), (MeshError("bad", "here"), last)]:
        try:
            collectively(comm, fail(error, rank), every_rank=True)
        except MeshError as raised:
            caught.append((type(raised), str(raised)))
    assert caught == 2 * [(MeshError, "here: bad")]
    try:
        collectively(comm, fail(ZeroDivisionError("oops"), 0))
    except ZeroDivisionError:
        assert comm.rank == 0
    except Error as raised:
        assert comm.rank > 0 and str(raised) == "rank 0 failed: ZeroDivisionError: oops"
    assert collectively(comm, lambda: comm.rank) == 0
    assert collectively(comm, lambda: comm.rank, every_rank=True) == comm.rank


def check_bisection(name: str) -> dict[str, list[int]]:
    partition._PARTITIONERS = ()  # as in a PETSc built without any
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = check(name)
    expected = ["PETSc offers no graph partitioner here; elements are shared out by "]
    said = [str(warning.message)[: len(expected[0])] for warning in caught]
    assert said == (expected if comm.rank == 0 else [])
    return counts


def report_error(name: str) -> list[str]:
    try:
        distribute(MESHES[name]() if comm.rank == 0 else None, comm)
        text = "no error"
    except MeshError as error:
        text = str(error)
    return comm.allgather(text)


TASKS = {"check": check, "bisect": check_bisection, "errors": check_errors, "report": report_error}
try:
    found = {}
    for task in sys.argv[1:]:
        kind, *mesh_name = task.split(":")
        found[task] = TASKS[kind](*mesh_name)
    if comm.rank == 0:
        print(json.dumps(found))
except BaseException:
    traceback.print_exc()
    comm.Abort(1)
