"""Gradients of the steps that were taken: cut back, stored or recomputed; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gradients_box import (
    EP,
    STEPS,
    Loss,
    assert_right,
    assert_transposed,
    held,
    law,
    param,
    parametrised,
    sides,
)

from neml2fe.errors import ConvergenceError, Error, InputError
from neml2fe.fem import Dirichlet, PiecewiseLinear, Problem, TimeStepping, Traction
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.observations import (
    BoundObservation,
    DisplacementsAt,
    ElementMeans,
    Instant,
    NodalDisplacements,
    Observation,
    Reaction,
)
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.material import Material

PLATE = rectangle(2, 2, "quad", distortion=0.2)
WHAT = {"force": Reaction("pull"), "plastic": ElementMeans(EP)}
CYCLES = [0.02 * k for k in range(1, 51)]


def plate(name: str = "j2", **options: Any) -> Problem:
    return Problem(PLATE, law(name), sides(2), backend="scipy", **options)


def gradient(problem: Problem, stepping: Any = STEPS, **options: Any) -> torch.Tensor:
    """By all parameters of the only material, `(n,)`."""
    parameters = [p for p in problem.bodies[0].material.parameters.values() if p.requires_grad]
    loss = Loss()(problem.solve(stepping, WHAT, **options))
    return torch.stack(torch.autograd.grad(loss, parameters))


# --- histories -----------------------------------------------------------------------------
def cyclic() -> Problem:
    """Fifty steps of a viscoplastic plate under tension, compression and tension."""
    back_and_forth = PiecewiseLinear([0.0, 0.25, 0.75, 1.0], [0.0, 0.004, -0.004, 0.001])
    conditions = [*held(2), Dirichlet("right", "x", back_and_forth, label="pull")]
    return Problem(rectangle(2, 1, "quad", distortion=0.2), law("chaboche"), conditions)


def test_fifty_steps_with_reversal() -> None:
    names = ["return_map.rates.flow_rate.n", "return_map.rates.back_stress_chaboche_rate.C"]
    assert_right(cyclic(), WHAT, CYCLES, names=names, sizes=(1e-4,))


@pytest.mark.slow
def test_fifty_steps_with_reversal_by_every_parameter() -> None:
    assert_right(cyclic(), WHAT, CYCLES, sizes=(1e-2, 1e-3, 1e-4, 1e-5))
    assert_transposed(cyclic(), WHAT, CYCLES)


def impatient(level: int, backend: str) -> Material:
    """Whose local iterations give up soon, unless a step may be halved `level` times."""
    text = (Path(__file__).parent / "perzyna.i").read_text()
    text = text.replace("solver = 'few'", f"solver = 'few'\n    max_substepping_level = {level}")
    text = text.replace("max_its = 3", "max_its = 3\n abs_tol = 1e-10\n rel_tol = 1e-11")
    return Material(parametrised(Input(parse_deck(text)).get_model("eager")), backend=backend)


EXPONENT = ["rates.flow_rate.n"]


def test_steps_that_were_cut_back() -> None:
    mesh = rectangle(2, 1, "quad", distortion=0.2)
    problem = Problem(mesh, impatient(0, "kernel"), sides(2), backend="scipy")
    stepping = TimeStepping(0.5, dt=0.25, dt_min=0.01)
    found = problem.solve(stepping, WHAT).steps
    assert found[0] < 0.25 and len(found) > 2
    assert_right(problem, WHAT, stepping, names=EXPONENT)


def test_local_substeps() -> None:
    mesh = rectangle(1, 1, "quad")
    with pytest.raises(ConvergenceError):
        Problem(mesh, impatient(0, "eager"), sides(2, 0.02), backend="scipy").solve([0.25], WHAT)
    problem = Problem(mesh, impatient(5, "eager"), sides(2, 0.02), backend="scipy")
    assert_right(problem, WHAT, [0.25], names=EXPONENT, sizes=(1e-4,))


def test_every_schedule_gives_the_same_gradient(tmp_path: Path) -> None:
    problem = plate("chaboche")
    steps = [0.1 * k for k in range(1, 11)]
    schedules = [
        Checkpoints("every", every=3),
        Checkpoints("revolve", snapshots=3),
        Checkpoints("revolve", snapshots=1),
        Checkpoints("every", every=4, folder=tmp_path),
        Checkpoints("revolve", snapshots=3, folder=tmp_path),
        Checkpoints("auto", memory=5e4),
        Checkpoints(),
    ]
    expected = gradient(problem, steps, checkpoints=Checkpoints("all"))
    for schedule in schedules:
        found = gradient(problem, steps, checkpoints=schedule)
        assert ((found - expected).abs() <= 1e-13 * expected.abs()).all(), schedule
    assert not list(tmp_path.iterdir())


def test_observations_at_times() -> None:
    problem, times = plate(), [0.2, 0.9]
    parameters = [p for p in law("j2").parameters.values() if p.requires_grad]
    some, every = problem.solve(STEPS, WHAT, times), problem.solve(STEPS, WHAT)
    assert some.times.tolist() == times and some["plastic"].shape[0] == 2
    for name in WHAT:
        assert torch.equal(some[name], every[name][[0, 2]])
    found = torch.autograd.grad(some["force"].square().sum(), parameters)
    expected = torch.autograd.grad(every["force"][[0, 2]].square().sum(), parameters)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_run_goes_on_after_its_gradient() -> None:
    problem, other = plate("chaboche"), plate("chaboche")
    solution = problem.solve(STEPS, WHAT)
    other.solve(STEPS, WHAT)
    row = problem.load_row()
    Loss()(solution).backward()
    assert problem.load_row() == row == other.load_row()
    assert torch.equal(problem.solids[0].stress, other.solids[0].stress)
    for p in (problem, other):
        assert p.advance(1.0).converged
    # The solver's matrix has been used in between, so that the last bits may differ.
    again, expected = problem.load_row(), other.load_row()
    assert again == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_two_runs_before_one_gradient_of_both() -> None:
    problem = plate()
    parameters = [p for p in law("j2").parameters.values() if p.requires_grad]
    runs = [problem.solve(steps, WHAT)["force"].square().sum() for steps in (STEPS, (0.3, 0.6))]
    both = torch.autograd.grad(runs[0] + 2.0 * runs[1], parameters, retain_graph=True)
    parts = [torch.autograd.grad(run, parameters, retain_graph=True) for run in runs]
    again = torch.autograd.grad(runs[0] + 2.0 * runs[1], parameters)
    for found, a, b, twice in zip(both, *parts, again, strict=True):
        assert torch.equal(found, twice)
        assert torch.allclose(found, a + 2.0 * b, rtol=1e-13, atol=0.0)


def test_parameters_in_place_of_those_of_the_material() -> None:
    problem, name = plate(), "return_map.rates.isotropic_hardening.K"
    factor = param(1.1)
    given = {name: factor * 3000.0}
    loss = problem.solve(STEPS, WHAT, parameters=given)["force"].square().sum()
    (found,) = torch.autograd.grad(loss, factor)
    ends = []
    for sign in (1, -1):
        value = torch.tensor((1.1 + sign * 1e-4) * 3000.0, dtype=torch.float64)
        with torch.no_grad():
            solution = problem.solve(STEPS, WHAT, parameters={name: value})
        ends.append(float(solution["force"].square().sum()))
    assert float(found) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-7)


def test_tensors_made_of_each_other() -> None:
    """One traction is made of the other, both of a third tensor: each path counts once."""
    theta = param(20.0)
    first = theta**2
    second = 0.5 * first
    load = Traction("right", [first, second])
    problem = Problem(PLATE, law("elastic"), [*held(2), load], backend="scipy")
    u = problem.solve([1.0], {"u": NodalDisplacements()})["u"].sum()
    (found,) = torch.autograd.grad(u, theta, retain_graph=True)
    assert float(found) == pytest.approx(2.0 * float(u.detach()) / 20.0, rel=1e-9)
    assert float(torch.autograd.grad(second, theta)[0]) == 20.0  # the user's graph is still there


# --- what is refused -----------------------------------------------------------------------
class Meddling(Observation, BoundObservation):
    """Writes into what it observes."""

    shape = ()

    def bind(self, problem: Problem) -> BoundObservation:
        return self

    def apply(self, at: Instant) -> torch.Tensor:
        at.points[0][EP].zero_()
        return torch.zeros((), dtype=torch.float64)

    def pull(self, bar: torch.Tensor, to: Instant) -> None:
        raise AssertionError


def test_a_state_that_was_replaced_between_steps() -> None:
    problem = plate()
    with pytest.raises(Error, match=r"the state was replaced between two steps, at time 0\.2"):
        problem.solve(STEPS, {"meddling": Meddling()})
    with torch.no_grad():
        problem.solve(STEPS, {"meddling": Meddling()})  # nobody asks for a gradient


def test_a_state_that_was_replaced_in_a_step() -> None:
    def shear(t: float) -> float:
        if t > 0.5:
            problem.solids[0].state[EP].zero_()
        return 0.001 * t

    conditions = [*sides(2)[:-1], Dirichlet("right", "y", shear)]
    problem = Problem(PLATE, law("j2"), conditions, backend="scipy")
    solution = problem.solve(STEPS, WHAT)
    with pytest.raises(Error, match=r"the step to time 0\.9 is no longer what it was"):
        Loss()(solution).backward()


def test_a_parameter_that_was_changed() -> None:
    problem = plate()
    yield_stress = law("j2").parameters["return_map.rates.normality.flow.yield_surface.sy"]
    try:
        for change in (yield_stress, yield_stress.data):  # torch sees the first
            solution = problem.solve(STEPS, WHAT)
            with torch.no_grad():
                change += 5.0
            expected, match = Error, "yield_surface.sy' was changed between"
            if change is yield_stress:
                expected, match = RuntimeError, "modified by an inplace operation"
            with pytest.raises(expected, match=match):
                Loss()(solution).backward()
    finally:
        yield_stress.data.fill_(200.0)


def test_a_step_that_is_not_converged_enough() -> None:
    problem = plate("chaboche", tolerance=1e-3)
    solution = problem.solve(STEPS, WHAT)
    with pytest.raises(Error, match=r"above .* of the forces of the step.*smaller tolerance"):
        Loss()(solution).backward()


def test_second_derivatives() -> None:
    parameters = [p for p in law("elastic").parameters.values() if p.requires_grad]
    loss = plate("elastic").solve([0.5], {"force": Reaction("pull")})["force"].square().sum()
    with pytest.raises(Error, match="a run has first derivatives only"):
        torch.autograd.grad(loss, parameters, create_graph=True)


def test_losses_that_are_no_number() -> None:
    problem = plate("elastic")
    points = DisplacementsAt([[0.5, 0.5], [3.0, 0.5]], outside="nan")
    what = {"u": points, "force": Reaction("pull")}
    solution = problem.solve([0.5], what)
    parameters = [p for p in law("elastic").parameters.values() if p.requires_grad]
    assert solution["u"][0, 1].isnan().all()
    found = torch.autograd.grad(solution["u"].nansum(), parameters)
    assert all(bool(g.isfinite()) for g in found)
    solution = problem.solve([0.5], what)
    with pytest.raises(Error, match=r"at time 0\.5 the derivative of the loss is nan"):
        (solution["u"][0, 0].sum() * float("nan") + solution["force"].sum()).backward()


def test_what_is_not_there() -> None:
    problem = plate("elastic")
    with pytest.raises(InputError, match="nothing is observed"):
        problem.solve(STEPS, {})
    with pytest.raises(InputError, match=r"no step ends at the times 0\.3"):
        problem.solve(STEPS, {"force": Reaction("pull")}, [0.2, 0.3])
    with pytest.raises(InputError, match="output times 2 are outside of the run"):
        problem.solve(TimeStepping(1.0, 0.5), {"force": Reaction("pull")}, [0.5, 2.0])
    with pytest.raises(InputError, match="nothing is observed as 'forec'; did you mean 'force'"):
        problem.solve([0.5], {"force": Reaction("pull")})["forec"]
    with pytest.raises(InputError, match=r"no material has a parameter 'elasticity\.F'"):
        problem.solve([0.5], {"f": Reaction("pull")}, parameters={"elasticity.F": param(1.0)})
