"""Euler's methods as recursions."""

import pytest
import torch

from neml2fe.errors import Error
from neml2fe.pyzag.ode import BackwardEulerODE, ForwardEulerODE

N, S = 5, 3
METHODS = pytest.mark.parametrize("method", [BackwardEulerODE, ForwardEulerODE])


class Logistic(torch.nn.Module):
    """x' = a x (1 - x) + t sin(y), y' = -y x + others."""

    def __init__(self, with_slopes):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(1.3, dtype=torch.float64))
        self.with_slopes = with_slopes

    def forward(self, t, state, *others):
        if t.ndim == state.ndim:
            t = t.squeeze(-1)
        x, y = state.unbind(-1)
        extra = sum(o.squeeze(-1) for o in others) if others else 0.0
        rates = torch.stack([self.a * x * (1.0 - x) + t * y.sin(), -x * y + extra], -1)
        if not self.with_slopes:
            return rates
        upper = torch.stack([self.a * (1.0 - 2.0 * x), t * y.cos()], -1)
        return rates, torch.stack([upper, torch.stack([-y, -x], -1)], -2)


def history(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(N, S, 2, generator=generator, dtype=torch.float64)
    t = torch.rand(N, S, generator=generator, dtype=torch.float64).cumsum(0)
    return x, t


@METHODS
@pytest.mark.parametrize("with_slopes", [True, False])
def test_jacobians_are_those_of_the_residual(method, with_slopes):
    x, t = history()
    recursion = method(Logistic(with_slopes))
    others = torch.rand(N, S, 1, dtype=torch.float64)
    _, blocks = recursion.evaluate_raw(x, [t.unsqueeze(-1), others])

    def residual(x):
        return recursion.evaluate_raw(x, [t.unsqueeze(-1), others])[0]

    full = torch.autograd.functional.jacobian(residual, x)  # (m, S, 2, N, S, 2)
    expected = torch.zeros_like(full)
    for k in range(N - 1):
        for s in range(S):
            expected[k, s, :, k + 1, s] = blocks.diag[k, s]
            expected[k, s, :, k, s] = blocks.sub[k, s]
    torch.testing.assert_close(full, expected, rtol=1e-12, atol=1e-12)


@METHODS
def test_residual_vanishes_on_the_exact_recursion(method):
    """x' = -c x: a step multiplies by 1 / (1 + c dt) backward, by 1 - c dt forward."""
    c = 0.7
    t = torch.tensor([0.0, 0.1, 0.4, 0.5, 1.5], dtype=torch.float64)
    dt = t.diff()
    factors = 1.0 / (1.0 + c * dt) if method is BackwardEulerODE else 1.0 - c * dt
    x = torch.cat([torch.ones(1, dtype=torch.float64), factors.cumprod(0)]).unsqueeze(-1)

    class Decay(torch.nn.Module):
        def forward(self, t, x):
            return -c * x

    residual, blocks = method(Decay()).evaluate_raw(x, [t])
    assert residual.abs().max() < 1e-15
    slope = (c * dt).reshape(-1, 1, 1)
    one = torch.ones_like(slope)
    if method is BackwardEulerODE:
        torch.testing.assert_close((blocks.diag, blocks.sub), (one + slope, -one))
    else:
        torch.testing.assert_close((blocks.diag, blocks.sub), (one, slope - one))
    shifted, _ = method(Decay()).evaluate_raw(x + 1.0, [t])
    torch.testing.assert_close(shifted, c * dt.unsqueeze(-1), rtol=1e-12, atol=1e-14)


@METHODS
@pytest.mark.parametrize("with_slopes", [True, False])
def test_times_of_any_shape_mean_the_same(method, with_slopes):
    x, _ = history()
    t = torch.tensor([0.0, 0.1, 0.3, 0.7, 1.1], dtype=torch.float64)
    recursion = method(Logistic(with_slopes))
    shapes = [t, t[:, None], t[:, None].expand(N, S), t[:, None, None].expand(N, S, 1)]
    expected, blocks = recursion.evaluate_raw(x, shapes[-1:])
    for given in shapes:
        residual, found = recursion.evaluate_raw(x, [given])
        assert torch.equal(residual, expected)
        assert torch.equal(found.diag, blocks.diag) and torch.equal(found.sub, blocks.sub)
    alone, _ = recursion.evaluate_raw(x[:, 1], [t])
    torch.testing.assert_close(alone, expected[:, 1], rtol=1e-14, atol=1e-15)
    column, _ = recursion.evaluate_raw(x[:, 1], [t[:, None]])
    assert torch.equal(column, alone)


@METHODS
@pytest.mark.parametrize("with_slopes", [True, False])
def test_residual_and_blocks_are_twice_differentiable(method, with_slopes):
    x, t = (h[:3, :2].contiguous().requires_grad_() for h in history())
    other = torch.rand(3, 2, 1, dtype=torch.float64, requires_grad=True)
    recursion = method(Logistic(with_slopes))

    def outcome(x, t, other, a):
        recursion.ode.__dict__["a"] = a  # hides the parameter, as a function's argument
        residual, blocks = recursion.evaluate_raw(x, [t, other])
        return residual, blocks.diag * 1.0, blocks.sub * 1.0

    del recursion.ode.a
    arguments = (x, t, other, torch.tensor(1.3, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(outcome, arguments)
    assert torch.autograd.gradgradcheck(lambda *z: outcome(*z)[0], arguments)


@METHODS
def test_works_without_gradients(method):
    x, t = history()
    with torch.no_grad():
        given, slopes = method(Logistic(True)).evaluate_raw(x, [t])
        found, derived = method(Logistic(False)).evaluate_raw(x, [t])
    assert torch.equal(given, found)
    torch.testing.assert_close(
        (slopes.diag, slopes.sub), (derived.diag, derived.sub), rtol=1e-14, atol=1e-15
    )
    assert not found.requires_grad


@METHODS
def test_rates_independent_of_the_state(method):
    class Steady(torch.nn.Module):
        def forward(self, t, x):
            return t.unsqueeze(-1).expand_as(x)

    x, t = history()
    _, blocks = method(Steady()).evaluate_raw(x, [t])
    one = torch.eye(2, dtype=torch.float64).expand(N - 1, S, 2, 2)
    assert torch.equal(blocks.diag, one) and torch.equal(blocks.sub, -one)


@METHODS
def test_shapes_that_do_not_fit_are_named(method):
    x, t = history()
    with pytest.raises(Error, match=r"times \(5, 2\) do not fit states \(5, 3, 2\)"):
        method(Logistic(True)).evaluate_raw(x, [t[:, :2]])

    class Wrong(torch.nn.Module):
        def forward(self, t, x):
            return x, x

    with pytest.raises(Error, match="Wrong: rates of states"):
        method(Wrong()).evaluate_raw(x, [t])
