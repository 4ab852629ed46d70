"""Creep, relaxation and ramps of viscoelastic elements against closed forms.

Backward Euler turns every decay exp(-t/tau) of a linear solid into (1 + dt/tau)^-n, so one
closed form, written with a `decay`, is exact in time and, with the other decay, exact in steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from ladder import DECKS, close, f64
from rung import STRAIN, STRESS
from rungs_viscoelasticity import (
    BRANCHES,
    E1,
    E2,
    EINF,
    ETA1,
    ETA2,
    burgers,
    chain,
    fluid,
    kelvin_chain,
    kelvin_voigt,
    maxwell,
    prony,
    wiechert,
    zener,
)

import neml2fe
import neml2fe.models as m
from neml2fe.drivers import History, TransientDriver
from neml2fe.errors import ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem
from neml2fe.models import ComposedModel, Model
from neml2fe.types import SR2, Scalar

Decay = Callable[[float], torch.Tensor]


def history(models: list[Model], load: str, times: torch.Tensor) -> History:
    """The response to a unit step or ramp of the strain or the stress; `times` `(n + 1, ...)`."""
    states = sorted({n for x in models for n in x.input_spec if n[0] == "v" and n[1:].isdigit()})
    members = [*models, *(m.SR2BackwardEulerTimeIntegration(variable=n) for n in states)]
    shape, driven = STRAIN, "strain"
    if load == "creep":
        shape, driven = STRESS, "load"
        members.append(
            m.SR2LinearCombination(
                from_=["stress", "load"], to="strain_residual", weights=[1.0, -1.0]
            )
        )
        states = ["strain", *states]
    model = ComposedModel(models=models, additional_outputs=["stress"], label="elements")
    if states:
        system = NonlinearSystem(ComposedModel(models=members, label="system"), states)
        update = ImplicitUpdate(equation_system=system, solver=Newton())
        model = update
        if load != "creep":
            model = ComposedModel(models=[update, *models], additional_outputs=["stress", *states])
    course = times if load == "ramp" else torch.sign(times)
    driver = TransientDriver(model, Scalar(times), {driven: SR2(course.unsqueeze(-1) * shape)})
    return driver.run()


@dataclass
class Case:
    """`closed(decay, t)` is the answer to a unit load, which multiplies all components."""

    models: Callable[[], list[Model]]
    load: str
    closed: Callable[[Decay, torch.Tensor], torch.Tensor]

    def answer(self, times: torch.Tensor) -> torch.Tensor:
        """The response over the load, all steps but the initial one."""
        found = history(self.models(), self.load, times)
        if self.load == "creep":
            return found.series("strain") / STRESS
        return found.series("stress") / STRAIN


def zener_creep(decay: Decay, t: torch.Tensor) -> torch.Tensor:
    stiff = EINF + E1
    return (1.0 - E1 / stiff * decay(ETA1 * stiff / (EINF * E1))) / EINF


def burgers_relaxation(decay: Decay, t: torch.Tensor) -> torch.Tensor:
    """Findley, Lai and Onaran (1976), table 5.1."""
    p1, p2 = ETA1 / E1 + ETA1 / E2 + ETA2 / E2, ETA1 * ETA2 / (E1 * E2)
    q1, q2 = ETA1, ETA1 * ETA2 / E2
    a = math.sqrt(p1**2 - 4.0 * p2)
    slow, fast = (p1 - a) / (2.0 * p2), (p1 + a) / (2.0 * p2)
    return ((q1 - q2 * slow) * decay(1.0 / slow) - (q1 - q2 * fast) * decay(1.0 / fast)) / a


def relaxation(equilibrium: float, branches: list[tuple[float, float]]) -> Callable:
    return lambda decay, t: equilibrium + sum(e * decay(eta / e) for e, eta in branches)


def ramp(equilibrium: float, branches: list[tuple[float, float]]) -> Callable:
    return lambda decay, t: (
        equilibrium * t + sum(eta * (1.0 - decay(eta / e)) for e, eta in branches)
    )


def creep(instantaneous: float, fluidity: float, units: list[tuple[float, float]]) -> Callable:
    return lambda decay, t: (
        instantaneous + fluidity * t + sum((1.0 - decay(eta / e)) / e for e, eta in units)
    )


TWO = [(E1, ETA1), (E2, ETA2)]
CASES: dict[str, Case] = {
    "Maxwell relaxation": Case(maxwell, "step", relaxation(0.0, TWO[:1])),
    "Maxwell ramp": Case(maxwell, "ramp", ramp(0.0, TWO[:1])),
    "Maxwell creep": Case(maxwell, "creep", creep(1.0 / E1, 1.0 / ETA1, [])),
    "Kelvin-Voigt creep": Case(kelvin_voigt, "creep", creep(0.0, 0.0, TWO[:1])),
    "Kelvin-Voigt ramp": Case(kelvin_voigt, "ramp", lambda decay, t: E1 * t + ETA1),
    "Zener relaxation": Case(zener, "step", relaxation(EINF, TWO[:1])),
    "Zener ramp": Case(zener, "ramp", ramp(EINF, TWO[:1])),
    "Zener creep": Case(zener, "creep", zener_creep),
    "Wiechert relaxation": Case(wiechert, "step", relaxation(EINF, TWO)),
    "Wiechert ramp": Case(wiechert, "ramp", ramp(EINF, TWO)),
    "Burgers creep": Case(burgers, "creep", creep(1.0 / E1, 1.0 / ETA1, TWO[1:])),
    "Burgers relaxation": Case(burgers, "step", burgers_relaxation),
    "Prony relaxation": Case(prony, "step", relaxation(EINF, BRANCHES)),
    "Prony ramp": Case(prony, "ramp", ramp(EINF, BRANCHES)),
    "fluid relaxation": Case(fluid, "step", relaxation(0.0, BRANCHES[:2])),
    "Kelvin chain creep": Case(kelvin_chain, "creep", creep(1.0 / E1, 1.0 / 3000.0, BRANCHES[:3])),
}
# No decay at all: one step is exact, and there is no order to measure.
EXACT = ("Maxwell creep", "Kelvin-Voigt ramp")


@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_the_discrete_closed_form(name: str) -> None:
    """To 1e-12, all components, three step sizes a decade apart in one batch."""
    case, n = CASES[name], 12
    dt = f64([0.02, 0.2, 2.0])
    steps = torch.arange(n + 1, dtype=torch.float64).unsqueeze(-1)
    found = case.answer(steps * dt)

    def decay(tau: float) -> torch.Tensor:
        return (1.0 + dt / tau) ** -steps[1:]

    expected = case.closed(decay, steps[1:] * dt).unsqueeze(-1).expand(n, 3, 6)
    assert float(((found - expected) / expected.abs().amax(0)).abs().max()) < 1e-12


@pytest.mark.parametrize("name", [n for n in CASES if n not in EXACT])
def test_steps_converge_with_first_order(name: str) -> None:
    case, end, errors = CASES[name], 0.5, []
    for n in (16, 32):
        times = torch.linspace(0.0, end, n + 1, dtype=torch.float64).unsqueeze(-1)
        exact = case.closed(lambda tau: f64(math.exp(-end / tau)), f64(end))
        errors.append(float((case.answer(times)[-1] - exact).abs().max()))
    assert errors[1] < 0.05 * float(exact)
    assert 0.9 < math.log2(errors[0] / errors[1]) < 1.1


def test_gradient_of_a_history_by_the_prony_series() -> None:
    """Through twelve implicit steps, against the gradient of the discrete closed form."""
    models, n, dt = prony(), 12, 0.3
    times = dt * torch.arange(n + 1, dtype=torch.float64).unsqueeze(-1)
    stress = history(models, "step", times).outputs[-1]["stress"]
    parameters = dict(models[0].named_parameters())
    found = torch.autograd.grad(stress.sum() / STRAIN.sum(), list(parameters.values()))
    leaves = {k: p.detach().clone().requires_grad_() for k, p in parameters.items()}
    modulus = leaves["Einf"] + sum(
        leaves[f"E_{i}"] * (1.0 + dt * leaves[f"E_{i}"] / leaves[f"eta_{i}"]) ** -n
        for i in range(4)
    )
    expected = torch.autograd.grad(modulus, list(leaves.values()))
    sizes = torch.stack([p.detach() for p in parameters.values()])
    assert close(torch.stack(found) * sizes, torch.stack(expected) * sizes, 1e-12)
    assert bool(torch.stack(expected).all())


# -- one law written in several ways -------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "cls", "units", "lone"),
    [
        (zener, m.GeneralizedMaxwellElement, TWO[:1], {"equilibrium_modulus": EINF}),
        (wiechert, m.GeneralizedMaxwellElement, TWO, {"equilibrium_modulus": EINF}),
        (
            burgers,
            m.GeneralizedKelvinVoigtElement,
            [(0.0, ETA1), (E2, ETA2)],
            {"instantaneous_modulus": E1},
        ),
    ],
)
def test_named_elements_are_chains_of_one_or_two_units(
    named: Callable[[], list[Model]],
    cls: type[Model],
    units: list[tuple[float, float]],
    lone: dict[str, float],
) -> None:
    (element,), (general,) = named(), chain(cls, units, **lone)
    assert element.input_spec == general.input_spec
    inputs = {n: torch.randn(5, 6, dtype=torch.float64) for n in element.input_spec}
    expected = element.evaluate(inputs)
    found = general.evaluate(inputs)
    assert list(found) == list(expected)
    assert all(close(found[n].data, v.data, 1e-14) for n, v in expected.items())


def run(deck: Path) -> History:
    found: History = neml2fe.load_input(deck).get_driver("driver").driver.run()
    return found


def test_a_chain_is_its_springs_and_dashpots(tmp_path: Path) -> None:
    """The deck of separate springs and dashpots, against the one block that its head names."""
    text = (DECKS / "viscoelastic_prony.i").read_text()
    first, last = text.index("  [spring_1]"), text.index("  [integrate_v1]")
    element = """\
  [element]
    type                = GeneralizedMaxwellElement
    internal_strains    = 'v1 v2 v3'
    equilibrium_modulus = 200
    moduli              = '700 400 250'
    viscosities         = '140 800 5000'
  []
"""
    short = text[:first] + element + text[last:]
    short = short.replace("spring_1 dashpot_1 spring_2 dashpot_2 spring_3 dashpot_3", "element")
    short = short.replace("update spring_1 spring_2 spring_3 total", "update element")
    (tmp_path / "deck.i").write_text(short)
    parts, whole = run(DECKS / "viscoelastic_prony.i"), run(tmp_path / "deck.i")
    for name in ("stress", "v1", "v2", "v3"):
        assert close(parts.series(name), whole.series(name))


# -- names and errors ----------------------------------------------------------------------------


def test_rates_take_the_names_of_the_internal_strains() -> None:
    (model,) = chain(m.GeneralizedMaxwellElement, BRANCHES[:2])
    assert list(model.output_spec) == ["stress", "v1_rate", "v2_rate"]
    (one,) = chain(m.GeneralizedMaxwellElement, BRANCHES[:1])
    assert list(one.output_spec) == ["stress", "v1_rate"]
    named = m.GeneralizedKelvinVoigtElement(
        internal_strains=["a", "b"],
        internal_strain_rates=["da", "db"],
        instantaneous_modulus=1.0,
        moduli=[1.0, 2.0],
        viscosities=[1.0, 2.0],
    )
    assert list(named.output_spec) == ["stress", "da", "db"]


@pytest.mark.parametrize("field", ["moduli", "viscosities", "internal_strain_rates"])
def test_every_unit_needs_its_numbers(field: str) -> None:
    given = {
        "internal_strains": ["a", "b"],
        "internal_strain_rates": ["da", "db"],
        "moduli": [1.0, 2.0],
        "viscosities": [1.0, 2.0],
    }
    given[field] = given[field][:1]
    with pytest.raises(ModelError, match=f"2 internal_strains need as many {field}, got 1"):
        m.GeneralizedMaxwellElement(**given)
