"""Full fields: what is refused, masks, thinning, times, frames, and whitening of noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import sparse

from neml2fe.calibration.fullfield import Exponential, FullField, Series, Spherical
from neml2fe.errors import ConvergenceError, InputError

NAN = math.nan


def grid(nx: int = 6, ny: int = 5, step: float = 0.5) -> NDArray[np.float64]:
    x, y = np.meshgrid(step * np.arange(nx), step * np.arange(ny))
    return np.stack([x.reshape(-1), y.reshape(-1)], axis=1)


def random_field(T: int = 3, c: int = 2, missing: float = 0.0, **options: Any) -> FullField:
    rng = np.random.default_rng(1)
    points = grid()
    u = rng.normal(size=(T, len(points), c))
    u[rng.random(u.shape[:2]) < missing] = NAN
    return FullField(points, np.arange(T), u, **options)


# --- what is refused --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": np.zeros((4, 4))}, r"points are \(m, 2\) or \(m, 3\)"),
        ({"points": np.array([[0.0, NAN]])}, "not finite"),
        ({"times": [0.0, 2.0, 2.0]}, "entry 3 is 2 after 2"),
        ({"displacements": np.zeros((3, 29, 2))}, r"\(3, 30, 2\), not \(3, 29, 2\)"),
        ({"displacements": np.full((3, 30, 2), np.inf)}, "missing ones are NaN"),
        ({"noise": -1.0}, "positive standard deviation"),
        ({"noise": np.ones(30)}, r"got \(30,\)"),
        ({"correlation": Exponential(1.0)}, "needs its standard deviation"),
        ({"noise": 1.0, "correlation": np.eye(4)}, r"is \(30, 30\), not \(4, 4\)"),
        ({"noise": 1.0, "correlation": np.triu(np.ones((30, 30)))}, "symmetric"),
        ({"confidence": np.ones(30)}, r"the confidence is \(3, 30\)"),
    ],
)
def test_fields_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    good = {"points": grid(), "times": np.arange(3), "displacements": np.zeros((3, 30, 2))}
    with pytest.raises(InputError, match=message):
        FullField(**{**good, **changes})


# --- points and images ------------------------------------------------------------------
def test_masks_keep_what_is_inside_of_a_concave_polygon_a_box_and_a_range() -> None:
    confidence = np.ones((3, 30))
    confidence[1, 8] = -1.0
    field = random_field(confidence=confidence, noise=np.arange(1.0, 61.0).reshape(30, 2))
    corner = [[-0.1, -0.1], [1.1, -0.1], [1.1, 0.6], [0.6, 0.6], [0.6, 1.1], [-0.1, 1.1]]  # an L
    inside = field.masked(polygon=corner)
    expected = [(x, y) for x, y in grid() if (x < 1.1 and y < 0.6) or (x < 0.6 and y < 1.1)]
    assert {tuple(p) for p in inside.points} == set(expected)
    assert inside.noise is not None
    np.testing.assert_array_equal(inside.noise[0, 0], [1.0, 2.0])
    assert inside.noise.shape == (1, len(expected), 2)
    assert len(field.masked(polygon=corner, outside=True).points) == 30 - len(expected)
    assert len(field.masked(box=([0.5, 0.5], [1.0, 1.5])).points) == 6

    sure = field.masked(confidence=(0.0, 1.0))
    assert not sure.valid[1, 8].any() and sure.valid.sum() == 2 * (90 - 1)
    assert len(sure.complete().points) == 29 and sure.complete().valid.all()
    where = np.zeros((3, 30), dtype=bool)
    where[2, 4] = True
    only = field.masked(where)
    assert only.points.tolist() == [[2.0, 0.0]] and only.valid[:, 0, 0].tolist() == [0, 0, 1]
    with pytest.raises(
        InputError, match=r"no point of the full field is left; its \d+ points lie between \("
    ):
        field.masked(box=([10.0, 10.0], [11.0, 11.0]))
    with pytest.raises(InputError, match="no confidence"):
        random_field().masked(confidence=(0.0, 1.0))


def test_thinned_points_are_far_from_each_other() -> None:
    field = random_field()
    assert field.thinned(step=7).points.tolist() == grid()[::7].tolist()
    few = field.thinned(count=5).points  # the middle and four corners of a rectangle
    gaps = np.linalg.norm(few[:, None] - few[None], axis=2)[np.triu_indices(5, 1)]
    assert gaps.min() > 1.0
    assert len(field.thinned(count=1000).points) == 30


def test_images_at_load_cell_times() -> None:
    u = np.zeros((3, 30, 2))
    u[1], u[2] = 2.0, 6.0
    u[2, 3] = NAN
    field = FullField(grid(), [0.0, 1.0, 2.0], u, noise=0.1)
    at = field.at_times([0.0, 0.25, 1.5, 2.0])
    np.testing.assert_allclose(at.displacements[:, 0, 0], [0.0, 0.5, 4.0, 6.0], rtol=1e-14)
    assert at.valid[:, 3, 0].tolist() == [True, True, False, False]
    assert at.noise is not None
    mean = [0.1, 0.1 * math.hypot(0.75, 0.25), 0.1 * math.sqrt(0.5), 0.1]
    np.testing.assert_allclose(at.noise[:, 0, 0], mean, rtol=1e-14)
    near = field.at_times([0.1, 1.9], "nearest")
    assert near.times.tolist() == [0.1, 1.9] and near.displacements[:, 0, 0].tolist() == [0, 6]
    with pytest.raises(InputError, match="one image would serve two times"):
        field.at_times([0.9, 1.1], "nearest")
    with pytest.raises(InputError, match=r"no image within 0.05; the first is 0.1"):
        field.at_times([0.1], "nearest", within=0.05)
    with pytest.raises(InputError, match="2 of 3 times lie outside of those measured, 0 to 2"):
        field.at_times([-1.0, 1.0, 2.1])


def test_interpolated_noise_is_that_of_interpolated_samples() -> None:
    rng = np.random.default_rng(0)
    u = rng.normal(scale=0.2, size=(2, 20000, 2))
    points = rng.random((20000, 2))
    at = FullField(points, [0.0, 1.0], u, noise=0.2).at_times([0.3])
    assert at.noise is not None
    assert at.displacements.std() == pytest.approx(float(at.noise[0, 0, 0]), rel=0.02)


def test_series_at_other_times() -> None:
    force = Series(np.array([0.0, 1.0, 3.0]), np.array([0.0, 10.0, NAN]), 0.5, "Load")
    at = force.at([0.5, 1.0])
    assert at.values.tolist() == [5.0, 10.0]
    np.testing.assert_allclose(at.noise, [0.5 * math.sqrt(0.5), 0.5], rtol=1e-14)
    white = force.whitened(torch.tensor([1.0, 9.0, 5.0], dtype=torch.float64))
    assert white.tolist() == [2.0, -2.0]
    with pytest.raises(InputError, match="Load: 1 of 1 times lie outside"):
        force.at([4.0])
    with pytest.raises(ConvergenceError, match="not finite"):
        force.whitened(torch.full((3,), NAN, dtype=torch.float64))


# --- frames -----------------------------------------------------------------------------
def test_pixels_become_the_axes_and_unit_of_the_mesh() -> None:
    field = FullField(
        [[100.0, 40.0], [120.0, 40.0]], [0.0], [[[1.0, 2.0], [3.0, 4.0]]], noise=[0.01, 0.02]
    )
    mesh = field.in_frame(origin=[100.0, 50.0], axes=[[1, 0], [0, -1]], scale=0.1)
    np.testing.assert_allclose(mesh.points, [[0.0, 1.0], [2.0, 1.0]], atol=1e-14)
    np.testing.assert_allclose(mesh.displacements[0], [[0.1, -0.2], [0.3, -0.4]], atol=1e-14)
    turned = field.in_frame(axes=[[0, 1], [-1, 0]], scale=0.1)
    np.testing.assert_allclose(turned.noise, [[[0.002, 0.001]]], rtol=1e-14)
    np.testing.assert_allclose(turned.displacements[0, 0], [0.2, -0.1], rtol=1e-14)
    with pytest.raises(InputError, match="orthonormal"):
        field.in_frame(axes=[[1, 0], [1, 1]])
    with pytest.raises(InputError, match="scale must be a positive"):
        field.in_frame(scale=0.0)


def test_frames_of_points_on_a_plane_that_move_in_space() -> None:
    field = FullField([[1.0, 0.0]], [0.0], [[[1.0, 2.0, 3.0]]])
    turned = field.in_frame(axes=[[0, 1], [-1, 0]], scale=2.0)
    assert turned.displacements[0, 0].tolist() == [4.0, -2.0, 6.0]
    assert turned.positions.tolist() == [[0.0, -2.0, 0.0]]
    assert turned.in_plane().displacements[0, 0].tolist() == [4.0, -2.0]


def test_the_first_image_can_be_the_undeformed_state() -> None:
    u = np.zeros((2, 30, 2))
    u[0], u[1] = 0.5, 0.75
    u[0, 7] = NAN
    field = FullField(grid(), [0.0, 1.0], u).relative_to(0)
    assert len(field.points) == 29 and field.points[0].tolist() == [0.5, 0.5]
    assert not field.displacements[0].any() and (field.displacements[1] == 0.25).all()


# --- noise ------------------------------------------------------------------------------
def test_residuals_are_those_of_valid_entries_in_standard_deviations() -> None:
    noise = np.array([[0.5, 0.25]])
    field = random_field(missing=0.3, noise=noise)
    v = torch.from_numpy(field.valid)
    predicted = torch.where(v, torch.from_numpy(np.nan_to_num(field.displacements)) + 1.0, NAN)
    predicted.requires_grad_()
    white = field.whitened(predicted)
    assert len(white) == field.valid.sum() < field.displacements.size
    torch.testing.assert_close(white[:2].detach(), torch.tensor([2.0, 4.0]).double())
    white.sum().backward()
    assert predicted.grad is not None
    expected = torch.where(v, torch.tensor([2.0, 4.0]).double(), 0.0)
    torch.testing.assert_close(predicted.grad, expected)
    assert random_field().whitened(torch.zeros(3, 30, 2).double()).norm() == pytest.approx(
        float(np.linalg.norm(random_field().displacements))
    )


def test_predictions_that_cannot_be_compared_are_refused() -> None:
    field = random_field()
    bad = torch.zeros(3, 30, 2, dtype=torch.float64)
    bad[1, 4, 1] = NAN
    with pytest.raises(ConvergenceError, match="component 2 of point 5 in image 2"):
        field.whitened(bad)
    with pytest.raises(InputError, match=r"shape \(3, 30, 3\) for measured ones"):
        field.whitened(torch.zeros(3, 30, 3))


@pytest.mark.parametrize("correlation", [Exponential(0.8), Spherical(1.2)])
def test_correlated_noise_becomes_independent_with_unit_variance(
    correlation: Exponential | Spherical,
) -> None:
    """Noise sampled with the eigenvalues of the covariance, over many images, with points that
    are missing in some of them: the whitened values have the identity as covariance."""
    rng = np.random.default_rng(3)
    points = grid(5, 4)
    m, T = len(points), 4000
    C = correlation.matrix(points)
    dense = C.toarray() if sparse.issparse(C) else C
    values, vectors = np.linalg.eigh(dense)
    root = vectors * np.sqrt(values)
    s = rng.uniform(0.5, 2.0, size=(m, 2))
    u = s * np.einsum("ij,tjc->tic", root, rng.normal(size=(T, m, 2)))
    u[: T // 2, [3, 11]] = NAN
    field = FullField(points, np.arange(T), u, noise=s, correlation=correlation)
    white = field.whitened(torch.zeros(T, m, 2, dtype=torch.float64)).numpy()
    assert white.size == field.valid.sum()
    blocks = [white[: T * (m - 2)].reshape(T, m - 2), white[T * (m - 2) :].reshape(T, m)]
    for block in blocks:  # images x components as rows, points as columns
        covariance = block.T @ block / T
        assert np.abs(covariance - np.eye(len(covariance))).max() < 5.0 / math.sqrt(T)


@pytest.mark.parametrize("kind", ["exponential", "spherical", "dense", "sparse"])
def test_whitening_is_the_quadratic_form_of_the_inverse_covariance(kind: str) -> None:
    points = grid()
    matrices = {
        "exponential": (Exponential(0.7), Exponential(0.7).matrix(points)),
        "spherical": (Spherical(1.1), Spherical(1.1).matrix(points).toarray()),
    }
    matrices["dense"] = (matrices["spherical"][1],) * 2
    matrices["sparse"] = (sparse.coo_matrix(matrices["dense"][0]), matrices["dense"][1])
    given, matrix = matrices[kind]
    field = random_field(missing=0.2, noise=0.3, correlation=given)
    white = field.whitened(torch.zeros(3, 30, 2, dtype=torch.float64))
    expected = 0.0
    for t in range(3):
        for c in range(2):
            v = field.valid[t, :, c]
            r = field.displacements[t, v, c] / 0.3
            expected += r @ np.linalg.solve(matrix[np.ix_(v, v)], r)
    assert float(white.square().sum()) == pytest.approx(expected, rel=1e-12)
    some = field.at_points(np.arange(4, 20)).thinned(step=2)  # correlations of chosen points
    zero = torch.zeros(*some.displacements.shape, dtype=torch.float64)
    assert len(some.whitened(zero)) == some.valid.sum()


@pytest.mark.parametrize("correlation", [None, Exponential(0.7), Spherical(1.1)])
def test_whitening_is_differentiable_twice_and_forward(correlation: Exponential | None) -> None:
    field = random_field(T=2, missing=0.2, noise=0.3, correlation=correlation)
    field = field.at_points(np.arange(8))
    x = torch.zeros(2, 8, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(field.whitened, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: field.whitened(x).square(), (x,), fast_mode=True)


def test_correlation_lengths_follow_the_unit() -> None:
    field = random_field(noise=0.3, correlation=Spherical(1.1))
    zero = torch.zeros(3, 30, 2, dtype=torch.float64)
    scaled = field.in_frame(axes=[[0, 1], [-1, 0]], scale=25.0)
    a, b = (float(f.whitened(zero).square().sum()) for f in (field, scaled))
    assert a == pytest.approx(b, rel=1e-12)


def test_correlations_that_cannot_be_whitened_are_refused() -> None:
    points = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    for correlation in (Exponential(1.0), Spherical(2.0)):
        field = FullField(points, [0.0], np.zeros((1, 3, 2)), 1.0, correlation)
        with pytest.raises(InputError, match="do points coincide"):
            field.whitened(torch.zeros(1, 3, 2))
    many = FullField(np.random.rand(20000, 2), [0.0], np.zeros((1, 20000, 2)), 1.0,
                     Exponential(0.1))  # fmt: skip
    with pytest.raises(InputError, match=r"3.0 GiB, in 1 matrices .*take Spherical"):
        many.whitened(torch.zeros(1, 20000, 2))


def test_many_points_are_whitened_by_sparse_factors() -> None:
    rng = np.random.default_rng(0)
    points = grid(100, 100, 1.0)
    u = rng.normal(size=(2, 10000, 2))
    field = FullField(points, [0.0, 1.0], u, 1.0, Spherical(2.5))
    white = field.whitened(torch.zeros(2, 10000, 2, dtype=torch.float64))
    assert len(white) == 40000 and bool(white.isfinite().all())


def test_the_noise_floor_is_found_from_images_at_rest() -> None:
    rng = np.random.default_rng(0)
    points = grid(40, 30)
    sigma = np.array([0.01, 0.03])
    u = rng.normal(size=(4, len(points), 2)) * sigma + rng.normal(size=(4, 1, 2))  # it shakes
    u[3] += 5.0 * points
    field = FullField(points, np.arange(4), u)
    np.testing.assert_allclose(field.noise_floor(slice(0, 3)), sigma, rtol=0.05)
    with pytest.raises(InputError, match="at least two images"):
        field.noise_floor(slice(0, 1))
