"""Models as users meet them: the printed session, kinds of parameters, wiring, refusals."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from ladder import DECKS, along, assert_v, close, direction, dot, f64, plastic_point, randn

import neml2fe
import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.models import (
    ComposedModel,
    Input,
    Model,
    Option,
    Output,
    Parameter,
    value_and_jacobian,
)
from neml2fe.types import SR2, Scalar, Vec

ELASTICITY = """\
[Models]
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients      = '200e3          0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
"""


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    path = tmp_path / "input.i"
    path.write_text(ELASTICITY)
    return path


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# -- the printed session --------------------------------------------------------------------


def shown(value: torch.Tensor) -> str:
    """Six significant digits, as the printed session shows them."""
    return f"{value.item():.6g}"


def check_session(deck: Path, stress_repr: str) -> None:
    model = neml2fe.load_model(str(deck), "elasticity")
    assert repr(model) == "LinearIsotropicElasticity()"
    listed = [(n, p.item(), p.requires_grad) for n, p in model.named_parameters()]
    assert listed == [("E", 200000.0, True), ("nu", 0.3, True)]
    strain = SR2.fill(0.01, 0.0, 0.0, 0.0, 0.0, 0.0)
    stress = model(strain)
    assert repr(stress).startswith(stress_repr)
    loss = stress.data.norm()
    assert f"{loss.item():.4f}" == "3148.2126"
    loss.backward()
    assert shown(model.E.data.grad) == "0.0157411"
    assert shown(model.nu.data.grad) == "12849.5"
    gradients = torch.autograd.grad(model(strain).data[0], [model.E.data, model.nu.data])
    assert [shown(g) for g in gradients] == ["0.0134615", "7544.38"]
    model.nu.data.requires_grad_(False)
    assert [p.requires_grad for p in model.parameters()] == [True, False]
    (only,) = torch.autograd.grad(model(strain).data[0], [model.E.data])
    assert shown(only) == "0.0134615"


def test_session_in_single_precision(deck: Path) -> None:
    assert torch.get_default_dtype() is torch.float32
    check_session(deck, "SR2(data=tensor([2692.3076, 1153.8462, 1153.8462, ")


def test_session_in_double_precision(deck: Path, double: None) -> None:
    check_session(deck, "SR2(data=tensor([2692.3077, 1153.8462, 1153.8462, ")


def test_parameters_of_a_deck_are_double_whatever_the_default(deck: Path) -> None:
    model = neml2fe.load_model(deck, "elasticity")
    assert all(p.dtype is torch.float64 for p in model.parameters())
    assert model(SR2.fill(0.01, dtype=torch.float64)).dtype is torch.float64


def test_import_patches_nothing_in_torch() -> None:
    """Every attribute of torch and torch.nn.Module is the same object before and after."""
    code = """
import torch, torch._dynamo, torch.func
def state():
    return {(o.__name__, k): id(v) for o in (torch, torch.Tensor, torch.nn.Module, torch.func)
            for k, v in vars(o).items() if callable(v)}
before = state()
import neml2fe
neml2fe.load_model
after = state()
changed = sorted(k for k in before if after[k] != before[k])
assert not changed, changed
assert torch.get_default_dtype() is torch.float32
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# -- kinds of parameters --------------------------------------------------------------------


def voce(**fields: object) -> m.VoceIsotropicHardening:
    return m.VoceIsotropicHardening(
        **{"saturated_hardening": 90.0, "saturation_rate": 12.0} | fields
    )


def provider(label: str = "saturation") -> Model:
    """Computes 0.5 T + 40."""
    return m.ScalarLinearCombination(
        from_=["T"], to="R_of_T", weights=[0.5], offset=40.0, label=label
    )


def test_all_kinds_of_parameters_give_the_same_numbers() -> None:
    ep, expected = Scalar(f64([0.01, 0.2])), f64([0.0, 0.0])
    expected = 90.0 * (1.0 - torch.exp(-12.0 * ep.data))
    kinds: dict[str, tuple[object, dict]] = {
        "number": (90, {}),
        "tensor": (torch.tensor(90.0, dtype=torch.float64), {}),
        "typed": (Scalar(f64(90.0)), {}),
        "batched": (Scalar(f64([90.0, 90.0])), {}),
        "parameter": (torch.nn.Parameter(f64(90.0)), {}),
        "model": (provider(), {"T": f64(100.0)}),
        "variable": ("R_now", {"R_now": f64(90.0)}),
    }
    for kind, (value, more) in kinds.items():
        model = voce(saturated_hardening=value)
        assert list(model.input_spec) == ["equivalent_plastic_strain", *more]
        found = model(equivalent_plastic_strain=ep, **{n: Scalar(v) for n, v in more.items()})
        assert close(found.data, expected, 1e-15), kind


def test_gradients_flow_through_all_kinds_of_parameters() -> None:
    ep = f64([0.01, 0.2])
    slope = 1.0 - torch.exp(-12.0 * ep)
    assert close(
        torch.autograd.grad((model := voce())(Scalar(ep)).data.sum(), [model.R.data])[0],
        slope.sum(),
    )
    batched = voce(saturated_hardening=f64([90.0, 80.0]))
    (per_point,) = torch.autograd.grad(batched(Scalar(ep)).data.sum(), [batched.R.data])
    assert close(per_point, slope)
    nested = voce(saturated_hardening=provider())
    temperature = f64([100.0, 100.0]).requires_grad_()
    out = nested(Scalar(ep), Scalar(temperature)).data.sum()
    offset = dict(nested.named_parameters())["R.offset"]
    by_t, by_offset = torch.autograd.grad(out, [temperature, offset])
    assert close(by_t, 0.5 * slope) and close(by_offset, slope.sum())
    runtime = voce(saturated_hardening="R_now")
    r = f64(90.0).requires_grad_()
    (by_r,) = torch.autograd.grad(runtime(Scalar(ep), Scalar(r)).data.sum(), [r])
    assert close(by_r, slope.sum())
    _, jacobian = value_and_jacobian(
        runtime, {"equivalent_plastic_strain": ep, "R_now": r.detach()}
    )
    assert close(jacobian["isotropic_hardening"]["R_now"], slope)


def test_a_given_torch_parameter_is_kept_as_it_is() -> None:
    """So an optimiser's parameter may be shared between models."""
    shared = torch.nn.Parameter(f64(90.0))
    a, b = voce(saturated_hardening=shared, label="a"), voce(saturated_hardening=shared, label="b")
    assert a.R.data is shared and b.R.data is shared
    (g,) = torch.autograd.grad(a(f64(0.1)).data + b(f64(0.2)).data, [shared])
    assert close(g, 2.0 - torch.exp(f64(-1.2)) - torch.exp(f64(-2.4)))


def test_a_nested_model_may_serve_several_parameters() -> None:
    """Its parameters appear once, and its gradient is the sum over its uses."""
    once = provider()
    a = voce(saturated_hardening=once, label="a")
    b = m.YieldFunction(yield_stress=once, effective_stress="s", label="b")
    both = ComposedModel(models=[a, b])
    assert list(both.input_spec) == ["equivalent_plastic_strain", "T", "s"]
    names = dict(both.named_parameters())
    assert [n for n in names if n.endswith("offset")] == ["a.R.offset"]
    h, f = both(Scalar(f64(0.1)), Scalar(f64(100.0)), Scalar(f64(150.0)))
    assert close(f.data, f64((2 / 3) ** 0.5 * (150.0 - 90.0)), 1e-15)
    (g,) = torch.autograd.grad(h.data + f.data, [names["a.R.offset"]])
    assert close(g, 1.0 - torch.exp(f64(-1.2)) - (2 / 3) ** 0.5, 1e-14)


def test_a_nested_parameter_may_itself_have_nested_parameters() -> None:
    inner = m.ScalarLinearCombination(from_=["T"], to="w", weights=[0.01], label="inner")
    outer = m.ScalarLinearCombination(from_=["x"], to="y", weights=[inner], label="outer")
    model = voce(saturated_hardening=outer)
    assert list(model.input_spec) == ["equivalent_plastic_strain", "x", "T"]
    found = model(f64(0.1), f64(90.0), f64(100.0))
    assert close(found.data, 90.0 * (1.0 - torch.exp(f64(-1.2))), 1e-15)


def test_the_value_of_a_nested_parameter_exists_only_during_a_call() -> None:
    model = voce(saturated_hardening="R_now")
    model(f64(0.1), f64(90.0))
    assert "R" not in model._bound
    with pytest.raises(AttributeError):
        _ = model.R


def test_all_pairs_of_moduli_give_one_material() -> None:
    bulk, shear = 1.6e5, 0.75e5
    young, nu = (
        9 * bulk * shear / (3 * bulk + shear),
        (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear),
    )
    moduli = {
        "YOUNGS_MODULUS": young,
        "POISSONS_RATIO": nu,
        "BULK_MODULUS": bulk,
        "SHEAR_MODULUS": shear,
        "LAME_LAMBDA": bulk - 2 * shear / 3,
        "P_WAVE_MODULUS": bulk + 4 * shear / 3,
    }
    strain = f64([0.01, -0.004, 0.002, 0.003, -0.001, 0.005])
    lame = moduli["LAME_LAMBDA"] * strain[:3].sum() * f64([1, 1, 1, 0, 0, 0.0])
    expected = lame + 2 * shear * strain
    for a in moduli:
        for b in moduli:
            if a == b:
                continue
            fields = {"coefficients": [moduli[a], moduli[b]], "coefficient_types": [a, b]}
            model = m.LinearIsotropicElasticity(**fields)
            assert len(list(model.parameters())) == 2
            assert close(model(strain).data, expected, 1e-13), (a, b)
            back = m.LinearIsotropicElasticity(**fields, compliance=True)
            assert list(back.input_spec) == ["stress"] and list(back.output_spec) == ["strain"]
            assert close(back(expected).data, strain, 1e-13), (a, b)
            rate = m.LinearIsotropicElasticity(**fields, rate_form=True)
            assert list(rate.input_spec) == ["strain_rate"]
            assert list(rate.output_spec) == ["stress_rate"]
            assert close(rate(strain).data, expected, 1e-13)


def test_invariants_of_plain_matrices() -> None:
    a = SR2(randn(6))
    matrix = a.to_r2().data
    s = matrix - torch.trace(matrix) / 3.0 * torch.eye(3).double()
    second = 0.5 * (torch.trace(matrix) ** 2 - (matrix * matrix).sum())
    expected = {
        "VONMISES": torch.sqrt(1.5 * (s * s).sum()),
        "EFFECTIVE_STRAIN": torch.sqrt(2.0 / 3.0 * (s * s).sum()),
        "I1": torch.trace(matrix),
        "I2": second,
        "J2": 0.5 * (s * s).sum(),
    }
    for kind, value in expected.items():
        model = m.SR2Invariant(invariant_type=kind, tensor="a", invariant="i")
        assert close(model(a).data, value), kind


# -- calls ----------------------------------------------------------------------------------


def test_inputs_by_position_by_name_and_raw() -> None:
    model = m.AssociativePlasticFlow()
    rate, n = f64([0.1, 0.2]), randn(6)
    expected = rate[:, None] * n
    assert close(model(Scalar(rate), SR2(n)).data, expected)
    assert close(model(rate, flow_direction=n).data, expected)
    assert close(
        model.evaluate({"flow_rate": rate, "flow_direction": n})["plastic_strain_rate"].data,
        expected,
    )


def test_several_outputs_come_in_order() -> None:
    y, z = m.MixedControlSetup()(f64([0, 1, 0, 1, 0, 1.0]), f64([1.0] * 6), f64([2.0] * 6))
    assert y.data.tolist() == [2, 1, 2, 1, 2, 1] and z.data.tolist() == [1, 2, 1, 2, 1, 2]


def bad_calls() -> dict[str, tuple[Callable[[], object], str]]:
    flow = m.AssociativePlasticFlow()
    one, n = f64(1.0), randn(6)
    return {
        "missing": (lambda: flow(one), "is missing the input 'flow_direction' (SR2)"),
        "unknown": (
            lambda: flow(one, n, flow_dirction=n),
            "has no input 'flow_dirction'; did you mean 'flow_direction'?",
        ),
        "too many": (lambda: flow(one, n, n), "takes 2 inputs"),
        "wrong type": (
            lambda: flow(one, Vec(n[:3])),
            "input 'flow_direction' is a SR2, got a Vec",
        ),
        "wrong shape": (lambda: flow(one, n[:5]), "input 'flow_direction': SR2 needs trailing"),
    }


@pytest.mark.parametrize("case", sorted(bad_calls()))
def test_wrong_calls_end_with_one_clear_message(case: str) -> None:
    call, message = bad_calls()[case]
    with pytest.raises(ModelError, match=re.escape(message)):
        call()


# -- construction ---------------------------------------------------------------------------

E_NU = {"coefficient_types": ["YOUNGS_MODULUS", "POISSONS_RATIO"]}
BAD_MODELS: dict[str, tuple[Callable[[], object], str]] = {
    "unknown field": (
        lambda: voce(sautration=1.0),
        "VoceIsotropicHardening has no field 'sautration'; did you mean 'saturation_rate'?",
    ),
    "missing parameter": (
        lambda: m.VoceIsotropicHardening(saturation_rate=1.0),
        "needs the field 'saturated_hardening'",
    ),
    "missing option": (lambda: m.SR2Invariant(), "needs the field 'invariant_type'"),
    "unknown choice": (
        lambda: m.SR2Invariant(invariant_type="VONMISSES"),
        "'VONMISSES' is no invariant_type; did you mean 'VONMISES'?",
    ),
    "parameter of another type": (
        lambda: voce(saturated_hardening=SR2(randn(6))),
        "VoceIsotropicHardening.R is a Scalar, got a SR2",
    ),
    "nested model of another type": (
        lambda: voce(saturated_hardening=m.IsotropicMandelStress()),
        "R needs a model with one Scalar output",
    ),
    "nested model with two outputs": (
        lambda: voce(
            saturated_hardening=m.ConstantExtrapolationPredictor(unknowns_Scalar=["a", "b"])
        ),
        "R needs a model with one Scalar output",
    ),
    "not a number": (lambda: voce(saturated_hardening=float("nan")), "R must be finite, got nan"),
    "two names for one variable": (
        lambda: m.IsotropicMandelStress(cauchy_stress=["a", "b"]),
        "'cauchy_stress' takes one variable name",
    ),
    "weights": (
        lambda: m.SR2LinearCombination(from_=["a", "b", "c"], to="d", weights=[1.0, 2.0]),
        "3 variables in 'from' need 1 or 3 weights, got 2",
    ),
    "one modulus": (
        lambda: m.LinearIsotropicElasticity(coefficients=[1.0], coefficient_types=["BULK_MODULUS"]),
        "need two values and two different moduli",
    ),
    "unknown modulus": (
        lambda: m.LinearIsotropicElasticity(
            coefficients=[1.0, 0.3], coefficient_types=["YOUNG_MODULUS", "POISSONS_RATIO"]
        ),
        "did you mean 'YOUNGS_MODULUS'?",
    ),
    "incompressible": (
        lambda: m.LinearIsotropicElasticity(coefficients=[1e5, 0.5], **E_NU),
        "it must be positive and finite",
    ),
    "negative modulus": (
        lambda: m.LinearIsotropicElasticity(coefficients=[-1e5, 0.3], **E_NU),
        "it must be positive and finite",
    ),
    "impossible tensors of moduli": (
        lambda: m.LinearIsotropicElasticity(coefficients=[f64(1e5), f64([0.3, 0.5])], **E_NU),
        "it must be positive and finite",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_MODELS))
def test_wrong_fields_end_with_one_clear_message(case: str) -> None:
    make, message = BAD_MODELS[case]
    with pytest.raises(ModelError, match=re.escape(message)):
        make()


# -- composition ----------------------------------------------------------------------------


def chain() -> list[Model]:
    return [
        m.SR2Invariant(invariant_type="VONMISES", tensor="stress", invariant="s", label="vonmises"),
        voce(label="hardening"),
        m.YieldFunction(
            effective_stress="s",
            isotropic_hardening="isotropic_hardening",
            yield_stress=50.0,
            label="yield",
        ),
        m.PerzynaPlasticFlowRate(reference_stress=100.0, exponent=3.0, label="rate"),
    ]


def test_order_of_members_does_not_matter() -> None:
    stress, ep = 100.0 * randn(3, 6), f64(0.02)
    expected = None
    for members in (chain(), chain()[::-1], chain()[2:] + chain()[:2]):
        model = ComposedModel(models=members)
        assert list(model.output_spec) == ["flow_rate"]
        assert set(model.input_spec) == {"stress", "equivalent_plastic_strain"}
        found = model(stress=stress, equivalent_plastic_strain=ep).data
        expected = found if expected is None else expected
        assert torch.equal(found, expected)
    by_hand: dict = {"stress": stress, "equivalent_plastic_strain": ep}
    for member in chain():
        by_hand |= member.evaluate({n: by_hand[n] for n in member.input_spec})
    assert torch.equal(expected, by_hand["flow_rate"].data)


def test_additional_outputs_and_names_of_parameters() -> None:
    model = ComposedModel(models=chain(), additional_outputs=["yield_function", "s"])
    assert set(model.output_spec) == {"flow_rate", "yield_function", "s"}
    assert set(dict(model.named_parameters())) == {
        "hardening.R",
        "hardening.d",
        "yield.sy",
        "rate.eta",
        "rate.n",
    }


def test_compositions_nest_and_copy() -> None:
    inner = ComposedModel(models=chain()[:3], label="inner")
    model = ComposedModel(models=[chain()[3], inner])
    inputs = {"stress": 100.0 * randn(6), "equivalent_plastic_strain": f64(0.02)}
    expected = ComposedModel(models=chain()).evaluate(inputs)["flow_rate"].data
    assert torch.equal(model.evaluate(inputs)["flow_rate"].data, expected)
    clone = copy.deepcopy(model)
    with torch.no_grad():
        dict(clone.named_parameters())["inner.yield.sy"].mul_(0.5)
    assert torch.equal(model.evaluate(inputs)["flow_rate"].data, expected)
    assert not torch.equal(clone.evaluate(inputs)["flow_rate"].data, expected)


BAD_COMPOSITIONS: dict[str, tuple[Callable[[], object], str]] = {
    "two producers": (
        lambda: ComposedModel(models=[*chain(), voce(label="again")]),
        "both 'hardening' and 'again' compute 'isotropic_hardening'",
    ),
    "cycle": (
        lambda: ComposedModel(
            models=[
                m.ScalarLinearCombination(from_=["b"], to="a", label="first"),
                m.ScalarLinearCombination(from_=["a"], to="b", label="second"),
            ]
        ),
        "the models form a cycle: ",
    ),
    "type": (
        lambda: ComposedModel(models=[m.IsotropicMandelStress(mandel_stress="s"), chain()[2]]),
        "'s' is a SR2 elsewhere, but 'yield' takes a Scalar",
    ),
    "additional output": (
        lambda: ComposedModel(models=chain(), additional_outputs=["yield_functon"]),
        "additional output 'yield_functon' is not computed by any member; "
        "did you mean 'yield_function'?",
    ),
    "function of normality": (
        lambda: m.Normality(
            model=ComposedModel(models=chain()[:3]), function="flow", from_=["stress"], to=["N"]
        ),
        "'flow' is no Scalar output",
    ),
    "variable of normality": (
        lambda: m.Normality(
            model=ComposedModel(models=chain()[:3]),
            function="yield_function",
            from_=["strss"],
            to=["N"],
        ),
        "'strss' is no input of 'ComposedModel'; did you mean 'stress'?",
    ),
    "lengths of normality": (
        lambda: m.Normality(
            model=ComposedModel(models=chain()[:3]),
            function="yield_function",
            from_=["stress"],
            to=["N", "M"],
        ),
        "'from' and 'to' must have equal length",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_COMPOSITIONS))
def test_wrong_compositions_end_with_one_clear_message(case: str) -> None:
    make, message = BAD_COMPOSITIONS[case]
    with pytest.raises(ModelError, match=re.escape(message)):
        make()


# -- leaves of a user's own -----------------------------------------------------------------


def test_a_leaf_is_fields_and_a_formula() -> None:
    class Ludwik(Model, abstract=True):
        r"""$h = k \bar\varepsilon_p^m$."""

        equivalent_plastic_strain = Input(Scalar, "Equivalent plastic strain")
        isotropic_hardening = Output(Scalar, "Isotropic hardening")
        strength = Parameter(Scalar, "k", "Strength", "stress")
        exponent = Parameter(Scalar, "m", "Exponent", default=0.5)
        doubled = Option(bool, "Twice as hard", default=False)

        def forward(self, ep: Scalar) -> Scalar:
            return (2.0 if self.doubled else 1.0) * self.k * ep**self.m

    model = Ludwik(strength=100.0, doubled=True)
    ep = f64([0.04, 0.25])
    values, jacobian = value_and_jacobian(model, {"equivalent_plastic_strain": ep})
    assert close(values["isotropic_hardening"], f64([40.0, 100.0]), 1e-15)
    slope = jacobian["isotropic_hardening"]["equivalent_plastic_strain"]
    assert close(slope, 100.0 / torch.sqrt(ep), 1e-14)


# -- frozen parameters ----------------------------------------------------------------------


def test_a_frozen_parameter_changes_no_other_gradient_inside_an_implicit_update() -> None:
    assert (DECKS / "perzyna_voce.i").exists()
    model, inputs = plastic_point("perzyna_voce", 6)
    parameters = dict(model.named_parameters())

    def gradients() -> dict[str, torch.Tensor]:
        for p in parameters.values():
            p.grad = None
        model(**inputs)[0].data.sum().backward()
        return {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}

    free = gradients()
    assert set(free) == set(parameters) and all(bool(g != 0.0) for g in free.values())
    plain = model(**inputs)[0].data.detach()
    for frozen in parameters:
        parameters[frozen].requires_grad_(False)
        now = gradients()
        assert set(now) == set(parameters) - {frozen}
        assert all(close(now[n], free[n], 1e-14) for n in now)
        assert torch.equal(model(**inputs)[0].data.detach(), plain)
        parameters[frozen].requires_grad_(True)
    for p in parameters.values():
        p.requires_grad_(False)
    assert not model(**inputs)[0].data.requires_grad
    strain = inputs["E"].clone().requires_grad_()
    model(**{**inputs, "E": strain})[0].data.sum().backward()
    way = direction({"E": inputs["E"]})

    def f(h: float) -> torch.Tensor:
        return model(**{**inputs, **along({"E": inputs["E"]}, way, h)})[0].data.sum()

    assert_v(f, dot({"E": strain.grad}, way))


def test_no_gradient_is_lost_through_a_parameter() -> None:
    """A tensor that wants a gradient is refused; an nn.Parameter is used as it is, and checked."""
    with pytest.raises(ModelError, match="would lose it here"):
        m.LinearIsotropicHardening(hardening_modulus=torch.tensor(5.0, requires_grad=True))
    own = torch.nn.Parameter(torch.tensor(5.0, dtype=torch.float64))
    assert m.LinearIsotropicHardening(hardening_modulus=own).K.data is own
    broken = torch.nn.Parameter(torch.tensor(float("nan")))
    with pytest.raises(ModelError, match="must be finite"):
        m.LinearIsotropicHardening(hardening_modulus=broken)


@pytest.mark.parametrize("name", ["", "a b", "x~y", "x~"])
def test_names_of_variables(name: str) -> None:
    with pytest.raises(ModelError, match="no name of a variable"):
        m.ScalarVariableRate(variable=name)


def test_the_old_value_of_an_old_value_has_no_name() -> None:
    with pytest.raises(ModelError, match="whose old value has no name"):
        m.ScalarBackwardEulerTimeIntegration(variable="x~1", rate="r", variable_residual="q")
    with pytest.raises(ModelError, match="no model to compose"):
        m.ComposedModel(models=[])


def test_single_precision_all_through() -> None:
    """The local Newton iteration stops at the round-off of the precision that it is given."""
    model = neml2fe.load_model(DECKS / "perzyna_voce.i", "model").to(torch.float32)
    strain = torch.tensor([0.02, -0.009, -0.008, 0.002, 0.0, 0.004])
    inputs = {n: k.zeros() for n, k in model.input_spec.items()}
    inputs |= {"E": SR2(strain), "t": Scalar(torch.tensor(1.0))}
    single = model.evaluate(inputs)["stress"].data
    double = model.double().evaluate({n: v.to(torch.float64) for n, v in inputs.items()})
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double["stress"].data, rtol=1e-4, atol=1e-2)
