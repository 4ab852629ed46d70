"""The long deck of every preset gives the same numbers, bit by bit."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from cases import CASES, COMBINED, f64, steel

from neml2fe import presets
from neml2fe.errors import ModelError
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.material import Material
from neml2fe.models import Model
from neml2fe.models import NeuralIsotropicHardening as Neural  # type: ignore[attr-defined]
from neml2fe.models import VoceIsotropicHardening as Voce  # type: ignore[attr-defined]
from neml2fe.models.solid_mechanics.surrogate import Perceptron
from neml2fe.presets import Preset

TABLE = """
[Tensors]
  [R0]
    type = Python
    expr = 'Scalar(torch.tensor([100.0, 130.0, 160.0], dtype=torch.float64))'
  []
  [knots]
    type = Python
    expr = 'Scalar(torch.tensor([0.0, 500.0, 1000.0], dtype=torch.float64))'
  []
  [values]
    type = Python
    expr = 'Scalar(torch.tensor([120.0, 100.0, 30.0], dtype=torch.float64))'
  []
[]
[Models]
  [yield_of_T]
    type = ScalarLinearInterpolation
    argument = 'temperature'
    abscissa = 'knots'
    ordinate = 'values'
  []
[]
"""
NESTED = """
    type = J2Viscoplasticity
    yield_stress = 'yield_of_T'
    [elasticity]
      type = LinearIsotropicElasticity
      coefficients = '200e3 0.3'
      coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    []
    isotropic_hardening = 'voce(R = R0, d = 1.2)'
    [kinematic_hardening]
      [short]
        type = ChabochePlasticHardening
        C = 1e4
        g = 100
        A = 1e-8
        a = 1.2
      []
      [long]
        type = LinearKinematicHardening
        hardening_modulus = 1000
      []
    []
    flow = 'perzyna(eta = 100, n = 4)'
"""


def history(model: Model, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Stresses and tangents of three points, pulled, sheared and turned back; all flow."""
    material = Material(model)
    state = material.initial_state(3)
    way = scale * f64(
        [
            [3e-3, -1e-3, -1e-3, 1e-3, 0, 0],
            [0, -2e-3, 0, 0, 2e-3, 0],
            [2e-3, -1e-3, -2e-3, 1e-3, 0, -1e-3],
        ]
    )
    stresses, tangents = [], []
    for k, factor in enumerate((0.2, 1.0, 1.7, 0.8, -1.0)):
        fields = {"temperature": f64([300.0, 400.0, 510.0]) + 20.0 * k}
        known = {name: v for name, v in fields.items() if name in material.field_spec}
        result = material.update(factor * way, state, 0.5 * (k + 1), 0.5, known)
        assert not len(result.failed)
        state = result.state
        stresses.append(result.stress)
        assert result.tangent is not None
        tangents.append(result.tangent)
    return torch.stack(stresses), torch.stack(tangents)


def again(model: Preset) -> Model:
    return Input(parse_deck(model.expansion(), "long.i")).get_model(model.label)


def assert_same(model: Preset, other: Model) -> None:
    assert list(other.input_spec.items()) == list(model.input_spec.items())
    assert list(other.output_spec.items()) == list(model.output_spec.items())
    old, new = model.state_dict(), other.state_dict()
    assert list(new) == list(old)
    assert all(torch.equal(v, new[n]) for n, v in old.items())
    for a, b in zip(history(model), history(other), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", CASES)
def test_the_expansion_is_the_preset(name: str) -> None:
    model = steel(CASES[name])
    assert isinstance(model, Preset)
    assert_same(model, again(model))


def test_tensors_nested_models_and_nested_blocks_expand_too() -> None:
    model = steel(NESTED, TABLE)
    assert isinstance(model, Preset)
    assert_same(model, again(model))
    one_line = steel(
        COMBINED.replace("R = 100", "R = R0").replace("= 100\n", "= 'yield_of_T'\n", 1), TABLE
    )
    for a, b in zip(history(model), history(one_line), strict=True):
        assert torch.equal(a, b)


def test_python_and_deck_make_the_same_model() -> None:
    fields = {
        "elasticity": "isotropic(E = 200e3, nu = 0.3)",
        "yield_stress": 100,
        "kinematic_hardening": [
            "chaboche(C = 1e4, g = 100, A = 1e-8, a = 1.2)",
            "linear(H = 1000)",
        ],
        "flow": "perzyna(100, 4)",
    }
    deck = steel(COMBINED)
    law = Voce(saturated_hardening=100.0, saturation_rate=1.2, label="growth")
    for given in ("VoceIsotropicHardening(R = 100, d = 1.2)", law):
        model = presets.J2Viscoplasticity(label="steel", isotropic_hardening=given, **fields)
        for a, b in zip(history(model), history(deck), strict=True):
            assert torch.equal(a, b)
        assert_same(model, again(model))
    assert model.get_parameter("return_map.rates.growth.R") is law.get_parameter("R")


def test_the_expansion_follows_trained_parameters_and_copies() -> None:
    model = steel(COMBINED)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "weight" not in name and "offset" not in name:
                parameter *= 1.1
    assert isinstance(model, Preset) and isinstance(twin, Preset)
    assert_same(model, again(model))
    assert_same(twin, again(twin))
    assert model.expansion() != twin.expansion()


BLOCK = """
[Models]
  [h]
    type = VoceIsotropicHardening
    saturated_hardening = 100
    saturation_rate = 1.2
  []
[]
"""


def test_a_law_may_name_a_block() -> None:
    text = COMBINED.replace("voce(R = 100, d = 1.2)", "h")
    model = steel(text, BLOCK)
    assert isinstance(model, Preset)
    assert_same(model, again(model))
    for a, b in zip(history(model), history(steel(COMBINED)), strict=True):
        assert torch.equal(a, b)


NEURAL = """
    type = J2Plasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    yield_stress = 100
    [isotropic_hardening]
      type = NeuralIsotropicHardening
      from = equivalent_plastic_strain
      output_scale = 80
      scales = 0.01
      monotone = true
      weights = weights.pt
    []
"""


def test_the_expansion_of_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(4)
    torch.save(Perceptron([1, 16, 16, 1], monotone=True).state_dict(), "weights.pt")
    model = steel(NEURAL)
    assert isinstance(model, Preset)
    assert_same(model, again(model))
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if n.endswith("layers_0_bias")).add_(0.1)
    with pytest.raises(ModelError, match="its network is not that of a file"):
        model.expansion()
    law = Neural(from_=["equivalent_plastic_strain"], scales=[0.01], label="net")
    made = presets.J2RadialReturn(
        elasticity="isotropic(200e3, 0.3)", yield_stress=100, isotropic_hardening=law
    )
    with pytest.raises(ModelError, match="its network is not that of a file"):
        made.expansion()
    with pytest.raises(ModelError, match="which one line cannot say"):
        presets.J2RadialReturn(
            elasticity="isotropic(200e3, 0.3)",
            yield_stress=100,
            isotropic_hardening="NeuralIsotropicHardening(R = 1)",
        )


@pytest.mark.parametrize(
    ("law", "solver"),
    [("von_mises", "Newton"), ("hosford(a = 8)", "NewtonWithLineSearch")],
)
def test_other_surfaces_search_along_the_line(law: str, solver: str) -> None:
    model = steel(f"{CASES['plastic']}\n equivalent_stress = '{law}'")
    assert isinstance(model, Preset)
    assert f"type = {solver}\n" in model.expansion()
    assert_same(model, again(model))


def test_a_model_that_no_deck_can_say_is_refused() -> None:
    class Hidden(Voce, abstract=True):  # in no registry
        pass

    law = Hidden(saturated_hardening=100.0, saturation_rate=1.2, label="mine")
    model = presets.J2RadialReturn(
        elasticity="isotropic(E = 200e3, nu = 0.3)", yield_stress=100, isotropic_hardening=law
    )
    with pytest.raises(ModelError, match=r"'mine' \(Hidden\) cannot be written"):
        model.expansion()
