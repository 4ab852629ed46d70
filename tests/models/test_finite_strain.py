"""Finite strain against closed forms: hyperelasticity, multiplicative J2, logarithmic strain."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from ladder import assert_v, close, f64, randn, rotation

import neml2fe
import neml2fe.models as m
from neml2fe.drivers import TransientDriver
from neml2fe.errors import ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem
from neml2fe.material import Material
from neml2fe.models import ComposedModel, Model, value_and_jacobian
from neml2fe.models.solid_mechanics.hyperelasticity import StrainEnergy, StressOfEnergy
from neml2fe.types import R2, SR2, SSR4, Scalar, det, inner, log, rotate, tr
from neml2fe.types.matrix_functions import expm, logm

EXAMPLES = Path(__file__).parents[2] / "examples"
ONE = torch.eye(3, dtype=torch.float64)
K, G = 500.0, 80.0
E, NU, SY = 2.0e5, 0.3, 250.0
BULK, SHEAR = E / (3.0 * (1.0 - 2.0 * NU)), E / (2.0 * (1.0 + NU))
ELASTIC = {
    "coefficients": [E, NU],
    "coefficient_types": ["YOUNGS_MODULUS", "POISSONS_RATIO"],
}
ENERGIES: dict[str, Callable[..., Model]] = {
    "NeoHookean": lambda **more: m.NeoHookean(bulk_modulus=K, shear_modulus=G, **more),
    "MooneyRivlin": lambda **more: m.MooneyRivlin(bulk_modulus=K, C10=30.0, C01=10.0, **more),
    "Ogden": lambda **more: m.Ogden(
        bulk_modulus=K, coefficients=[60.0, -20.8], exponents=[1.8, -2.5], **more
    ),
}
laws = pytest.mark.parametrize("law", sorted(ENERGIES))


def diagonal(*stretches: torch.Tensor) -> torch.Tensor:
    return torch.diag_embed(torch.stack(torch.broadcast_tensors(*stretches), dim=-1))


def simple_shear(gamma: torch.Tensor) -> torch.Tensor:
    return ONE + gamma[..., None, None] * f64([[0.0, 1.0, 0.0], [0.0] * 3, [0.0] * 3])


def deformation(*batch: int) -> torch.Tensor:
    return ONE + 0.2 * randn(*batch, 3, 3)


def cauchy(law: str, f: torch.Tensor) -> torch.Tensor:
    stress = ENERGIES[law](measure="CAUCHY")(R2(f))
    return stress.to_r2().data


# -- hyperelasticity ------------------------------------------------------------------------


@laws
def test_linearisation_is_isotropic_elasticity(law: str) -> None:
    model = ENERGIES[law]()
    values, jacobian = value_and_jacobian(model, {"F": R2(ONE)})
    assert float(values["pk1_stress"].abs().max()) < 1e-12
    tangent = jacobian["pk1_stress"]["F"]
    h = randn(3, 3)
    expected = SSR4.isotropic(Scalar(f64(K)), Scalar(f64(G))) @ SR2.from_r2(R2(h))
    assert close(torch.einsum("ijkl,kl", tangent, h), expected.to_r2().data, 1e-12)


@laws
def test_tangent_has_major_symmetry(law: str) -> None:
    _, jacobian = value_and_jacobian(ENERGIES[law](), {"F": R2(deformation(4))})
    matrix = jacobian["pk1_stress"]["F"].reshape(4, 9, 9)
    assert close(matrix, matrix.mT, 1e-12)


@laws
def test_measures_and_objectivity(law: str) -> None:
    f, q = deformation(5), rotation(5).to_r2().data
    p, s, tau, sigma = (
        ENERGIES[law](measure=measure)(R2(f)) for measure in ("PK1", "PK2", "KIRCHHOFF", "CAUCHY")
    )
    j = torch.linalg.det(f)[:, None, None]
    assert close(p.data @ f.mT, tau.to_r2().data, 1e-12)
    assert close(tau.to_r2().data, j * sigma.to_r2().data, 1e-12)
    assert close(f @ s.to_r2().data @ f.mT, tau.to_r2().data, 1e-12)
    assert close(ENERGIES[law]()(R2(q @ f)).data, q @ p.data, 1e-12)
    assert close(ENERGIES[law](measure="PK2")(R2(q @ f)).data, s.data, 1e-12)


@laws
def test_volume_change(law: str) -> None:
    stretch = f64([0.6, 0.9, 1.0, 1.4, 2.0])
    j = stretch**3
    pressure = 0.5 * K * (j - 1.0 / j)
    assert close(cauchy(law, stretch[:, None, None] * ONE), pressure[:, None, None] * ONE, 1e-12)


def closed_form(law: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """sigma_1 - sigma_2 for the principal stretches x, y of an isochoric deformation."""
    if law == "NeoHookean":
        return G * (x**2 - y**2)
    if law == "MooneyRivlin":
        return 2.0 * (30.0 * (x**2 - y**2) - 10.0 * (x**-2 - y**-2))
    return sum(mu * (x**a - y**a) for mu, a in ((60.0, 1.8), (-20.8, -2.5)))


@laws
@pytest.mark.parametrize("power", [-0.5, -2.0, -1.0], ids=["uniaxial", "equibiaxial", "planar"])
def test_isochoric_stretching(law: str, power: float) -> None:
    x = f64([0.5, 0.8, 1.1, 2.0, 4.0])
    y = x**power
    stress = cauchy(law, diagonal(x, 1.0 / (x * y), y))
    assert close(stress[:, 0, 0] - stress[:, 2, 2], closed_form(law, x, y), 1e-12)


@laws
def test_simple_shear(law: str) -> None:
    gamma = f64([0.1, 0.5, 1.0, 3.0])
    stress = cauchy(law, simple_shear(gamma))
    assert close(stress[:, 0, 0] - stress[:, 1, 1], gamma * stress[:, 0, 1], 1e-12)
    stretch = 0.5 * gamma + torch.sqrt(1.0 + 0.25 * gamma**2)
    shear = closed_form(law, stretch, 1.0 / stretch) / (stretch + 1.0 / stretch)
    assert close(stress[:, 0, 1], shear, 1e-12)


def test_ogden_contains_the_other_two() -> None:
    f = R2(deformation(4))
    one = m.Ogden(bulk_modulus=K, coefficients=[G], exponents=[2.0])
    assert close(one(f).data, ENERGIES["NeoHookean"]()(f).data, 1e-12)
    two = m.Ogden(bulk_modulus=K, coefficients=[60.0, -20.0], exponents=[2.0, -2.0])
    assert close(two(f).data, ENERGIES["MooneyRivlin"]()(f).data, 1e-12)
    with pytest.raises(ModelError, match="2 coefficients but 1 exponents"):
        m.Ogden(bulk_modulus=K, coefficients=[1.0, 2.0], exponents=[2.0])


def test_stress_of_the_energy_of_another_model() -> None:
    """Parameters that vary by point or come from elsewhere included."""
    f = R2(deformation())
    shear = f64([60.0, 80.0, 100.0])
    energy = m.NeoHookeanEnergy(bulk_modulus=K, shear_modulus=Scalar(shear))
    found = m.HyperelasticStress(model=energy)(f).data
    assert found.shape == (3, 3, 3)
    assert close(found[1], ENERGIES["NeoHookean"]()(f).data)
    fed = m.NeoHookean(bulk_modulus=K, shear_modulus="G")
    assert close(fed(F=f, G=shear).data, found)
    with pytest.raises(ModelError, match="varies within a point"):
        m.NeoHookean(bulk_modulus=K, shear_modulus=Scalar(shear, 1))(f)
    with pytest.raises(ModelError, match="no Scalar output"):
        m.HyperelasticStress(model=energy, strain_energy="strain_enrgy")


class HenckyEnergy(StrainEnergy):
    """A new energy is its formula."""

    def forward(self, f: R2) -> Scalar:
        strain = 0.5 * logm(SR2.from_r2(f.T @ f))
        energy: Scalar = SHEAR * inner(strain, strain) + 0.5 * (BULK - 2.0 / 3.0 * SHEAR) * log(
            det(f)
        ) * tr(strain)
        return energy


class Hencky(StressOfEnergy, energy=HenckyEnergy): ...


@pytest.mark.parametrize("measure", ["PK1", "PK2", "KIRCHHOFF", "CAUCHY"])
def test_wrapped_elasticity_is_hencky_elasticity(measure: str) -> None:
    f = R2(deformation(4))
    wrapped = m.LogarithmicStrainWrapper(
        model=m.LinearIsotropicElasticity(**ELASTIC), measure=measure
    )
    expected = Hencky(measure=measure)(f).data
    assert close(wrapped.evaluate({"F": f})[f"{measure}_stress".lower()].data, expected, 1e-12)


# -- the logarithmic-strain wrapper ---------------------------------------------------------


def wrapped_elasticity() -> Model:
    return m.LogarithmicStrainWrapper(
        model=m.LinearIsotropicElasticity(**ELASTIC), measure="CAUCHY"
    )


def test_hencky_elasticity_in_closed_form() -> None:
    model = wrapped_elasticity()
    gamma = f64([0.1, 1.0, 3.0])
    stress = model.evaluate({"F": R2(simple_shear(gamma))})["cauchy_stress"]
    shear = 2.0 * SHEAR * torch.asinh(0.5 * gamma) / torch.sqrt(1.0 + 0.25 * gamma**2)
    expected = torch.zeros(3, 3, 3, dtype=torch.float64)
    expected[:, 0, 1] = expected[:, 1, 0] = shear
    expected[:, 0, 0], expected[:, 1, 1] = 0.5 * gamma * shear, -0.5 * gamma * shear
    assert close(stress.to_r2().data, expected, 1e-12)
    x = f64([0.4, 0.9, 1.1, 3.0])
    f = diagonal(x, x**-NU, x**-NU)
    pulled = model.evaluate({"F": R2(f)})["cauchy_stress"].to_r2().data
    uniaxial = torch.zeros(4, 3, 3, dtype=torch.float64)
    uniaxial[:, 0, 0] = E * torch.log(x) / x ** (1.0 - 2.0 * NU)
    assert close(pulled, uniaxial, 1e-12)


def test_it_finds_the_strain_or_says_what_is_missing() -> None:
    elasticity = m.LinearIsotropicElasticity(**ELASTIC, strain="E", stress="s")
    model = m.LogarithmicStrainWrapper(model=elasticity, model_stress="s")
    assert list(model.input_spec) == ["F"]
    assert set(model.output_spec) == {"E", "s", "pk1_stress"}
    with pytest.raises(ModelError, match="'stress' is no SR2 output"):
        m.LogarithmicStrainWrapper(model=elasticity)
    with pytest.raises(ModelError, match="cannot tell the strain"):
        m.LogarithmicStrainWrapper(
            model=m.SR2LinearCombination(from_=["a", "b"], to="stress", weights=[1.0, 1.0])
        )


# -- plasticity -----------------------------------------------------------------------------


def solver(viscous: bool) -> Newton:
    """Perzyna's residual, a strain, falls by ten orders from the trial state, hence no relative
    tolerance; the residual of the rate-independent law holds the yield function, a stress."""
    return Newton(abs_tol=1e-11 if viscous else 1e-9, rel_tol=0.0, max_its=60)


def j2(form: str, hardening: Model | None = None, viscous: bool = False) -> Model:
    """J2 plasticity: `small` strain, multiplicative with `hencky` or `neo_hooke` elasticity."""
    strain = {"small": "plastic_strain", "hencky": "elastic_strain", "neo_hooke": "be_bar"}[form]
    elasticity: Model = m.LinearIsotropicElasticity(
        **ELASTIC, strain="elastic_strain", stress="kirchhoff_stress"
    )
    if form == "neo_hooke":
        elasticity = m.IsochoricNeoHookeanStress(bulk_modulus=BULK, shear_modulus=SHEAR)
    flow = ComposedModel(
        models=[
            m.SR2Invariant(invariant_type="VONMISES", tensor="kirchhoff_stress", invariant="s"),
            m.YieldFunction(
                effective_stress="s", yield_stress=SY, isotropic_hardening="isotropic_hardening"
            ),
        ],
        label="flow",
    )
    normality = m.Normality(
        model=flow,
        function="yield_function",
        from_=["kirchhoff_stress", "isotropic_hardening"],
        to=["flow_direction", "isotropic_hardening_direction"],
    )
    elastic = m.SR2LinearCombination(
        from_=["strain", "plastic_strain"], to="elastic_strain", weights=[1.0, -1.0]
    )
    integrate: list[Model] = {
        "small": [elastic, m.SR2BackwardEulerTimeIntegration(variable="plastic_strain")],
        "hencky": [m.ExponentialMapPlasticCorrector()],
        "neo_hooke": [m.IsochoricPlasticCorrector()],
    }[form]
    rule: Model = m.FBComplementarity(a="yield_function", b="flow_rate")
    if viscous:
        rule = m.PerzynaPlasticFlowRate(reference_stress=300.0, exponent=4.0)
    unknowns = [strain, "equivalent_plastic_strain", *([] if viscous else ["flow_rate"])]
    residuals = [f"{n}_residual" for n in unknowns[:2]] + ([] if viscous else ["complementarity"])
    system = NonlinearSystem(
        ComposedModel(
            models=[
                elasticity,
                hardening or m.LinearIsotropicHardening(hardening_modulus=0.0),
                flow,
                normality,
                rule,
                m.AssociativePlasticFlow(),
                m.AssociativeIsotropicPlasticHardening(),
                *integrate,
                m.ScalarBackwardEulerTimeIntegration(variable="equivalent_plastic_strain"),
            ]
        ),
        unknowns,
        residuals,
    )
    if form == "small":
        solved = ImplicitUpdate(equation_system=system, solver=solver(viscous))
        stress = m.LinearIsotropicElasticity(**ELASTIC, strain="elastic_strain")
        return ComposedModel(
            models=[solved, elastic, stress],
            additional_outputs=["plastic_strain"],
        )
    guess = m.SR2LinearCombination(from_=[f"{strain}_trial"], to=strain)
    solved = ImplicitUpdate(equation_system=system, solver=solver(viscous), predictor=guess)
    before: list[Model] = [m.IsochoricElasticTrial()]
    after: list[Model] = []
    if form == "hencky":
        before.append(
            m.LogarithmicElasticStrain(be_bar="be_bar_trial", elastic_strain="elastic_strain_trial")
        )
        after.append(m.IsochoricElasticDeformation())
    return ComposedModel(
        models=[*before, solved, *after, elasticity, m.KirchhoffStressMeasure()],
        additional_outputs=["be_bar", "kirchhoff_stress"],
    )


def lifted(hardening: Model | None = None, viscous: bool = False) -> Model:
    return m.LogarithmicStrainWrapper(model=j2("small", hardening, viscous), model_strain="strain")


MULTIPLICATIVE = pytest.mark.parametrize("form", ["hencky", "neo_hooke"])
VISCOUS = pytest.mark.parametrize("viscous", [False, True], ids=["independent", "perzyna"])


def march(model: Model, f: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Outputs after each of the deformation gradients `(steps, *specimens, 3, 3)`, from 1 on."""
    times = Scalar(torch.arange(len(f), dtype=torch.float64))
    with torch.no_grad():
        return TransientDriver(model, times, {"F": R2(f)}).run().outputs[1:]


def path(steps: int = 6) -> torch.Tensor:
    """Shear with stretching and turning, out of and back to the plane; `(steps + 1, 3, 3)`."""
    s = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    f = simple_shear(0.6 * torch.sin(4.0 * s)).clone()
    f[:, 1, 2] += 0.3 * s**2
    f[:, 0, 0] += 0.1 * s
    return f


def voce() -> Model:
    return m.VoceIsotropicHardening(saturated_hardening=150.0, saturation_rate=8.0)


@pytest.mark.parametrize("make", [lifted, lambda: j2("hencky")], ids=["wrapper", "multiplicative"])
def test_uniaxial_perfect_plasticity(make: Callable[[], Model]) -> None:
    """The lateral stretch of plastic incompressibility leaves the axial stress alone, and it is
    the yield stress."""
    x = torch.linspace(0.0, 0.8, 5, dtype=torch.float64)  # logarithmic axial strain
    lateral = torch.where(x > 0, -NU * SY / E - 0.5 * (x - SY / E), torch.zeros_like(x))
    f = diagonal(torch.exp(x), torch.exp(lateral), torch.exp(lateral))
    for k, out in enumerate(march(make(), f), start=1):
        tau = out["pk1_stress"] @ f[k].mT
        assert close(tau, diagonal(f64(SY), f64(0.0), f64(0.0)), 1e-10)
        volume = torch.linalg.det(f[k])
        assert close(volume, f64(math.exp((1.0 - 2.0 * NU) * SY / E)), 1e-13)
        assert close(out["equivalent_plastic_strain"], x[k] - SY / E, 1e-10)


@VISCOUS
def test_coaxial_loading_agrees_with_the_wrapper(viscous: bool) -> None:
    """Where axes do not turn, logarithmic strains add up in both."""
    s = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)
    strains = torch.stack([0.4 * torch.sin(4.0 * s), -0.3 * s**2, 0.1 * torch.sin(9.0 * s)], -1)
    f = torch.diag_embed(torch.exp(strains))
    turn = rotation().to_r2().data
    f = turn @ f @ turn.T
    for a, b in zip(march(j2("hencky", voce(), viscous), f), march(lifted(voce(), viscous), f),
                    strict=True):  # fmt: skip
        for name in ("pk1_stress", "equivalent_plastic_strain"):
            assert close(a[name], b[name], 1e-12)


def test_the_formulations_differ_where_axes_turn() -> None:
    """In simple shear without hardening, by the normal stress, not by the yield stress."""
    f = simple_shear(torch.linspace(0.0, 1.0, 21, dtype=torch.float64))
    a, b = march(j2("hencky"), f)[-1], march(lifted(), f)[-1]
    for out in (a, b):
        tau = SR2.from_r2(R2(out["pk1_stress"] @ f[-1].mT))
        assert abs(float(m.SR2Invariant(invariant_type="VONMISES")(tau).data) / SY - 1.0) < 0.25
    shear = [float((out["pk1_stress"] @ f[-1].mT)[0, 1]) for out in (a, b)]
    assert close(f64(shear[0]), f64(SY / math.sqrt(3.0)), 1e-3)
    assert abs(shear[1] - shear[0]) > 1e-3 * SY


@MULTIPLICATIVE
@VISCOUS
def test_plastic_flow_keeps_the_volume(form: str, viscous: bool) -> None:
    f = path(10)
    outputs = march(j2(form, voce(), viscous), f)
    assert float(outputs[-1]["equivalent_plastic_strain"]) > 0.3
    for k, out in enumerate(outputs, start=1):
        assert abs(float(det(SR2(out["be_bar"])).data) - 1.0) < 1e-13
        j = torch.linalg.det(f[k])
        mean = out["kirchhoff_stress"][:3].mean()
        law = BULK * torch.log(j) if form == "hencky" else 0.5 * BULK * (j**2 - 1.0)
        assert close(mean, law, 1e-9)


@MULTIPLICATIVE
def test_yield_and_flow_in_simple_shear(form: str) -> None:
    """Without hardening, on the yield surface; at small elastic strains 3/2 of (dev tau)^2 is
    twice the shear stress and d ep = d gamma / sqrt(3)."""
    gamma = torch.linspace(0.0, 1.0, 21, dtype=torch.float64)
    last = march(j2(form), simple_shear(gamma))[-1]
    stress = m.SR2Invariant(invariant_type="VONMISES")(SR2(last["kirchhoff_stress"]))
    assert close(stress.data, f64(SY), 1e-9)
    expected = (1.0 - SY / (math.sqrt(3.0) * SHEAR)) / math.sqrt(3.0)
    assert close(last["equivalent_plastic_strain"], f64(expected), 1e-3)


def test_both_elasticities_agree_to_the_order_of_the_elastic_strain() -> None:
    x = torch.linspace(0.0, 0.02, 9, dtype=torch.float64)
    f = diagonal(torch.exp(x), torch.exp(-0.5 * x), torch.exp(-0.5 * x))
    a, b = (march(j2(form, voce()), f)[-1]["kirchhoff_stress"] for form in ("hencky", "neo_hooke"))
    assert close(a, b, 0.3 * SY / SHEAR)
    assert not close(a, b, 1e-6)


@MULTIPLICATIVE
def test_the_integrator_is_of_first_order(form: str) -> None:
    """The normal stress of perfect plasticity in simple shear is an error of the steps, but for
    the order of the elastic strain."""
    errors = []
    for steps in (5, 10, 20):
        gamma = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
        errors.append(float(march(j2(form), simple_shear(gamma))[-1]["kirchhoff_stress"][0]))
    assert all(1.7 < coarse / fine < 2.3 for coarse, fine in pairwise(errors))


def constitutive(name: str, viscous: bool) -> Model:
    return lifted(voce(), viscous) if name == "wrapper" else j2(name, voce(), viscous)


NAMES = pytest.mark.parametrize("name", ["wrapper", "hencky", "neo_hooke"])


@NAMES
@VISCOUS
def test_superposed_rotation_turns_the_stress_and_nothing_else(name: str, viscous: bool) -> None:
    """Rotations that grow from step to step, up to most of a turn."""
    f, model = path(), constitutive(name, viscous)
    angle = torch.linspace(0.0, 5.0, len(f), dtype=torch.float64)
    axis = f64([0.3, -0.5, 0.8]) / f64([0.3, -0.5, 0.8]).norm()
    w = torch.linalg.cross(axis.expand(3, 3), ONE).mT
    q = torch.linalg.matrix_exp(angle[:, None, None] * w)
    for k, (a, b) in enumerate(zip(march(model, f), march(model, q @ f), strict=True), start=1):
        assert close(q[k] @ a["pk1_stress"], b["pk1_stress"], 1e-8)
        assert close(a["equivalent_plastic_strain"], b["equivalent_plastic_strain"], 1e-8)
        if name != "wrapper":
            be = rotate(SR2(a["be_bar"]), R2(q[k]))
            assert close(be.data, b["be_bar"], 1e-9)


@NAMES
@VISCOUS
def test_algorithmic_tangent(name: str, viscous: bool) -> None:
    """Of the update in the plastic range, from the state after some steps; through `Material`."""
    material = Material(constitutive(name, viscous), strain="F", stress="pk1_stress")
    state, f = material.initial_state(2), path(6)
    for k in range(1, 4):
        state = material.update(f[k].expand(2, 3, 3), state, float(k), 1.0).state
    now = f[4] + 1e-3 * randn(2, 3, 3)
    result = material.update(now, state, 4.0, 1.0)
    assert result.tangent is not None and not bool(result.failed.any())
    assert bool((result.state["equivalent_plastic_strain"] > 0.05).all())
    way = 1e-2 * randn(2, 3, 3)
    slope = torch.einsum("pijkl,pkl->pij", result.tangent, way)

    def stress(h: float) -> torch.Tensor:
        return material.update(now + h * way, state, 4.0, 1.0, tangent=False).stress

    assert_v(stress, slope)


@MULTIPLICATIVE
def test_a_material_starts_from_the_identity(form: str) -> None:
    """A zero state of be_bar is the identity; the same as an initial condition."""
    model = j2(form, voce())
    f = path(4)
    material = Material(model, strain="F", stress="pk1_stress")
    virgin = material.initial_state(1)
    assert not virgin["be_bar"].any() and close(virgin["F"][0], ONE)
    given = {**virgin, "be_bar": f64([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])}
    a, b = (material.update(f[1:2], s, 1.0, 1.0) for s in (virgin, given))
    assert torch.equal(a.stress, b.stress) and torch.equal(a.tangent, b.tangent)  # type: ignore[arg-type]


def test_small_strains_give_the_wrapped_model() -> None:
    """Rate-form viscoplasticity with hardening, whose old stress and strain are state."""
    source = neml2fe.load_input(EXAMPLES / "material_point/finite_strain_logarithmic.i")
    small, model = source.get_model("viscoplasticity"), source.get_model("steel")
    assert {"strain~1", "stress~1", "back_stress~1"} <= set(model.input_spec)
    s = torch.sin(torch.linspace(0.0, 4.0, 9, dtype=torch.float64))[:, None, None]
    h = s * f64([[1.0, 0.3, 0.0], [0.3, -0.4, 0.2], [0.0, 0.2, -0.5]])
    times = Scalar(torch.linspace(0.0, 10.0, 9, dtype=torch.float64))
    differences = []
    for size in (4e-3, 4e-4):
        with torch.no_grad():
            strain = SR2.from_r2(R2(size * h))
            expected = TransientDriver(small, times, {"strain": strain}).run().outputs
            found = TransientDriver(model, times, {"F": R2(ONE + size * h)}).run().outputs
        apart = [
            float((a["cauchy_stress"] - b["stress"]).norm() / b["stress"].norm())
            for a, b in zip(found[1:], expected[1:], strict=True)
        ]
        differences.append(max(apart))
    assert differences[0] < 2e-2 and differences[1] < 0.2 * differences[0]


def test_the_rubber_deck() -> None:
    """Ogden's terms for Treloar's rubber, in closed form."""
    source = neml2fe.load_input(EXAMPLES / "material_point/finite_strain_rubber.i")
    with torch.no_grad():
        history = source.get_driver("rubber").driver.run()
    gamma = history.inputs[-1]["F"][0, 1]
    x = 0.5 * gamma + torch.sqrt(1.0 + 0.25 * gamma**2)
    terms = zip((0.63, 0.0012, -0.01), (1.3, 5.0, -2.0), strict=True)
    principal = sum(mu * (x**a - x**-a) for mu, a in terms)
    stress = SR2(history.outputs[-1]["cauchy_stress"]).to_r2().data
    assert close(stress[0, 1], (principal / (x + 1.0 / x)).to(stress), 1e-10)


def test_the_plasticity_deck_is_the_model_of_these_tests() -> None:
    source = neml2fe.load_input(EXAMPLES / "material_point/finite_strain_plasticity.i")
    with torch.no_grad():
        history = source.get_driver("plasticity").driver.run()
    f = torch.stack([step["F"] for step in history.inputs])
    step = float(history.inputs[1]["t"])
    assert step > 0.0
    for a, b, g in zip(history.outputs[1:], march(j2("hencky", voce()), f), f[1:], strict=True):
        tau = SR2.from_r2(R2(b["pk1_stress"] @ g.mT))
        assert close(a["cauchy_stress"], tau.data / torch.linalg.det(g), 1e-8)


def test_exponential_of_an_elastic_strain_is_isochoric() -> None:
    strain = SR2(0.5 * randn(5, 6))
    be = m.IsochoricElasticDeformation()(strain)
    assert close(det(be).data, torch.ones(5, dtype=torch.float64), 1e-13)
    pressed = SR2(strain.data + 0.3 * f64([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))
    f = expm(pressed).to_r2()
    assert close(m.LogarithmicElasticStrain()(be, f).data[:, 3:], strain.data[:, 3:], 1e-13)
