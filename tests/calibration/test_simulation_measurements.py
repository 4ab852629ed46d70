"""Load cells, gauges and cameras: times, noise, rigid motion, strain windows, derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from simulations_box import (
    GRID,
    STEPPING,
    SY,
    TIMES,
    TRUTH,
    D,
    camera,
    cell,
    law,
    parameters,
    plate,
)

from neml2fe.calibration.fullfield import Exponential, FullField, Series, StrainGauge
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
    SimulationProblem,
)
from neml2fe.errors import InputError
from neml2fe.fem import Dirichlet, Problem, TimeStepping
from neml2fe.fem.mesh.generate import box
from neml2fe.fem.observations import DisplacementsAt, Reaction

WIDE = StrainGauge(radius=0.6, order=2)
ENDS = [[0.2, 0.5], [0.8, 0.5]]


@pytest.fixture(scope="module")
def problem() -> Problem:
    return plate()


def compared(problem: Problem, **measurements: Measurement) -> SimulationProblem:
    return SimulationProblem(problem, STEPPING, measurements, parameters(SY, D))


def at_truth(fitted: SimulationProblem) -> torch.Tensor:
    values = torch.tensor([TRUTH[n] for n in fitted.parameters.names], dtype=torch.float64)
    return fitted.residuals(fitted.parameters.scaled(values))


def turned(points: NDArray, u: NDArray, angle: float, shift: float) -> NDArray:
    """Displacements of points with a rigid motion on top."""
    c, s = np.cos(angle), np.sin(angle)
    return (points + u) @ np.array([[c, s], [-s, c]]) + shift - points


def test_residuals_and_their_derivatives_of_every_kind(problem: Problem) -> None:
    """Measured at times of their own, the start among them; away from the truth."""
    u = camera(problem, (0.6, 1.0), error=1.0)
    ends = np.array([0.01, 0.02, 0.02])
    fitted = compared(
        problem,
        cell=LoadMeasurement(cell(problem), "pull", factor=2.0),
        gauge=GaugeMeasurement(Series([0.0, 0.3, 0.8], ends, 1e-4), ENDS),
        camera=FieldMeasurement(u),
        correlated=FieldMeasurement(replace(u, correlation=Exponential(0.3))),
        free=FieldMeasurement(u, without_rigid_motion=True),
        strain=FieldMeasurement(u, strain=StrainGauge(window=3)),
        both=FieldMeasurement(u, without_rigid_motion=True, strain=WIDE),
    )
    x = fitted.parameters.x0
    direction = torch.tensor([0.6, -0.8], dtype=torch.float64)
    residuals, jacobian = fitted.linearised(x)
    assert torch.equal(residuals, fitted.residuals(x))
    h = 1e-4
    there = fitted.simulated(x)
    ahead, behind = fitted.simulated(x + h * direction), fitted.simulated(x - h * direction)
    start = 0
    for name in fitted.measurements:
        parts = [fitted.residuals_of(name, values) for values in (there, ahead, behind)]
        rows = slice(start, start + len(parts[0]))
        start = rows.stop
        expected = (parts[1] - parts[2]) / (2.0 * h)
        error = (jacobian[rows] @ direction - expected).norm() / expected.norm()
        assert error <= 1e-7, f"{name}: {error}"
        assert torch.equal(residuals[rows], parts[0])
    assert start == len(residuals)
    loss, gradient = fitted.gradient(x)
    assert float(loss) == pytest.approx(0.5 * float(residuals @ residuals), rel=1e-10)
    assert gradient.tolist() == pytest.approx((jacobian.T @ residuals).tolist(), rel=1e-9)


def test_each_measurement_has_its_own_times(problem: Problem) -> None:
    """Steps end at all of them; those that differ by round-off are one."""
    times = (0.0, 0.3, 0.6, 1.0)
    with torch.no_grad():
        run = problem.solve(
            STEPPING, {"f": Reaction("pull"), "u": DisplacementsAt(GRID)}, times=TIMES
        )
    off = 0.1 + 0.2 + 0.3  # not 0.6
    assert off != 0.6
    fitted = compared(
        problem,
        cell=LoadMeasurement(Series(times, np.zeros(4), [1.0, 1.0, 1.0, 2.0]), "pull", factor=3.0),
        camera=FieldMeasurement(FullField(GRID, np.array([off, 0.8]), np.zeros((2, 16, 2)), 0.5)),
        late=LoadMeasurement(Series([0.0, 1.0 + 1e-12], [5.0, 0.0], 1.0), "pull"),
    )
    assert fitted.times == [0.3, 0.6, 0.8, 1.0]
    residuals = at_truth(fitted)
    f, u = run["f"], run["u"]
    expected = [3.0 * f[[0, 1, 3]], u[1:3].flatten(), f[3:]]
    assert residuals[0] == 0.0  # nothing has happened yet
    torch.testing.assert_close(residuals[1:4], expected[0] / torch.tensor([1.0, 1.0, 2.0]).double())
    torch.testing.assert_close(residuals[4:68], expected[1] / 0.5)
    assert residuals[68] == -5.0
    torch.testing.assert_close(residuals[69:], expected[2])


def test_a_gauge_sees_the_change_of_a_distance() -> None:
    gauge = GaugeMeasurement(Series([1.0], [0.0]), ENDS)
    ends = np.array(ENDS)
    u = turned(ends, 0.0 * ends, 0.5, 0.1)
    assert abs(gauge.elongation(torch.as_tensor(u)[None])).item() <= 1e-15
    u = 0.5 * ends  # half as long again
    assert gauge.elongation(torch.as_tensor(u)[None]).item() == pytest.approx(0.3, rel=1e-14)
    with pytest.raises(InputError, match="two points of a gauge are the same"):
        GaugeMeasurement(Series([1.0], [0.0]), [[0.0, 0.0], [0.0, 0.0]])
    with pytest.raises(InputError, match="a gauge needs two points"):
        GaugeMeasurement(Series([1.0], [0.0]), [[0.0, 0.0]])


def test_rigid_motion_of_the_specimen_is_no_misfit(problem: Problem) -> None:
    """The camera moved: seen by displacements, not without rigid motion, nor by Green's strain."""
    data = camera(problem)
    moved = FullField(GRID, data.times, turned(GRID, data.displacements, 0.02, 0.3), 1e-4)
    fitted = compared(
        problem,
        plain=FieldMeasurement(moved),
        free=FieldMeasurement(moved, without_rigid_motion=True),
        strain=FieldMeasurement(moved, strain=StrainGauge(window=3, measure="green_lagrange")),
    )
    n, values = 2 * len(GRID) * 2, at_truth(fitted)
    assert values[:n].abs().max() > 1000.0
    assert values[n : 2 * n].abs().max() <= 1e-8
    assert values[2 * n :].abs().max() <= 1e-8


def test_strains_of_windows_have_the_noise_of_the_camera(problem: Problem) -> None:
    """Whitened residuals of a noisy field are of size one, before and after the filter."""
    rng = np.random.default_rng(0)
    data = camera(problem)
    u = data.displacements + 1e-5 * rng.normal(size=(2, len(GRID), 2))
    noisy = FullField(GRID, data.times, u, 1e-5)
    fitted = compared(problem, strain=FieldMeasurement(noisy, strain=StrainGauge(window=3)))
    assert 0.8 <= at_truth(fitted).square().mean().sqrt().item() <= 1.2


def test_a_camera_that_sees_a_surface_in_space() -> None:
    """Two cameras, all three components; points a little off the mesh."""
    problem = Problem(
        box(1, 1, 1, "hexahedron"),
        law(),
        [
            *(Dirichlet("left", c) for c in "xyz"),
            Dirichlet("right", "x", lambda t: 0.01 * t),
        ],
    )
    points = np.array([[0.2, 0.3, 1.001], [0.8, 0.3, 0.999], [0.5, 0.9, 1.0]])
    stepping = TimeStepping(end=1.0, dt=1.0)
    zero = FullField(points, np.array([1.0]), np.zeros((1, 3, 3)), 1.0)
    fitted = SimulationProblem(
        problem, stepping, {"stereo": FieldMeasurement(zero, boundary="front")}, parameters(SY)
    )
    u = at_truth(fitted).reshape(3, 3)
    assert u[:, 0].numpy() == pytest.approx(0.01 * points[:, 0], rel=0.1)
    assert (u[1:, 2] < -1e-4).all()  # it becomes thinner
