"""The binding against DOLFINx itself: updates, states, forms, and what is refused."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="DOLFINx is not in this Python: make bindings-test")

import dolfinx
import neml2fe_dolfinx
import torch
import ufl
from dolfinx import fem
from dolfinx.mesh import create_unit_square, meshtags
from dolfinx_bodies import STEEL, bend, cube, law
from mpi4py import MPI
from neml2fe_dolfinx import QuadratureMaterial, QuadratureProblem

from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.material import finite_strain


# --- the map itself ---------------------------------------------------------------------------
@pytest.mark.parametrize("kinematics", ["small", "finite"])
def test_the_jacobian_is_the_derivative_of_the_residual(kinematics):
    u = cube()
    points = QuadratureMaterial(law() if kinematics == "small" else finite_strain(law()), u, 2)
    space = u.function_space
    v, du = ufl.TestFunction(space), fem.Function(space)
    residual, along = fem.form(points.residual(v)), fem.form(points.jacobian(du, v))
    bend(u, 4e-3)
    start = u.x.array.copy()
    du.x.array[:] = np.random.default_rng(0).normal(size=len(start))

    def at(step: float) -> np.ndarray:
        u.x.array[:] = start + step * du.x.array
        points.update(1.0, 1.0)
        return fem.petsc.assemble_vector(residual).array.copy()

    h = 1e-7
    slope = (at(h) - at(-h)) / (2 * h)
    at(0.0)
    exact = fem.petsc.assemble_vector(along).array
    assert abs(slope - exact).max() < 1e-6 * abs(exact).max()


def test_an_update_may_be_repeated_and_starts_from_the_accepted_state():
    u = cube()
    points, other = (QuadratureMaterial(law(), u, 2) for _ in range(2))
    bend(u, 5e-3)
    points.update(1.0, 1.0)  # tried, and given up
    bend(u, 2e-3)
    points.update(0.5, 0.5)
    points.update(0.5, 0.5)
    points.accept()
    other.update(0.5, 0.5)
    other.accept()
    assert (points.stress.x.array == other.stress.x.array).all()
    assert set(points.state) == {"plastic_strain", "equivalent_plastic_strain"}
    for name, function in points.state.items():
        assert abs(function.x.array).max() > 0.0
        assert (function.x.array == other.state[name].x.array).all()
    with pytest.raises(ModelError, match="no update since the last accepted step"):
        points.accept()


def test_a_restart_takes_the_state_from_the_functions():
    u = cube()
    first, second = (QuadratureMaterial(law("viscoplasticity", STEEL), u, 2) for _ in range(2))
    bend(u, 3e-3)
    first.update(1.0, 1.0)
    first.accept()
    for name, function in first.state.items():
        second.state[name].x.array[:] = function.x.array
    second.load_state()
    bend(u, 1e-3)
    for points in (first, second):
        points.update(2.0, 1.0)
    assert abs(first.stress.x.array).max() > 1.0
    assert (first.stress.x.array == second.stress.x.array).all()


@pytest.mark.parametrize("value", [1e4, np.nan], ids=["absurd", "not a number"])
def test_failed_points_are_an_error_after_which_a_smaller_step_works(value):
    u = cube()
    points, other = (QuadratureMaterial(law("viscoplasticity", STEEL), u, 2) for _ in range(2))
    bend(u, 1.0)
    u.x.array[:] *= value
    with pytest.raises(ConvergenceError, match=r"failed at \d+ of 64 points in the step of 1 to"):
        points.update(1.0, 1.0)
    with pytest.raises(ModelError, match="it failed"):
        points.accept()
    bend(u, 2e-3)
    for some in (points, other):
        some.update(0.5, 0.5)
    assert np.isfinite(points.stress.x.array).all() and np.isfinite(points.tangent.x.array).all()
    assert (points.stress.x.array == other.stress.x.array).all()


def test_materials_share_a_mesh_by_tags():
    """The law on two halves is that on the whole; another law on one half is not."""
    u = cube()
    mesh = u.function_space.mesh
    cells = np.arange(8, dtype=np.int32)
    tags = meshtags(mesh, 3, cells, (cells % 2 + 1).astype(np.int32))
    v = ufl.TestFunction(u.function_space)

    def forces(*materials: QuadratureMaterial) -> np.ndarray:
        for points in materials:
            points.update(1.0, 1.0)
        return fem.petsc.assemble_vector(fem.form(sum(p.residual(v) for p in materials))).array

    halves = [QuadratureMaterial(law(), u, 2, subdomain=(tags, tag)) for tag in (1, 2)]
    bend(u, 4e-3)
    whole = forces(QuadratureMaterial(law(), u, 2))
    assert [half.n for half in halves] == [32, 32]
    assert abs(forces(*halves) - whole).max() < 1e-12 * abs(whole).max()
    mixed = law("viscoplasticity", STEEL)
    stiffer = [halves[0], QuadratureMaterial(mixed, u, 2, subdomain=(tags, 2))]
    assert abs(forces(*stiffer) - whole).max() > 1e-3 * abs(whole).max()


def test_fields_are_expressions_that_every_update_reads():
    mesh = create_unit_square(MPI.COMM_WORLD, 2, 2)
    u = fem.Function(fem.VectorFunctionSpace(mesh, ("Lagrange", 1)))
    x, rise = ufl.SpatialCoordinate(mesh), fem.Constant(mesh, 0.0)
    points = QuadratureMaterial(law("heated"), u, 2, fields={"temperature": 300.0 + rise * x[0]})
    points.update(1.0, 1.0)
    assert abs(points.stress.x.array).max() < 1e-9
    rise.value = 50.0
    points.update(1.0, 1.0)
    at = fem.Expression(x, points.x).eval(points.cells).reshape(-1, 2)[:, 0]
    pressure = -200e3 / (1 - 2 * 0.3) * 1e-5 * 50.0 * at
    stress = points.stress.x.array.reshape(-1, 6)
    assert np.allclose(stress[:, :3], pressure[:, None], rtol=1e-12, atol=1e-9)
    assert abs(stress[:, 3:]).max() < 1e-9


# --- what is refused --------------------------------------------------------------------------
def test_wrong_names_shapes_and_kinds_are_one_clear_error():
    u = cube(1)
    with pytest.raises(ModelError, match="has no field 'temprature'; did you mean 'temperature'"):
        QuadratureMaterial(law("heated"), u, 2, fields={"temprature": 300.0})
    with pytest.raises(ModelError, match="needs the field 'temperature'"):
        QuadratureMaterial(law("heated"), u, 2)
    with pytest.raises(ModelError, match=r"'temperature' must have shape \(\), got \(3,\)"):
        QuadratureMaterial(law("heated"), u, 2, fields={"temperature": u})
    with pytest.raises(ModelError, match=r"takes a strain of shape \(6,\), got \(3, 3\)"):
        QuadratureMaterial(law(), u, 2, strain=ufl.sym(ufl.grad(u)))
    points = QuadratureMaterial(law(), u, 2)
    with pytest.raises(ModelError, match="no update since"):
        points.accept()
    points.update(1.0, 1.0)
    with pytest.raises(ModelError, match="yield"):
        points.derivative({"yeild": torch.tensor(1.0)})
    other = QuadratureMaterial(law(), cube(1), 2)
    with pytest.raises(ModelError, match="other displacements than those of the problem"):
        QuadratureProblem([points, other], u)
    with pytest.raises(ModelError, match="set `time` and `dt`"):
        QuadratureProblem([points], u).form(u.vector)


def test_other_releases_of_dolfinx_are_refused(monkeypatch):
    monkeypatch.setattr(dolfinx, "__version__", "0.9.0")
    with pytest.raises(ImportError, match=r"needs DOLFINx 0\.5, this is 0\.9\.0"):
        importlib.reload(neml2fe_dolfinx)
