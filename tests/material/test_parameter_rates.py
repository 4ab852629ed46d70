"""Derivatives by parameters: rates, cotangents, and the tensors that they are by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from differences import DT, TIME, Case, assert_rates_and_cotangents
from ladder import DECKS, close, f64, randn

import neml2fe
import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.kernels import backend, recorded_kernels
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain
from neml2fe.models import Model

N = 3
ONE = torch.eye(3, dtype=torch.float64)
ELASTICITY = {"coefficients": [2e5, 0.3], "coefficient_types": ["YOUNGS_MODULUS", "POISSONS_RATIO"]}
FIELDS = {"vorticity": 1e-3, "orientation": 0.2}
STARTS = {"void_fraction": 0.05}  # of states, where zero is no place to be
BACKENDS = pytest.mark.parametrize("chosen", ["kernel", "eager"])


def deck(name: str, **names: str) -> Material:
    return Material(neml2fe.load_model(DECKS / f"{name}.i", "model"), **names)


def elastic() -> Material:
    return Material(m.LinearIsotropicElasticity(**ELASTICITY))


def neo_hookean(measure: str = "PK1") -> Material:
    return Material(m.NeoHookean(bulk_modulus=500.0, shear_modulus=80.0, measure=measure))


def in_plane(material: Material) -> PlaneStress:
    return PlaneStress(material, rel_tol=1e-13, abs_tol=1e-15)


def in_plane_finite() -> PlaneStress:
    inner = finite_strain(deck("plasticity_radial_return_linear"))
    return PlaneStress(inner, rel_tol=1e-13, abs_tol=1e-15)


MATERIALS: dict[str, Callable[[], PointMaterial]] = {
    "elasticity": elastic,
    "J2, Voce": lambda: deck("plasticity_radial_return_voce"),
    "Chaboche, viscoplastic": lambda: deck("chaboche"),
    "Gurson": lambda: deck("plasticity_gtn"),
    "crystal": lambda: deck("crystal_coupled", strain="deformation_rate", stress="cauchy_stress"),
    "plane stress, small": lambda: in_plane(deck("perzyna_voce")),
    "plane stress, finite": in_plane_finite,
    "logarithmic strain": lambda: finite_strain(deck("perzyna_voce")),
    "neo-Hookean": neo_hookean,
    "neo-Hookean, Kirchhoff": lambda: finite_strain(neo_hookean("KIRCHHOFF")),
}


SEVERAL = ["Chaboche, viscoplastic", "Gurson", "plane stress, finite", "neo-Hookean, Kirchhoff"]


def model_of(material: PointMaterial) -> Model:
    while not isinstance(material, Material):
        material = material.material  # type: ignore[attr-defined]
    return material.model


def strains(material: PointMaterial, size: float) -> torch.Tensor:
    """Mostly deviatoric ones."""
    if material.strain_kind.BASE_SHAPE == (3, 3):
        found = ONE + size * randn(N, 3, 3)
        found[:, :2, 2] = found[:, 2, :2] = 0.0
        return found
    way = randn(N, 6)
    way[:, :3] -= 0.9 * way[:, :3].mean(-1, keepdim=True)
    return size * way / way.norm(dim=-1, keepdim=True)


def after_steps(material: PointMaterial, size: float) -> Case:
    """With the state after two steps."""
    fields = {n: FIELDS[n] * randn(N, *k.BASE_SHAPE) for n, k in material.field_spec.items()}
    state = material.initial_state(N, fields=fields)
    state |= {n: torch.full_like(state[n], v) for n, v in STARTS.items() if n in state}
    strain = strains(material, size)
    virgin = ONE if material.strain_kind.BASE_SHAPE == (3, 3) else torch.zeros(6).double()
    for part in (0.4, 0.8):
        now = virgin + part * (strain - virgin)
        state = material.update(now, state, TIME, DT, fields, tangent=False).state
    return strain, state, fields


@BACKENDS
@pytest.mark.parametrize("name", sorted(MATERIALS))
def test_rates_by_differences_and_by_cotangents(name: str, chosen: str) -> None:
    material = MATERIALS[name]()
    size = 0.1 if material.strain_kind.BASE_SHAPE == (3, 3) else 0.01
    with backend(chosen):
        case = after_steps(material, size)
        way = 0.02 * (strains(material, size) - strains(material, size))
        assert_rates_and_cotangents(material, case, way)


@pytest.mark.parametrize("name", sorted(MATERIALS))
def test_names_of_parameters(name: str) -> None:
    """Of cotangents, in the order and shapes of the model's own."""
    material = MATERIALS[name]()
    strain, state, fields = after_steps(material, 1e-3)
    own = dict(model_of(material).named_parameters())
    assert list(material.parameters) == list(own)
    assert all(material.parameters[n] is p for n, p in own.items())
    bar = randn(*strain.shape)
    found = material.vjp(strain, state, TIME, DT, bar, None, fields).parameters
    assert {n: v.shape for n, v in found.items()} == {n: p.shape for n, p in own.items()}


@contextmanager
def replaced(model: Model, tensors: dict[str, torch.Tensor]) -> Iterator[None]:
    """As fits do it."""
    places: list[tuple[dict[str, Any], str]] = [
        (model.get_submodule(path)._parameters, symbol)
        for path, _, symbol in (n.rpartition(".") for n in tensors)
    ]
    before = [table[symbol] for table, symbol in places]
    try:
        for (table, symbol), tensor in zip(places, tensors.values(), strict=True):
            table[symbol] = tensor
        yield
    finally:
        for (table, symbol), parameter in zip(places, before, strict=True):
            table[symbol] = parameter


@BACKENDS
@pytest.mark.parametrize("name", SEVERAL)
def test_cotangents_of_tensors_in_place_of_parameters(name: str, chosen: str) -> None:
    """Tensors that depend on each other: the cotangents are by each alone."""
    material = MATERIALS[name]()
    own = {n: p.detach().clone() for n, p in material.parameters.items()}
    first, *others = own
    x = f64(1.0).requires_grad_()
    tensors = {first: x * own[first]}
    tensors |= {n: own[n] * (tensors[first] / own[first]).flatten()[0] for n in others}
    with backend(chosen):
        strain, state, fields = after_steps(material, 0.01)
        bar = randn(*strain.shape)
        arguments = (strain, state, TIME, DT, bar, None, fields)
        expected = material.vjp(*arguments).parameters
        with replaced(model_of(material), tensors):
            assert all(material.parameters[n] is v for n, v in tensors.items())
            found = material.vjp(*arguments).parameters
    assert list(found) == list(expected) and x.grad is None
    for n, v in expected.items():
        assert not found[n].requires_grad and close(found[n], v, 1e-12)
    torch.autograd.backward([*tensors.values()], [*found.values()])  # the graph is still whole
    total = sum((v * own[n]).sum() for n, v in expected.items())
    assert x.grad is not None and close(x.grad, torch.as_tensor(total), 1e-11)


@BACKENDS
@pytest.mark.parametrize("batch", [1, N])
def test_parameters_that_vary_by_point(batch: int, chosen: str) -> None:
    """Rates and cotangents come in the shapes of the parameters."""
    material = deck("perzyna_voce")
    for p in model_of(material).parameters():
        p.data = p.data * (1.0 + 0.01 * torch.rand(batch, *p.shape).double())
    with backend(chosen):
        case = after_steps(material, 0.01)
        assert_rates_and_cotangents(material, case, 1e-4 * randn(N, 6))
        bars = randn(N, 6)
        found = material.vjp(*case[:2], TIME, DT, bars).parameters
        path = torch.stack([0.5 * case[0], case[0]])
        result = material.march(path, f64([0.0, 0.1, 0.2]))
        swept = material.march_vjp(path, f64([0.0, 0.1, 0.2]), result, torch.stack([bars, bars]))
    for name, own in material.parameters.items():
        assert found[name].shape == swept.parameters[name].shape == own.shape


def test_frozen_parameters_have_rates() -> None:
    material = deck("perzyna_voce")
    strain, state, fields = after_steps(material, 0.01)
    rates = {n: 0.01 * p.detach() for n, p in material.parameters.items()}
    arguments = (strain, state, TIME, DT, torch.zeros_like(strain), None, fields, None, None)
    expected, _ = material.jvp(*arguments, rates)
    for p in model_of(material).parameters():
        p.requires_grad_(False)
    found, _ = material.jvp(*arguments, rates)
    assert close(found, expected, 1e-14) and found.any()
    assert not material.vjp(strain, state, TIME, DT, found).parameters


def test_any_choice_of_rates_takes_one_kernel() -> None:
    material = deck("perzyna_voce", backend="kernel")
    strain, state, _ = after_steps(material, 0.01)
    solution = material.update(strain, state, TIME, DT).solution
    rates = {n: 0.01 * p.detach() for n, p in material.parameters.items()}

    def pushed(chosen: dict[str, torch.Tensor]) -> torch.Tensor:
        still = torch.zeros_like(strain)
        known: dict[str, Any] = {"solution": solution, "parameter_rate": chosen}
        return material.jvp(strain, state, TIME, DT, still, **known)[0]

    with recorded_kernels() as kernels:
        each = torch.stack([pushed({n: rate}) for n, rate in rates.items()])
        assert close(pushed(rates), each.sum(0), 1e-12)
    assert len(kernels) == 1


@pytest.mark.parametrize("name", ["elasticity", "plane stress, finite", "neo-Hookean, Kirchhoff"])
def test_unknown_rates_and_cotangents_are_refused(name: str) -> None:
    material = MATERIALS[name]()
    strain, state, _ = after_steps(material, 1e-3)
    known = next(iter(material.parameters))

    def pushed(parameters: dict[str, torch.Tensor], **states: torch.Tensor) -> None:
        material.jvp(strain, state, TIME, DT, strain, states, parameter_rate=parameters)

    with pytest.raises(ModelError, match=f"no parameter '{known}x' to have .* mean '{known}'"):
        pushed({known + "x": f64(1.0)})
    expected = f"the rate of parameter '{known}' must have shape (), got (2,)"
    with pytest.raises(ModelError, match=re.escape(expected)):
        pushed({known: f64([1.0, 2.0])})
    with pytest.raises(ModelError, match="no state 'strange' to have a rate"):
        pushed({}, strange=strain)
    with pytest.raises(ModelError, match="no state 'strange' to have a cotangent"):
        material.vjp(strain, state, TIME, DT, strain, {"strange": strain})
