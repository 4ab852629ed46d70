"""Periodic cells: nodes of opposite faces, Voronoi polycrystals, random orientations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neml2fe.errors import InputError, MeshError
from neml2fe.fem.mesh.generate import box, rectangle, with_sides
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.mesh.periodic import match_faces
from neml2fe.fem.mesh.polycrystal import random_orientations, voronoi_box
from neml2fe.types import MRP

POLYCRYSTAL = Path(__file__).parents[2] / "meshes" / "polycrystal.vtu"


@pytest.mark.parametrize("cell_type", ["tetra10", "hexahedron20"])
def test_partners_lie_opposite_each_other(cell_type):
    mesh = box(3, 2, 4, cell_type, (3.0, 1.0, 0.5))
    rng = np.random.default_rng(0)
    points = mesh.points + 1e-9 * rng.uniform(size=mesh.points.shape)
    for axis, (low, high) in enumerate([("left", "right"), ("bottom", "top"), ("back", "front")]):
        offset = np.diag([3.0, 1.0, 0.5])[axis]
        minus, plus = mesh.boundary_nodes(low), rng.permutation(mesh.boundary_nodes(high))
        pairs = match_faces(points, minus, plus, offset)
        np.testing.assert_array_equal(pairs[:, 0], minus)
        np.testing.assert_array_equal(np.sort(pairs[:, 1]), np.sort(plus))
        np.testing.assert_allclose(
            points[pairs[:, 1]] - points[pairs[:, 0]], offset + 0 * minus[:, None], atol=1e-8
        )


def test_faces_that_do_not_match_say_which_node_and_where():
    mesh = rectangle(2, 4, "quad", (2.0, 1.0))
    left, right = mesh.boundary_nodes("left"), mesh.boundary_nodes("right")
    lost = left[np.isclose(mesh.points[left, 1], 0.5)][0]
    with pytest.raises(MeshError, match=rf"1 of 4 nodes .* node {lost} at \[0\.0, 0\.5\]"):
        match_faces(mesh.points, left[1:], right[mesh.points[right, 1] != 0.5], [2.0, 0.0])
    with pytest.raises(MeshError, match=r"5 of 5 nodes .* is 0\.1 away from \[1\.9, 0\.0\]"):
        match_faces(mesh.points, left, right, [1.9, 0.0])
    with pytest.raises(MeshError, match="1 of 5 nodes"):  # the plus face has one too many
        match_faces(mesh.points, left[:-1], right, [2.0, 0.0])
    with pytest.raises(MeshError, match="partner of 2 nodes"):
        match_faces(mesh.points, np.append(left, left[0]), right, [2.0, 0.0])
    with pytest.raises(MeshError, match="a periodic face has no nodes"):
        match_faces(mesh.points, left[:0], right, [2.0, 0.0])
    with pytest.raises(MeshError, match="needs 2 components"):
        match_faces(mesh.points, left, right, [2.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "cell_type, divisions", [("hexahedron", (6, 5, 4)), ("quad8", (12, 10)), ("wedge", (6, 5, 4))]
)
def test_grains_fill_the_box_and_belong_to_the_nearest_periodic_seed(cell_type, divisions):
    lengths = (2.0, 1.5, 1.0)[: len(divisions)]
    mesh = voronoi_box(5, divisions, lengths, seed=3, cell_type=cell_type)
    assert list(mesh.regions) == [f"grain_{g}" for g in range(1, 6)]
    (grain,) = mesh.cell_data["grain"]
    for g in range(1, 6):
        np.testing.assert_array_equal(mesh.region(f"grain_{g}")[0], np.flatnonzero(grain == g))
    assert set(mesh.boundaries) >= {"left", "right", "bottom", "top"}
    seeds = np.random.default_rng(3).uniform(size=(5, len(lengths))) * lengths
    centroids = mesh.points[mesh.cells[0].connectivity].mean(axis=1)
    way = centroids[:, None] - seeds[None]
    way -= np.round(way / lengths) * lengths
    np.testing.assert_array_equal((way**2).sum(-1).argmin(axis=1) + 1, grain)
    again = voronoi_box(5, divisions, lengths, seed=3, cell_type=cell_type)
    np.testing.assert_array_equal(again.cell_data["grain"][0], grain)


def test_impossible_polycrystals_are_refused():
    with pytest.raises(MeshError, match=r"\d of 9 grains hold no element"):
        voronoi_box(9, (2, 2), (1.0, 1.0), seed=0, cell_type="quad")
    with pytest.raises(InputError, match="at least 1 grain"):
        voronoi_box(0, (2, 2), (1.0, 1.0), seed=0, cell_type="quad")
    with pytest.raises(InputError, match="2 or 3 divisions"):
        voronoi_box(1, (2, 2, 2), (1.0, 1.0), seed=0)


def test_random_orientations_are_uniform_over_all_rotations():
    """For the invariant measure the matrix R has mean 0 and E[R_ij R_kl] = d_ik d_jl / 3, and
    the angle w the density (1 - cos w) / pi (Miles, Biometrika 52, 1965), whose mean is
    pi/2 + 2/pi."""
    mrp = random_orientations(20000, seed=5)
    np.testing.assert_array_equal(mrp, random_orientations(20000, seed=5))
    assert np.linalg.norm(mrp, axis=1).max() <= 1
    matrices = MRP(torch.as_tensor(mrp)).to_r2().data.numpy().reshape(-1, 9)
    np.testing.assert_allclose(matrices.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(matrices.T @ matrices / len(mrp), np.eye(9) / 3, atol=0.02)
    angle = 4 * np.arctan(np.linalg.norm(mrp, axis=1))
    np.testing.assert_allclose(angle.mean(), np.pi / 2 + 2 / np.pi, atol=0.02)
    # The same rotations as the matrices say: trace = 1 + 2 cos w.
    np.testing.assert_allclose(matrices[:, ::4].sum(axis=1), 1 + 2 * np.cos(angle), atol=1e-12)


def test_the_polycrystal_of_the_examples_has_100_grains_and_their_orientations():
    mesh = with_sides(Mesh.read(POLYCRYSTAL).with_regions("grain"))
    made = voronoi_box(100, (12, 12, 12), (1.0, 1.0, 1.0), seed=1)
    assert mesh.digest() == made.digest()
    np.testing.assert_array_equal(mesh.cell_data["grain"][0], made.cell_data["grain"][0])
    assert set(mesh.regions) == set(made.regions)
    np.testing.assert_array_equal(mesh.region("grain_7")[0], made.region("grain_7")[0])
    for name, (block,) in made.boundaries.items():
        (ours,) = mesh.boundary(name)
        assert sorted(map(sorted, ours.connectivity)) == sorted(map(sorted, block.connectivity))
    expected = random_orientations(100, seed=2)[mesh.cell_data["grain"][0] - 1]
    np.testing.assert_array_equal(mesh.cell_data["orientation"][0], expected)
