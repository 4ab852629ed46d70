"""Several tests of one material fitted together: specimens and simulations, each with its noise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from simulations_box import (
    LAW,
    SY,
    D,
    E,
    R,
    assert_found,
    lifted,
    model_of,
    parameters,
    pulled,
)

from neml2fe.calibration import (
    CalibrationProblem,
    FitParameter,
    GaussianNoise,
    Noise,
    Specimens,
    StudentNoise,
    fit,
)
from neml2fe.calibration.interface import weights_of
from neml2fe.calibration.simulations import JointProblem
from neml2fe.errors import ConvergenceError, InputError


def bar(noise: Noise, *names: str, error: float = 0.0) -> CalibrationProblem:
    """A tension test of the same material."""
    strain = torch.linspace(0.0, 0.02, 9, dtype=torch.float64)[:, None]
    tests = Specimens.uniaxial(strain, strain, stress=torch.zeros_like(strain))
    model = model_of(LAW)
    known = CalibrationProblem(model, tests, [FitParameter(E, 1e4, 1e6)], noise)
    stress = known.predict(known.parameters.x0)["stress"].clone()
    stress[4] += error
    return CalibrationProblem(
        model, replace(tests, measured={"stress": stress}), parameters(*names), noise
    )


def joint(noise: Noise, error: float = 0.0) -> JointProblem:
    """E and R are of the bar and the plate, sy is of all."""
    return JointProblem(
        {"bar": bar(noise, E, SY, R, error=error), "plate": pulled(SY, R, D), "load": lifted(SY)}
    )


def test_the_tests_add_up() -> None:
    problem = joint(StudentNoise(1.0, 4.0), error=30.0)
    assert problem.parameters.names == [E, SY, R, D]
    x = problem.parameters.x0
    parts = {"bar": x[[0, 1, 2]], "plate": x[[1, 2, 3]], "load": x[[1]]}
    members = problem.members
    residuals, jacobian = problem.linearised(x)
    separate = [members[n].linearised(part) for n, part in parts.items()]
    assert torch.equal(residuals, torch.cat([r for r, _ in separate]))
    rows = jacobian.split([len(r) for r, _ in separate])
    for (_, own), whole, columns in zip(separate, rows, ([0, 1, 2], [1, 2, 3], [1]), strict=True):
        assert torch.equal(whole[:, columns], own)
        assert not whole[:, [c for c in range(4) if c not in columns]].any()
    x.requires_grad_()
    loss = problem.loss(x)
    (gradient,) = torch.autograd.grad(loss, x)
    with torch.no_grad():
        expected = sum(float(members[n].loss(part)) for n, part in parts.items())
    assert loss.item() == pytest.approx(expected, rel=1e-14)
    weights = weights_of(problem, residuals)
    assert weights is not None and weights.min() < 0.5 and (weights[8:] == 1.0).all()
    assert gradient.tolist() == pytest.approx((jacobian.T @ (weights * residuals)).tolist())


def test_all_parameters_are_recovered() -> None:
    result = fit(joint(GaussianNoise(1.0)))
    assert result.converged, result.reason
    assert_found(result.values)
    assert result.uncertainty is not None and not result.uncertainty.not_identifiable


def test_robust_noise_of_one_test_is_its_own() -> None:
    """A gross error in the bar is down-weighted, as its noise says, and the simulations are not."""
    found = []
    for noise in (GaussianNoise(1.0), StudentNoise(1.0, 2.0)):
        load = lifted(SY, error=1.0)
        result = fit(JointProblem({"bar": bar(noise, SY, error=30.0), "load": load}))
        assert result.converged, result.reason
        assert result.uncertainty is not None
        found.append(result.values[SY])
    plain, robust = found
    alone = fit(load, level=None).values[SY]
    assert abs(robust - alone) < 0.01 * abs(plain - alone)


def test_what_does_not_fit_together_is_refused() -> None:
    plate = pulled(SY)
    with pytest.raises(InputError, match="at least one test"):
        JointProblem({})
    with pytest.raises(InputError, match="test 'other' is simulated by no rank"):
        JointProblem({"plate": plate, "other": None})
    with pytest.raises(InputError, match="noise is not known for bar, but for others"):
        JointProblem({"bar": bar(GaussianNoise(), SY), "plate": plate})
    other = bar(GaussianNoise(1.0), SY)
    wide = CalibrationProblem(
        model_of(LAW), other.specimens, [FitParameter(SY, 1.0, 1e3)], GaussianNoise(1.0)
    )
    with pytest.raises(InputError, match=f"'{SY}' has other bounds, .* in test 'plate' than in 'b"):
        JointProblem({"bar": wide, "plate": plate})


def test_a_failure_says_which_test_it_is_of() -> None:
    problem = JointProblem({"plate": pulled(SY), "load": lifted(SY)})
    lowest = torch.zeros(1, dtype=torch.float64)
    with pytest.raises(ConvergenceError, match=r"test 'load': no convergence at time"):
        problem.loss(lowest)
