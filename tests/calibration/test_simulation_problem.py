"""Calibration of one simulation: derivatives, recovery, trial points that fail, fields."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from simulations_box import (
    GRID,
    SY,
    TRUTH,
    D,
    E,
    R,
    assert_found,
    camera,
    cell,
    lifted,
    loaded,
    parameters,
    plate,
    pulled,
)

import neml2fe.models as m
from neml2fe.calibration import FitParameter, fit
from neml2fe.calibration.fullfield import FullField
from neml2fe.calibration.gradient_check import check_gradient
from neml2fe.calibration.simulations import FieldMeasurement, LoadMeasurement, SimulationProblem
from neml2fe.calibration.simulations import problem as module
from neml2fe.errors import ConvergenceError, InputError
from neml2fe.fem import Dirichlet, ElementField, Problem, TimeStepping
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.observations import DisplacementsAt
from neml2fe.material import Material
from neml2fe.models import ComposedModel

TAO = pytest.param("tao", marks=pytest.mark.skipif(not find_spec("petsc4py"), reason="no petsc4py"))


def test_the_gradient_is_that_of_differences() -> None:
    check = check_gradient(pulled(SY, D, error=1.0))
    assert check.passed, check
    assert check.least <= 1e-8


def test_every_parameter_is_recovered_by_least_squares() -> None:
    problem = pulled()
    result = fit(problem)
    assert result.converged, result.reason
    assert_found(result.values)
    assert result.uncertainty is not None and not result.uncertainty.not_identifiable
    # The caller's tensors are as they were.
    assert problem.tensors[E].item() == TRUTH[E]


@pytest.mark.parametrize("optimiser", ["lbfgs", TAO])
def test_parameters_are_recovered_by_gradients(optimiser: str) -> None:
    result = fit(pulled(SY, R), optimiser, gradient_tolerance=1e-8, level=None)
    assert result.converged, result.reason
    assert_found(result.values)


@pytest.mark.parametrize("optimiser", ["least_squares", "lbfgs", TAO])
def test_a_trial_point_without_equilibrium_is_a_rejected_step(
    optimiser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below 183 the plate cannot carry its load; the first step goes there."""
    failed = 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal failed
        try:
            return solve(*args, **options)
        except ConvergenceError:
            failed += 1
            raise

    solve = module.solve
    monkeypatch.setattr(module, "solve", counted)
    known = lifted(SY)
    start = [FitParameter(SY, 20.0, 600.0, "log", 285.0)]
    problem = SimulationProblem(known.simulation, known.stepping, known.measurements, start)
    with pytest.raises(ConvergenceError, match="no convergence at time"):
        problem.loss(torch.zeros(1, dtype=torch.float64))
    assert next(iter(problem.fitted.values())).item() == TRUTH[SY]
    result = fit(problem, optimiser, level=None)
    assert failed > 1
    assert result.converged, result.reason
    assert_found(result.values)


def test_a_temperature_of_every_element() -> None:
    """From what a camera sees of a free plate."""
    expansion = m.ThermalEigenstrain(label="expansion", reference_temperature=20.0, CTE=1e-4)
    mechanical = m.SR2LinearCombination(
        label="rest", from_=("E", "eigenstrain"), to="elastic_strain", weights=(1.0, -1.0)
    )
    elasticity = m.LinearIsotropicElasticity(
        label="elasticity",
        coefficients=(70e3, 0.3),
        coefficient_types=("YOUNGS_MODULUS", "POISSONS_RATIO"),
        strain="elastic_strain",
    )
    law = ComposedModel(label="law", models=(expansion, mechanical, elasticity))
    truth = torch.linspace(30.0, 90.0, 9, dtype=torch.float64) ** 1.1
    temperature = truth.clone().requires_grad_()
    problem = Problem(
        rectangle(3, 3, "quad", distortion=0.2),
        Material(law, strain="E"),
        [Dirichlet("left", "x"), Dirichlet("bottom", "y")],
        fields={"temperature": ElementField(temperature)},
    )
    stepping = TimeStepping(end=1.0, dt=1.0)
    with torch.no_grad():
        u = problem.solve(stepping, {"u": DisplacementsAt(GRID)})["u"].numpy()
    data = FieldMeasurement(FullField(GRID, np.array([1.0]), u, 1e-6))
    wanted = FitParameter("fields.temperature", 0.0, 300.0, initial=60.0)
    fitted = SimulationProblem(problem, stepping, {"camera": data}, [wanted])
    assert fitted.parameters.names[3] == "fields.temperature[3]"
    for optimiser in ("least_squares", "lbfgs"):
        result = fit(fitted, optimiser, gradient_tolerance=1e-9)
        assert result.converged, result.reason
        assert list(result.values.values()) == pytest.approx(truth.tolist(), rel=1e-6), optimiser


def test_names_may_be_shortened() -> None:
    """One name for a parameter of the material in all kinds of tests."""
    problem, stepping = plate(), TimeStepping(end=1.0, dt=0.5)
    load = {"cell": LoadMeasurement(cell(problem), "pull")}

    def named(*names: str) -> SimulationProblem:
        return SimulationProblem(
            problem, stepping, load, [FitParameter(n, 0.0, 1e6) for n in names]
        )

    full = "return_map.rates.yield_surface.sy"
    assert list(named("yield_surface.sy").fitted) == [full]
    assert list(named("sy").fitted) == [full]
    with pytest.raises(InputError, match=r"no tensor 'yield_surface.sz'; did you mean"):
        named("yield_surface.sz")
    with pytest.raises(InputError, match=rf"parameter '{full}' is to be fitted twice"):
        named("sy", "yield_surface.sy")
    with pytest.raises(InputError, match=r"'weight_0' may be any of .*: say more of its name"):
        named("weight_0")


def test_what_does_not_fit_is_refused() -> None:
    problem = loaded()
    seen = FieldMeasurement(camera(problem))
    late = FullField(GRID, np.array([0.5, 1.2]), np.zeros((2, len(GRID), 2)), 1e-4)
    idle = FullField(GRID, np.array([0.0]), np.zeros((1, len(GRID), 2)), 1e-4)
    plain = FullField(GRID, np.array([1.0]), np.zeros((1, len(GRID), 2)))
    stepping = TimeStepping(end=1.0, dt=1.0)
    for measurements, message in (
        ({}, "at least one measurement"),
        ({"late": FieldMeasurement(late)}, "measured at time 1.2; the simulation runs from 0 to 1"),
        ({"idle": FieldMeasurement(idle)}, "nothing is measured after the start"),
        ({"seen": seen, "plain": FieldMeasurement(plain)}, "noise is not known for plain, but"),
    ):
        with pytest.raises(InputError, match=message):
            SimulationProblem(problem, stepping, measurements, parameters(SY))
