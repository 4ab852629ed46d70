"""The quadrature-point interface against the model and against automatic differentiation."""

from __future__ import annotations

import re

import pytest
import torch
from ladder import DECKS, assert_v, close, f64, randn

import neml2fe
import neml2fe.models as m
from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, Status
from neml2fe.material import Material
from neml2fe.models import ComposedModel, Model

STRAIN = f64([0.004, -0.0015, -0.001, 0.001, 0.0, 0.002])
STATES = {
    "perzyna_voce": {"stress", "equivalent_plastic_strain", "E"},
    "combined": {
        "plastic_strain",
        "kinematic_plastic_strain",
        "equivalent_plastic_strain",
        "flow_rate",
    },
    "chaboche": {"stress", "equivalent_plastic_strain", "X1", "X2", "E"},
    "explicit": {"stress", "equivalent_plastic_strain", "E"},
}
DECK_NAMES = sorted(STATES)


def model_of(deck: str) -> Model:
    return neml2fe.load_model(DECKS / f"{deck}.i", "model")


def march(
    material: Material, n: int = 3, steps: int = 4
) -> tuple[torch.Tensor, dict, float, float]:
    """Strain, old state, time and step of the last of a few steps; every point flows."""
    factors = torch.linspace(0.9, 1.1, n, dtype=torch.float64)[:, None]
    state, dt = material.initial_state(n), 0.05
    for k in range(1, steps + 1):
        strain = factors * STRAIN * k / steps
        if k == steps:
            break
        result = material.update(strain, state, k * dt, dt, tangent=False)
        assert not result.status.any()
        state = result.state
    return strain, state, steps * dt, dt


@pytest.mark.parametrize("deck", DECK_NAMES)
def test_state_is_found_without_being_listed(deck: str) -> None:
    material = Material(model_of(deck))
    if deck == "explicit":
        assert material.strain == "E"
    assert set(material.state_spec) == STATES[deck]
    state = material.initial_state(5)
    for name, kind in material.state_spec.items():
        assert state[name].shape == (5, *kind.BASE_SHAPE) and not state[name].any()
        assert state[name].dtype is torch.float64


@pytest.mark.parametrize("deck", DECK_NAMES)
def test_update_is_one_step_of_the_model(deck: str) -> None:
    model = model_of(deck)
    material = Material(model)
    strain, state, time, dt = march(material)
    result = material.update(strain, state, time, dt)
    inputs = {f"{n}~1": v for n, v in state.items()} | {"E": strain}
    inputs |= {"t": f64(time), "t~1": f64(time - dt)}
    outputs = model.evaluate({n: inputs[n] for n in model.input_spec})
    assert close(result.stress, outputs["stress"].data.detach(), 1e-14)
    assert result.status.tolist() == [Status.CONVERGED] * 3
    assert result.failed.tolist() == [] and result.iterations.shape == (3,)
    for name, value in result.state.items():
        expected = strain if name == "E" else outputs[name].data.detach()
        assert close(value, expected, 1e-14)
    assert not result.stress.requires_grad
    without = material.update(strain, state, time, dt, tangent=False)
    assert without.tangent is None and close(without.stress, result.stress, 1e-14)


@pytest.mark.parametrize("deck", DECK_NAMES)
def test_tangent_against_differences(deck: str) -> None:
    material = Material(model_of(deck))
    strain, state, time, dt = march(material)
    result = material.update(strain, state, time, dt)
    assert result.tangent is not None and result.tangent.shape == (3, 6, 6)
    way = 0.05 * float(strain.abs().max()) * randn(3, 6)

    def stress(h: float) -> torch.Tensor:
        return material.update(strain + h * way, state, time, dt, tangent=False).stress

    slope = torch.einsum("pij,pj->pi", result.tangent, way)
    assert_v(stress, slope, exact=deck == "explicit")  # its stress is affine in the strain


@pytest.mark.parametrize("deck", DECK_NAMES)
def test_vjp_is_the_transpose_of_the_update(deck: str) -> None:
    model = model_of(deck)
    material = Material(model)
    strain, state, time, dt = march(material)
    stress_bar = randn(3, 6)
    state_bar = {n: randn(*v.shape) for n, v in state.items()}
    found = material.vjp(strain, state, time, dt, stress_bar, state_bar)
    parameters = dict(model.named_parameters())
    leaves = {n: v.clone().requires_grad_() for n, v in {**state, "new": strain}.items()}
    inputs = {f"{n}~1": leaves[n] for n in state} | {"E": leaves["new"]}
    inputs |= {"t": f64(time), "t~1": f64(time - dt)}
    outputs = {
        k: v.data for k, v in model.evaluate({n: inputs[n] for n in model.input_spec}).items()
    }
    total = (outputs["stress"] * stress_bar).sum()
    for name, bar in state_bar.items():
        total = total + ({**outputs, "E": leaves["new"]}[name] * bar).sum()
    by = torch.autograd.grad(
        total, [*leaves.values(), *parameters.values()], materialize_grads=True
    )
    expected = dict(zip([*leaves, *parameters], by, strict=True))
    assert close(found.strain, expected["new"], 1e-13)
    assert set(found.state) == set(state) and set(found.parameters) == set(parameters)
    for name in state:
        assert close(found.state[name], expected[name], 1e-13)
    for name in parameters:
        assert close(found.parameters[name], expected[name], 1e-13)
    only_stress = material.vjp(strain, state, time, dt, stress_bar)
    tangent = material.update(strain, state, time, dt).tangent
    assert tangent is not None
    assert close(only_stress.strain, torch.einsum("pij,pi->pj", tangent, stress_bar), 1e-11)


def test_vjp_leaves_no_trace_and_skips_frozen_parameters() -> None:
    model = model_of("perzyna_voce")
    material = Material(model)
    model.get_parameter("rates_and_residuals.isoharden.R").requires_grad_(False)
    strain, state, time, dt = march(material)
    found = material.vjp(strain, state, time, dt, randn(3, 6))
    assert len(found.parameters) == 9
    assert "rates_and_residuals.isoharden.R" not in found.parameters
    assert all(p.grad is None for p in model.parameters())
    assert not strain.requires_grad and not any(v.requires_grad for v in state.values())


def test_fields_are_given_to_each_call() -> None:
    material = Material(model_of("temperature"))
    assert list(material.field_spec) == ["T"]
    n = 3  # one for each value of the parameter that varies by point
    state = material.initial_state(n)
    strain = STRAIN.expand(n, 6) * 0.2
    cold, hot = f64([300.0] * n), f64([700.0] * n)
    first = material.update(strain, state, 0.1, 0.1, {"T": cold})
    assert close(first.stress[0], first.stress[2], 1e-14)
    second = material.update(strain, state, 0.1, 0.1, {"T": hot})
    young = (1.38e5 - 60.0 * 700.0) / (1.38e5 - 60.0 * 300.0)
    assert close(second.stress, young * first.stress, 1e-13)
    bar = material.vjp(strain, state, 0.1, 0.1, torch.ones(n, 6).double(), None, {"T": cold})
    total = -60.0 / (1.38e5 - 60.0 * 300.0) * first.stress.sum(-1)
    assert close(bar.fields["T"], total, 1e-12)


def test_failed_points_are_reported_and_disturb_no_other() -> None:
    material = Material(model_of("perzyna_voce"))
    strain, state, time, dt = march(material)
    good = material.update(strain, state, time, dt)
    bad = strain.clone()
    bad[1] = float("nan")
    result = material.update(bad, state, time, dt)
    assert result.failed.tolist() == [1] and int(result.status[1]) == Status.NOT_FINITE
    assert bool(torch.isnan(result.stress[1]).all())
    assert bool(torch.isnan(result.state["stress"][1]).all())
    keep = torch.tensor([0, 2])
    assert good.tangent is not None and result.tangent is not None
    assert close(result.stress[keep], good.stress[keep], 1e-14)
    assert close(result.tangent[keep], good.tangent[keep], 1e-14)
    with pytest.raises(ConvergenceError):
        material.vjp(bad, state, time, dt, torch.ones(3, 6).double())


def test_an_explicit_model_reports_points_that_are_not_finite() -> None:
    material = Material(model_of("explicit"))
    strain = STRAIN.expand(2, 6).clone()
    strain[1, 0] = float("inf")
    result = material.update(strain, material.initial_state(2), 0.1, 0.1)
    assert result.status.tolist() == [Status.CONVERGED, Status.NOT_FINITE]


def test_no_points_at_all() -> None:
    material = Material(model_of("perzyna_voce"))
    result = material.update(torch.zeros(0, 6).double(), material.initial_state(0), 0.1, 0.1)
    assert result.stress.shape == (0, 6)
    assert result.tangent is not None and result.tangent.shape == (0, 6, 6)


def elasticity() -> m.LinearIsotropicElasticity:
    return m.LinearIsotropicElasticity(
        coefficients=[2e5, 0.3], coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"]
    )


def test_an_elastic_model_has_no_state() -> None:
    material = Material(elasticity())
    assert not material.state_spec and not material.field_spec
    result = material.update(STRAIN.expand(4, 6), {}, 1.0, 1.0)
    assert result.tangent is not None
    for k in range(4):
        assert close(result.tangent[k] @ STRAIN, result.stress[k], 1e-14)
        assert close(result.tangent[k], result.tangent[k].T, 1e-15)
    assert not result.status.any()


def refused() -> dict[str, tuple[object, str]]:
    material = Material(model_of("perzyna_voce"))
    thermal = Material(model_of("temperature"))
    strain, state = STRAIN.expand(3, 6), material.initial_state(3)
    old = {n: v[:2] for n, v in state.items()}
    missing = {n: v for n, v in state.items() if n != "stress"}
    crystal = Material(model_of("crystal_coupled"), "deformation_rate", "cauchy_stress")
    grains = crystal.initial_state(3) | {"orientation": torch.zeros(3, 8, 3)}
    spin = {"vorticity": torch.zeros(3, 3)}
    taylor = Material(model_of("crystal_taylor_block"), "deformation_rate")
    two = ComposedModel(models=[elasticity(), m.IsotropicMandelStress(cauchy_stress="other")])
    return {
        "short strain": (
            lambda: material.update(strain[:, :5], state, 1.0, 1.0),
            "strain 'E' must have shape (n, 6), got (3, 5)",
        ),
        "strain of one point": (
            lambda: material.update(STRAIN, state, 1.0, 1.0),
            "strain 'E' must have shape (n, 6), got (6,)",
        ),
        "state of other points": (
            lambda: material.update(strain, old, 1.0, 1.0),
            "must have shape (3",
        ),
        "state left out": (
            lambda: material.update(strain, missing, 1.0, 1.0),
            "state 'stress' must have shape (3, 6), got nothing",
        ),
        "field left out": (
            lambda: thermal.update(strain, state, 1.0, 1.0),
            "field 'T' must have shape (3,), got nothing",
        ),
        "field of another shape": (
            lambda: thermal.update(strain, state, 1.0, 1.0, {"T": f64([[300.0]])}),
            "field 'T' must have shape (3,), got (1, 1)",
        ),
        "unknown field": (
            lambda: thermal.update(strain, state, 1.0, 1.0, {"T": f64([300.0] * 3), "TT": strain}),
            "has no field 'TT'; did you mean 'T'?",
        ),
        "no stress": (lambda: Material(elasticity(), stress="stres"), "no stress output 'stres'"),
        "no strain": (lambda: Material(elasticity(), strain="E"), "no strain input 'E'"),
        "ambiguous strain": (
            lambda: Material(two),
            "cannot tell the strain among the SR2 inputs ['strain', 'other']",
        ),
        "state of grains": (
            lambda: crystal.update(strain, grains, 1.0, 1.0, spin),
            "state 'orientation' must have shape (3, 3), got (3, 8, 3); a sub-batch",
        ),
        "mean over points": (
            lambda: taylor.initial_state(3),
            "'average' (SR2IntermediateMean) reduces over points that are separate",
        ),
        "state that nothing computes": (
            lambda: Material(
                ComposedModel(
                    models=[
                        elasticity(),
                        m.SR2ForwardEulerTimeIntegration(variable="b", rate="stress"),
                        m.LinearKinematicHardening(
                            kinematic_plastic_strain="x~1", hardening_modulus=1.0
                        ),
                    ],
                    additional_outputs=["stress"],
                )
            ),
            "needs 'x~1', but nothing computes 'x'",
        ),
    }


@pytest.mark.parametrize("case", sorted(refused()))
def test_wrong_use_ends_with_one_clear_message(case: str) -> None:
    call, message = refused()[case]
    with pytest.raises(ModelError, match=re.escape(message)):
        call()  # type: ignore[operator]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_points_stay_on_their_device() -> None:
    cpu = Material(model_of("perzyna_voce"))
    strain, state, time, dt = march(cpu)
    expected = cpu.update(strain, state, time, dt)
    gpu = Material(model_of("perzyna_voce").to("cuda"))
    moved = {n: v.cuda() for n, v in state.items()}
    result = gpu.update(strain.cuda(), moved, time, dt)
    assert result.tangent is not None and expected.tangent is not None
    for a, b in (
        (result.stress, expected.stress),
        (result.tangent, expected.tangent),
        (result.state["stress"], expected.state["stress"]),
    ):
        assert a.is_cuda and close(a.cpu(), b, 1e-11)
    assert result.status.is_cuda and not result.status.any()
    bar = gpu.vjp(strain.cuda(), moved, time, dt, torch.ones(3, 6).double().cuda())
    assert bar.strain.is_cuda and all(g.is_cuda for g in bar.parameters.values())
    assert all(v.is_cuda for v in gpu.initial_state(2, device="cuda").values())


def test_linear_extrapolation_sees_two_steps_back() -> None:
    """The times that a predictor needs beyond the last step are state like any other."""
    constant = model_of("perzyna_voce")
    linear = ImplicitUpdate(
        equation_system=constant.equation_system,
        solver=Newton(),
        predictor=m.LinearExtrapolationPredictor(
            unknowns_SR2=["stress"], unknowns_Scalar=["equivalent_plastic_strain"]
        ),
    )
    material, plain = Material(linear), Material(constant)
    assert {"t~1", "stress~1"} <= set(material.state_spec)
    direction = torch.tensor([[0.02, -0.009, -0.008, 0.002, 0.0, 0.004]], dtype=torch.float64)
    state, other = material.initial_state(1), plain.initial_state(1)
    for k, time in enumerate((1.0, 1.5, 2.5), start=1):
        dt = time - {1: 0.0, 2: 1.0, 3: 1.5}[k]
        result = material.update(0.1 * time * direction, state, time, dt)
        reference = plain.update(0.1 * time * direction, other, time, dt)
        state, other = result.state, reference.state
        torch.testing.assert_close(result.stress, reference.stress, rtol=1e-9, atol=1e-9)
    assert float(state["t~1"]) == 1.5
