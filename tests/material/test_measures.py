"""Finite strain: stress measures, and small-strain laws by the logarithmic strain."""

from __future__ import annotations

import pytest
import torch
from differences import Case, assert_cotangents_of_parameters, assert_rates_and_cotangents
from differences import assert_tangent as assert_slope
from ladder import DECKS, close, f64, randn
from scipy.linalg import logm

import neml2fe
import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.implicit import Status
from neml2fe.material import (
    FirstPiolaKirchhoff,
    LogarithmicStrain,
    Material,
    PointMaterial,
    finite_strain,
)
from neml2fe.material.logarithm import Logarithm
from neml2fe.models import ComposedModel, Model
from neml2fe.types.mandel import from_matrix, to_matrix

MEASURES = pytest.mark.parametrize("measure", ["PK2", "KIRCHHOFF", "CAUCHY"])
LAWS = pytest.mark.parametrize("deck", ["perzyna_voce", "plasticity_radial_return_linear"])
ONE = torch.eye(3, dtype=torch.float64)


def neo_hookean(measure: str) -> Material:
    return Material(m.NeoHookean(bulk_modulus=500.0, shear_modulus=80.0, measure=measure))


def small(deck: str) -> Model:
    return neml2fe.load_model(DECKS / f"{deck}.i", "model")


def gradients(n: int, size: float = 0.1) -> torch.Tensor:
    return ONE + size * randn(n, 3, 3)


def after_steps(material: PointMaterial, f: torch.Tensor) -> Case:
    state = material.initial_state(len(f))
    for part in (0.4, 0.8):
        state = material.update(ONE + part * (f - ONE), state, 1.0, 0.05).state
    return f, state, {}


@MEASURES
def test_first_piola_kirchhoff_stress(measure: str) -> None:
    """As the model itself gives it, found from what the model says of its stress."""
    f, exact, material = gradients(4), neo_hookean("PK1"), finite_strain(neo_hookean(measure))
    assert isinstance(material, FirstPiolaKirchhoff) and material.measure == measure
    a, b = (x.update(f, {}, 1.0, 1.0) for x in (material, exact))
    assert close(a.stress, b.stress, 1e-13)
    assert a.tangent is not None and b.tangent is not None
    assert a.tangent.shape == (4, 3, 3, 3, 3) and close(a.tangent, b.tangent, 1e-12)
    assert finite_strain(exact) is exact


@MEASURES
def test_derivatives_of_measures(measure: str) -> None:
    material = finite_strain(neo_hookean(measure))
    case: Case = (gradients(3), {}, {})
    assert_slope(material, case, 0.1 * randn(3, 3, 3))
    assert_rates_and_cotangents(material, case, 0.1 * randn(3, 3, 3))


def test_the_measure_of_a_composed_model_is_found() -> None:
    """A crystal whose stress no stress measure computes must be named."""
    crystal = Material(small("crystal_multiplicative"), "F", "cauchy_stress")
    with pytest.raises(ModelError, match="nothing says what stress 'cauchy_stress'"):
        finite_strain(crystal)
    named = finite_strain(crystal, "CAUCHY")
    assert isinstance(named, FirstPiolaKirchhoff) and named.measure == "CAUCHY"
    assert named.stress_kind.__name__ == "R2" and named.stress == "pk1_stress"
    kirchhoff = m.KirchhoffStressMeasure(measure="CAUCHY")
    model = ComposedModel(
        models=[
            m.LogarithmicStrain(strain="E"),
            m.LinearIsotropicElasticity(
                coefficients=[2e5, 0.3],
                coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"],
                strain="E",
                stress="kirchhoff_stress",
            ),
            kirchhoff,
        ]
    )
    material = Material(model)
    assert (material.strain, material.stress) == ("F", "cauchy_stress")
    found = finite_strain(material)
    assert isinstance(found, FirstPiolaKirchhoff) and found.measure == "CAUCHY"


def test_wrong_measures_are_refused() -> None:
    with pytest.raises(ModelError, match="no stress measure 'CAUCHI'; did you mean 'CAUCHY'"):
        finite_strain(neo_hookean("CAUCHY"), "CAUCHI")
    with pytest.raises(ModelError, match="is a R2, which CAUCHY is not"):
        finite_strain(neo_hookean("PK1"), "CAUCHY")
    with pytest.raises(ModelError, match="gives first Piola-Kirchhoff stress already"):
        FirstPiolaKirchhoff(neo_hookean("PK1"))
    with pytest.raises(ModelError, match="driven by 'E', a SR2, and no deformation gradient"):
        FirstPiolaKirchhoff(Material(small("perzyna_voce")))
    with pytest.raises(ModelError, match="maps R2 to R2, and no SR2 to SR2"):
        LogarithmicStrain(neo_hookean("PK1"))


# -- the logarithmic strain -----------------------------------------------------------------


@LAWS
def test_logarithmic_strain_as_the_wrapped_model(deck: str) -> None:
    model = small(deck)
    mine, other = finite_strain(Material(model)), Material(m.LogarithmicStrainWrapper(model=model))
    assert other.stress == "pk1_stress"
    f = gradients(5)
    f[0], f[1] = ONE, torch.diag(f64([1.2, 1.2, 0.9]))  # repeated principal stretches
    a, b = (x.initial_state(5) for x in (mine, other))
    for k, now in enumerate((f, f @ gradients(5, 0.05)), start=1):
        p = mine.update(now, a, 0.1 * k, 0.1)
        q = other.update(now, b, 0.1 * k, 0.1)
        assert not p.status.any() and not q.status.any()
        assert close(p.stress, q.stress, 1e-10)
        assert p.tangent is not None and q.tangent is not None
        assert close(p.tangent, q.tangent, 1e-9)
        a, b = p.state, q.state
        assert all(close(a[n], b[n], 1e-10) for n in a)


@LAWS
def test_derivatives_at_finite_strain(deck: str) -> None:
    material = finite_strain(Material(small(deck)))
    case = after_steps(material, gradients(3))
    assert_slope(material, case, 0.1 * randn(3, 3, 3))
    assert_rates_and_cotangents(material, case, 0.1 * randn(3, 3, 3))


def test_cotangents_of_parameters() -> None:
    model = small("perzyna_voce")
    material = finite_strain(Material(model))
    case = after_steps(material, gradients(3))
    assert_cotangents_of_parameters(material, case, dict(model.named_parameters()))


def test_rotations_turn_the_stress_and_nothing_else() -> None:
    material = finite_strain(Material(small("perzyna_voce")))
    f, w = gradients(4), randn(4, 3, 3)
    q = torch.linalg.matrix_exp(w - w.mT)
    state = material.initial_state(4)
    a, b = (material.update(x, state, 1.0, 0.1) for x in (f, q @ f))
    assert close(q @ a.stress, b.stress, 1e-10)


def test_inverted_and_missing_deformations_fail_alone() -> None:
    material = finite_strain(Material(small("perzyna_voce")))
    f = gradients(4)
    good = material.update(f, material.initial_state(4), 1.0, 0.1)
    bad = f.clone()
    bad[1], bad[2, 0, 0] = -ONE, torch.nan
    result = material.update(bad, material.initial_state(4), 1.0, 0.1)
    assert result.failed.tolist() == [1, 2] and int(result.status[1]) == Status.NOT_FINITE
    assert torch.equal(result.stress[[0, 3]], good.stress[[0, 3]])
    assert result.tangent is not None and bool(result.tangent[[1, 2]].isnan().all())


def test_logarithm() -> None:
    f = gradients(3, 0.4)
    c = f.mT @ f
    expected = torch.stack([torch.from_numpy(logm(x.numpy())) for x in c])
    assert close(Logarithm.of(c).value, from_matrix(expected), 1e-12)


@pytest.mark.parametrize("ratio", [1.0, 1.0 + 1e-12, 1.0 + 1e-5, 1.4, 1.5, 10.0])
def test_derivatives_of_the_logarithm(ratio: float) -> None:
    """With eigenvalues that coincide, nearly so, or not at all: the integral of resolvents."""
    w = randn(3, 3)
    q = torch.linalg.matrix_exp(w - w.T)
    c = (q @ torch.diag(f64([1.0, ratio, ratio**2])) @ q.T)[None]
    h, t = randn(6), randn(6)
    nodes = 1.0 / (1.0 + torch.exp(-torch.linspace(-45.0, 45.0, 4001, dtype=torch.float64)))
    weights = nodes * (1.0 - nodes) * 90.0 / 4000.0  # of the trapezoidal rule in the exponent
    r = torch.linalg.inv(ONE + nodes[:, None, None] * (c - ONE))
    full_h, full_t = to_matrix(h), to_matrix(t)
    first = torch.einsum("q,qij->ij", weights, r @ full_h @ r)
    one_way = r @ full_h @ r @ full_t @ r
    second = torch.einsum("q,qij->ij", -nodes * weights, one_way + one_way.mT)
    found = Logarithm.of(c)
    assert close(found.slope[0] @ h, from_matrix(first), 1e-11)
    assert close(found.curvature(t[None])[0] @ h, from_matrix(second), 1e-11)
