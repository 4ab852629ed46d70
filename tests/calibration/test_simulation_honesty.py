"""What keeps a fit of simulations from claiming too much: units, correlated noise, stale runs."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation
from simulations_box import (
    SY,
    TIMES,
    TRUTH,
    E,
    R,
    camera,
    cell,
    lifted,
    parameters,
    plate,
    pulled,
)
from torch import Tensor

from neml2fe.calibration import FitParameter, fit
from neml2fe.calibration.fullfield import (
    Correlation,
    FullField,
    Series,
    Spherical,
    StrainGauge,
    StrainWhitening,
)
from neml2fe.calibration.parameters import ParameterSet
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    JointProblem,
    LoadMeasurement,
    RegularisedProblem,
    SimulationProblem,
    Tikhonov,
    gauss_newton_product,
    laplace,
)
from neml2fe.calibration.simulations.timed import Renamed
from neml2fe.calibration.uncertainty import uncertainty
from neml2fe.errors import InputError
from neml2fe.fem import TimeStepping
from neml2fe.fem.mesh.generate import rectangle

ONE_STEP = TimeStepping(end=1.0, dt=1.0, dt_min=1.0)


def square(n: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(float(n))] * 2, indexing="ij"), -1).reshape(-1, 2)


# --- noise that is not known ----------------------------------------------------------------
def test_without_known_noise_only_one_measurement_can_be_fitted() -> None:
    """A newton and a millimetre have no standard deviation in common."""
    problem = plate()
    seen = camera(problem)
    load = LoadMeasurement(replace(cell(problem), noise=None), "pull")
    plain = FieldMeasurement(replace(seen, noise=None))
    with pytest.raises(InputError, match="noise is not known for cell, camera: give it for all"):
        SimulationProblem(problem, ONE_STEP, {"cell": load, "camera": plain}, parameters(SY))
    alone = [SimulationProblem(problem, ONE_STEP, {"it": m}, parameters(SY)) for m in (load, plain)]
    assert not alone[0].noise_is_known
    assert not JointProblem({"one": alone[0]}).noise_is_known
    with pytest.raises(InputError, match="noise is not known for one, two: give it for all"):
        JointProblem(dict(zip(("one", "two"), alone, strict=True)))


class Levels:
    """Four values of a field, each measured once."""

    noise_is_known = False

    def __init__(self) -> None:
        field = torch.full((4,), 0.5, dtype=torch.float64, requires_grad=True)
        self.parameters = ParameterSet.of({"f": field}, [FitParameter("f", 0.0, 1.0)])

    def residuals(self, x: Tensor) -> Tensor:
        return x - torch.arange(4).to(x) / 4.0

    def loss(self, x: Tensor) -> Tensor:
        return 0.5 * self.residuals(x).square().sum()

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.residuals(x), torch.eye(4).to(x)


def test_penalties_are_no_data_to_estimate_the_noise_from() -> None:
    whole = RegularisedProblem(Levels(), [Tikhonov(rectangle(2, 2, "quad"), "f", 1.0)])
    x, message = whole.parameters.x0, "needs the standard deviation of the noise"
    with pytest.raises(InputError, match=message):
        uncertainty(whole, x)
    with pytest.raises(InputError, match=message):
        laplace(whole, x)
    with pytest.raises(InputError, match=message):  # before the search
        fit(whole, on_iteration=lambda _: pytest.fail("it searches"))
    assert fit(whole, level=None).converged  # as points of an L-curve are


# --- strains of windows that overlap -----------------------------------------------------------
@pytest.mark.parametrize(
    ("window", "correlation"), [(3, None), (5, None), (9, None), (5, Spherical(2.5))]
)
def test_intervals_from_strains_cover(window: int, correlation: Correlation | None) -> None:
    """Of the size of a strain that is linear across the field: estimates scatter as told, and as
    little as those from the displacements themselves."""
    points, sigma, n = square(15), 1e-4, 300
    rng = np.random.default_rng(0)
    missing = rng.random(len(points)) < 0.05
    data = np.zeros((1, len(points), 2))
    data[0, missing] = np.nan
    noise = rng.normal(size=(n, 1, len(points), 2))
    if correlation is not None:
        factor = np.linalg.cholesky(csr_matrix(correlation.matrix(points)).toarray())
        noise = np.einsum("ij,atjc->atic", factor, noise)
    field = FullField(points, np.array([1.0]), data, sigma, correlation)
    windows = StrainGauge(window=window, measure="small").on(field)
    whiten = StrainWhitening(windows)
    signal = np.stack([points[:, 0] ** 2, -0.3 * points[:, 1]], axis=1) / 225.0
    slope = whiten(windows(torch.from_numpy(signal)[None]))
    errors = torch.stack([whiten(windows(torch.from_numpy(sigma * one))) for one in noise])
    assert float(errors.square().mean()) == pytest.approx(1.0, abs=0.03)
    information = slope @ slope
    estimates = errors @ slope / information
    told = float(information.rsqrt())
    assert float(estimates.std()) == pytest.approx(told, rel=0.15)
    if correlation is None:
        there = signal[~missing]
        best = sigma / np.sqrt(np.square(there - there.mean(0)).sum())
        assert best * 0.999 <= told <= 1.1 * best


def test_strains_without_known_noise_have_its_scale_from_the_residuals() -> None:
    """The same interval, but for the estimate of one scale, as with known noise."""
    problem = plate()
    rng = np.random.default_rng(1)
    points = 0.1 + 0.8 * square(12) / 11.0
    measurement = FieldMeasurement(FullField(points, np.array([1.0]), np.zeros((1, 144, 2))))
    bare = SimulationProblem(problem, ONE_STEP, {"it": measurement}, parameters(R))
    at_truth = bare.parameters.scaled(torch.tensor([TRUTH[R]], dtype=torch.float64))
    u = bare.simulated(at_truth)["it/field"].numpy() + 1e-5 * rng.normal(size=(1, 144, 2))
    found = []
    for noise in (1e-5, None):
        data = FieldMeasurement(
            FullField(points, np.array([1.0]), u, noise), strain=StrainGauge(window=7)
        )
        test = SimulationProblem(problem, ONE_STEP, {"it": data}, parameters(R))
        result = fit(test)
        assert result.uncertainty is not None
        found.append(float(result.uncertainty.standard_errors[0]))
    assert found[1] == pytest.approx(found[0], rel=0.15)


# --- noise of the reference, of rigid motion ----------------------------------------------------
@pytest.mark.parametrize("each", [False, True])
def test_the_noise_of_the_reference_image_is_added(each: bool) -> None:
    u = np.random.default_rng(0).normal(size=(3, 225, 2))
    u[0, 3] = np.nan
    sigma = np.array([3.0, 4.0, 1.0])
    noise = np.broadcast_to(sigma[:, None, None], u.shape) if each else 3.0
    field = FullField(square(15), np.array([0.0, 1.0, 2.0]), u, noise).relative_to(0)
    expected = np.hypot(sigma, 3.0) if each else 3.0 * np.sqrt(np.full(3, 2.0))
    found = np.broadcast_to(np.asarray(field.noise), field.displacements.shape)
    assert np.allclose(found[:, 5], expected[:, None], rtol=1e-14)


@pytest.mark.parametrize("c", [2, 3])
def test_bad_points_count_little_in_a_rigid_motion(c: int) -> None:
    """The motion is the weighted least squares one, by scipy's least squares."""
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(30, c))
    sigma = np.where(np.arange(30) < 20, 1e-3, 0.1)
    u = sigma[None, :, None] * rng.normal(size=(1, 30, c))
    field = FullField(points, np.array([0.0]), u, sigma[None, :, None])
    _, motion = field.without_rigid_motion()

    def misfit(p: np.ndarray) -> np.ndarray:
        turn = Rotation.from_rotvec([0.0, 0.0, p[0]] if c == 2 else p[:3]).as_matrix()[:c, :c]
        return ((points + u[0] - points @ turn.T - p[-c:]) / sigma[:, None]).reshape(-1)

    best = least_squares(misfit, np.zeros(3 if c == 2 else 6), xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert motion.translations[0].tolist() == pytest.approx(best.x[-c:].tolist(), abs=1e-8)
    alike = FullField(points, np.array([0.0]), u).without_rigid_motion()[1]
    assert float((alike.translations - motion.translations).norm()) > 1e-3


def test_a_camera_can_take_rigid_motion_from_some_points_only() -> None:
    points = square(4)
    u = np.zeros((1, 16, 2))
    u[0, :, 0] = 0.25
    u[0, points[:, 0] > 1.5, 1] = 1.0
    measurement = FieldMeasurement(
        FullField(points, np.array([1.0]), u),
        without_rigid_motion=True,
        rigid_motion_points=points[:, 0] <= 1.5,
    )
    expected = np.where(points[:, 0] > 1.5, 1.0, 0.0)
    assert np.allclose(measurement.compared.displacements[0, :, 1], expected, atol=1e-13)
    residuals = measurement.residuals({"field": torch.from_numpy(u + 3.0)})
    assert float(residuals.abs().max()) <= 1e-12


# --- names, wrappers, bounds --------------------------------------------------------------------
def test_products_need_no_full_names_and_no_jacobian_of_a_deck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = pulled(SY, E)
    x = problem.parameters.x0
    _, jacobian = problem.linearised(x)
    way = torch.tensor([0.3, -0.7], dtype=torch.float64)
    expected = jacobian.T @ (jacobian @ way)
    given = [replace(p, name=n) for p, n in zip(parameters(SY, E), "ab", strict=True)]
    wrapped = JointProblem({"deck": Renamed(problem, given), "same": Renamed(problem, given)})

    def refuse(*_: object) -> Tensor:
        raise AssertionError("a Jacobian was formed")

    monkeypatch.setattr(SimulationProblem, "linearised", refuse)
    assert torch.allclose(gauss_newton_product(problem, x)(way), expected, rtol=1e-9, atol=0.0)
    found = gauss_newton_product(wrapped, x)(way)
    assert torch.allclose(found, 2.0 * expected, rtol=1e-9, atol=0.0)


def test_a_start_at_a_bound_is_no_mistake_of_round_off() -> None:
    problem = lifted(SY)
    tensor = next(iter(problem.fitted.values()))
    for value in (200.1, 0.1 + 0.2, 1e-3 / 3.0, 123.456):
        for lower, upper in ((value, 7.0 * value), (value / 7.0, value)):
            with torch.no_grad():
                before = tensor.detach().clone()
                tensor.fill_(value)
            try:
                own = SimulationProblem(
                    problem.simulation, problem.stepping, problem.measurements,
                    [FitParameter(SY, lower, upper, "log")],
                )  # fmt: skip
                found = Renamed(own, [FitParameter("sy", lower, upper, "log")])
            finally:
                with torch.no_grad():
                    tensor.copy_(before)
            assert torch.equal(found.parameters.x0, own.parameters.x0)


# --- runs that are kept, and their number of steps ----------------------------------------------
@pytest.mark.parametrize("through_data", [False, True])
def test_a_tensor_that_is_not_fitted_may_change_between_runs(through_data: bool) -> None:
    problem = pulled(SY)
    x = problem.parameters.x0
    before, _ = problem.linearised(x)
    other = next(t for n, t in problem.tensors.items() if n.endswith(R.split(".")[-1]))
    old = other.detach().clone()
    try:
        with torch.no_grad():
            (other.data if through_data else other).mul_(1.3)
        after, _ = problem.linearised(x)
        assert float((after - before).abs().max()) > 1.0
        assert torch.equal(problem.residuals(x), after)
    finally:
        with torch.no_grad():
            other.copy_(old)
    assert torch.equal(problem.residuals(x), before)


def test_many_measured_times_are_warned_of() -> None:
    problem = plate()
    times = np.linspace(0.001, 1.0, 80)
    load = LoadMeasurement(Series(times, np.zeros(80), 1.0), "pull")
    with pytest.warns(UserWarning, match=r"each of 80 measured times \(80 in cell\).* about 4: "):
        SimulationProblem(problem, TimeStepping(end=1.0, dt=0.3), {"cell": load}, parameters(SY))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few = LoadMeasurement(load.data.at(TIMES), "pull")
        SimulationProblem(problem, TimeStepping(end=1.0, dt=0.3), {"cell": few}, parameters(SY))
        SimulationProblem(problem, TimeStepping(end=1.0, dt=0.02), {"cell": load}, parameters(SY))
