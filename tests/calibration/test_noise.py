"""Noise models against scipy's densities; gradients; values without weight; what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from neml2fe.calibration.noise import (
    GaussianNoise,
    HuberNoise,
    Noise,
    RelativeNoise,
    StudentNoise,
)
from neml2fe.errors import ConvergenceError, InputError

NOISES: dict[str, Noise] = {
    "gaussian": GaussianNoise({"stress": 5.0, "strain": 1e-3}),
    "unknown": GaussianNoise(),
    "relative": RelativeNoise(0.05, {"stress": 2.0, "strain": 1e-4}),
    "huber": HuberNoise({"stress": 5.0, "strain": 1e-3}),
    "student": StudentNoise({"stress": 5.0, "strain": 1e-3}, nu=3.0),
}


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def data(seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Predicted, measured and weights of 4 rows and 3 specimens, a third of them without one."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"stress": (4, 3, 6), "strain": (4, 3)}
    scale = {"stress": 100.0, "strain": 0.01}

    def normal(name: str) -> Tensor:
        return torch.randn(shapes[name], generator=g, dtype=torch.float64)

    measured = {n: scale[n] * normal(n) for n in shapes}
    predicted = {n: y + 0.1 * scale[n] * normal(n) for n, y in measured.items()}
    weights = {n: (normal(n).abs() - 0.4).clamp(min=0.0) for n in shapes}
    return predicted, measured, weights


def test_residuals_are_weighted_differences_by_variable_and_row() -> None:
    predicted = {"b": tensor(9.0), "a": torch.tensor([[3.0, 7.0], [1.0, 5.0]]).double()}
    measured = {"a": torch.tensor([[1.0, 0.0], [2.0, 2.0]]).double(), "b": tensor(1.0)}
    weights = {"a": torch.tensor([[4.0, 0.0], [1.0, 9.0]]).double(), "b": tensor(0.25)}
    noise = GaussianNoise({"a": 2.0, "b": 8.0})
    expected = tensor(2 * 2 / 2, -1 / 2, 3 * 3 / 2, 0.5 * 8 / 8)
    torch.testing.assert_close(noise.residuals(predicted, measured, weights), expected)


@pytest.mark.parametrize("name", ["gaussian", "unknown", "relative"])
def test_normal_noise_has_half_the_sum_of_squares(name: str) -> None:
    r = NOISES[name].residuals(*data())
    torch.testing.assert_close(NOISES[name].loss(*data()), 0.5 * r @ r, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize(
    ("noise", "density"),
    [
        (GaussianNoise(3.0), lambda y: stats.norm(120.0, 3.0).logpdf(y)),
        (RelativeNoise(0.04, 3.0), lambda y: stats.norm(120.0, math.hypot(4.8, 3.0)).logpdf(y)),
        (StudentNoise(3.0, 2.5), lambda y: stats.t(2.5, loc=120.0, scale=3.0).logpdf(y)),
    ],
)
@pytest.mark.parametrize("predicted", [120.0, 121.0, 110.0, 200.0])
def test_loss_is_the_negative_log_density(
    noise: Noise, density: Callable[[float], float], predicted: float
) -> None:
    """Densities are symmetric, so that predicted and measured may change places."""
    loss = noise.loss({"y": tensor(predicted)}, {"y": tensor(120.0)}, {"y": tensor(1.0)})
    expected = density(120.0) - density(predicted)
    assert float(loss) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@given(st.floats(-20.0, 20.0), st.floats(0.2, 5.0))
def test_huber_is_quadratic_then_linear(r: float, k: float) -> None:
    expected = 0.5 * r * r if abs(r) <= k else k * abs(r) - 0.5 * k * k
    assert float(HuberNoise(1.0, k).rho(tensor(r))) == pytest.approx(expected, rel=1e-12)


def test_a_weight_divides_the_variance() -> None:
    at = ({"y": tensor(7.0)}, {"y": tensor(1.0)})
    for narrow, wide in ((GaussianNoise(1.5), GaussianNoise(3.0)),
                         (StudentNoise(1.5), StudentNoise(3.0)),
                         (HuberNoise(1.5), HuberNoise(3.0))):  # fmt: skip
        one = narrow.loss(*at, {"y": tensor(1.0)})
        torch.testing.assert_close(wide.loss(*at, {"y": tensor(4.0)}), one)


@pytest.mark.parametrize("name", NOISES)
def test_gradients_of_the_loss(name: str) -> None:
    predicted, measured, weights = data()

    def loss(stress: Tensor, strain: Tensor) -> Tensor:
        return NOISES[name].loss({"stress": stress, "strain": strain}, measured, weights)

    arguments = [predicted[n].requires_grad_() for n in ("stress", "strain")]
    assert torch.autograd.gradcheck(loss, arguments)
    # Jacobians of both modes agree with one another: the optimisers may take either.
    parts = (torch.func.jacrev(loss), torch.func.jacfwd(loss))
    reverse, forward = (part(*(x.detach() for x in arguments)) for part in parts)
    torch.testing.assert_close(reverse, forward)


@pytest.mark.parametrize("name", NOISES)
def test_curvature_weights_are_the_slope_over_the_residual(name: str) -> None:
    noise = NOISES[name]
    r = tensor(-30.0, -1.5, -0.1, 1e-3, 1.3, 1.4, 8.0).requires_grad_()
    (slope,) = torch.autograd.grad(noise.rho(r).sum(), r)
    torch.testing.assert_close(noise.curvature_weights(r.detach()), slope / r.detach())
    assert bool(noise.curvature_weights(tensor(0.0)).isfinite())


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_without_weight_touch_neither_loss_nor_gradient(name: str, value: float) -> None:
    predicted, measured, weights = data()
    noise = NOISES[name]
    clean = {n: p.clone().requires_grad_() for n, p in predicted.items()}
    spoilt = {
        n: torch.where(weights[n] > 0, p, value).requires_grad_() for n, p in predicted.items()
    }
    losses = [noise.loss(p, measured, weights) for p in (clean, spoilt)]
    assert losses[0].item() == losses[1].item()
    for loss in losses:
        loss.backward()
    for n, p in spoilt.items():
        assert torch.equal(p.grad, clean[n].grad)
        assert bool((p.grad[weights[n] == 0] == 0.0).all())


def test_known_and_unknown() -> None:
    assert not GaussianNoise().is_known
    assert all(noise.is_known for name, noise in NOISES.items() if name != "unknown")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_prediction_that_failed_is_an_error(value: float) -> None:
    predicted, measured, weights = data()
    weights["stress"][2, 1, 3] = 1.0
    predicted["stress"][2, 1, 3] = value
    with pytest.raises(
        ConvergenceError, match=r"'stress'.*(nan|inf) at \(2, 1, 3\) of \(4, 3, 6\)"
    ):
        NOISES["gaussian"].residuals(predicted, measured, weights)


def test_wrong_arguments_are_refused() -> None:
    predicted, measured, weights = data()
    noise = GaussianNoise(1.0)
    with pytest.raises(InputError, match="no predictions of the measured 'strain'"):
        noise.loss({"stress": predicted["stress"]}, measured, weights)
    with pytest.raises(InputError, match="no weights of the measured 'stress'"):
        noise.loss(predicted, measured, {})
    with pytest.raises(InputError, match=r"predictions of 'strain' have shape \(4,\).*\(4, 3\)"):
        noise.loss({**predicted, "strain": predicted["strain"][:, 0]}, measured, weights)
    with pytest.raises(InputError, match="nothing to compare"):
        noise.loss(predicted, measured, {n: 0.0 * w for n, w in weights.items()})
    with pytest.raises(InputError, match=r"no sigma for the measured 'strain'.*did you mean"):
        GaussianNoise({"stress": 5.0, "strian": 1.0}).loss(predicted, measured, weights)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianNoise(0.0), "sigma must be a positive number, got 0"),
        (lambda: GaussianNoise({"stress": -1.0}), "sigma of 'stress' must be"),
        (lambda: HuberNoise(1.0, k=math.nan), "k must be"),
        (lambda: StudentNoise(1.0, nu=-2.0), "nu must be"),
        (lambda: RelativeNoise(0.1, math.inf), "floor must be"),
        (lambda: RelativeNoise({"stress": 0.0}, 1.0), "fraction of 'stress' must be"),
    ],
)
def test_sizes_must_be_positive(make: Callable[[], Noise], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_student_recovers_a_line_that_outliers_pull_away() -> None:
    """Least squares on 40 values, 4 of them far off; robust noise keeps the slope."""
    g = torch.Generator().manual_seed(1)
    x = torch.linspace(0.0, 1.0, 40, dtype=torch.float64)
    y = 2.0 * x + 0.01 * torch.randn(40, generator=g, dtype=torch.float64)
    y[-4:] += 3.0

    def slope(noise: Noise) -> float:
        a = torch.ones((), dtype=torch.float64)
        for _ in range(100):  # iteratively reweighted least squares
            r = noise.residuals({"y": a * x}, {"y": y}, {"y": torch.ones_like(x)})
            w = noise.curvature_weights(r)
            a = (w * x * y).sum() / (w * x * x).sum()
        return float(a)

    assert abs(slope(GaussianNoise(0.01)) - 2.0) > 0.5
    assert slope(StudentNoise(0.01)) == pytest.approx(2.0, abs=0.01)
    assert slope(HuberNoise(0.01)) == pytest.approx(2.0, abs=0.02)
