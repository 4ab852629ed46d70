"""Plane stress against closed forms, mixed control and differences."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from differences import Case, assert_cotangents_of_parameters, assert_rates_and_cotangents
from differences import assert_tangent as assert_slope
from ladder import DECKS, close, f64, randn
from scipy.optimize import brentq

import neml2fe
import neml2fe.models as m
from neml2fe.drivers import MixedControlDriver
from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.implicit import Status
from neml2fe.kernels import recorded_kernels
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain
from neml2fe.models import Model
from neml2fe.types import SR2, Scalar

E, NU, K, G = 2e5, 0.3, 500.0, 80.0
PLANE, OUT = [0, 1, 5], [2, 3, 4]
STRAIN = f64([0.004, -0.001, 0.0, 0.0, 0.0, 0.003])
TRICLINIC = f64(
    [
        [250.0, 140.0, 120.0, 3.0, -6.0, 2.0],
        [140.0, 240.0, 130.0, 1.0, 4.0, -3.0],
        [120.0, 130.0, 230.0, -2.0, 5.0, 7.0],
        [3.0, 1.0, -2.0, 160.0, 2.0, 1.0],
        [-6.0, 4.0, 5.0, 2.0, 150.0, -4.0],
        [2.0, -3.0, 7.0, 1.0, -4.0, 140.0],
    ]
)


def of_deck(name: str, **options: str) -> Material:
    return Material(neml2fe.load_model(DECKS / f"{name}.i", "model"), **options)


def isotropic() -> Model:
    return m.LinearIsotropicElasticity(
        coefficients=[E, NU], coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"]
    )


def triclinic() -> Model:
    return m.GeneralElasticity(elastic_stiffness_tensor=TRICLINIC)


def upright(n: int) -> dict[str, torch.Tensor]:
    return {"orientation": torch.zeros(n, 3, dtype=torch.float64)}


def neo_hookean() -> Material:
    return Material(m.NeoHookean(bulk_modulus=K, shear_modulus=G))


def in_plane(n: int, size: float) -> torch.Tensor:
    strain = torch.zeros(n, 6, dtype=torch.float64)
    strain[:, PLANE] = size * randn(n, 3)
    return strain


def in_plane_gradient(n: int, size: float) -> torch.Tensor:
    f = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1)
    f[:, :2, :2] += size * randn(n, 2, 2)
    return f


def test_isotropic_elasticity() -> None:
    material = PlaneStress(Material(isotropic()))
    strain = in_plane(5, 1e-3)
    result = material.update(strain, material.initial_state(5), 1.0, 1.0)
    full = torch.zeros(6, 6, dtype=torch.float64)
    full[0, 0] = full[1, 1] = E / (1.0 - NU**2)
    full[0, 1] = full[1, 0] = NU * E / (1.0 - NU**2)
    full[5, 5] = E / (1.0 + NU)
    assert close(result.stress, strain @ full, 1e-13)
    assert result.tangent is not None and close(result.tangent, full.expand(5, 6, 6), 1e-13)
    z = result.state["out_of_plane_strain"]
    assert close(z[:, 0], -NU / (1.0 - NU) * (strain[:, 0] + strain[:, 1]), 1e-13)
    assert not z[:, 1:].any() and not result.status.any()


def test_anisotropic_elasticity_shears_out_of_the_plane() -> None:
    """The stiffness in plane stress is the inverse of the in-plane compliance."""
    material = PlaneStress(Material(triclinic()))
    strain = in_plane(4, 1e-3)
    result = material.update(strain, material.initial_state(4), 1.0, 1.0, upright(4))
    stiffness = torch.linalg.inv(torch.linalg.inv(TRICLINIC)[PLANE][:, PLANE])
    assert close(result.stress[:, PLANE], strain[:, PLANE] @ stiffness, 1e-12)
    assert result.tangent is not None
    assert close(result.tangent[:, PLANE][:, :, PLANE], stiffness.expand(4, 3, 3), 1e-12)
    assert not result.stress[:, OUT].any() and not result.tangent[:, OUT].any()
    assert not result.tangent[:, :, OUT].any()
    full = strain.clone()
    full[:, OUT] = result.state["out_of_plane_strain"]
    assert bool((full[:, 3:5].abs() > 1e-6).all())
    assert float((full @ TRICLINIC)[:, OUT].abs().max()) < 1e-13


def test_plasticity_as_under_mixed_control() -> None:
    """A turning path of the strain in the plane, well into the plastic range."""
    model = neml2fe.load_model(DECKS / "plasticity_radial_return_linear.i", "model")
    material, steps, dt = PlaneStress(Material(model)), 4, 0.05
    factor = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)[:, None]
    way = torch.cos(3.0 * factor) * STRAIN + torch.sin(3.0 * factor) * STRAIN.flip(0)
    path = factor * way
    path[:, OUT] = 0.0
    times = dt * torch.arange(steps + 1, dtype=torch.float64)
    driver = MixedControlDriver(
        model,
        Scalar(times),
        control=["strain" if k in PLANE else "stress" for k in range(6)],
        prescribed_strain=SR2(path),
        strain="E",
    )
    expected = driver.run()
    state = material.initial_state(1)
    for k in range(1, steps + 1):
        result = material.update(path[k : k + 1], state, float(times[k]), dt)
        assert not result.status.any()
        state = result.state
        stress = expected.outputs[k]["stress"].data.reshape(6)
        assert close(result.stress[0], stress, 1e-7)
    assert float(state["equivalent_plastic_strain"]) > 1e-3


def principal_stress(stretches: list[float], i: int) -> float:
    """Of W = G/2 (I1 J^(-2/3) - 3) + K/4 (J^2 - 1 - 2 ln J)."""
    j = stretches[0] * stretches[1] * stretches[2]
    first = sum(x * x for x in stretches)
    isochoric = G * j ** (-2.0 / 3.0) * (stretches[i] - first / (3.0 * stretches[i]))
    return isochoric + 0.5 * K * (j * j - 1.0) / stretches[i]


@pytest.mark.parametrize("pair", [(1.5, 1.5), (2.0, 0.8), (0.7, 1.0), (3.0, 3.0)])
def test_neo_hookean_sheet(pair: tuple[float, float]) -> None:
    """Stretched, then turned in its plane, from an undeformed start in one step."""
    material = PlaneStress(neo_hookean())
    turn = torch.linalg.matrix_exp(0.7 * f64([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0] * 3]))
    f = (turn @ torch.diag(f64([*pair, 1.0])))[None]
    result = material.update(f, material.initial_state(1), 1.0, 1.0)
    third = brentq(lambda x: principal_stress([*pair, x], 2), 0.05, 3.0, xtol=1e-15)
    assert close(result.state["out_of_plane_strain"], f64([[0.0, 0.0, third]]), 1e-12)
    expected = torch.diag(f64([principal_stress([*pair, third], i) for i in (0, 1)] + [0.0]))
    assert not result.status.any() and close(result.stress[0], turn @ expected, 1e-10)


def test_free_faces_of_an_anisotropic_sheet_at_finite_strain() -> None:
    """P e_3 = 0 by a normal that tilts, and with it e_3 P = 0."""
    inner = finite_strain(Material(triclinic()))
    material, f = PlaneStress(inner), in_plane_gradient(3, 0.1)
    result = material.update(f, material.initial_state(3), 1.0, 1.0, upright(3))
    assert not result.status.any()
    full = f.clone()
    full[:, :, 2] = result.state["out_of_plane_strain"]
    assert bool((full[:, :2, 2].abs() > 1e-5).all())
    stress = inner.update(full, inner.initial_state(3), 1.0, 1.0, upright(3)).stress
    assert close(stress[:, :2, :2], result.stress[:, :2, :2], 1e-14)
    size = float(stress.abs().max())
    assert float(stress[:, :, 2].abs().max()) < 1e-10 * size
    assert float(stress[:, 2, :].abs().max()) < 1e-10 * size


def after_steps(material: PointMaterial, strain: torch.Tensor, base: torch.Tensor) -> Case:
    """With the state after two steps of it."""
    n = len(strain)
    fields = {name: 300.0 + 100.0 * torch.rand(n).double() for name in material.field_spec}
    state = material.initial_state(n)
    for part in (0.4, 0.8):
        now = base + part * (strain - base)
        state = material.update(now, state, 1.0, 0.05, fields, tangent=False).state
    return strain, state, fields


def small(name: str, **options: str) -> tuple[PointMaterial, Case, torch.Tensor]:
    material = PlaneStress(of_deck(name, **options), rel_tol=1e-13, abs_tol=1e-15)
    strain = f64([0.9, 1.0, 1.1])[:, None] * STRAIN
    return material, after_steps(material, strain, 0.0 * strain), 0.05 * in_plane(3, 4e-3)


def finite(inner: PointMaterial) -> tuple[PointMaterial, Case, torch.Tensor]:
    material, f = PlaneStress(inner, rel_tol=1e-13, abs_tol=1e-15), in_plane_gradient(3, 0.05)
    one = torch.eye(3, dtype=torch.float64)
    return material, after_steps(material, f, one), 0.05 * (in_plane_gradient(3, 0.1) - one)


CASES: dict[str, Callable[[], tuple[PointMaterial, Case, torch.Tensor]]] = {
    "radial return": lambda: small("plasticity_radial_return_linear"),
    "viscoplastic, compiled": lambda: small("temperature", backend="kernel"),
    "neo-Hookean": lambda: finite(neo_hookean()),
    "Kirchhoff": lambda: finite(
        finite_strain(Material(m.NeoHookean(bulk_modulus=K, shear_modulus=G, measure="KIRCHHOFF")))
    ),
    "logarithmic": lambda: finite(finite_strain(of_deck("plasticity_radial_return_linear"))),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_derivatives(name: str) -> None:
    material, case, way = CASES[name]()
    assert_slope(material, case, way)
    assert_rates_and_cotangents(material, case, way)


def test_cotangents_of_parameters() -> None:
    material, case, _ = small("plasticity_radial_return_linear")
    assert isinstance(material, PlaneStress) and isinstance(material.material, Material)
    parameters = dict(material.material.model.named_parameters())
    assert_cotangents_of_parameters(material, case, parameters)


def test_points_that_fail_disturb_no_other() -> None:
    material = PlaneStress(of_deck("perzyna_voce"))
    strain, state, _ = after_steps(material, STRAIN.repeat(4, 1), torch.zeros(4, 6).double())
    good = material.update(strain, state, 1.0, 0.05)
    bad = strain.clone()
    bad[2, 0] = torch.nan
    result = material.update(bad, state, 1.0, 0.05)
    assert result.failed.tolist() == [2] and int(result.status[2]) == Status.NOT_FINITE
    keep = [0, 1, 3]
    assert result.tangent is not None and good.tangent is not None
    assert torch.equal(result.stress[keep], good.stress[keep])
    assert torch.equal(result.tangent[keep], good.tangent[keep])
    assert bool(result.stress[2].isnan().all()) and bool(result.tangent[2].isnan().all())
    assert all(bool(v[2].isnan().all()) for v in result.state.values())
    with pytest.raises(ConvergenceError, match=re.escape("at 1 of 4 points (first: point 2")):
        material.vjp(bad, state, 1.0, 0.05, torch.ones_like(bad))
    few = PlaneStress(of_deck("perzyna_voce"), max_its=1)
    limited = few.update(5.0 * strain, state, 1.0, 0.05)
    assert limited.status.tolist() == [Status.ITERATION_LIMIT] * 4
    assert bool(limited.stress.isnan().all())


def test_kernels_serve_to_the_last_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elastic points end at once; the few plastic ones stay with the kernel."""
    n = 300
    fast, slow = (PlaneStress(of_deck("perzyna_voce", backend=b)) for b in ("auto", "eager"))
    strain = in_plane(n, 1e-4)
    strain[::50] = STRAIN
    state = fast.initial_state(n)
    expected = slow.update(strain, state, 1.0, 0.05)

    def refuse(*_: object) -> None:
        raise AssertionError("eager")

    assert isinstance(fast.material, Material)
    monkeypatch.setattr(fast.material.composed, "update", refuse)
    with recorded_kernels() as kernels:
        result = fast.update(strain, state, 1.0, 0.05)
    assert len(kernels) == 1 and not result.status.any()
    assert int(result.iterations.min()) < int(result.iterations.max())
    assert close(result.stress, expected.stress, 1e-9)
    assert result.tangent is not None and expected.tangent is not None
    assert close(result.tangent, expected.tangent, 1e-8)
    assert all(close(result.state[k], v, 1e-8) for k, v in expected.state.items())


def test_no_points_at_all() -> None:
    material = PlaneStress(of_deck("perzyna_voce"))
    result = material.update(torch.zeros(0, 6).double(), material.initial_state(0), 1.0, 1.0)
    assert result.stress.shape == (0, 6)
    assert result.tangent is not None and result.tangent.shape == (0, 6, 6)


def test_wrong_use_ends_with_one_clear_message() -> None:
    cauchy = Material(m.NeoHookean(bulk_modulus=K, shear_modulus=G, measure="CAUCHY"))
    with pytest.raises(ModelError, match=r"maps R2 to SR2; .* \(see finite_strain\)"):
        PlaneStress(cauchy)
    with pytest.raises(ModelError, match="has a state 'out_of_plane_strain' already"):
        PlaneStress(PlaneStress(Material(isotropic())))
    material = PlaneStress(Material(isotropic()))
    with pytest.raises(ModelError, match=re.escape("must have shape (2, 3), got nothing")):
        material.update(torch.zeros(2, 6).double(), {}, 1.0, 1.0)
    with pytest.raises(ModelError, match=re.escape("must have shape (n, 6), got (2, 3, 3)")):
        material.update(torch.zeros(2, 3, 3).double(), material.initial_state(2), 1.0, 1.0)
