"""Run by test_distribution.py under mpiexec: TASK [MESH].

check MESH compares a distribution with the whole mesh; bisect MESH does so without a graph
partitioner; errors tries `collectively`; report
MESH prints each rank's error. Rank 0 prints JSON. A failed assertion ends all ranks.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings

import numpy as np
from mpi4py import MPI

from neml2fe.errors import Error, MeshError
from neml2fe.fem.mesh import partition
from neml2fe.fem.collective import collectively
from neml2fe.fem.mesh.distribution import (
    distribute,
    gather_elements,
    gather_nodes,
    scatter_elements,
    scatter_nodes,
)
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import CellBlock, Mesh

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


MESHES = {
    "plate": lambda: rectangle(20, 20, "quad9"),
    "solid": lambda: box(5, 4, 3, "tetra10", distortion=0.3),
    "mixed": mixed,
    "small": lambda: rectangle(2, 2, "quad"),
}


def check(name: str) -> None:
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
    touched = np.unique(np.concatenate([block.connectivity.ravel() for block in local.cells]))
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

    elements = comm.gather(sum(len(numbers) for numbers in local.elements))
    owned_counts = comm.gather(local.n_owned)
    if root:
        print(json.dumps({"elements": elements, "owned": owned_counts}))


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
    if comm.rank == 0:
        print(json.dumps({}))


def check_bisection(name: str) -> None:
    partition._PARTITIONERS = ()  # as in a PETSc built without any
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(name)
    expected = ["PETSc offers no graph partitioner here; elements are shared out by "]
    said = [str(warning.message)[: len(expected[0])] for warning in caught]
    assert said == (expected if comm.rank == 0 else [])


def report_error(name: str) -> None:
    try:
        distribute(MESHES[name]() if comm.rank == 0 else None, comm)
        text = "no error"
    except MeshError as error:
        text = str(error)
    texts = comm.gather(text)
    if comm.rank == 0:
        print(json.dumps(texts))


task, *arguments = sys.argv[1:]
try:
    {"check": check, "bisect": check_bisection, "errors": check_errors, "report": report_error}[
        task
    ](*arguments)
except BaseException:
    traceback.print_exc()
    comm.Abort(1)
