"""Elasticity, plasticity, kinematics and annealing leaves against closed forms."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from ladder import assert_v, close, f64, randn, rotation
from rungs_elasticity import CUBIC, STIFFNESS
from rungs_plasticity import ACTIVATION, DIAGRAM, REFERENCE_RATE, diagram

import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.models import value_and_jacobian
from neml2fe.models.solid_mechanics.elasticity import SYMBOLS
from neml2fe.types import MRP, R2, SR2, SSR4, Scalar, rotate

# -- elasticity -----------------------------------------------------------------------------

BULK, SHEAR = 1.6e5, 8e4
MODULI = {
    "YOUNGS_MODULUS": 9.0 * BULK * SHEAR / (3.0 * BULK + SHEAR),
    "POISSONS_RATIO": (3.0 * BULK - 2.0 * SHEAR) / (2.0 * (3.0 * BULK + SHEAR)),
    "BULK_MODULUS": BULK,
    "SHEAR_MODULUS": SHEAR,
    "LAME_LAMBDA": BULK - 2.0 / 3.0 * SHEAR,
    "P_WAVE_MODULUS": BULK + 4.0 / 3.0 * SHEAR,
}
PAIRS = [pair for a, b in combinations(SYMBOLS, 2) for pair in ((a, b), (b, a))]
each_pair = pytest.mark.parametrize("pair", PAIRS, ids="-".join)


def given(*kinds: str) -> dict[str, list]:
    return {"coefficients": [MODULI[k] for k in kinds], "coefficient_types": list(kinds)}


def isotropic(strain: torch.Tensor) -> torch.Tensor:
    one = f64([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    trace = strain[..., :3].sum(-1, keepdim=True)
    return (BULK - 2.0 / 3.0 * SHEAR) * trace * one + 2.0 * SHEAR * strain


@each_pair
def test_every_pair_of_moduli_gives_the_same_law(pair: tuple[str, str]) -> None:
    strain = 1e-3 * randn(4, 6)
    stress = isotropic(strain)
    assert close(m.LinearIsotropicElasticity(**given(*pair))(strain).data, stress, 1e-13)
    inverse = m.LinearIsotropicElasticity(**given(*pair), compliance=True)
    assert close(inverse(stress).data, strain, 1e-13)
    stiffness = m.IsotropicElasticityTensor(**given(*pair), label="steel")
    assert list(stiffness.output_spec) == ["steel"]
    assert close((stiffness() @ SR2(strain)).data, stress, 1e-13)
    update = m.LinearIsotropicElasticJ2TrialStressUpdate(**given(*pair))
    assert close(
        update(f64(300.0), f64(0.004), f64(0.003)).data, f64(300.0 - 3.0 * SHEAR * 1e-3), 1e-13
    )


@pytest.mark.parametrize("pair", [p for p in PAIRS if "SHEAR_MODULUS" not in p], ids="-".join)
def test_cubic_stiffness_from_every_pair(pair: tuple[str, str]) -> None:
    kinds = {"SHEAR_MODULUS": 5e4, **{k: MODULI[k] for k in pair}}
    model = m.CubicElasticityTensor(
        coefficients=list(kinds.values()), coefficient_types=list(kinds), label="crystal"
    )
    expected = torch.diag(f64([2.0 * SHEAR] * 3 + [2.0 * 5e4] * 3))
    expected[:3, :3] += BULK - 2.0 / 3.0 * SHEAR
    assert list(model.output_spec) == ["crystal"] and close(model().data, expected, 1e-13)


def test_cubic_stiffness_with_the_shear_modulus_of_the_pair_is_isotropic() -> None:
    cubic = m.CubicElasticityTensor(**given(*CUBIC))()
    assert close(cubic.data, m.IsotropicElasticityTensor(**given(*CUBIC[1:]))().data)
    assert close(rotate(cubic, rotation()).data, cubic.data)


def test_general_elasticity_turns_with_the_crystal() -> None:
    model = m.GeneralElasticity(elastic_stiffness_tensor=STIFFNESS)
    strain, orientation, turn = SR2(1e-3 * randn(5, 6)), rotation(5), rotation(5)
    stress = model(strain, orientation)
    plain = SR2((STIFFNESS @ rotate(strain, orientation.inverse()).data[..., None])[..., 0])
    assert close(stress.data, rotate(plain, orientation).data, 1e-13)
    moved = model(rotate(strain, turn), turn @ orientation)
    assert close(moved.data, rotate(stress, turn).data, 1e-13)


def test_general_compliance_and_rate_form() -> None:
    stress, orientation = SR2(randn(5, 6)), rotation(5)
    fields = {"elastic_stiffness_tensor": STIFFNESS, "strain": "E", "rate_form": True}
    direct = m.GeneralElasticity(**fields)
    inverse = m.GeneralElasticity(**fields, compliance=True)
    assert list(direct.input_spec) == ["E_rate", "orientation"]
    assert list(inverse.input_spec) == ["stress_rate", "orientation"]
    assert list(inverse.output_spec) == ["E_rate"]
    assert close(direct(inverse(stress, orientation), orientation).data, stress.data, 1e-12)


def test_stiffness_may_be_a_model_of_the_temperature() -> None:
    shear = m.ScalarLinearCombination(from_=["T"], to="mu", weights=[-25.0], offset=7.5e4)
    cubic = m.CubicElasticityTensor(coefficients=[shear, 1.3e5, 0.36], coefficient_types=CUBIC)
    model = m.GeneralElasticity(elastic_stiffness_tensor=cubic)
    assert list(model.input_spec) == ["strain", "orientation", "T"]
    inputs = {"strain": 1e-3 * randn(3, 6), "orientation": rotation(3).data}

    def stress(temperature: torch.Tensor) -> torch.Tensor:
        return model.evaluate({**inputs, "T": temperature})["stress"].data

    start = f64([20.0, 300.0, 700.0])
    _, jacobian = value_and_jacobian(model, {**inputs, "T": start})
    assert_v(lambda h: stress(start + 100.0 * h), 100.0 * jacobian["stress"]["T"], exact=True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: m.IsotropicElasticityTensor(**given("YOUNGS_MODULUS")), "two values"),
        (lambda: m.IsotropicElasticityTensor(**given(*CUBIC)), "two values"),
        (lambda: m.CubicElasticityTensor(**given(*CUBIC[:2])), "three values"),
        (
            lambda: m.CubicElasticityTensor(
                **given("BULK_MODULUS", "YOUNGS_MODULUS", "POISSONS_RATIO")
            ),
            "needs the SHEAR_MODULUS",
        ),
        (
            lambda: m.IsotropicElasticityTensor(
                coefficients=[2e5, 0.5], coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"]
            ),
            "bulk modulus inf",
        ),
        (
            lambda: m.KocksMeckingRateSensitivity(shear_modulus=1.0, A=-1.0, k=0.0, b=1.0),
            "'k' is 0.0",
        ),
    ],
)
def test_wrong_constants_are_refused(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelError, match=words):
        make()


# -- flow and hardening -----------------------------------------------------------------------


def test_j2_direction_is_the_derivative_of_the_von_mises_stress() -> None:
    stress = 100.0 * randn(6, 6)
    vonmises = m.SR2Invariant(invariant_type="VONMISES", tensor="a", invariant="s")
    _, jacobian = value_and_jacobian(vonmises, {"a": stress})
    assert close(m.AssociativeJ2FlowDirection()(stress).data, jacobian["s"]["a"], 1e-13)


def test_slope_saturation_is_the_rate_of_voce_hardening() -> None:
    voce = m.VoceIsotropicHardening(saturated_hardening=90.0, saturation_rate=12.0)
    rate = m.SlopeSaturationVoceIsotropicHardening(
        saturated_hardening=90.0, initial_hardening_rate=90.0 * 12.0, isotropic_hardening="h"
    )
    assert list(rate.output_spec) == ["h_rate"]
    ep = f64([0.0, 0.01, 0.2])
    values, jacobian = value_and_jacobian(voce, {"equivalent_plastic_strain": ep})
    h, slope = values["isotropic_hardening"], jacobian["isotropic_hardening"]
    assert close(rate(f64(0.7), h).data, 0.7 * slope["equivalent_plastic_strain"], 1e-14)


def test_softening_starts_with_the_given_slope_too() -> None:
    model = m.SlopeSaturationVoceIsotropicHardening(
        saturated_hardening=-40.0, initial_hardening_rate=500.0
    )
    assert (
        float(model(f64(2.0), f64(0.0)).data) == -1000.0
        and float(model(f64(2.0), f64(-40.0)).data) == 0.0
    )


def test_recovery_follows_the_power_law() -> None:
    isotropic_law = m.PowerLawIsotropicHardeningStaticRecovery(tau=200.0, n=3.0)
    assert close(isotropic_law(f64([-60.0, 60.0])).data, f64([0.027, -0.027]), 1e-14)
    kinematic_law = m.PowerLawKinematicHardeningStaticRecovery(tau=200.0, n=3.0, back_stress="X")
    x = f64([[60.0, 0.0, -80.0, 0.0, 0.0, 0.0]])
    assert list(kinematic_law.output_spec) == ["X_rate"]
    assert close(kinematic_law(x).data, -0.25 * x / 200.0, 1e-14)


@pytest.mark.parametrize(("n", "slope"), [(1.0, -1.0 / 200.0), (1.5, 0.0), (2.0, 0.0), (4.0, 0.0)])
def test_recovery_has_the_right_derivative_at_zero(n: float, slope: float) -> None:
    laws = [
        (m.PowerLawIsotropicHardeningStaticRecovery, {}, torch.zeros(2)),
        (m.PowerLawKinematicHardeningStaticRecovery, {}, torch.zeros(2, 6)),
        (m.ChabochePlasticHardening, {"C": 0.0, "g": 0.0}, torch.zeros(2, 6)),
    ]
    for law, fields, zero in laws:
        power = {"A": 1.0 / 200.0, "a": n} if law is m.ChabochePlasticHardening else {}
        model = law(**fields, **(power or {"tau": 200.0, "n": n}))
        name = next(iter({"isotropic_hardening", "back_stress"} & set(model.input_spec)))
        inputs = {v: torch.zeros(2, *t.BASE_SHAPE).double() for v, t in model.input_spec.items()}
        _, jacobian = value_and_jacobian(model, {**inputs, name: zero.double()})
        size = zero[0].numel()
        block = jacobian[next(iter(model.output_spec))][name].reshape(2, size, size)
        assert torch.equal(block, slope * torch.eye(size).double().expand(2, size, size))


@pytest.mark.parametrize(
    ("temperature", "stage"), [(599.9, 0), (600.0, 1), (899.9, 1), (900.0, 2), (1500.0, 2)]
)
def test_annealing_stages(temperature: float, stage: int) -> None:
    fields = {"T1": 600.0, "T2": 900.0, "tau": 25.0}
    for cls, rate, h in (
        (m.ScalarTwoStageThermalAnnealing, f64([3.0, -2.0]), f64([40.0, 10.0])),
        (m.SR2TwoStageThermalAnnealing, randn(2, 6), randn(2, 6)),
    ):
        expected = (rate, 0.0 * rate, -h / 25.0)[stage]
        assert close(cls(**fields)(rate, h, f64(temperature)).data, expected, 1e-15)


# -- Kocks-Mecking and porous plasticity --------------------------------------------------------


def test_kocks_mecking_flow_lies_on_the_diagram() -> None:
    """eta (rate)^(1/n) = mu exp(B + A g), which at g = g0 is the yield stress."""
    temperature, rate = f64([300.0, 600.0, 900.0])[:, None], f64([1e-5, 1e-2, 10.0])
    arguments = {**ACTIVATION, "eps0": REFERENCE_RATE}
    g = m.KocksMeckingActivationEnergy(**arguments)(temperature, rate).data
    assert g.shape == (3, 3)
    eta = m.KocksMeckingFlowViscosity(**arguments, **diagram("A", "B"), label="eta")
    n = m.KocksMeckingRateSensitivity(**ACTIVATION, **diagram("A"))
    assert list(eta.output_spec) == ["eta"]
    strength = eta(temperature).data * rate ** (1.0 / n(temperature).data)
    mu = ACTIVATION["shear_modulus"]
    assert close(strength, mu * torch.exp(DIAGRAM["B"] + DIAGRAM["A"] * g), 1e-13)
    g0 = float(m.KocksMeckingIntercept(**DIAGRAM)().data)
    plateau = m.KocksMeckingYieldStress(shear_modulus=mu, **diagram("C"))()
    assert close(plateau.data, f64(mu * math.exp(DIAGRAM["B"] + DIAGRAM["A"] * g0)), 1e-14)


def test_kocks_mecking_switch_chooses_the_flow() -> None:
    model = m.KocksMeckingFlowSwitch(g0=0.3, sharpness=1e3)
    energy = f64([0.1, 0.3, 0.5, math.inf])
    assert close(model(energy, f64(2.0), f64(6.0)).data, f64([2.0, 4.0, 6.0, 6.0]), 1e-15)


def test_gtn_without_voids_is_von_mises() -> None:
    fields = {"yield_stress": 100.0, "q1": 1.5, "q2": 1.0, "q3": 2.25}
    hardened = m.GTNYieldFunction(**fields, isotropic_hardening="h")
    assert list(hardened.input_spec)[3] == "h"
    assert close(hardened(*f64([60.0, 500.0, 0.0, 20.0])).data, f64(0.25 - 1.0), 1e-15)
    plain = m.GTNYieldFunction(**fields)
    assert close(plain(*f64([60.0, 500.0, 0.0])).data, f64(0.36 - 1.0), 1e-15)
    # Under pure pressure voids of fraction phi yield at p = 2/3 sy ln(1/(q1 phi)), p = trace / 3.
    trace = 2.0 * 100.0 * math.log(1.0 / (1.5 * 0.05))
    for sign in (-1.0, 1.0):
        assert abs(float(plain(f64(0.0), f64(sign * trace), f64(0.05)).data)) < 1e-14


def test_voids_grow_and_sinter() -> None:
    rate = f64([0.02, -0.005, 0.005, 0.3, 0.0, 0.1])
    assert close(m.GursonCavitation()(rate, f64(0.25)).data, f64(0.75 * 0.02), 1e-15)
    sintering = m.OlevskySinteringStress(surface_tension=1.2, particle_radius=0.03)
    assert close(sintering(f64(0.5)).data, f64(30.0), 1e-15)


# -- kinematics -----------------------------------------------------------------------------------


def test_a_rotation_has_no_green_lagrange_strain() -> None:
    strain = m.GreenLagrangeStrain()
    assert float(strain(rotation(4).to_r2()).data.abs().max()) < 1e-15
    stretch = R2(torch.diag(f64([1.1, 1.0, 0.9])))
    turned = MRP(f64([0.1, 0.2, -0.3])).to_r2() @ stretch
    assert close(strain(turned).data, f64([0.105, 0.0, -0.095, 0.0, 0.0, 0.0]), 1e-14)


def test_volume_is_taken_out_of_a_deformation_gradient() -> None:
    F, ratio = R2(torch.eye(3).double() + 0.1 * randn(5, 3, 3)), Scalar(f64([0.8, 0.9, 1, 1.1, 2]))
    adjusted = m.VolumeAdjustDeformationGradient()(F, ratio)
    assert close(torch.linalg.det(adjusted.data), torch.linalg.det(F.data) / ratio.data, 1e-13)


def test_volume_ratios() -> None:
    thermal = m.ThermalDeformationJacobian(reference_temperature=300.0, CTE=3e-5)
    assert close(thermal(f64(500.0)).data, f64(1.006), 1e-15)
    fields = {"swelling_coefficient": 0.02, "reference_volume_difference": 0.09}
    for liquid, ratio in ((1.0, 1.006), (0.0, 1.027), (0.5, 1.0165)):
        model = m.SwellingAndPhaseChangeDeformationJacobian(phase_fraction=liquid, **fields)
        assert close(model(f64(0.3)).data, f64(ratio), 1e-15)


def test_eigenstrains_are_spherical() -> None:
    one = SR2.identity(dtype=torch.float64).data
    thermal = m.ThermalEigenstrain(reference_temperature=300.0, CTE=1e-5)
    assert close(thermal(f64([300.0, 500.0])).data, f64([[0.0], [2e-3]]) * one, 1e-15)
    transformed = m.PhaseTransformationEigenstrain()(f64(0.4), f64(0.03))
    assert close(transformed.data, 0.012 * one, 1e-15)
    swollen = m.VolumeChangeEigenstrain(reference_volume=2.0)(f64(2.0 * 1.1**3))
    assert close(swollen.data, 0.1 * one, 1e-14)


def test_stiffness_tensors_broadcast_with_their_moduli() -> None:
    young = f64([[2e5], [7e4]])
    kinds = ["YOUNGS_MODULUS", "POISSONS_RATIO"]
    model = m.IsotropicElasticityTensor(
        coefficients=[young, f64([0.2, 0.3, 0.4])], coefficient_types=kinds
    )
    batch = model()
    alone = m.IsotropicElasticityTensor(coefficients=[7e4, 0.4], coefficient_types=kinds)()
    assert isinstance(batch, SSR4) and batch.shape == (2, 3, 6, 6)
    assert close(batch.data[1, 2], alone.data)
