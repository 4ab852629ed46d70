"""What is applied to measured and simulated displacements alike: rigid motion, strain windows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import logm
from scipy.spatial.transform import Rotation
from torch import Tensor

from neml2fe.calibration.fullfield import FullField, StrainGauge
from neml2fe.errors import InputError

Array = NDArray[np.float64]
ROOT2 = math.sqrt(2.0)


def grid(nx: int = 9, ny: int = 8, step: float = 0.5) -> Array:
    x, y = np.meshgrid(step * np.arange(nx), step * np.arange(ny))
    return np.stack([x.reshape(-1), y.reshape(-1)], axis=1)


def still(points: Array, T: int = 1, c: int | None = None) -> FullField:
    return FullField(points, np.arange(T), np.zeros((T, len(points), c or points.shape[1])))


def tensor(x: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


# --- rigid motion -----------------------------------------------------------------------
@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-3.1, 3.1),
    tilt=st.tuples(*[st.floats(-1.7, 1.7)] * 3),
    space=st.booleans(),
    plane=st.booleans(),
    seed=st.integers(0, 9),
)
def test_rigid_motions_are_found_and_leave_nothing(
    angle: float, tilt: tuple[float, float, float], space: bool, plane: bool, seed: int
) -> None:
    """In the plane, of a plane in space and of a cloud; the first on a square grid, where all
    singular values are equal. With points that are missing."""
    rng = np.random.default_rng(seed)
    points = grid(5, 5)
    R = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if space:
        R = Rotation.from_rotvec(tilt).as_matrix()
        depth = np.zeros(25) if plane else rng.normal(size=25)
        points = np.column_stack([points, depth])
    t = rng.normal(size=len(R))
    u = np.stack([np.zeros_like(points), points @ R.T + t - points])
    u[1, rng.random(25) < 0.2] = np.nan
    field, motion = FullField(points, [0.0, 1.0], u).without_rigid_motion()
    np.testing.assert_allclose(motion.rotations[1].numpy(), R, atol=1e-13)
    np.testing.assert_allclose(motion.translations[1].numpy(), t, atol=1e-12)
    assert np.nanmax(np.abs(field.displacements)) < 1e-12
    assert (field.valid == np.isfinite(u)).all()
    expected = abs(Rotation.from_rotvec(tilt).magnitude()) if space else angle
    assert float(motion.angles[1]) == pytest.approx(expected, abs=1e-12)


def test_deformation_stays_when_rigid_motion_is_taken_out() -> None:
    points = grid()
    stretch = 0.01 * (points - points.mean(0)) * [1.0, -0.3]
    R = Rotation.from_euler("z", 0.4).as_matrix()[:2, :2]
    u = (points + stretch) @ R.T + [3.0, -1.0] - points
    field, motion = FullField(points, [0.0], u[None]).without_rigid_motion()
    np.testing.assert_allclose(field.displacements[0], stretch, atol=1e-13)
    assert float(motion.angles[0]) == pytest.approx(0.4, abs=1e-14)


def test_a_motion_can_be_fitted_to_some_of_the_points() -> None:
    points = grid()
    u = np.zeros((1, *points.shape))
    u[0, :, 0] = 0.25
    u[0, points[:, 0] > 2.0, 1] = 1.0
    field, _ = FullField(points, [0.0], u).without_rigid_motion(points[:, 0] <= 2.0)
    expected = np.where(points[:, 0] > 2.0, 1.0, 0.0)
    np.testing.assert_allclose(field.displacements[0, :, 1], expected, atol=1e-13)
    np.testing.assert_allclose(field.displacements[0, :, 0], 0.0, atol=1e-13)


def test_points_that_fix_no_motion_are_refused() -> None:
    points = grid()
    with pytest.raises(InputError, match="image 1: 1 points fix no rigid motion; two apart"):
        still(points).without_rigid_motion(np.arange(len(points)) == 3)
    line = np.column_stack([points, np.zeros(len(points))])
    with pytest.raises(InputError, match="three that are not on a line"):
        still(line).without_rigid_motion(points[:, 1] == 0.0)


@pytest.mark.parametrize("c", [2, 3])
def test_the_removal_is_differentiable_where_singular_values_are_equal(c: int) -> None:
    """On a square grid nothing is deformed, and the derivative is exact nevertheless."""
    points = grid(3, 3)
    used = np.ones((2, 9), dtype=bool)
    used[1, 4] = False
    R = Rotation.from_rotvec([0.3, -0.2, 0.4] if c == 3 else [0, 0, 0.4]).as_matrix()[:c, :c]
    X = np.pad(points, ((0, 0), (0, c - 2)))
    u = np.stack([np.zeros_like(X), X @ R.T - X])
    measured = np.where(used[..., None], u, np.nan)
    removal = FullField(points, [0.0, 1.0], measured).rigid_motion_removal()
    x = tensor(u).requires_grad_()
    assert torch.autograd.gradcheck(removal, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda u: removal(u).square(), (x,), fast_mode=True)


# --- strain windows ---------------------------------------------------------------------
F = np.array([[0.15, 0.08], [-0.03, -0.06]])  # grad u
EXPECTED = {
    "small": 0.5 * (F + F.T),
    "green_lagrange": 0.5 * (F + F.T + F.T @ F),
    "logarithmic": 0.5 * logm((np.eye(2) + F).T @ (np.eye(2) + F)),
}


def components(e: Array) -> Array:
    return np.stack([e[..., 0, 0], e[..., 1, 1], ROOT2 * e[..., 0, 1]], axis=-1)


@pytest.mark.parametrize("measure", list(EXPECTED))
@pytest.mark.parametrize("weights", ["uniform", "gaussian"])
@pytest.mark.parametrize("window", [{"window": 3}, {"window": 5, "order": 2}, {"radius": 1.2}])
def test_linear_fields_have_the_analytic_strain(
    measure: str, weights: str, window: dict[str, int]
) -> None:
    points = grid()
    windows = StrainGauge(measure=measure, weights=weights, **window).on(still(points))
    strain = windows(tensor(points @ F.T + 0.3)[None]).numpy()
    assert strain.shape == (1, len(windows.centres), 3) and len(windows.centres) > 40
    np.testing.assert_allclose(strain - components(EXPECTED[measure]), 0.0, atol=2e-13)


def test_quadratic_fields_are_exact_with_quadratic_windows_on_a_cloud() -> None:
    rng = np.random.default_rng(0)
    points = 3.0 * rng.random((300, 2))
    x, y = points.T
    u = np.stack([0.02 * x * x - 0.01 * x * y + 0.03 * y, 0.01 * y * y + 0.02 * x * x], axis=1)
    windows = StrainGauge(radius=0.6, order=2, measure="small").on(still(points))
    H = np.array([[0.04 * x - 0.01 * y, 0.03 - 0.01 * x], [0.04 * x, 0.02 * y]])
    e = 0.5 * (H + H.transpose(1, 0, 2)).transpose(2, 0, 1)[windows.centres]
    np.testing.assert_allclose(windows(tensor(u)[None])[0].numpy(), components(e), atol=1e-12)


def test_a_window_is_a_square_of_points() -> None:
    """A window of 5 takes the 25 points two steps off at the most: a sixth is not seen."""
    points = grid(9, 9)
    windows = StrainGauge(window=5, measure="small", least=25).on(still(points))
    assert len(windows.centres) == 25
    u = torch.zeros(1, 81, 2, dtype=torch.float64, requires_grad=True)
    middle = int(np.flatnonzero(windows.centres == 40)[0])
    windows(u)[0, middle, 0].backward()
    assert u.grad is not None
    seen = points[np.flatnonzero(u.grad[0, :, 0].numpy())]
    assert np.abs(seen - points[40]).max() == 1.0
    # the slope of a line through five columns of five: x / sum of x^2
    expected = (points[:, 0] - 2.0) * (np.abs(points - 2.0).max(1) <= 1.0) / (5 * 2.5)
    np.testing.assert_allclose(u.grad[0, :, 0].numpy(), expected, atol=1e-14)


def test_missing_points_leave_windows_exact_or_are_left_out_and_reported() -> None:
    points = grid()
    rng = np.random.default_rng(2)
    u = np.stack([0.0 * points, points @ F.T, 2.0 * points @ F.T])
    u[1, rng.random(72) < 0.3] = np.nan
    u[2, (points[:, 0] < 1.6) & (points[:, 1] > 1.0)] = np.nan
    u[:, 40] = np.nan
    field = FullField(points, np.arange(3), u)
    windows = StrainGauge(window=3, measure="small", least=5).on(field)
    assert 40 not in windows.centres
    strain = windows(tensor(u)).numpy()
    assert (np.isfinite(strain).all(axis=2) == windows.valid).all()
    for t in range(3):
        expected = t * components(EXPECTED["small"])
        there = windows.valid[t]
        np.testing.assert_allclose(strain[t, there] - expected, 0.0, atol=1e-13)
        counts = [
            np.isfinite(u[t, np.abs(points - points[i]).max(axis=1) < 0.6, 0]).sum()
            for i in windows.centres
        ]
        own = np.isfinite(u[t, windows.centres, 0])
        assert (there == (own & (np.array(counts) >= 5))).all()
    assert 0.0 < windows.valid.mean() < 1.0
    text = windows.describe()
    assert f"strain at {len(windows.centres)} of 72 points" in text and "fewer than 5" in text


def test_simulated_displacements_at_missing_points_have_no_influence() -> None:
    points = grid()
    rng = np.random.default_rng(2)
    measured = rng.normal(size=(2, 72, 2))
    measured[rng.random((2, 72)) < 0.2] = np.nan
    windows = StrainGauge(window=5).on(FullField(points, [0.0, 1.0], measured))
    simulated = torch.randn(2, 72, 2, dtype=torch.float64)
    other = torch.where(tensor(np.isfinite(measured)), simulated, 1e6)
    torch.testing.assert_close(windows(simulated), windows(other), equal_nan=True)


def cylinder(angle: float = 0.0) -> tuple[Array, Array]:
    """Points on a cylinder of radius 10 about y, turned about y, and their angles."""
    phi, y = np.meshgrid(np.linspace(-0.4, 0.4, 33), np.linspace(0.0, 4.0, 17))
    phi, y = phi.reshape(-1), y.reshape(-1)
    at = phi + angle
    return np.stack([10.0 * np.sin(at), y, 10.0 * np.cos(at)], axis=1), phi


@pytest.mark.parametrize("measure", ["green_lagrange", "logarithmic"])
def test_strain_on_a_curved_surface_is_along_it(measure: str) -> None:
    """A cylinder that is stretched along y by 1.05, swells by 1.02 and turns as a rigid body."""
    points, _ = cylinder()
    R = Rotation.from_rotvec([0.2, 0.5, -0.3]).as_matrix()
    u = (points * [1.02, 1.05, 1.02]) @ R.T + 1.0 - points
    windows = StrainGauge(radius=0.8, order=2, measure=measure).on(still(points))
    strain = windows(tensor(u)[None])[0].numpy()
    stretches = np.array([1.02, 1.05])
    e = 0.5 * (stretches**2 - 1.0) if measure == "green_lagrange" else np.log(stretches)
    inner = np.abs(points[windows.centres, 1] - 2.0) < 1.3  # windows at a border are lopsided,
    inner &= np.abs(points[windows.centres, 0]) < 3.0  # and their nearest plane is not tangent
    assert inner.sum() > 100
    np.testing.assert_allclose(strain[inner] - [*e, 0.0], 0.0, atol=1e-13)


def test_torsion_of_a_tube_converges_with_the_window() -> None:
    """Angle phi + 0.01 y: E12 = 0.05, E22 = 0.005 on the radius 10."""
    errors = []
    for refine in (1, 2):
        phi, y = np.meshgrid(np.linspace(-0.4, 0.4, 32 * refine + 1),
                             np.linspace(0.0, 4.0, 16 * refine + 1))  # fmt: skip
        at = [np.stack([10 * np.sin(a), y, 10 * np.cos(a)], -1) for a in (phi, phi + 0.01 * y)]
        points, moved = (x.reshape(-1, 3) for x in at)
        windows = StrainGauge(radius=0.8 / refine, order=2).on(still(points))
        strain = windows(tensor(moved - points)[None])[0].numpy()
        middle = int(np.flatnonzero((np.abs(points - [0.0, 2.0, 10.0]) < 1e-9).all(axis=1))[0])
        found = strain[windows.centres == middle][0]
        errors.append(np.abs(found - [0.0, 0.005, ROOT2 * 0.05]).max())
    assert errors[1] < 3e-5 and errors[1] < errors[0] / 3.5


def test_points_of_a_plane_that_move_in_space() -> None:
    """Out-of-plane rotation is no strain, though it shortens the plane as seen from the front."""
    points = grid()
    R = Rotation.from_rotvec([0.0, 0.3, 0.0]).as_matrix()
    X = np.pad(points, ((0, 0), (0, 1)))
    windows = StrainGauge(window=3).on(still(points, c=3))
    strain = windows(tensor(X @ R.T - X)[None])
    assert float(strain.abs().max()) < 1e-14


@pytest.mark.parametrize("measure", list(EXPECTED))
@pytest.mark.parametrize("start", ["zero", "deformed"])
def test_strain_is_differentiable_twice_and_forward(measure: str, start: str) -> None:
    """At the undeformed state, too, where both stretches are equal."""
    points = grid(3, 3)
    measured = np.zeros((2, 9, 2))
    measured[1, 3] = np.nan
    windows = StrainGauge(window=3, measure=measure, least=3).on(
        FullField(points, [0.0, 1.0], measured)
    )
    u = np.stack([points @ F.T, 2.0 * points @ F.T]) * (start == "deformed")
    x = tensor(u).requires_grad_()

    def valid(u: Tensor) -> Tensor:
        return windows(u)[torch.from_numpy(windows.valid)]

    assert torch.autograd.gradcheck(valid, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda u: valid(u).square(), (x,), fast_mode=True)


def test_logarithmic_strain_of_large_and_small_differences_of_stretch() -> None:
    """The series for near equal stretches and the closed form meet."""
    points = grid(3, 3)
    windows = StrainGauge(window=3, measure="logarithmic", least=3).on(still(points))
    for difference in (0.0, 1e-9, 1e-4, 0.05, 0.1001, 0.1002, 0.3, 2.0):
        G = np.diag([0.1 + difference, 0.1])
        turn = Rotation.from_euler("z", 0.7).as_matrix()[:2, :2]
        U = turn @ (np.eye(2) + G) @ turn.T
        expected = components(turn @ np.diag(np.log(1.0 + np.diag(G))) @ turn.T)
        strain = windows(tensor(points @ (U - np.eye(2)).T)[None])[0].numpy()
        np.testing.assert_allclose(strain, np.tile(expected, (9, 1)), atol=1e-14)


def test_deviations_of_strain_are_those_of_sampled_noise() -> None:
    rng = np.random.default_rng(0)
    T = 4000
    points = grid(5, 5)
    sigma = rng.uniform(0.5, 1.5, size=(25, 2)) * 1e-4
    field = FullField(points, np.arange(T), rng.normal(size=(T, 25, 2)) * sigma, noise=sigma)
    windows = StrainGauge(window=3, measure="small", least=5).on(field)
    sampled = windows(tensor(field.displacements)).numpy().std(axis=0)
    operators = windows.small_strain(0)
    variance = sum(D.power(2) @ s**2 for D, s in zip(operators, sigma.T, strict=True))
    expected = np.sqrt(np.asarray(variance)).reshape(-1, 3)
    np.testing.assert_allclose(sampled, expected, rtol=5.0 / math.sqrt(2.0 * T))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StrainGauge(), "a window or a radius"),
        (lambda: StrainGauge(window=4), "odd number"),
        (lambda: StrainGauge(radius=0.0), "must be positive"),
        (lambda: StrainGauge(window=5, order=3), "order"),
        (lambda: StrainGauge(window=5, weights="flat"), "'uniform' or 'gaussian'"),
        (lambda: StrainGauge(window=5, measure="hencki"), "no strain measure"),
        (lambda: StrainGauge(window=5, order=2, least=5), "at least 6"),
        (lambda: StrainGauge(window=3, order=2).on(still(grid())), "no strain window has 12"),
        (lambda: StrainGauge(window=3).on(still(cylinder()[0])), "give a radius"),
    ],
)
def test_gauges_that_cannot_be_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
