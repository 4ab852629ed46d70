"""Forward sensitivities along loads and prescribed displacements, and what is fitted with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradients_box import STEPS, held, law, param
from test_gradients_inputs import SETTINGS

from neml2fe.calibration import FitParameter, fit
from neml2fe.calibration.fullfield import FullField, Series
from neml2fe.calibration.gradient_check import check_gradient
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    LoadMeasurement,
    SimulationProblem,
    gauss_newton_product,
)
from neml2fe.errors import InputError
from neml2fe.fem import Dirichlet, PiecewiseLinear, Problem, TimeStepping, Traction
from neml2fe.fem.adjoint.inputs import load_tensors
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.observations import DisplacementsAt, NodalDisplacements, Reaction

PLATE = rectangle(2, 2, "quad", distortion=0.2)
WITH_LOADS = ("prescribed", "loads", "follower", "rotated", "rigid", "cell", "cell_finite")
GRID = [[0.3, 0.4], [0.9, 0.2], [0.7, 0.8], [0.4, 0.9]]


@pytest.mark.parametrize("name", WITH_LOADS)
def test_loads_move_what_is_observed_as_differences_do(name: str) -> None:
    """Each observation, along all loads together."""
    problem, observe = SETTINGS[name]()
    loads = {n: t for n, t in load_tensors(problem).items() if t.requires_grad}
    generator = torch.Generator().manual_seed(5)
    direction = {
        n: t.detach() * torch.randn(t.shape, generator=generator, dtype=torch.float64)
        for n, t in loads.items()
    }
    found = problem.solve(STEPS, observe).sensitivities([direction])

    def moved(step: float) -> dict[str, torch.Tensor]:
        for n, tensor in loads.items():
            tensor += step * direction[n]
        values = problem.solve(STEPS, observe).values
        for n, tensor in loads.items():
            tensor -= step * direction[n]
        return values

    least = dict.fromkeys(found, float("inf"))
    for step in (1e-4, 1e-5):
        with torch.no_grad():
            ahead, behind = moved(step), moved(-step)
        for key, rate in found.items():
            expected = (ahead[key] - behind[key]) / (2.0 * step)
            error = float((rate[..., 0] - expected).norm() / expected.norm())
            least[key] = min(least[key], error)
    print(least)
    assert max(least.values()) <= 1e-7


def test_what_is_made_of_a_load_is_held_while_it_varies() -> None:
    """As in gradients, which sum over the paths: sensitivities of each tensor are partial."""
    theta = param(20.0)
    first = theta**2
    second = 0.5 * first
    problem = Problem(PLATE, law("elastic"), [*held(2), Traction("right", [first, second])])
    solution = problem.solve([1.0], {"u": NodalDisplacements()})
    one = torch.ones((), dtype=torch.float64)
    names = [f"right_traction.value[{k}]" for k in range(2)]
    pushed = solution.sensitivities([{n: one} for n in names] + [dict.fromkeys(names, one)])["u"]
    assert torch.allclose(pushed[..., 0] + pushed[..., 1], pushed[..., 2], rtol=1e-9, atol=1e-18)
    whole = pushed[..., 0] * first + pushed[..., 1] * second  # linear and homogeneous
    assert torch.allclose(whole, solution["u"], rtol=1e-9, atol=1e-14)
    assert not torch.allclose(pushed[..., 0] * first, solution["u"], rtol=1e-2, atol=0.0)


def test_where_every_displacement_is_prescribed() -> None:
    value = param(0.001)
    conditions = [Dirichlet(side, c) for side in ("left", "right") for c in "xy"]
    conditions[2] = Dirichlet("right", "x", value, label="pull")
    problem = Problem(rectangle(1, 1, "quad"), law("elastic"), conditions)
    solution = problem.solve([1.0], {"force": Reaction("pull"), "u": NodalDisplacements()})
    rates = solution.sensitivities([{"pull.value": torch.ones((), dtype=torch.float64)}])
    for name, rate in rates.items():
        assert torch.allclose(rate[..., 0] * value, solution[name], rtol=1e-12, atol=0.0)


def test_directions_that_do_not_fit() -> None:
    problem, observe = SETTINGS["prescribed"]()
    solution = problem.solve([0.2], observe)
    for direction, message in (
        ({"pull.valeu[1]": torch.ones(())}, "did you mean 'pull.value"),
        ({"pull.value[1]": torch.ones(2)}, r"shape \(2,\); expected \(\)"),
    ):
        with pytest.raises(InputError, match=message):
            solution.sensitivities([direction])


# --- fits ----------------------------------------------------------------------------------
def measured(error: float = 1.0) -> tuple[SimulationProblem, torch.Tensor]:
    """A pulled plate whose pull, load and yield stress are not known, and their true values.
    `error`: of the camera, over what is known of its noise."""
    pull = PiecewiseLinear([0.0, 0.5, 1.0], [0.0, param(0.006), 0.001])
    conditions = [
        *held(2),
        Dirichlet("right", "x", pull, label="pull"),
        Traction("top", [0.0, PiecewiseLinear([0.0, 1.0], [0.0, param(120.0)])]),
    ]
    problem = Problem(PLATE, law("j2"), conditions, backend="scipy")
    times = [0.25, 0.5, 0.75, 1.0]
    observe = {"force": Reaction("pull"), "field": DisplacementsAt(GRID)}
    stepping = TimeStepping(end=1.0, dt=0.25)
    with torch.no_grad():
        truth = problem.solve(stepping, observe, times=times)
    noise = error * np.random.default_rng(0).normal(size=truth["field"].shape)
    measurements = {
        "cell": LoadMeasurement(Series(np.array(times), truth["force"].numpy(), 0.1), "pull"),
        "camera": FieldMeasurement(
            FullField(np.array(GRID), np.array(times), truth["field"].numpy() + 1e-6 * noise, 1e-6)
        ),
    }
    parameters = [
        FitParameter("pull.value[1]", 0.002, 0.02, "log", 0.009),
        FitParameter("top_traction.value[1][1]", 0.0, 300.0, "linear", 60.0),
        FitParameter("yield_surface.sy", 100.0, 400.0, "log", 250.0),
    ]
    given = SimulationProblem(problem, stepping, measurements, parameters)
    return given, torch.tensor([0.006, 120.0, 200.0], dtype=torch.float64)


def test_amplitudes_of_loads_are_fitted_with_their_uncertainty() -> None:
    problem, truth = measured()
    check = check_gradient(problem)
    print(check)
    assert check.passed
    result = fit(problem)
    found = result.uncertainty
    assert found is not None and not found.not_identifiable
    errors = (found.values - truth).abs() / found.standard_errors
    print(errors, found.standard_errors)
    assert errors.max() <= 3.0
    x = problem.parameters.scaled(truth)
    _, jacobian = problem.linearised(x)
    way = torch.tensor([0.5, -0.2, 0.7], dtype=torch.float64)
    expected = jacobian.T @ (jacobian @ way)
    assert torch.allclose(gauss_newton_product(problem, x)(way), expected, rtol=1e-9, atol=0.0)


def test_differences_of_gradients_are_products_with_the_hessian() -> None:
    """Without residuals the Hessian is that of Gauss and Newton, which is exact."""
    problem, truth = measured(error=0.0)
    x = problem.parameters.scaled(truth)
    way = torch.tensor([0.5, -0.2, 0.7], dtype=torch.float64)
    expected = gauss_newton_product(problem, x)(way)
    errors = []
    for step in (1e-4, 1e-5):
        ahead, behind = (problem.gradient(x + h * way)[1] for h in (step, -step))
        difference = (ahead - behind) / (2.0 * step)
        errors.append(float((difference - expected).norm() / expected.norm()))
    print(errors)
    assert max(errors) <= 1e-6
