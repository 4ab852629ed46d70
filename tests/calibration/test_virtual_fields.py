"""The virtual fields method: nodal motion from camera points, virtual work and its noise."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neml2fe.calibration.fit import fit
from neml2fe.calibration.fullfield import FullField, Series
from neml2fe.calibration.fullfield.correlation import Spherical
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import (
    NodalMotion,
    SimulationProblem,
    VirtualField,
    VirtualFieldsMeasurement,
    covariance_of_virtual_work,
    virtual_fields,
    with_covariance,
)
from neml2fe.calibration.simulations.nodal_motion import gradient_changes
from neml2fe.errors import InputError
from neml2fe.fem import Dirichlet, Mesh, Problem, TimeStepping
from neml2fe.fem.mesh.generate import box, quarter_annulus, rectangle
from neml2fe.fem.observations import DisplacementsAt, Reaction
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.material import Material

Array = NDArray[np.float64]

PLATE = rectangle(4, 5, "quad", (6.0, 8.0), distortion=0.3)
TIMES = np.linspace(0.2, 1.0, 5)
TRUE = {
    "trial_stress.E": 2e5,
    "return_map.rates.yield_surface.sy": 200.0,
    "return_map.rates.isotropic_hardening.R": 120.0,
    "return_map.rates.isotropic_hardening.d": 40.0,
}
FITTED = [
    FitParameter(name, 0.3 * v, 3.0 * v, "log", initial=v * factor)
    for (name, v), factor in zip(TRUE.items(), [1.3, 0.75, 1.4, 0.7], strict=True)
]


@cache
def steel() -> Material:
    """J2 plasticity with Voce hardening."""
    body = """
        type = J2RadialReturn
        elasticity = 'isotropic(E = 2e5, nu = 0.3)'
        yield_stress = 200
        isotropic_hardening = 'voce(R = 120, d = 40)'
        abs_tol = 1e-11
        rel_tol = 1e-12
    """
    model = Input(parse_deck(f"[Models]\n[law]\n{body}\n[]\n[]")).get_model("law")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in TRUE)
    return Material(model, backend="kernel")


@cache
def simulated_test() -> tuple[FullField, Series]:
    """The true simulation seen at 600 points, and its load; without noise."""
    conditions = [
        *(Dirichlet("bottom", c) for c in "xy"),
        Dirichlet("top", "y", lambda t: 0.4 * t * t, label="pull"),
        Dirichlet("top", "x", lambda t: 0.2 * t * t),
    ]
    problem = Problem(PLATE, steel(), conditions, formulation="plane_strain", backend="scipy")
    points = np.random.default_rng(1).uniform([0.01, 0.01], [5.99, 7.99], (600, 2))
    observe = {"u": DisplacementsAt(points), "load": Reaction("pull")}
    with torch.no_grad():
        found = problem.solve(TimeStepping(1.0, 0.2), observe, TIMES)
    return FullField(points, TIMES, found["u"].numpy()), Series(TIMES, found["load"].numpy())


def virtual_problem(motion: NodalMotion, measurement: VirtualFieldsMeasurement, end: float = 1.0,
                    dt: float = 0.2) -> SimulationProblem:  # fmt: skip
    problem = Problem(motion.mesh, steel(), motion.conditions(), formulation="plane_strain",
                      backend="scipy")  # fmt: skip
    return SimulationProblem(problem, TimeStepping(end, dt), {"vf": measurement}, FITTED)


# --- identification ---------------------------------------------------------------------
def test_parameters_of_data_without_noise_are_recovered() -> None:
    field, load = simulated_test()
    motion = NodalMotion.fitted(PLATE, field)
    measurement = VirtualFieldsMeasurement(load, virtual_fields(PLATE, "bottom", "top", "y"))
    found = fit(virtual_problem(motion, measurement), level=None)
    for name, value in TRUE.items():
        assert abs(found.values[name] / value - 1.0) <= 1e-6, name


def test_noisy_data_give_parameters_within_their_intervals() -> None:
    """0.02 pixel of 10 micrometres, a load cell of 0.1 %."""
    field, load = simulated_test()
    random = np.random.default_rng(5)
    u = field.displacements + 2e-4 * random.standard_normal(field.displacements.shape)
    field = replace(field, displacements=u, noise=2e-4)
    force = load.values + 3.0 * random.standard_normal(len(TIMES))
    motion = NodalMotion.fitted(PLATE, field)
    fields = virtual_fields(PLATE, "bottom", "top", "y")
    fields = {name: fields[name] for name in ("linear", "shear", "contraction")}
    measurement = VirtualFieldsMeasurement(Series(TIMES, force, 3.0), fields)
    problem = virtual_problem(motion, measurement)
    first = fit(problem, level=None)
    again = virtual_problem(motion, with_covariance(problem, "vf", motion, first.x))
    found = fit(again)
    assert found.uncertainty is not None
    truth = torch.tensor(list(TRUE.values()))
    errors = (found.uncertainty.values - truth).abs()
    assert bool((errors <= 3.0 * found.uncertainty.standard_errors).all())
    assert bool((errors / truth <= torch.tensor([0.01, 0.03, 0.05, 0.15])).all())
    assert bool((found.uncertainty.standard_errors / truth <= 0.1).all())
    assert 0.3 <= 2.0 * found.loss / 11.0 <= 2.5  # 15 works less 4 parameters


def small_problem(missing: bool, correlated: bool) -> tuple[NodalMotion, SimulationProblem]:
    mesh = rectangle(2, 1, "quad", (2.0, 1.0), distortion=0.2)
    random = np.random.default_rng(2)
    points = random.uniform([0.0, 0.0], [2.0, 1.0], (14, 2))
    x, y = points.T
    u = [k * 0.004 * np.stack([0.3 * x * y + x**2, -0.3 * y * x], axis=1) for k in (0.5, 1.0)]
    u = np.array(u)
    if missing:
        u[1, 3] = np.nan
    field = FullField(points, [0.5, 1.0], u, np.array([2e-5, 1e-5]),
                      Spherical(0.5) if correlated else None)  # fmt: skip
    motion = NodalMotion.fitted(mesh, field, smoothing=1e-3)
    load = Series([0.5, 1.0], [100.0, 150.0], 2.0)
    fields = virtual_fields(mesh, "left", "right", "x")
    fields = {name: fields[name] for name in ("linear", "contraction")}
    return motion, virtual_problem(motion, VirtualFieldsMeasurement(load, fields), dt=0.5)


@pytest.mark.parametrize("correlated", [False, True])
def test_covariance_is_that_of_differences(correlated: bool) -> None:
    """Each datum moved by a little, through the fit of the nodes and the plastic history."""
    motion, problem = small_problem(missing=True, correlated=correlated)
    measurement = problem.measurements["vf"]
    assert isinstance(measurement, VirtualFieldsMeasurement)
    x = problem.parameters.x0

    def work() -> Array:
        values = problem.values_of("vf", problem.solved().values)
        return measurement.unbalanced(values).flatten().numpy()

    # Nodal values are linear in the data: the columns of the fit, one node moved at a time.
    h, columns = 1e-7, []
    with torch.no_grad(), problem.at(x):
        for n in range(motion.displacements.numel()):
            sides = []
            for sign in (h, -h):
                motion.displacements.view(-1)[n] += sign
                sides.append(work())
                motion.displacements.view(-1)[n] -= sign
            columns.append((sides[0] - sides[1]) / (2.0 * h))
    assert motion.deviations is not None
    jacobian = np.array(columns).reshape(*motion.displacements.shape, -1)
    jacobian[0] = 0.0  # the start is no datum
    spread = motion.deviations(jacobian)
    loaded = np.array([1.0, 0.0])
    expected = spread.T @ spread + 4.0 * np.kron(np.eye(2), np.outer(loaded, loaded))
    found = covariance_of_virtual_work(problem, "vf", motion)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.linalg.eigvalsh(found).min() > 0.0
    assert not motion.displacements.requires_grad


@pytest.mark.parametrize("correlated", [False, True])
def test_deviations_of_nodes_are_those_of_many_images(correlated: bool) -> None:
    mesh = rectangle(2, 1, "quad", (2.0, 1.0), distortion=0.2)
    random = np.random.default_rng(4)
    points, noise = random.uniform([0.0, 0.0], [2.0, 1.0], (14, 2)), np.array([2e-5, 1e-5])
    correlation = Spherical(0.5) if correlated else None
    root = np.linalg.cholesky(Spherical(0.5).matrix(points).toarray()) if correlated else np.eye(14)
    u = noise * (root @ random.standard_normal((2000, 14, 2)))
    u[:, 3] = np.nan
    field = FullField(points, np.arange(1.0, 2001.0), u, noise, correlation)
    nodes = NodalMotion.fitted(mesh, field, smoothing=1e-3).displacements[1:].numpy()
    weights = random.standard_normal((2, *nodes.shape[1:], 3))
    samples = np.tensordot(nodes, weights[1], axes=2)
    deviations = NodalMotion.fitted(mesh, field.at_images([0]), smoothing=1e-3).deviations
    assert deviations is not None
    spread = deviations(weights)
    assert np.abs(np.var(samples, axis=0) / np.square(spread).sum(axis=0) - 1.0).max() <= 0.12


# --- nodal motion -------------------------------------------------------------------------
@pytest.mark.parametrize("cell_type", ["triangle", "triangle6", "quad9", "hexahedron", "tetra"])
def test_fields_of_the_elements_are_fitted_exactly(cell_type: str) -> None:
    """Also where points are missing; and smoothing leaves linear fields as they are."""
    spatial = cell_type in ("hexahedron", "tetra")
    mesh = (box(2, 2, 1, cell_type, distortion=0.2) if spatial
            else rectangle(2, 2, cell_type, distortion=0.2))  # fmt: skip
    points = np.random.default_rng(0).uniform(0.0, 1.0, (500, mesh.dim))
    slope = np.random.default_rng(1).standard_normal((2, mesh.dim, mesh.dim))
    u = np.einsum("tij,mj->tmi", slope, points)
    u[0, 7], u[1, 3, 0] = np.nan, np.nan
    changes = gradient_changes(mesh)
    assert np.abs(changes @ mesh.points).max() <= 1e-12
    for smoothing in (0.0, 0.1):
        motion = NodalMotion.fitted(mesh, FullField(points, [1.0, 2.0], u), smoothing=smoothing)
        expected = np.einsum("tij,mj->tmi", slope, mesh.points)
        assert motion.times.tolist() == [0.0, 1.0, 2.0]
        assert np.abs(motion.displacements[1:].numpy() - expected).max() <= 1e-10
        assert not motion.displacements[0].any()


def test_nodes_without_points_need_smoothing() -> None:
    mesh = rectangle(4, 4, "quad")
    grid = np.stack(np.meshgrid(np.linspace(0, 0.7, 15), np.linspace(0, 1, 15)), -1).reshape(-1, 2)
    field = FullField(grid, [1.0], (grid @ [[0.01, 0.0], [0.02, -0.01]])[None])
    with pytest.raises(InputError, match="5 have no point nearby, the first at \\(1, 0\\)"):
        NodalMotion.fitted(mesh, field)
    found = NodalMotion.fitted(mesh, field, smoothing=0.01).displacements[1].numpy()
    assert np.abs(found - mesh.points @ [[0.01, 0.0], [0.02, -0.01]]).max() <= 1e-12
    beyond = FullField(np.vstack([grid, [[1.5, 0.5]]]), [1.0], np.zeros((1, len(grid) + 1, 2)))
    with pytest.raises(InputError, match=r"1 points are outside of the mesh, \(1\.5, 0\.5\)"):
        NodalMotion.fitted(mesh, beyond)
    few = field.at_points(np.array([0, 40, 90]))
    with pytest.raises(InputError, match="does not determine"):
        NodalMotion.fitted(mesh, few)


def test_motion_is_linear_between_images_and_ends_with_them() -> None:
    mesh = rectangle(2, 2, "quad")
    u = torch.zeros(3, 9, 2, dtype=torch.float64)
    u[1], u[2] = 1.0, 3.0
    motion = NodalMotion(mesh, np.array([0.0, 1.0, 2.0]), u)
    value = motion.conditions()[1].value
    assert callable(value)
    assert value(1.5, mesh.points[[4, 2]]).tolist() == [2.0, 2.0]
    with pytest.raises(InputError, match=r"from time 0 to 2, not at 2\.5"):
        value(2.5, mesh.points)
    with pytest.raises(InputError, match="finite displacements"):
        NodalMotion(mesh, np.array([0.0, 1.0]), u)
    twice = Mesh(
        np.vstack([mesh.points, mesh.points + np.array([1.0, 0.0])]),
        [type(mesh.cells[0])("quad", np.vstack([b.connectivity, b.connectivity + 9]))
         for b in mesh.cells],
    )  # fmt: skip
    with pytest.raises(InputError, match="two nodes are in one place"):
        NodalMotion(twice, np.array([0.0, 1.0]), torch.zeros(2, 18, 2, dtype=torch.float64))


# --- virtual fields -----------------------------------------------------------------------
@pytest.mark.parametrize("component", ["x", "y"])
@pytest.mark.parametrize("mesh", [rectangle(3, 3, "quad", (2.0, 1.0)), box(2, 2, 2, "tetra")])
def test_virtual_fields_fit_the_edges(mesh: Mesh, component: str) -> None:
    fields = virtual_fields(mesh, "right", "left", component)
    assert len(fields) == 2 + 3 * (mesh.dim - 1)
    held, loaded = (mesh.points[mesh.boundary_nodes(edge)] for edge in ("right", "left"))
    values = []
    for field in fields.values():
        assert not field.displacement(held).any()
        w = field.displacement(loaded)
        assert np.array_equal(w[:, "xyz".index(component)], np.full(len(w), field.loaded))
        w[:, "xyz".index(component)] = 0.0
        assert not w.any()
        values.append(field.displacement(mesh.points).ravel())
    assert np.abs(values).max() == 1.0
    grown = [
        f.displacement(np.random.default_rng(0).random((40, mesh.dim))) for f in fields.values()
    ]
    assert np.linalg.matrix_rank(np.reshape(grown, (len(grown), -1))) == len(fields)


def test_curved_edges_need_fields_of_their_own() -> None:
    with pytest.raises(InputError, match="are not straight"):
        virtual_fields(quarter_annulus(2, 2, "quad", 1.0, 2.0), "inner", "outer", "x")


def test_balance_of_virtual_work_and_its_deviations() -> None:
    load = Series([1.0, 2.0, 3.0], [10.0, np.nan, 30.0], noise=2.0)
    fields = {n: VirtualField(lambda x: x, w) for n, w in {"a": 1.0, "b": 0.0, "c": 2.0}.items()}
    measurement = VirtualFieldsMeasurement(load, fields, factor=3.0)
    values = {name: torch.tensor([4.0, 5.0, 12.0], dtype=torch.float64) for name in fields}
    # The second image has no load: only the field that does no work with it is left.
    expected = torch.tensor([2.0, 12.0, -8.0, 15.0, 6.0, 36.0, -24.0], dtype=torch.float64)
    assert torch.equal(measurement.residuals(values), expected / 2.0)
    assert measurement.noise_is_known
    root = np.tril(np.random.default_rng(0).random((9, 9))) + np.eye(9)
    whitened = replace(measurement, covariance=root @ root.T).residuals(values)
    there = [0, 1, 2, 4, 6, 7, 8]
    inverse = torch.from_numpy(np.linalg.inv((root @ root.T)[np.ix_(there, there)]))
    assert float(whitened @ whitened) == pytest.approx(float(expected @ inverse @ expected))
    with pytest.raises(InputError, match=r"is \(9, 9\), not \(3, 3\)"):
        replace(measurement, covariance=np.eye(3))
    with pytest.raises(InputError, match="not positive definite"):
        replace(measurement, covariance=-np.eye(9))
    with pytest.raises(InputError, match="at least one virtual field"):
        VirtualFieldsMeasurement(load, {})
