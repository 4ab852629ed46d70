"""The binding in scikit-fem itself, against neml2fe's own solver and against differences."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("skfem", reason="scikit-fem is not installed: make bindings-test")

import skfem
import torch
from neml2fe_skfem import MaterialPoints, internal_forces, stiffness

from neml2fe import load_model
from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("skfem_binding_example", HERE / "example.py")
example = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)

SIZE = (3, 4)  # elements, points of each
FORMULATIONS = pytest.mark.parametrize(
    "formulation", ["three_dimensional", "plane_strain", "plane_stress"]
)
KINEMATICS = pytest.mark.parametrize("kinematics", ["small", "finite"])


def law(name: str = "steel", kinematics: str = "small") -> PointMaterial:
    material = Material(load_model(HERE / "laws.i", name), backend="kernel")
    return finite_strain(material) if kinematics == "finite" else material


def points_of(formulation: str, kinematics: str = "small") -> MaterialPoints:
    material = law(kinematics=kinematics)
    if formulation == "plane_stress":
        material = PlaneStress(material, rel_tol=1e-13, abs_tol=1e-15)
    return MaterialPoints(material, SIZE, formulation)


def motion(d: int, size: float = 4e-3, seed: int = 0) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal((d, d, *SIZE))


def dim(formulation: str) -> int:
    return 3 if formulation == "three_dimensional" else 2


@pytest.mark.parametrize(
    ("formulation", "kinematics"),
    [
        ("three_dimensional", "small"),
        ("plane_strain", "finite"),
        ("plane_stress", "small"),
        pytest.param("three_dimensional", "finite", marks=pytest.mark.slow),
        pytest.param("plane_stress", "finite", marks=pytest.mark.slow),
    ],
)
def test_a_load_cycle_is_that_of_our_solver(formulation: str, kinematics: str) -> None:
    x, y = np.linspace(0, 20, 4), np.linspace(0, 10, 3)
    mesh = skfem.MeshQuad.init_tensor(x, y)
    if formulation == "three_dimensional":
        mesh = skfem.MeshHex.init_tensor(x, y, np.array([0.0, 5.0]))
    material = law(kinematics=kinematics)
    found = example.with_skfem(material, formulation, mesh, pull=0.06)
    expected = example.with_neml2fe(law(), formulation, mesh, 0.06, kinematics=kinematics)
    assert max(example.differences(found, expected)) < 1e-9
    elastic = example.PATH[3] * found[1][0] / example.PATH[0]
    assert abs(found[1][3] - elastic).max() > 0.1 * abs(elastic).max()  # it did yield


@FORMULATIONS
@KINEMATICS
def test_the_tangent_is_the_derivative(formulation: str, kinematics: str) -> None:
    points, d = points_of(formulation, kinematics), dim(formulation)
    points.update(motion(d), 1.0, 1.0)
    points.accept()
    h, rate, step = motion(d, seed=1), motion(d, 1.0, seed=2), 1e-7
    tangent = points.update(h, 2.0, 1.0)[1]
    after, before = (points.update(h + s * rate, 2.0, 1.0)[0] for s in (step, -step))
    expected = (after - before) / (2 * step)
    found = np.einsum("ijkl...,kl...->ij...", tangent, rate)
    assert abs(found - expected).max() < 1e-6 * abs(expected).max()


@FORMULATIONS
@KINEMATICS
def test_cotangents_are_the_derivatives(formulation: str, kinematics: str) -> None:
    points, d = points_of(formulation, kinematics), dim(formulation)
    for name, value in points.parameters.items():
        value.requires_grad_(name.endswith(".sy"))
    (yield_stress,) = (p for p in points.parameters.values() if p.requires_grad)
    points.update(motion(d), 1.0, 1.0)
    points.accept()
    h, bar = motion(d, seed=1), motion(d, 1.0, seed=3)
    tangent = points.update(h, 2.0, 1.0)[1]
    found = points.pull_back(bar)
    expected = np.einsum("ij...,ijkl...->kl...", bar, tangent)
    assert abs(found.gradient - expected).max() < 1e-9 * abs(expected).max()

    def weighted(change: float) -> float:
        with torch.no_grad():
            yield_stress.add_(change)
        stress = points.update(h, 2.0, 1.0)[0]
        with torch.no_grad():
            yield_stress.sub_(change)
        return float((bar * stress).sum())

    slope = (weighted(1e-3) - weighted(-1e-3)) / 2e-3
    (by_yield_stress,) = found.parameters.values()
    assert float(by_yield_stress) == pytest.approx(slope, rel=1e-5)


def test_an_adjoint_of_two_steps() -> None:
    h, bar, rate = motion(2), motion(2, 1.0, seed=3), motion(2, seed=6)

    def second(t: float) -> tuple[MaterialPoints, MaterialPoints, float]:
        points = points_of("plane_strain")
        points.update(h + t * rate, 1.0, 1.0)
        first = copy.copy(points)
        points.accept()
        return first, points, float((bar * points.update(0.5 * h, 2.0, 1.0)[0]).sum())

    first, points, _ = second(0.0)
    by_state = points.pull_back(bar).state
    found = first.pull_back(np.zeros_like(bar), by_state).gradient
    step = 1e-5
    expected = (second(step)[2] - second(-step)[2]) / (2 * step)
    assert float((found * rate).sum()) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ModelError, match="no state 'plastic_strai'; did you mean 'plastic_strain'"):
        points.pull_back(bar, {"plastic_strai": 0.0})


def test_nothing_changes_until_accepted() -> None:
    points = points_of("plane_strain")
    first, tangent = points.update(motion(2), 1.0, 1.0)
    points.update(motion(2, seed=5), 1.0, 1.0)
    again, once_more = points.update(motion(2), 1.0, 1.0)
    assert np.array_equal(first, again) and np.array_equal(tangent, once_more)
    assert not points.state["equivalent_plastic_strain"].any()
    points.accept()
    assert points.state["equivalent_plastic_strain"].shape == SIZE
    assert points.state["plastic_strain"].shape == (6, *SIZE)
    assert points.state["equivalent_plastic_strain"].any()
    assert points.update(np.zeros((2, 2, *SIZE)), 2.0, 1.0)[0].any()


def test_points_that_fail_are_named_and_a_smaller_step_goes_on() -> None:
    points = MaterialPoints(law("rubber"), SIZE)
    h = motion(3)
    torn = h.copy()
    torn[:, :, 1, 2] = np.nan
    with pytest.raises(ConvergenceError, match=r"1 of 12 points \(first: element 1, point 2\)"):
        points.update(torn, 1.0, 1.0)
    with pytest.raises(ModelError, match="no successful update"):
        points.accept()
    points.update(h, 0.5, 0.5)
    points.accept()


def test_rates_count() -> None:
    slow, fast = (
        MaterialPoints(law("viscous_steel"), SIZE).update(motion(3), dt, dt)[0]
        for dt in (100.0, 0.01)
    )
    assert abs(fast[0, 1]).max() > 1.1 * abs(slow[0, 1]).max()


def test_fields() -> None:
    temperature = np.broadcast_to(300.0 + 10 * np.arange(SIZE[1]), SIZE)
    points = MaterialPoints(law("heated"), SIZE, fields={"temperature": 300.0})
    zero = np.zeros((3, 3, *SIZE))
    assert not points.update(zero, 1.0, 1.0)[0].any()
    stress = points.update(zero, 1.0, 1.0, {"temperature": temperature})[0]
    expected = -2e5 / (1 - 0.6) * 1e-5 * (temperature - 300.0)  # E / (1 - 2 nu) times the strain
    assert np.allclose(stress[0, 0], expected) and np.allclose(stress[0, 1], 0.0)
    with pytest.raises(ModelError, match="no field 'temperatur'; did you mean 'temperature'"):
        points.update(zero, 1.0, 1.0, {"temperature": 300.0, "temperatur": 300.0})
    with pytest.raises(ModelError, match=r"field 'temperature' must have shape"):
        points.update(zero, 1.0, 1.0, {"temperature": np.zeros(5)})
    with pytest.raises(ModelError, match="needs a value of field 'temperature'"):
        MaterialPoints(law("heated"), SIZE)


def test_forms_of_a_stretched_square() -> None:
    basis = skfem.Basis(skfem.MeshQuad(), skfem.ElementVector(skfem.ElementQuad1()), intorder=2)
    points = MaterialPoints(law(), basis, "plane_strain")
    u = 1e-4 * basis.doflocs[0] * (np.arange(basis.N) % 2 == 0)
    gradient = skfem.helpers.grad(basis.interpolate(u))
    stress, tangent = points.update(gradient, 1.0, 1.0)
    f = internal_forces.assemble(basis, stress=stress)
    assert np.allclose(stiffness.assemble(basis, tangent=tangent) @ u, f)  # it is elastic
    right = basis.nodal_dofs[0, basis.mesh.p[0] == 1.0]
    assert f[right].sum() == pytest.approx(1e-4 * 2e5 * 0.7 / (1.3 * 0.4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: points_of("plane"), "no formulation 'plane'"),
        (lambda: MaterialPoints(law(), skfem.Basis(skfem.MeshQuad(), skfem.ElementQuad1())),
         "'three_dimensional' has 3 dimensions, the mesh of the basis 2; say 'plane_strain'"),
        (lambda: points_of("three_dimensional").update(motion(2), 1.0, 1.0),
         r"got \(2, 2, 3, 4\); in two dimensions say which: 'plane_strain' or 'plane_stress'"),
        (lambda: points_of("plane_strain").update(motion(3), 1.0, 1.0), r"\(2, 2, 3, 4\)"),
        (lambda: points_of("plane_strain").update(motion(2)[..., :3], 1.0, 1.0), r"\(2, 2, 3, 3\)"),
        (lambda: points_of("plane_strain").update(motion(2)[0], 1.0, 1.0), "skfem.helpers.grad"),
        (lambda: points_of("plane_strain").update(motion(2), 1.0, 0.0), "must go forward"),
        (lambda: MaterialPoints(PlaneStress(law()), SIZE), "PlaneStress material is no"),
        (lambda: points_of("plane_strain").pull_back(motion(2)), "no successful update"),
    ],
)  # fmt: skip
def test_bad_input(call: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        call()


def test_the_example_prints_a_small_difference(capsys: pytest.CaptureFixture[str]) -> None:
    example.main()
    assert "largest difference: displacements" in capsys.readouterr().out
