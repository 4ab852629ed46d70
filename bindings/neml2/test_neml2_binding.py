"""NEML2's updates as materials, against neml2fe's own law of the same deck."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("neml2", reason="neml2 is not installed: make bindings-test")

import torch

import neml2fe
from neml2fe.errors import ModelError
from neml2fe.material import FirstPiolaKirchhoff, LogarithmicStrain, Material, PlaneStress

sys.path.insert(0, str(Path(__file__).parent))
from neml2_cases import (
    DECKS,
    DT,
    HERE,
    PERZYNA,
    STEEL,
    choose,
    difference,
    differences,
    n,
    ours,
    plastic,
    randn,
    theirs,
)
from neml2fe_neml2 import Neml2Material


def test_roles_of_variables() -> None:
    a, b = theirs(), ours()
    assert (a.strain, a.stress) == (b.strain, b.stress) == ("strain", "stress")
    assert a.state_spec == b.state_spec
    assert a.field_spec == b.field_spec == {}
    assert list(a.parameters) == list(b.parameters)
    assert a.label == "steel.i:viscoplasticity"


def test_the_same_update_as_ours() -> None:
    a, b = theirs(), ours()
    of_a, of_b = a.initial_state(n), b.initial_state(n)
    strain = torch.zeros(n, 6, dtype=torch.float64)
    for k in range(4):
        strain = strain + 0.003 * randn(n, 6, seed=k)
        x = a.update(strain, of_a, DT * (k + 1), DT)
        y = b.update(strain, of_b, DT * (k + 1), DT)
        assert not len(x.failed) and not len(y.failed)
        assert x.tangent is not None and y.tangent is not None
        assert difference(x.stress, y.stress) < 1e-11
        assert difference(x.tangent, y.tangent) < 1e-10
        for name, value in y.state.items():
            assert difference(x.state[name], value) < 1e-10
        of_a, of_b = x.state, y.state
    assert bool((of_a["equivalent_plastic_strain"] > 1e-4).all())
    assert a.update(strain, of_a, 0.5, DT, tangent=False).tangent is None


def test_tangent_against_central_differences() -> None:
    material = theirs()
    args = (*plastic(material), 2 * DT, DT)
    tangent = material.update(*args).tangent
    assert tangent is not None
    assert difference(tangent, differences(material, *args)) < 1e-6


def test_derivatives_of_an_update_are_those_of_ours() -> None:
    a, b = theirs(), ours()
    strain, state = plastic(a)
    mine, known = (choose(m, ".R", ".sy", ".eta", ".C", ".E") for m in (a, b))
    stress_bar = randn(n, 6, seed=2)
    state_bar = {k: randn(*v.shape, seed=3) for k, v in state.items()}
    x = a.vjp(strain, state, 2 * DT, DT, stress_bar, state_bar)
    y = b.vjp(strain, state, 2 * DT, DT, stress_bar, state_bar)
    assert difference(x.strain, y.strain) < 1e-10
    assert list(x.parameters) == list(mine) == list(known)
    for name, value in y.state.items():
        assert difference(x.state[name], value) < 1e-10
    for name, value in y.parameters.items():
        assert difference(x.parameters[name], value) < 1e-10

    state_rate = {k: v.abs().max() * randn(*v.shape, seed=4) for k, v in state.items()}
    rate = {k: v.detach().abs() for k, v in mine.items()}
    for given in (None, rate):
        args = (strain, state, 2 * DT, DT, randn(n, 6, seed=5), state_rate)
        of_stress, of_state = a.jvp(*args, parameter_rate=given)
        expected, next_rates = b.jvp(*args, parameter_rate=given)
        assert difference(of_stress, expected) < 1e-10
        for name, value in next_rates.items():
            assert difference(of_state[name], value) < 1e-10
    assert all(p.requires_grad == (k in mine) for k, p in a.parameters.items())


def test_tables_and_back_stresses_of_a_temperature() -> None:
    """Modulus and yield stress from tables, viscosity by Arrhenius; two back stresses."""
    same_as_ours(HERE / "decks" / "hot_chaboche.i", {"T": torch.linspace(310.0, 980.0, n).double()})


def test_a_crystal() -> None:
    """With an output that has a value of each slip system, and is no state."""
    fields = {"orientation": 0.2 * randn(n, 3), "vorticity": 0.01 * randn(n, 3, seed=7)}
    same_as_ours(HERE / "decks" / "crystal.i", fields)


def same_as_ours(path: Path, fields: dict[str, torch.Tensor]) -> None:
    """Two updates and their derivatives, by fields as well, and the tangent by differences."""
    a, b = Neml2Material(path, "model"), Material(neml2fe.load_model(path, "model"))
    assert a.state_spec == b.state_spec and a.field_spec == b.field_spec
    strain, state = plastic(a, 0.002, fields)
    args = (strain, state, 2 * DT, DT)
    x, y = (m.update(*args, fields) for m in (a, b))
    assert not len(x.failed)
    assert x.tangent is not None and y.tangent is not None
    assert difference(x.stress, y.stress) < 1e-11
    assert difference(x.tangent, y.tangent) < 1e-10
    assert difference(x.tangent, differences(a, *args, fields)) < 1e-6
    first = a.update(1e-9 * strain, a.initial_state(n), DT, DT, fields).tangent
    assert first is not None
    assert difference(x.tangent, first) > 0.05  # they flow
    bar, rates = randn(n, 6, seed=2), {k: v.abs() for k, v in fields.items()}
    of_a, of_b = (m.vjp(*args, bar, None, fields) for m in (a, b))
    for kind in ("state", "fields", "parameters"):
        known = getattr(of_b, kind)
        assert known.keys() <= getattr(of_a, kind).keys()
        for name, value in known.items():
            assert difference(getattr(of_a, kind)[name], value) < 1e-9, name
    pushed, known = (m.jvp(*args, strain, None, fields, rates)[0] for m in (a, b))
    assert difference(pushed, known) < 1e-10


@pytest.mark.parametrize("law", ["ExponentialFlowRate", "AutomaticFlowRate"])
def test_laws_that_users_register(law: str, tmp_path: Path) -> None:
    """With a chain rule of their own, and by NEML2's automatic differentiation."""
    import my_laws  # noqa: F401

    own = f"type = {law}\n    reference_rate = 0.02\n    drag_stress = 120"
    deck = STEEL.read_text()
    assert PERZYNA in deck
    (tmp_path / "own.i").write_text(deck.replace(PERZYNA, own))
    material = Neml2Material(tmp_path / "own.i", "viscoplasticity")
    strain, state = plastic(material, 0.002)
    args = (strain, state, 2 * DT, DT)
    found = material.update(*args)
    assert not len(found.failed)
    assert bool((found.state["equivalent_plastic_strain"] > 1e-4).all())
    assert found.tangent is not None
    assert difference(found.tangent, differences(material, *args)) < 1e-6

    drag = choose(material, "flow_rate.D")["rates.flow_rate.D"]
    bar, sides = randn(n, 6, seed=3), []
    slope = material.vjp(*args, bar).parameters["rates.flow_rate.D"]
    for value in (drag.detach() + 1e-3, drag.detach() - 1e-3):
        with material.with_parameters({"rates.flow_rate.D": value}):
            sides.append((bar * material.update(*args, tangent=False).stress).sum())
    assert drag.item() == 120.0
    assert float(slope) == pytest.approx(float(sides[0] - sides[1]) / 2e-3, rel=1e-6)


@pytest.mark.parametrize(
    "deck", ["combined", "perzyna_voce", "solvers_gmres", "viscoelastic_prony"]
)
def test_other_decks(deck: str) -> None:
    """Predictors, complementarity, Krylov solvers, several composed parts."""
    path = DECKS / f"{deck}.i"
    a, b = Neml2Material(path, "model"), Material(neml2fe.load_model(path, "model"))
    assert a.state_spec == b.state_spec
    strain, state = plastic(a, 0.003)
    x, y = a.update(strain, state, 0.2, 0.1), b.update(strain, state, 0.2, 0.1)
    assert not len(x.failed)
    assert x.tangent is not None and y.tangent is not None
    assert difference(x.stress, y.stress) < 1e-9
    assert difference(x.tangent, y.tangent) < 1e-9
    bar = randn(n, 6, seed=6)
    pulled = a.vjp(strain, state, 0.2, 0.1, bar)
    assert difference(pulled.strain, b.vjp(strain, state, 0.2, 0.1, bar).strain) < 1e-9
    for value in pulled.parameters.values():
        assert bool(torch.isfinite(value).all())


def test_fields() -> None:
    path = DECKS / "plasticity_kocks_mecking.i"
    a, b = Neml2Material(path, "model"), Material(neml2fe.load_model(path, "model"))
    assert list(a.field_spec) == ["T"]
    state, strain = a.initial_state(4), 0.002 * randn(4, 6)
    fields = {"T": 500.0 + 20.0 * randn(4)}
    x, y = a.update(strain, state, DT, DT, fields), b.update(strain, state, DT, DT, fields)
    assert not len(x.failed)
    assert difference(x.stress, y.stress) < 1e-9
    bar = randn(4, 6, seed=1)
    of_t = a.vjp(strain, state, DT, DT, bar, fields=fields).fields["T"]
    assert difference(of_t, b.vjp(strain, state, DT, DT, bar, fields=fields).fields["T"]) < 1e-8
    with pytest.raises(ModelError, match="field 'T' must have shape"):
        a.update(strain, state, DT, DT)
    with pytest.raises(ModelError, match=r"no field 'temp'; known: T"):
        a.update(strain, state, DT, DT, {"temp": fields["T"]})


def test_a_deformation_gradient() -> None:
    """A crystal at finite strain: F to Cauchy stress, which finite elements see as PK1."""
    path = DECKS / "crystal_multiplicative.i"
    a = Neml2Material(path, "model", stress="cauchy_stress")
    b = Material(neml2fe.load_model(path, "model"), stress="cauchy_stress")
    one = torch.eye(3, dtype=torch.float64)
    state = {**a.initial_state(4), "Fp": one.expand(4, 3, 3).clone()}
    gradient, fields = one + 0.004 * randn(4, 3, 3), {"orientation": 0.1 * randn(4, 3)}
    x, y = (
        FirstPiolaKirchhoff(m, "CAUCHY").update(gradient, state, DT, DT, fields)  # type: ignore[arg-type]
        for m in (a, b)
    )
    assert not len(x.failed)
    assert x.tangent is not None and y.tangent is not None
    assert x.tangent.shape == (4, 3, 3, 3, 3)
    assert difference(x.stress, y.stress) < 1e-9
    assert difference(x.tangent, y.tangent) < 1e-9


@pytest.mark.parametrize("adapter", [LogarithmicStrain, PlaneStress])
def test_adapters(adapter: Callable[..., object]) -> None:
    """Finite strain and plane stress come from neml2fe."""
    a, b = adapter(theirs()), adapter(ours())
    if adapter is PlaneStress:
        strain = 0.004 * randn(n, 6)
        strain[:, 2:5] = 0.0
    else:
        strain = torch.eye(3, dtype=torch.float64) + 0.004 * randn(n, 3, 3)
    x = a.update(strain, a.initial_state(n), DT, DT)  # type: ignore[attr-defined]
    y = b.update(strain, b.initial_state(n), DT, DT)  # type: ignore[attr-defined]
    assert not len(x.failed)
    assert difference(x.stress, y.stress) < 1e-9
    assert difference(x.tangent, y.tangent) < 1e-9


def test_other_number_types() -> None:
    deck = DECKS / "elasticity.i"
    material = Neml2Material(deck, "model").to(torch.float32)
    strain = 0.001 * randn(n, 6).float()
    found = material.update(strain, material.initial_state(n, torch.float32), DT, DT)
    own = Material(neml2fe.load_model(deck, "model"))
    expected = own.update(strain.double(), own.initial_state(n), DT, DT)
    assert found.stress.dtype == torch.float32
    assert found.tangent is not None and found.tangent.dtype == torch.float32
    assert difference(found.stress.double(), expected.stress) < 1e-6
