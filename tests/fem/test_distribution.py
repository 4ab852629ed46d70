"""Meshes shared out over ranks: ownership, facets, values sent and gathered, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mpi_ranks import has_mpi, script_on_ranks

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.distribution import (
    distribute,
    gather_elements,
    gather_nodes,
    scatter_elements,
    scatter_nodes,
)
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.mesh.partition import bisect, own_nodes

SCRIPT = Path(__file__).parent / "distribute_mesh.py"


# Each number of ranks is started once, for all of its tasks.
CHECKS = ["check:plate", "check:solid", "check:mixed"]
TASKS = {
    1: [*CHECKS, "errors"],
    2: [*CHECKS, "check:bricks"],
    3: ["errors", "bisect:plate"],
    4: [*CHECKS, "check:small", "report:smaller"],
}


@cache
def found_on(n: int) -> dict:
    """What the tasks of the script found on `n` ranks."""
    if not has_mpi():
        pytest.skip("mpi4py, petsc4py or mpiexec is not installed")
    return json.loads(script_on_ranks(n, SCRIPT, *TASKS[n]))


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("mesh", ["plate", "solid", "mixed"])
def test_distribution_is_a_partition_and_values_come_back(mesh, ranks):
    counts = found_on(ranks)[f"check:{mesh}"]
    # Elements are balanced; nodes follow where all elements have the same number of them.
    for per_rank in [counts["elements"]] if mesh == "mixed" else counts.values():
        assert len(per_rank) == ranks
        mean = sum(per_rank) / ranks
        assert max(abs(n - mean) for n in per_rank) <= 0.2 * mean


@pytest.mark.mpi
def test_prisms_and_interfaces_are_shared_out_with_their_elements():
    assert sum(found_on(2)["check:bricks"]["elements"]) == 144


@pytest.mark.mpi
def test_as_many_ranks_as_elements_give_each_one_element():
    assert found_on(4)["check:small"]["elements"] == [1, 1, 1, 1]


@pytest.mark.mpi
def test_without_a_graph_partitioner_elements_are_bisected_with_a_warning():
    assert found_on(3)["bisect:plate"]["elements"] == [133, 133, 134]


@pytest.mark.mpi
def test_more_ranks_than_elements_is_one_clear_error_on_every_rank():
    expected = "rectangle of 2 x 1 quad: the mesh has 2 elements, too few for 4 ranks; "
    assert found_on(4)["report:smaller"] == 4 * [expected + "run on at most 2"]


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [1, 3])
def test_an_error_on_one_rank_is_raised_on_all(ranks):
    assert "errors" in found_on(ranks)


def test_serial_distribution_is_the_whole_mesh():
    mesh = rectangle(4, 3, "triangle6")
    local = distribute(mesh)
    assert (local.rank, local.size, local.n_owned, local.n_local) == (0, 1, 63, 63)
    np.testing.assert_array_equal(local.nodes, np.arange(63))
    np.testing.assert_array_equal(local.global_nodes, np.arange(63))
    np.testing.assert_array_equal(local.points, mesh.points)
    np.testing.assert_array_equal(local.cells[0].connectivity, mesh.cells[0].connectivity)
    for name, (block,) in mesh.boundaries.items():
        np.testing.assert_array_equal(local.boundaries[name][0].connectivity, block.connectivity)
        np.testing.assert_array_equal(local.node_sets[name], mesh.boundary_nodes(name))
    values = np.random.default_rng(0).uniform(size=(63, 2))
    np.testing.assert_array_equal(gather_nodes(local, scatter_nodes(local, values)), values)
    cells = [np.random.default_rng(0).uniform(size=(24, 3, 6))]
    np.testing.assert_array_equal(gather_elements(local, scatter_elements(local, cells)), cells)
    with pytest.raises(MeshError, match="got 3 rows of values for 63 owned nodes"):
        gather_nodes(local, np.zeros(3))
    with pytest.raises(MeshError, match="for all 63 nodes; got nothing"):
        scatter_nodes(local, None)


def test_serial_distribution_loads_neither_mpi_nor_petsc():
    code = (
        "import sys; from neml2fe.fem.mesh.generate import rectangle; "
        "from neml2fe.fem.mesh.distribution import distribute; "
        "distribute(rectangle(2, 2, 'quad')); "
        "assert not {'mpi4py', 'petsc4py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_coordinate_bisection_is_balanced_and_leaves_no_rank_empty(size):
    centroids = np.random.default_rng(0).uniform(size=(100, 3)) * (3, 1, 1)
    counts = np.bincount(bisect(centroids, size), minlength=size)
    assert counts.min() >= 1
    assert counts.max() - counts.min() <= 2


def test_coordinate_bisection_cuts_across_the_longest_extent():
    centroids = np.array([[0.0, 0], [0, 1], [4, 0], [4, 1]])
    rank = bisect(centroids, 2)
    assert rank[0] == rank[1] != rank[2] == rank[3]


def test_shared_nodes_are_divided_evenly_among_the_ranks_that_touch_them():
    mesh = rectangle(4, 40, "quad")
    connectivity = mesh.cells[0].connectivity
    rank = (mesh.points[connectivity].mean(axis=1)[:, 0] > 0.5).astype(np.int64)
    owner = own_nodes([connectivity], [rank], mesh.n_nodes, 2)
    interface = owner[mesh.points[:, 0] == 0.5]
    assert abs((interface == 0).sum() - (interface == 1).sum()) <= 1
    assert (owner[mesh.points[:, 0] < 0.5] == 0).all()
    assert (owner[mesh.points[:, 0] > 0.5] == 1).all()
