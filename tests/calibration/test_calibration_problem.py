"""Specimens, model and parameters as one problem: derivatives, controls, parts of rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import neml2fe
from neml2fe.calibration.noise import StudentNoise
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.problem import CalibrationProblem
from neml2fe.calibration.specimens import Specimens
from neml2fe.errors import ConvergenceError, InputError
from neml2fe.models import Model

DECK = Path(__file__).parents[1] / "decks" / "perzyna_voce.i"
PARAMETERS = [
    FitParameter("yield_surface.sy", 20.0, 500.0, "log"),
    FitParameter("isoharden.R", 10.0, 1000.0, "log"),
    FitParameter("flow_rate.n", 1.0, 10.0),
]


@pytest.fixture(scope="module")
def model() -> Model:
    return neml2fe.load_model(DECK, "model")


def specimens_of(n: int = 9, largest: float = 0.02) -> Specimens:
    """Three tension tests at different rates, one of them shorter."""
    rates = torch.tensor([1e-3, 1e-1, 10.0], dtype=torch.float64)
    strain = torch.linspace(0.0, largest, n, dtype=torch.float64)[:, None].expand(n, 3)
    whole = Specimens.uniaxial(strain / rates, strain, stress=torch.zeros(n, 3).double())
    short = whole.select([2])
    short = replace(
        short,
        times=short.times[: n - 3],
        lengths=short.lengths - 3,
        **{k: getattr(short, k)[: n - 3] for k in ("control", "strain", "stress")},
        **{
            k: {name: v[: n - 3] for name, v in getattr(short, k).items()}
            for k in ("fields", "measured", "weights")
        },
    )
    return Specimens.stack([whole.select([0, 1]), replace(short, names=("short",))])


def problem_of(model: Model, **options: object) -> CalibrationProblem:
    tests = specimens_of()
    known = CalibrationProblem(model, tests, PARAMETERS, **options)
    measured = known.predict(known.parameters.x0 + 0.02)["stress"]
    weighed = torch.where(tests.weights["stress"] > 0.0, measured, 0.0)
    return CalibrationProblem(
        model, replace(tests, measured={"stress": weighed}), PARAMETERS, **options
    )


@pytest.mark.parametrize("options", [{}, {"substeps": 3}, {"backend": "sequential"}])
def test_jacobian_and_gradient_are_those_of_differences(
    model: Model, options: dict[str, object]
) -> None:
    problem = problem_of(model, **options)
    x = problem.parameters.x0.clone()
    residuals, jacobian = problem.linearised(x)
    torch.testing.assert_close(problem.residuals(x), residuals, rtol=1e-12, atol=1e-12)
    steps = 1e-6 * torch.eye(len(x), dtype=torch.float64)
    columns = [(problem.residuals(x + h) - problem.residuals(x - h)) / 2e-6 for h in steps]
    torch.testing.assert_close(
        jacobian, torch.stack(columns, -1), rtol=1e-6, atol=1e-6 * float(jacobian.abs().max())
    )
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(problem.loss(x), x)
    torch.testing.assert_close(gradient, jacobian.T @ residuals, rtol=1e-10, atol=1e-10)


def test_substeps_converge_to_the_law_between_rows(model: Model) -> None:
    """Backward Euler: half the step, half the error."""
    problems = {k: problem_of(model, substeps=k) for k in (4, 8, 64)}
    stress = {k: p.predict(p.parameters.x0)["stress"][:6] for k, p in problems.items()}
    errors = [float((stress[k] - stress[64]).abs().max()) for k in (4, 8)]
    assert 1.8 < errors[0] / errors[1] < 2.6
    assert stress[4].shape == (6, 3, 6)


def test_parameters_of_the_model_stay_as_they_are(model: Model) -> None:
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    problem = problem_of(model)
    problem.loss(problem.parameters.x0 + 0.1)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])


def test_other_noise_has_its_own_loss(model: Model) -> None:
    problem = problem_of(model)
    student = CalibrationProblem(model, problem.specimens, PARAMETERS, StudentNoise(1.0))
    x = problem.parameters.x0
    r = problem.residuals(x)
    assert problem.curvature_weights(r) is None
    assert student.curvature_weights(r) is not None
    expected = 2.5 * torch.log1p(r.square() / 4.0).sum()
    torch.testing.assert_close(student.loss(x), expected)


def test_mistakes_are_clear_errors(model: Model) -> None:
    tests = specimens_of()
    with pytest.raises(InputError, match="substeps"):
        CalibrationProblem(model, tests, PARAMETERS, substeps=0)
    with pytest.raises(InputError, match="porosity"):
        wrong = {"porosity": tests.measured["stress"][..., 0]}
        CalibrationProblem(
            CalibrationProblem(model, tests, PARAMETERS).recursion.system,
            replace(tests, measured=wrong, weights=wrong),
            PARAMETERS,
            strain="E",
        )
    wild = [FitParameter("flow_rate.n", 1.0, 1e6, initial=9e5)]
    with pytest.raises(ConvergenceError, match="no specimen"):
        CalibrationProblem(model, specimens_of(5, 10.0), wild)
