"""Crystal plasticity and what acts on slip systems and grains: geometry, slip, reductions."""

from __future__ import annotations

import torch
from ladder import Raw, f64
from rung import DIRECTION, SAMPLES, SKEW, STRAIN, STRESS, TIMES, ZERO, Kink, Rung, rung

import neml2fe.models as m
from neml2fe.models import REGISTRY, ComposedModel, Model
from neml2fe.models.solid_mechanics.crystal_plasticity.geometry import CubicCrystal
from neml2fe.types import MRP, SSR4, MillerIndex

FCC = CubicCrystal(3.6, MillerIndex(f64([1.0, 1.0, 0.0])), MillerIndex(f64([1.0, 1.0, 1.0])))
MATRIX = MRP(f64([0.1, -0.2, 0.15])).to_r2().data
SHEARS = f64([12.0, -7.0, 25.0, 31.0, -18.0, 9.0, 14.0, -22.0, 6.0, 27.0, -11.0, 19.0])
STRENGTHS = f64([30.0, 28.0, 35.0, 40.0, 33.0, 29.0, 31.0, 38.0, 26.0, 36.0, 27.0, 34.0])
RATES = 1e-3 * SHEARS.flip(0)
DENSITIES = 0.1 * STRENGTHS.flip(0)
STIFFNESS = f64([[168.0, 121.0, 121.0], [121.0, 168.0, 121.0], [121.0, 121.0, 168.0]])
CUBIC = SSR4(torch.block_diag(STIFFNESS, 150.0 * torch.eye(3).double()) * 1e3)
SLIP = {"slip_rates": RATES}
MANY = {"slip_rates": 1}


def on_slip(cls: type[Model], inputs: Raw, **more: object) -> Rung:
    """A law of the slip systems, whose matrix of orientation turns from one side only."""
    return rung(cls, {"crystal_geometry": FCC}, inputs, isotropic=False, **more)


def hardening(cls: type[Model], degree: int | None, **fields: float) -> Rung:
    inputs = {"slip_hardening": f64(25.0), "sum_slip_rates": f64(0.02)}
    return rung(cls, fields, inputs, degree=degree, input_degree=2)


def condensation() -> Model:
    """The yield function along the return of a J2 material with linear hardening."""
    path = [
        m.ScalarForwardEulerTimeIntegration(variable="p", rate="g", label="p"),
        m.LinearIsotropicHardening(
            equivalent_plastic_strain="p", isotropic_hardening="h", hardening_modulus=800.0
        ),
        m.AssociativePlasticFlow(
            flow_rate="g", flow_direction="N", plastic_strain_rate="ep_rate", label="flow"
        ),
        m.SR2LinearCombination(from_=["E_rate", "ep_rate"], to="ee_rate", weights=[1.0, -1.0]),
        m.SR2ForwardEulerTimeIntegration(variable="ee", rate="ee_rate", label="ee"),
        m.LinearIsotropicElasticity(
            strain="ee",
            stress="s",
            coefficients=[2e5, 0.3],
            coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"],
        ),
        m.SR2Invariant(tensor="s", invariant="sv", invariant_type="VONMISES"),
        m.YieldFunction(
            effective_stress="sv", isotropic_hardening="h", yield_function="f", yield_stress=150.0
        ),
    ]
    return m.RateCondensation(
        model=ComposedModel(models=path, label="path"),
        rate="g",
        driving_force="f",
        coupling="A",
        trial_driving_force="b",
    )


def coordinate_descent() -> Model:
    return m.CoordinateDescentPredictor(
        rate_law=m.PowerLawSlipRule(gamma0=1e-3, n=4.0),
        driving_force_input="resolved_shears",
        coupling="A",
        trial_driving_force="b",
        rate="g",
        sweeps=2,
        bisections=8,
    )


def dynamic(name: str, kind: str) -> Rung:
    x = torch.stack([*SAMPLES[kind], SAMPLES[kind][0] * 0.3])
    return rung(
        REGISTRY[f"{kind}{name}"],
        {"from_": "x", "to": "y", "dim": -1},
        {"x": x},
        degree=1,
        isotropic=False,
        pointwise=False,
    )


def intermediate(name: str, kind: str, **fields: object) -> Rung:
    x = torch.stack([*SAMPLES[kind], SAMPLES[kind][0] * 0.3])
    cls = REGISTRY[f"{kind}{name}"]
    return rung(cls, {"from_": "x", "to": "y", **fields}, {"x": x}, degree=1, sub={"x": 1})


COUPLING = SHEARS[:3, None] * SHEARS[:3] + 20.0 * torch.eye(3).double()
REDUCED = ("Scalar", "R2", "SR2")

RUNGS: dict[str, Rung] = {
    "ResolvedShear": on_slip(
        m.ResolvedShear, {"stress": STRESS, "orientation_matrix": MATRIX}, degree=3
    ),
    "PowerLawSlipRule": rung(
        m.PowerLawSlipRule,
        {"gamma0": 1e-3, "n": 4.3},
        {"resolved_shears": SHEARS, "slip_strengths": STRENGTHS},
        sub={"resolved_shears": 1, "slip_strengths": 1},
    ),
    "SumSlipRates": rung(
        m.SumSlipRates, {}, {"slip_rates": 0.02 * RATES.sign()}, degree=1, sub=MANY
    ),
    "PlasticDeformationRate": on_slip(
        m.PlasticDeformationRate, {"orientation_matrix": MATRIX, **SLIP}, degree=3, sub=MANY
    ),
    "PlasticVorticity": on_slip(
        m.PlasticVorticity, {"orientation_matrix": MATRIX, **SLIP}, degree=2, sub=MANY
    ),
    "PlasticSpatialVelocityGradient": on_slip(
        m.PlasticSpatialVelocityGradient,
        {"orientation_matrix": MATRIX, **SLIP},
        degree=3,
        sub=MANY,
    ),
    "SlipSystemElasticInteraction": rung(
        m.SlipSystemElasticInteraction,
        {"crystal_geometry": FCC, "elastic_stiffness_tensor": CUBIC},
        {"orientation": f64([0.1, -0.2, 0.15]), **TIMES},
        degree=2,
        isotropic=False,
    ),
    "SingleSlipStrengthMap": rung(
        m.SingleSlipStrengthMap,
        {"crystal_geometry": FCC, "constant_strength": 30.0},
        {"slip_hardening": f64(25.0)},
        degree=1,
    ),
    "DislocationObstacleStrengthMap": rung(
        m.DislocationObstacleStrengthMap,
        {"constant_strength": 10.0, "alpha": 0.3, "mu": 45.0, "b": 0.25},
        {"dislocation_density": DENSITIES},
        sub={"dislocation_density": 1},
    ),
    "PerSlipForestDislocationEvolution": rung(
        m.PerSlipForestDislocationEvolution,
        {"k1": 40.0, "k2": 6.0},
        {"dislocation_density": DENSITIES, **SLIP},
        sub={"dislocation_density": 1, **MANY},
    ),
    "LinearSingleSlipHardeningRule": hardening(
        m.LinearSingleSlipHardeningRule, 2, hardening_slope=300.0
    ),
    "VoceSingleSlipHardeningRule": hardening(
        m.VoceSingleSlipHardeningRule, None, initial_slope=300.0, saturated_hardening=60.0
    ),
    "ElasticStrainRate": rung(
        m.ElasticStrainRate,
        {},
        {
            "elastic_strain": STRAIN,
            "deformation_rate": DIRECTION,
            "vorticity": SKEW,
            "plastic_deformation_rate": 0.3 * DIRECTION.flip(0),
        },
        degree=2,
    ),
    "OrientationRate": rung(
        m.OrientationRate,
        {},
        {
            "elastic_strain": STRAIN,
            "vorticity": SKEW,
            "plastic_deformation_rate": DIRECTION,
            "plastic_vorticity": SKEW.flip(0),
        },
        degree=2,
    ),
    "FixOrientation": rung(m.FixOrientation, {}, {"input": f64([0.7, -0.8, 0.5])}, isotropic=False),
    "CrystalPlasticityStrainPredictor": rung(
        m.CrystalPlasticityStrainPredictor,
        {"threshold": 0.1},
        {"deformation_rate": DIRECTION, "elastic_strain~1": STRAIN, **TIMES},
        degree=3,
        input_degree=2,
    ),
    "CrystalPlasticityDeformationGradientPredictor": rung(
        m.CrystalPlasticityDeformationGradientPredictor,
        {},
        {
            "deformation_gradient": SAMPLES["R2"][0],
            "plastic_deformation_gradient~1": MATRIX,
        },
        isotropic=True,
    ),
    "RateCondensation": Rung(
        condensation,
        lambda: {
            "p~1": f64(0.02),
            "N": DIRECTION,
            "E_rate": 1e-3 * DIRECTION,
            "ee~1": 0.2 * STRAIN,
            **TIMES,
        },
    ),
    "CoordinateDescentPredictor": Rung(
        coordinate_descent,
        lambda: {"A": COUPLING, "b": SHEARS[:3], "slip_strengths": STRENGTHS[:3]},
        sub={"A": 2, "b": 1, "slip_strengths": 1},
    ),
    **{f"{k}{n}": dynamic(n, k) for n in ("DynamicSum", "DynamicMean") for k in REDUCED},
    **{
        f"{k}{n}": intermediate(n, k)
        for n in ("IntermediateSum", "IntermediateMean")
        for k in REDUCED
    },
    **{f"{k}IntermediateDiff": intermediate("IntermediateDiff", k, dim=-1) for k in REDUCED},
}

REST = torch.zeros(3, dtype=torch.float64)
LOADED = {"resolved_shears": REST, "slip_strengths": STRENGTHS[:3]}
BOTH = {"resolved_shears": 1, "slip_strengths": 1}


def slip_rule(n: float) -> Kink:
    return Kink(
        lambda: m.PowerLawSlipRule(gamma0=1e-3, n=n), LOADED, {"slip_rates": REST}, sub=BOTH
    )


KINKS: dict[str, Kink] = {
    **{f"PowerLawSlipRule with n = {n}": slip_rule(n) for n in (1.0, 1.5, 2.0, 5.0)},
    "SumSlipRates": Kink(m.SumSlipRates, {"slip_rates": REST}, {"sum_slip_rates": ZERO}, sub=MANY),
    "PerSlipForestDislocationEvolution": Kink(
        lambda: m.PerSlipForestDislocationEvolution(k1=40.0, k2=6.0),
        {"dislocation_density": DENSITIES[:3], "slip_rates": REST},
        {"dislocation_density_rate": REST},
        sub={"dislocation_density": 1, **MANY},
    ),
    "FixOrientation": Kink(m.FixOrientation, {"input": REST}, {"output": REST}),
    "CrystalPlasticityStrainPredictor": Kink(
        m.CrystalPlasticityStrainPredictor,
        {"deformation_rate": DIRECTION, "elastic_strain~1": 0.0 * STRAIN, **TIMES},
        {"elastic_strain": 0.5 * DIRECTION},
    ),
}
