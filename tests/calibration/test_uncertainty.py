"""Error bars against references, their coverage, and what the data cannot identify."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from analytic import CurveFit, StudentFit, double
from scipy import stats
from scipy.optimize import curve_fit
from torch import Tensor

from neml2fe.calibration.fit import fit
from neml2fe.calibration.uncertainty import Uncertainty, uncertainty
from neml2fe.errors import InputError

T = torch.linspace(0.0, 4.0, 40, dtype=torch.float64)
BOX = [(0.1, 10.0), (0.01, 5.0)]


def decay(b: Tensor) -> Tensor:
    return b[0] * torch.exp(-b[1] * T)


def noisy(seed: int, sigma: float = 0.05) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(T), generator=generator, dtype=torch.float64)
    return decay(double([2.0, 0.7])) + sigma * noise


def bars(problem: CurveFit, level: float = 0.95) -> Uncertainty:
    found = fit(problem, level=level).uncertainty
    assert found is not None
    return found


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("scale", ["linear", "log", "softplus"])
def test_covariance_agrees_with_scipy(known: bool, scale: str) -> None:
    y = noisy(1)
    box = [(*bound, scale) for bound in BOX]
    found = bars(CurveFit(decay, y, [1.0, 1.0], box, sigma=0.05 if known else None))
    best, covariance = curve_fit(
        lambda t, a, b: a * np.exp(-b * t),
        T.numpy(),
        y.numpy(),
        [1.0, 1.0],
        sigma=np.full(len(T), 0.05),
        absolute_sigma=known,
        jac=lambda t, a, b: np.stack([np.exp(-b * t), -a * t * np.exp(-b * t)], -1),
        xtol=1e-14,
        ftol=1e-14,
    )
    errors = np.sqrt(np.diag(covariance))
    assert found.values.numpy() == pytest.approx(best, rel=1e-6)
    assert found.standard_errors.numpy() == pytest.approx(errors, rel=1e-6)
    assert found.correlation.numpy() == pytest.approx(covariance / np.outer(errors, errors), 1e-6)
    assert not found.not_identifiable
    assert not found.remarks


def test_intervals_use_the_right_quantile_and_scale() -> None:
    y = noisy(2)
    box = [(0.1, 10.0), (0.01, 5.0, "log")]
    for sigma, quantile in ((None, stats.t.ppf(0.95, 38)), (0.05, stats.norm.ppf(0.95))):
        found = bars(CurveFit(decay, y, [1.0, 1.0], box, sigma=sigma), level=0.9)
        (a, b), (da, db) = found.values.tolist(), found.standard_errors.tolist()
        factor = math.exp(quantile * db / b)
        assert found.intervals[0].tolist() == pytest.approx([a - quantile * da, a + quantile * da])
        assert found.intervals[1].tolist() == pytest.approx([b / factor, b * factor])
        assert found.level == 0.9


def test_a_log_interval_stays_positive() -> None:
    y = noisy(3, sigma=1.5)
    found = bars(CurveFit(decay, y, [1.0, 1.0], [(0.1, 10.0), (1e-3, 50.0, "log")], sigma=1.5))
    assert float(found.standard_errors[1]) > 0.4 * float(found.values[1])
    assert float(found.intervals[1, 0]) > 0.0


@pytest.mark.parametrize("student", [False, True])
def test_intervals_cover_the_truth_at_their_level(student: bool) -> None:
    """Of 100 samples, 95 % intervals hold the truth as often as a binomial of 0.95 allows."""
    generator = np.random.default_rng(5)
    truth, inside, n = double([2.0, 0.7]), torch.zeros(2), 100
    kind = StudentFit if student else CurveFit
    for _ in range(n):
        sample = generator.standard_t(4.0, len(T)) if student else generator.normal(size=len(T))
        y = decay(truth) + 0.05 * torch.from_numpy(sample)
        problem = kind(decay, y, [1.8, 0.8], BOX, sigma=0.05 if student else None)
        found = fit(problem, gradient_tolerance=1e-4).uncertainty
        assert found is not None
        low, high = found.intervals.unbind(-1)
        inside += (low <= truth) & (truth <= high)
    fewest, most = stats.binom.ppf([1e-3, 1 - 1e-3], n, 0.95)
    assert ((fewest <= inside) & (inside <= most)).all(), inside


def test_masked_rows_do_not_count() -> None:
    y = noisy(4)
    plain = bars(CurveFit(decay, y, [1.0, 1.0], BOX))

    def padded(b: Tensor) -> Tensor:
        return torch.cat([decay(b), torch.zeros(60, dtype=torch.float64)])

    more = torch.cat([y, torch.zeros(60, dtype=torch.float64)])
    found = bars(CurveFit(padded, more, [1.0, 1.0], BOX))
    torch.testing.assert_close(found.standard_errors, plain.standard_errors, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.intervals, plain.intervals, rtol=1e-9, atol=0)


def test_a_parameter_without_influence() -> None:
    def curve(b: Tensor) -> Tensor:
        return decay(b[[0, 2]]) + 0.0 * b[1]

    found = bars(CurveFit(curve, noisy(1), [1.0, 1.0, 1.0], [BOX[0], (0.0, 3.0), BOX[1]]))
    plain = bars(CurveFit(decay, noisy(1), [1.0, 1.0], BOX))
    assert list(found.not_identifiable) == ["b2"]
    assert "b2 has no influence" in found.not_identifiable["b2"]
    assert math.isinf(found.standard_errors[1])
    assert found.intervals[1].tolist() == [0.0, 3.0]
    torch.testing.assert_close(
        found.standard_errors[[0, 2]], plain.standard_errors, rtol=1e-6, atol=0
    )
    assert found.correlation[1].tolist() == [0.0, 1.0, 0.0]
    assert float(found.singular_values[-1]) == 0.0


def test_only_a_product_is_identified() -> None:
    def curve(b: Tensor) -> Tensor:
        return b[0] * b[1] * torch.exp(-b[2] * T)

    found = bars(CurveFit(curve, noisy(1), [1.0, 1.0, 1.0], [BOX[0], BOX[0], BOX[1]]))
    assert set(found.not_identifiable) == {"b1", "b2"}
    assert "only a combination of b1, b2" in found.not_identifiable["b1"]
    plain = bars(CurveFit(decay, noisy(1), [1.0, 1.0], BOX))
    assert found.standard_errors[:2].tolist() == [math.inf] * 2
    torch.testing.assert_close(
        found.standard_errors[2], plain.standard_errors[1], rtol=1e-6, atol=0
    )
    assert torch.isfinite(found.correlation).all()
    assert torch.isfinite(found.intervals).all()


def test_a_pair_that_trades_off() -> None:
    """Two exponents that differ by little on a short time: their sum is known, not each."""
    t = 0.2 * T

    def curve(b: Tensor) -> Tensor:
        return torch.exp(-b[0] * t) + torch.exp(-b[1] * t)

    truth = double([1.0, 1.5])
    problem = CurveFit(curve, curve(truth), [1.0, 1.5], [(0.5, 2.0), (0.5, 2.0)], sigma=0.2)
    found = uncertainty(problem, problem.parameters.scaled(truth))
    assert float(found.correlation[0, 1]) < -0.99
    assert any("b1 and b2 are nearly interchangeable" in text for text in found.remarks)
    assert "it trades off with b2" in found.not_identifiable["b1"]
    assert torch.isfinite(found.standard_errors).all()


def test_noise_that_hides_a_parameter() -> None:
    def curve(b: Tensor) -> Tensor:
        return b[0] * torch.exp(-0.7 * T) + 1e-3 * b[1] * torch.sin(9.0 * T)

    y = 2.0 * torch.exp(-0.7 * T) + noisy(1) - noisy(1, 0.0)
    found = bars(CurveFit(curve, y, [1.0, 0.5], [(0.1, 10.0), (-3.0, 3.0)], sigma=0.05))
    assert "b1" not in found.not_identifiable
    # The noise may drive it to a bound, which is not to blame.
    assert "covers the whole range -3 to 3" in found.not_identifiable["b2"]
    assert not found.remarks


@pytest.mark.parametrize("sigma", [0.05, None])
def test_a_bound_is_not_to_blame_where_there_is_no_influence(sigma: float | None) -> None:
    """b2 scales a mechanism that the data do not want down to its lower bound, where it is off;
    b3 is held by a bound that the data contradict."""

    def curve(b: Tensor) -> Tensor:
        return decay(b[[0, 2]]) + 1e-3 * b[1] * decay(double([1.0, 0.5]))

    box = [BOX[0], (1e-6, 10.0, "log"), (0.01, 0.6)]
    problem = CurveFit(curve, noisy(1, 0.05), [2.0, 1e-6, 0.6], box, sigma=sigma)
    found = bars(problem)
    assert found.values[1:].tolist() == pytest.approx([1e-6, 0.6])
    assert list(found.not_identifiable) == ["b2"]
    assert "lower bound 1e-06 and has next to no influence" in found.not_identifiable["b2"]
    assert any("b3 stands at its upper bound 0.6 and has no interval" in s for s in found.remarks)
    assert not any("b2" in text for text in found.remarks)
    assert found.standard_errors[1:].tolist() == [math.inf] * 2


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        (0.05 / 3.6, "times the stated noise: the model or the noise is wrong, and intervals are"),
        (0.05 * 3.6, "times the stated noise: the noise is smaller than stated, and intervals"),
        (0.05, ""),
        (None, ""),
    ],
)
def test_noise_that_residuals_contradict(stated: float | None, says: str) -> None:
    y = noisy(1)
    found = bars(CurveFit(decay, y, [1.0, 1.0], BOX, sigma=stated))
    if not says or stated is None:
        assert found.remarks == []
        return
    misfit = y - decay(found.values)
    ratio = math.sqrt(float(misfit @ misfit) / 38.0) / stated
    (remark,) = found.remarks
    assert remark.startswith("residuals are ") and f" {ratio:.2g} {says}" in remark


def test_few_data_contradict_no_noise() -> None:
    """Three residuals of twice the noise or of half of it come by chance."""
    for stated in (0.5, 2.0):
        y = double([1.0, -1.0, 1.0, -1.0])
        found = bars(CurveFit(lambda b: b.expand(4), y, [0.3], [(-2.0, 2.0)], sigma=stated))
        assert found.remarks == []


def test_fewer_data_than_parameters_and_noise() -> None:
    def curve(b: Tensor) -> Tensor:
        return decay(b)[[3, 20]]

    y = noisy(1)[[3, 20]]
    found = bars(CurveFit(curve, y, [1.0, 1.0], BOX))
    assert "2 data cannot tell 2 parameters and the noise" in found.not_identifiable["b1"]
    assert found.standard_errors.tolist() == [math.inf] * 2
    one = bars(CurveFit(lambda b: decay(b)[3:4], y[:1], [1.0, 1.0], BOX, sigma=0.05))
    assert set(one.not_identifiable) == {"b1", "b2"}
    assert "only a combination of b1, b2" in one.not_identifiable["b2"]


def test_a_perfect_fit_has_no_error_and_no_nan() -> None:
    found = bars(CurveFit(decay, decay(double([2.0, 0.7])), [1.0, 1.0], BOX))
    assert float(found.standard_errors.max()) < 1e-8
    assert torch.isfinite(found.correlation).all()
    assert not found.not_identifiable


def test_a_point_that_is_not_the_minimum_is_told() -> None:
    problem = CurveFit(decay, noisy(1), [1.0, 1.0], BOX, sigma=0.05)
    away = uncertainty(problem, problem.parameters.scaled(double([2.2, 0.7])))
    assert "did not end at the minimum" in away.remarks[0]
    assert "there are no intervals" in away.remarks[0]
    assert len(away.remarks) == 1  # that residuals are large has this reason
    assert away.standard_errors.isnan().all() and away.intervals.isnan().all()
    assert torch.equal(away.correlation, torch.eye(2, dtype=torch.float64))
    best = fit(problem).uncertainty
    assert best is not None
    near = problem.parameters.scaled(best.values + 0.3 * best.standard_errors)
    close = uncertainty(problem, near)
    assert "the intervals are not centred" in close.remarks[0]
    torch.testing.assert_close(close.standard_errors, best.standard_errors, rtol=0.1, atol=0)
    with pytest.raises(InputError, match="between 0 and 1"):
        uncertainty(problem, problem.parameters.x0, level=1.0)
