"""Marches in one kernel call against a loop of eager updates and torch's own reverse sweep."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from ladder import DECKS, Raw, along, assert_v, close, direction, dot, f64, randn

import neml2fe
import neml2fe.models as m
from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, Status
from neml2fe.kernels import backend
from neml2fe.material import Material, lags
from neml2fe.material.march import march, march_vjp
from neml2fe.material.path import MarchCotangents, MarchResult
from neml2fe.material.response import response

STEPS = 8
WAY = f64([0.012, -0.0045, -0.003, 0.003, 0.0, 0.006])
PATH = f64([0.2, 0.5, 0.9, 1.0, 0.6, 0.1, -0.4, -0.9])
SPIN = f64([0.001, -0.002, 0.003])
NAMES = {"strain": "deformation_rate", "stress": "cauchy_stress"}


@dataclass(frozen=True)
class Case:
    """A material and what drives it."""

    material: Material
    strain: torch.Tensor
    times: torch.Tensor
    state: Raw
    fields: Raw

    def march(self, **options: object) -> MarchResult:
        return march(self.material, self.strain, self.times, self.state, self.fields, **options)  # type: ignore[arg-type]

    def vjp(self, result: MarchResult, stress_bar: torch.Tensor, bars: Raw) -> MarchCotangents:
        return march_vjp(
            self.material, self.strain, self.times, result, stress_bar, bars, self.fields
        )


@cache
def material_of(deck: str) -> Material:
    model = neml2fe.load_model(DECKS / f"{deck}.i", "model")
    names = {"crystal_coupled": NAMES, "crystal_multiplicative": NAMES | {"strain": "F"}}
    return Material(model, **names.get(deck, {}))  # type: ignore[arg-type]


def driven(n: int, steps: int = STEPS) -> torch.Tensor:
    """A different size of the same path for each point."""
    return PATH[:steps, None, None] * torch.linspace(0.8, 1.2, n)[:, None].double() * WAY


def case(deck: str, n: int = 9) -> Case:
    material, times = material_of(deck), torch.linspace(0.0, 0.4, STEPS + 1).double()
    n = 3 if deck in ("temperature", "viscoelastic_zener") else n  # one for each of their values
    strain, fields, state = driven(n), Raw(), Raw()
    if deck == "explicit":
        strain = 0.1 * strain
    elif deck == "temperature":
        fields["T"] = 300.0 + 50.0 * torch.arange(STEPS).double()[:, None] + f64([0.0, 20.0, 40.0])
        times = times[:, None] * f64([1.0, 0.5, 2.0])
    elif deck == "crystal_coupled":
        strain, times = 0.2 * strain, 10.0 * times
        fields["vorticity"] = SPIN.repeat(n, 1)
        state["orientation"] = 0.3 * (torch.rand(n, 3).double() - 0.5)
    elif deck == "crystal_multiplicative":
        skew = f64([[0.0, -0.02, 0.01], [0.02, 0.0, 0.03], [-0.01, -0.03, 0.0]])
        change = torch.linspace(0.2, 0.3, n).double()[:, None, None] * (torch.diag(WAY[:3]) + skew)
        strain, times = torch.eye(3).double() + PATH[:, None, None, None] * change, 10.0 * times
        fields["orientation"] = 0.3 * (torch.rand(n, 3).double() - 0.5)
        state["Fp"] = torch.eye(3).double().repeat(n, 1, 1)
    return Case(material, strain, times, material.initial_state(n) | state, fields)


DECK_NAMES = [
    "perzyna_voce",
    "chaboche",
    "temperature",
    "explicit",
    "viscoelastic_zener",
    "crystal_coupled",
    "crystal_multiplicative",
]
decks = pytest.mark.parametrize("deck", DECK_NAMES)


@pytest.fixture(autouse=True)
def compiled() -> Iterator[None]:
    """Without a kernel these tests fail rather than fall back."""
    with backend("kernel"):
        yield


def at(c: Case, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Raw]:
    fields = {n: v[k] if n == "T" else v for n, v in c.fields.items()}
    return c.strain[k], c.times[k + 1], c.times[k + 1] - c.times[k], fields


def eager_graph(c: Case) -> tuple[torch.Tensor, Raw]:
    """Stress `(S, n, 6)` and state `(S + 1, n, ...)` by torch operations, with their graph."""
    material, state, stresses, states = c.material, dict(c.state), [], [dict(c.state)]
    for k in range(len(c.strain)):
        strain, time, dt, fields = at(c, k)
        inputs = {lags(n, 1): v for n, v in state.items()} | {material.strain: strain} | fields
        inputs |= {"t": time, "t~1": time - dt}
        inputs = {n: inputs[n] for n in material.inputs}
        values = {n: v.data for n, v in material.model.evaluate(inputs).items()}
        state = {n: (inputs | values)[n] for n in state}
        stresses.append(values[material.stress])
        states.append(state)
    return torch.stack(stresses), {n: torch.stack([s[n] for s in states]) for n in state}


def bars_of(result: MarchResult) -> tuple[torch.Tensor, Raw]:
    """Random cotangents to the scale of what they belong to."""
    scaled = {n: randn(*v.shape) / max(float(v.abs().max()), 1e-9) for n, v in result.state.items()}
    return randn(*result.stress.shape) / result.stress.abs().max(), scaled


def same(a: MarchCotangents, b: MarchCotangents, tolerance: float) -> None:
    assert close(a.strain, b.strain, tolerance)
    for mine, other in ((a.state, b.state), (a.fields, b.fields), (a.parameters, b.parameters)):
        assert set(mine) == set(other)
        for name, value in mine.items():
            assert close(value, other[name], tolerance), name


@decks
def test_a_march_is_a_loop_of_eager_updates(deck: str) -> None:
    c = case(deck)
    found = c.march(tangent=True)
    assert found.solution is not None and found.tangent is not None
    state = c.state
    for k in range(STEPS):
        strain, time, dt, fields = at(c, k)
        with backend("eager"):
            one = c.material.update(strain, state, time, dt, fields)
        state = one.state
        assert one.tangent is not None and not one.status.any()
        assert close(found.stress[k], one.stress, 1e-10)
        assert close(found.tangent[k], one.tangent, 1e-9)
        assert torch.equal(found.status[k], one.status)
        # One more where round-off decides whether a small residual is small enough.
        more = int((found.iterations[k] - one.iterations).abs().max())
        assert more <= deck.startswith("crystal")
        for name, value in state.items():
            assert close(found.state[name][k + 1], value, 1e-10), name
    for name, value in c.state.items():
        assert torch.equal(found.state[name][0], value)


@decks
def test_the_reverse_sweep_against_automatic_differentiation(deck: str) -> None:
    c = case(deck)
    result = c.march()
    stress_bar, bars = bars_of(result)
    found = c.vjp(result, stress_bar, bars)
    leaves = {f"s:{n}": v.clone().requires_grad_() for n, v in c.state.items()}
    leaves |= {f"f:{n}": v.clone().requires_grad_() for n, v in c.fields.items()}
    leaves["strain"] = c.strain.clone().requires_grad_()
    parameters = dict(c.material.model.named_parameters())
    graph = replace(
        c,
        strain=leaves["strain"],
        state={n: leaves[f"s:{n}"] for n in c.state},
        fields={n: leaves[f"f:{n}"] for n in c.fields},
    )
    with backend("eager"):
        stress, states = eager_graph(graph)
        total = (stress * stress_bar).sum() + dot(states, bars)
        by = torch.autograd.grad(
            total, [*leaves.values(), *parameters.values()], materialize_grads=True
        )
    expected = dict(zip([*leaves, *parameters], by, strict=True))
    named = {"strain": found.strain, **found.parameters}
    named |= {f"s:{n}": v for n, v in found.state.items()}
    named |= {f"f:{n}": v for n, v in found.fields.items()}
    assert set(named) == set(expected)
    for name, value in named.items():
        assert close(value, expected[name], 1e-10), name


@pytest.mark.parametrize("deck", ["chaboche", "temperature"])
def test_step_by_step_gives_the_same_as_one_call(deck: str) -> None:
    c = case(deck)
    result = c.march(tangent=True)
    stress_bar, bars = bars_of(result)
    with backend("eager"):
        eager = c.march(tangent=True)
        other = c.vjp(eager, stress_bar, bars)
    assert eager.solution is None and eager.tangent is not None and result.tangent is not None
    for name, value in {"tangent": result.tangent, "stress": result.stress}.items():
        assert close(value, getattr(eager, name), 1e-10)
    assert torch.equal(result.iterations, eager.iterations)
    assert all(close(v, eager.state[n], 1e-10) for n, v in result.state.items())
    same(c.vjp(result, stress_bar, bars), other, 1e-10)
    same(c.vjp(eager, stress_bar, bars), other, 1e-10)  # whose unknowns a kernel finds again


@pytest.mark.parametrize("every", [1, 3, 4, 20])
@pytest.mark.parametrize("chosen", ["kernel", "eager"])
def test_a_march_that_keeps_few_states(every: int, chosen: str) -> None:
    c = case("temperature")
    with backend(chosen):
        full, lean = c.march(tangent=True), c.march(tangent=True, keep_every=every)
        kept = sorted({*range(0, STEPS, every), STEPS})
        assert full.tangent is not None and lean.tangent is not None
        assert torch.equal(full.stress, lean.stress) and torch.equal(full.tangent, lean.tangent)
        assert torch.equal(full.iterations, lean.iterations)
        assert all(torch.equal(v[kept], lean.state[n]) for n, v in full.state.items())
        stress_bar, bars = bars_of(lean)
        spread = {n: torch.zeros_like(v) for n, v in full.state.items()}
        for name, bar in bars.items():
            spread[name][kept] = bar
        same(c.vjp(lean, stress_bar, bars), c.vjp(full, stress_bar, spread), 1e-12)


def test_parameters_against_differences() -> None:
    c = case("chaboche")
    parameters = dict(c.material.model.named_parameters())
    values = {n: p.detach().clone() for n, p in parameters.items()}
    way = {n: 0.02 * v for n, v in direction(values).items()}
    result = c.march()
    stress_bar, bars = bars_of(result)
    found = c.vjp(result, stress_bar, bars)

    def total(h: float) -> torch.Tensor:
        with torch.no_grad():
            for name, value in along(values, way, h).items():
                parameters[name].copy_(value)
        again = c.march()
        return (again.stress * stress_bar).sum() + dot(again.state, bars)

    try:
        assert_v(total, dot(found.parameters, way))
    finally:
        total(0.0)


def test_a_loss_of_the_response_reaches_everything() -> None:
    c = case("temperature")
    material, parameters = c.material, dict(c.material.model.named_parameters())
    leaves = [v.clone().requires_grad_() for v in (c.strain, c.fields["T"], c.state["stress"])]
    strain, temperature, initial = leaves
    state = c.state | {"stress": initial}
    stress, states = response(material, strain, c.times, state, {"T": temperature})
    result = c.march()
    assert torch.equal(stress, result.stress)
    stress_bar, bars = bars_of(result)
    expected = c.vjp(result, stress_bar, {"stress": bars["stress"]})
    ((stress * stress_bar).sum() + (states["stress"] * bars["stress"]).sum()).backward()
    try:
        for leaf, value in zip(
            leaves, (expected.strain, expected.fields["T"], expected.state["stress"]), strict=True
        ):
            assert leaf.grad is not None and close(leaf.grad, value, 1e-14)
        for name, p in parameters.items():
            assert p.grad is not None and close(p.grad, expected.parameters[name], 1e-14)
    finally:
        material.model.zero_grad()
    again, _ = response(material, strain, c.times, state, {"T": temperature}, keep_every=3)
    (by,) = torch.autograd.grad((again * stress_bar).sum(), strain)
    assert close(by, c.vjp(result, stress_bar, {}).strain, 1e-14)


def test_there_is_no_second_derivative_of_a_response() -> None:
    c = case("perzyna_voce", 2)
    strain = c.strain.clone().requires_grad_()
    stress, _ = response(c.material, strain, c.times)
    (by,) = torch.autograd.grad(stress.square().sum(), strain, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        by.sum().backward()
    with pytest.raises(ModelError, match="no derivatives by time"):
        response(c.material, strain, c.times.clone().requires_grad_())


@pytest.mark.parametrize("chosen", ["kernel", "eager"])
@pytest.mark.parametrize("every", [1, 2])
def test_a_point_that_fails_disturbs_no_other(chosen: str, every: int) -> None:
    c = case("perzyna_voce")
    bad = c.strain.clone()
    bad[3, 4, 0] = float("inf")
    with backend(chosen):
        good = c.march(tangent=True, keep_every=every)
        found = replace(c, strain=bad).march(tangent=True, keep_every=every)
        assert found.failed.tolist() == [4] and good.failed.tolist() == []
        assert found.tangent is not None and good.tangent is not None
        others = [k for k in range(9) if k != 4]
        for a, b in ((found.stress, good.stress), (found.tangent, good.tangent)):
            assert close(a[:, others], b[:, others], 1e-14) and close(a[:3], b[:3], 1e-14)
            assert bool(a[3:, 4].isnan().all())
        assert found.status[:, 4].tolist() == [0] * 3 + [Status.NOT_FINITE] * 5
        assert found.iterations[4:, 4].tolist() == [0] * 4
        assert torch.equal(found.iterations[:, others], good.iterations[:, others])
        for name, value in found.state.items():
            fine = 4 if every == 1 else 2
            assert bool(value[fine:, 4].isnan().all()), name
            assert close(value[:fine], good.state[name][:fine], 1e-14)
            assert close(value[:, others], good.state[name][:, others], 1e-14)
        message = "at 1 of 9 points (first: step 4, point 4)"
        with pytest.raises(ConvergenceError, match=re.escape(message)):
            replace(c, strain=bad).vjp(found, torch.ones_like(found.stress), {})


def test_a_failure_that_no_state_remembers_lasts() -> None:
    material = Material(
        m.LinearIsotropicElasticity(
            coefficients=[2e5, 0.3], coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"]
        )
    )
    strain = driven(2)
    strain[2, 1] = float("nan")
    found = march(material, strain, torch.arange(STEPS + 1))
    assert not found.state and found.failed.tolist() == [1]
    assert bool(found.stress[2:, 1].isnan().all()) and bool(found.stress[:, 0].isfinite().all())
    assert bool((found.status[2:, 1] == Status.NOT_FINITE).all())


@pytest.mark.parametrize("n", [0, 1, 9])
@pytest.mark.parametrize("steps", [1, 2])
def test_few_points_and_few_steps(n: int, steps: int) -> None:
    material = material_of("perzyna_voce")
    strain, times = driven(n, steps=steps), f64([0.0, 0.1, 0.3])[: steps + 1]
    result = march(material, strain, times)
    bar = torch.ones_like(result.stress)
    found = march_vjp(material, strain, times, result, bar)
    with backend("eager"):
        other = march(material, strain, times)
        assert result.stress.shape == other.stress.shape == (steps, n, 6)
        if n:
            assert close(result.stress, other.stress, 1e-12)
            same(found, march_vjp(material, strain, times, other, bar), 1e-10)
    assert found.strain.shape == strain.shape and result.status.shape == (steps, n)
    assert all((p == 0).all() for p in found.parameters.values()) == (n == 0)


def test_single_precision() -> None:
    model = neml2fe.load_model(DECKS / "perzyna_voce.i", "model").float()
    c = case("perzyna_voce")
    material = Material(model)
    expected = c.march()
    bar = torch.ones_like(expected.stress)
    result = march(material, c.strain.float(), c.times.float())
    assert result.stress.dtype is torch.float32 and not result.status.any()
    assert all(v.dtype is torch.float32 for v in result.state.values())
    assert close(result.stress.double(), expected.stress, 1e-4)
    found = march_vjp(material, c.strain.float(), c.times.float(), result, bar.float())
    assert found.strain.dtype is torch.float32
    for name, value in c.vjp(expected, bar, {}).parameters.items():
        assert close(found.parameters[name].double(), value, 2e-3), name


def test_the_number_of_threads_changes_no_bit() -> None:
    material, n = material_of("perzyna_voce"), 200
    strain, times = driven(n), torch.linspace(0.0, 0.4, STEPS + 1).double()
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            result = march(material, strain, times)
            bar = result.stress.sin()
            found.append((result, march_vjp(material, strain, times, result, bar)))
    finally:
        torch.set_num_threads(threads)
    (a, by_a), (b, by_b) = found
    assert torch.equal(a.stress, b.stress) and torch.equal(by_a.strain, by_b.strain)
    assert all(torch.equal(v, by_b.parameters[n]) for n, v in by_a.parameters.items())


def test_what_is_older_than_one_step() -> None:
    """Stress two steps back starts the iteration, and reaches the state from the state."""
    system = material_of("perzyna_voce").model.equation_system
    predictor = m.LinearExtrapolationPredictor(
        unknowns_SR2=["stress"], unknowns_Scalar=["equivalent_plastic_strain"]
    )
    model = ImplicitUpdate(equation_system=system, solver=Newton(), predictor=predictor)
    c = replace(case("perzyna_voce", 3), material=Material(model))
    c = replace(c, state=c.material.initial_state(3))
    assert {"t~1", "stress~1"} <= set(c.state)
    result = c.march()
    assert torch.equal(result.state["stress~1"][1:], result.state["stress"][:-1])
    assert close(result.state["t~1"][1:], c.times[:-1, None].expand(-1, 3), 1e-15)
    stress_bar, bars = bars_of(result)
    del bars["t~1"]
    with backend("eager"):
        other = c.march()
        same_times = c.vjp(other, stress_bar, bars)
    assert close(result.stress, other.stress, 1e-10)
    assert torch.equal(result.iterations, other.iterations)
    same(c.vjp(result, stress_bar, bars), same_times, 1e-10)


def test_steps_that_may_be_divided() -> None:
    system = material_of("perzyna_voce").model.equation_system
    divided = ImplicitUpdate(equation_system=system, solver=Newton(), max_substepping_level=1)
    c = case("perzyna_voce", 2)
    other = replace(c, material=Material(divided)).march()
    assert other.solution is None and close(c.march().stress, other.stress, 1e-8)


def wrong() -> dict[str, tuple[Callable[[Case], object], str]]:
    def of(**changed: object) -> Callable[[Case], object]:
        return lambda c: replace(c, **changed).march()  # type: ignore[arg-type]

    return {
        "one step": (lambda c: replace(c, strain=c.strain[0]).march(), "(steps, n, 6), got (3, 6)"),
        "no step": (lambda c: replace(c, strain=c.strain[:0]).march(), "got (0, 3, 6)"),
        "short times": (lambda c: replace(c, times=c.times[1:]).march(), "shape (9,) or (9, 3)"),
        "no field": (of(fields={}), "field 'T' must have shape (3,), got nothing"),
        "short field": (
            lambda c: replace(c, fields={"T": c.fields["T"][:5]}).march(),
            "field 'T' must have shape (3,), got (5, 3)",
        ),
        "wrong state": (
            lambda c: replace(c, state=c.state | {"stress": torch.zeros(3, 2, 6).double()}).march(),
            "state 'stress' must have shape (3, 6), got (3, 2, 6)",
        ),
        "keep nothing": (lambda c: c.march(keep_every=0), "keep_every must be at least 1"),
        "unknown bar": (
            lambda c: c.vjp(c.march(), torch.ones(8, 3, 6).double(), {"stres": WAY}),
            "has no state 'stres'",
        ),
        "short bar": (
            lambda c: c.vjp(c.march(), torch.ones(1, 3, 6).double(), {}),
            "cotangents of stress must have shape (8, 3, 6), got (1, 3, 6)",
        ),
    }


@pytest.mark.parametrize("name", sorted(wrong()))
def test_wrong_use_ends_with_one_clear_message(name: str) -> None:
    call, message = wrong()[name]
    with pytest.raises(ModelError, match=re.escape(message)):
        call(case("temperature"))
