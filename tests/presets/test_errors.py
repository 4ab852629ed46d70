"""Each mistake in a preset is one error with its place and what would be right."""

from __future__ import annotations

import pytest
import torch
from cases import COMBINED, ISOTROPIC, steel

import neml2fe.models as m
from neml2fe import presets
from neml2fe.errors import Error, InputError, ModelError

VOCE = "isotropic_hardening = 'voce(R = 100, d = 1.2)'"
WHERE = r"^short\.i:{}: \[Models/steel\] {}: "


def without(text: str, new: str) -> str:
    assert text in COMBINED
    return COMBINED.replace(text, new)


def laws(text: str) -> str:
    return without(VOCE, f"isotropic_hardening = '{text}'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("voec(R = 1, d = 1)", r"'voec' is no law of isotropic hardening; did you mean 'voce'\?"),
        ("chaboche(C = 1)", r"'chaboche' is no law of isotropic hardening; known: "),
        ("voce(R = 1)", "'voce' needs the parameter 'd'"),
        ("voce", "'voce' needs the parameters 'R', 'd'"),
        ("voce(R = 1, d = 2, tau0 = 3)", "'voce' has no parameter 'tau0'; known: R, d"),
        ("voce(r = 1, d = 2)", r"'voce' has no parameter 'r'"),
        ("voce(1, 2, 3)", "'voce' takes 2 parameters, got 3"),
        ("voce(1, R = 2)", "'voce' is given 'R' twice"),
        ("voce(R = 1 d = 2)", r"cannot read 'voce\(R = 1 d = 2\)'; write law\("),
        ("voce(R = 1, d = 2) * 2", "cannot read"),
        ("", "cannot read ''"),
        ("__import__(1)", "'__import__' is no law"),
        ("voce(R = 1 + 1, d = 2)", r"expected a number or a name, got '1 \+ 1'"),
        ("voce(R = True, d = 2)", "expected a number or a name, got 'True'"),
        ("LinearKinematicHardening(H = 1)", "'LinearKinematicHardening' is no law of isotropic"),
        (
            "PowerLawIsotropicHardeningStaticRecovery(tau = 1, n = 2)",
            ".*: it takes isotropic_hardening, not",
        ),
    ],
)
def test_a_law_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(InputError, match=WHERE.format(7, "isotropic_hardening") + message):
        steel(laws(text))


def test_a_name_that_is_no_block() -> None:
    with pytest.raises(Error, match=r"short\.i:7: \[Models/steel\] isotropic_hardening: .*'R00'"):
        steel(laws("voce(R = R00, d = 1)"), "[Tensors]\n[R0]\ntype = Python\nexpr = '1.0'\n[]\n[]")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (ISOTROPIC, "", "the field 'elasticity'|needs the field 'elasticity'"),
        (
            ISOTROPIC,
            ISOTROPIC.replace(")'", ") + isotropic(E = 1, nu = 0)'"),
            "one law of elasticity",
        ),
        (ISOTROPIC, ISOTROPIC.replace("0.3", "0.7"), "must be positive and finite"),
        (ISOTROPIC, "elasticity = 'isotropic(E = 1)'", r":5: .* elasticity: 'isotropic' needs two"),
        (ISOTROPIC, ISOTROPIC.replace("200e3", "-1"), ":5: .* elasticity: 'E' and 'nu' give the"),
        (
            ISOTROPIC,
            "elasticity = 'cubic(E = 1, nu = 0.3)'",
            ":5: .* elasticity: 'cubic' needs three",
        ),
        ("yield_stress = 100", "yield_stress = -1", ":6: .* yield_stress: must be at least 0"),
        (VOCE, VOCE + "\n max_its = 0", "max_its must be at least 1"),
        (VOCE, VOCE + "\n thermal_expansion = 1e-5", "go together"),
        (VOCE, VOCE + "\n orientation = 'axes'", "'axes'|no orientation"),
        (VOCE, VOCE + "\n isotropic_recovery = 'power(tau = 1, n = 2)'", "rate form; voce is none"),
        (VOCE, VOCE + "\n kinematic_hardning = ''", "did you mean 'kinematic_hardening'"),
        (VOCE, VOCE + "\n [flow]\n type = PerzynaPlasticFlowRate\n []", "given twice, as a field"),
        (VOCE, "[isotropic_hardening]\n []", "the field 'type' is missing"),
        (VOCE, "[isotropic_hardening]\n type = Voce\n []", "unknown type 'Voce'"),
        (VOCE, "[isotropic_hardening]\n K = 1\n []", "unknown field 'K'"),
        (
            VOCE,
            "[isotropic_hardening]\n type = LinearIsotropicHardening\n H = 1\n []",
            "unknown field 'H'",
        ),
        (
            VOCE,
            "[isotropic_hardening]\n type = LinearKinematicHardening\n hardening_modulus = 1\n []",
            "is no law of isotropic hardening",
        ),
        (VOCE, "[isotropic_hardenning]\n type = VoceIsotropicHardening\n []", "unknown block"),
    ],
)
def test_a_preset_that_cannot_be_made(old: str, new: str, message: str) -> None:
    with pytest.raises(Error, match=message) as caught:
        steel(without(old, new))
    assert caught.value.location.startswith("short.i:")
    assert "\n" not in str(caught.value)


def test_radial_return_refuses_what_it_cannot_do() -> None:
    fields = {"yield_stress": 1.0, "isotropic_hardening": "linear(K = 1)"}
    with pytest.raises(ModelError, match="needs isotropic elasticity"):
        presets.J2RadialReturn(elasticity="cubic(E = 6e4, nu = 0.35, G = 4e4)", **fields)
    fields["isotropic_hardening"] = "voce_slope(R = 1, theta0 = 1)"
    with pytest.raises(ModelError, match="hardening as a function of strain"):
        presets.J2RadialReturn(elasticity="isotropic(E = 1, nu = 0)", **fields)


def test_branches_are_maxwell_elements() -> None:
    with pytest.raises(ModelError, match="'maxwell' needs the parameter 'eta'"):
        presets.GeneralizedMaxwell(elasticity="isotropic(1, 0.3)", branches="maxwell(E = 1)")
    branches = presets.Law("x", "GeneralizedMaxwellElement", {"equilibrium_modulus": 1.0})
    with pytest.raises(ModelError, match="with moduli and viscosities"):
        presets.GeneralizedMaxwell(elasticity="isotropic(1, 0.3)", branches=branches)


YLD = "yld2004(cp = {0}, cs = {0}, exponent = {1})"


def test_an_option_in_one_line_keeps_its_type() -> None:
    ones = [1.0] * 9
    fields = {"elasticity": "isotropic(200e3, 0.3)", "yield_stress": 100}
    for text, kept in (("8", 8), ("6.0", 6)):
        law = YLD.format(ones, text)
        model = presets.J2Plasticity(equivalent_stress=law, **fields)
        (found,) = [m for m in model.modules() if type(m).__name__ == "Yld2004Stress"]
        assert found.exponent == kept and isinstance(found.exponent, int)
        mandel = torch.tensor([100.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
        assert abs(float(found(mandel).data.detach()) - 100.0) < 1e-9
    for text in ("8.5", "name"):
        with pytest.raises(InputError, match=WHERE.format(4, "equivalent_stress") + "expected an"):
            law = YLD.format(ones, text)
            steel(f"type = J2Plasticity\n equivalent_stress = '{law}'")
    role = presets.Role("test", {}, ("johnson_cook_factor",), ("temperature",))
    (law_,) = role.read("JohnsonCookFactor(smooth = true)")
    assert law_.fields == {"smooth": True}
    with pytest.raises(ModelError, match="expected true or false, got '2'"):
        role.read("JohnsonCookFactor(smooth = 2)")


def test_options_of_a_model_have_their_type() -> None:
    ones = [1.0] * 9
    made = m.Yld2004Stress(c_prime=ones, c_second=ones, exponent=8.0)
    assert isinstance(made.exponent, int)
    for bad in (8.5, "8", True):
        with pytest.raises(ModelError, match="'exponent' is a int, got"):
            m.Yld2004Stress(c_prime=ones, c_second=ones, exponent=bad)


def test_other_objects_are_no_laws() -> None:
    with pytest.raises(ModelError, match="expected a law of elasticity or a model, got a int"):
        presets.LinearElasticity(elasticity=3)
