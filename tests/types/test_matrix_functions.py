"""Matrix functions: accuracy, derivatives of every order where eigenvalues coincide, tracing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from ladder import close, f64, randn, rotation
from torch.fx.experimental.proxy_tensor import make_fx

from neml2fe.types import R2, SR2, Scalar, det, inv, mandel, rotate
from neml2fe.types.matrix_functions import expm, logm, powm, sqrtm

mp = pytest.importorskip("mpmath")
EPS = float(np.finfo(float).eps)
FUNCTIONS: dict[str, tuple[Callable[[SR2], SR2], Callable]] = {
    "sqrt": (sqrtm, lambda x: mp.sqrt(x)),
    "log": (logm, lambda x: mp.log(x)),
    "power": (lambda a: powm(a, -0.7), lambda x: x ** mp.mpf(-0.7)),
}
STRETCHES = [
    (1.1, 1.0, 0.95),
    (1.2, 1.2, 0.8),
    (2.0, 0.5, 0.5),
    (5.0, 1.0, 0.2),
    (5.0, 0.2, 0.2),
    (5.0, 5.0, 0.2),
    (10.0, 0.1, 0.1),
    (3e3, 2e3, 1e3),
]


def turned(eigenvalues: tuple[float, ...]) -> SR2:
    return rotate(SR2.fill(*eigenvalues, dtype=torch.float64), rotation())


def matrix(a: SR2) -> np.ndarray:
    return a.to_r2().data.numpy()


def exact(a: SR2, function: Callable) -> torch.Tensor:
    """By eigenvalues in 40 digits."""
    with mp.workdps(40):
        values, vectors = mp.eigsy(mp.matrix(matrix(a).tolist()))
        found = vectors * mp.diag([function(x) for x in values]) * vectors.T
        return f64([[float(found[i, j]) for j in range(3)] for i in range(3)])


def error(found: SR2, reference: torch.Tensor) -> float:
    """Relative, in the Frobenius norm."""
    return float((found.to_r2().data - reference).norm() / reference.norm())


@pytest.mark.parametrize("stretches", STRETCHES)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_error_is_a_few_roundings_of_the_argument(name: str, stretches: tuple) -> None:
    """Rounding the argument alone changes its smallest eigenvalue by the condition number."""
    function, scalar = FUNCTIONS[name]
    condition = (max(stretches) / min(stretches)) ** 2
    for _ in range(4):
        a = turned(tuple(x**2 for x in stretches))
        assert error(function(a), exact(a, scalar)) < EPS * (30.0 + 10.0 * condition)


@pytest.mark.parametrize("stretches", STRETCHES)
def test_exponential(stretches: tuple) -> None:
    a = turned(tuple(2.0 * math.log(x) for x in stretches))
    assert error(expm(a), exact(a, mp.exp)) < 1e-14


@pytest.mark.parametrize("size", [1e-1, 1e-4, 1e-8])
def test_logarithm_near_the_identity(size: float) -> None:
    """The error stays that of rounding the argument; nothing is lost to cancellation."""
    x = size * randn(6)
    found = logm(expm(SR2(x)))
    assert float((found.data - x).norm()) < 2e-15


def test_functions_invert_each_other() -> None:
    a = SR2(torch.stack([turned((4.0, 1.0, 0.3)).data for _ in range(5)]))
    root = sqrtm(a).to_r2()
    assert close((root @ root).data, a.to_r2().data, 1e-14)
    assert close(expm(logm(a)).data, a.data, 1e-14)
    assert close(powm(a, -1.0).data, inv(a).data, 1e-14)
    assert close(powm(powm(a, Scalar(f64(2.3))), 1.0 / 2.3).data, a.data, 1e-13)
    assert close(logm(SR2(7.0 * a.data)).data - math.log(7.0) * f64([1, 1, 1, 0, 0, 0]),
                 logm(a).data, 1e-14)  # fmt: skip


def test_isotropy() -> None:
    a, turn = turned((2.0, 1.0, 0.4)), rotation()
    for function in (sqrtm, logm, expm):
        assert close(function(rotate(a, turn)).data, rotate(function(a), turn).data, 1e-14)


# -- derivatives ----------------------------------------------------------------------------


def along(function: Callable[[SR2], SR2], a: SR2, h: torch.Tensor) -> Callable:
    return lambda t: function(SR2(a.data + t * h)).data


def derivative(f: Callable, order: int) -> torch.Tensor:
    """Of the given order at 0, by nested forward mode."""
    for _ in range(order):
        f = lambda t, f=f: torch.func.jvp(f, (t,), (torch.ones_like(t),))[1]  # noqa: E731
    return f(torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_derivatives_to_third_order_at_a_multiple_of_the_identity(scale: float) -> None:
    """There f(s 1 + t H) = f(s) 1 + f'(s) t H + f''(s) t^2 H^2 / 2 + ..."""
    one, h = SR2(scale * f64([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])), randn(6)
    m = SR2(h).to_r2()
    powers = [SR2.from_r2(p).data for p in (m, m @ m, m @ m @ m)]
    for function, slopes in (
        (logm, (1.0 / scale, -1.0 / scale**2, 2.0 / scale**3)),
        (sqrtm, (0.5 * scale**-0.5, -0.25 * scale**-1.5, 0.375 * scale**-2.5)),
        (expm, (math.exp(scale),) * 3),
    ):
        for order, slope in enumerate(slopes, start=1):
            found = derivative(along(function, one, h), order)
            assert close(found, slope * powers[order - 1], 1e-13)


@pytest.mark.parametrize("eigenvalues", [(2.0, 1.0, 0.4), (2.0, 0.7, 0.7), (25.0, 1.0, 0.04)])
def test_first_derivatives_agree_with_divided_differences(eigenvalues: tuple) -> None:
    """Daleckii and Krein 1965: in the eigenbasis, f[x_i, x_j] times the direction."""
    a, h = turned(eigenvalues), randn(6)
    values, q = np.linalg.eigh(matrix(a))
    tolerance = 30.0 * EPS * max(eigenvalues) / min(eigenvalues) + 1e-13
    for function, f, slope in (
        (logm, np.log, lambda x: 1.0 / x),
        (sqrtm, np.sqrt, lambda x: 0.5 / np.sqrt(x)),
        (expm, np.exp, np.exp),
    ):
        x, y = np.meshgrid(values, values)
        same = np.abs(x - y) < 1e-9
        quotient = (f(x) - f(y)) / np.where(same, 1.0, x - y)
        divided = np.where(same, slope(x), quotient)
        expected = q @ (divided * (q.T @ matrix(SR2(h)) @ q)) @ q.T
        forward = derivative(along(function, a, h), 1)
        assert close(SR2(forward).to_r2().data, torch.from_numpy(expected), tolerance)
        jacobian = torch.func.jacrev(lambda v, fn=function: fn(SR2(v)).data)(a.data)
        assert close(jacobian @ h, forward, tolerance)
        assert close(jacobian, jacobian.T, tolerance)


def test_derivative_of_the_exponential_agrees_with_scipy() -> None:
    a, h = turned((0.9, 0.2, -1.3)), randn(6)
    expected = scipy.linalg.expm_frechet(matrix(a), matrix(SR2(h)), compute_expm=False)
    found = SR2(derivative(along(expm, a, h), 1)).to_r2().data
    assert close(found, torch.from_numpy(expected), 1e-13)


@pytest.mark.parametrize("eigenvalues", [(1.0, 1.0, 1.0), (2.0, 0.7, 0.7), (2.0, 1.0, 0.4)])
def test_second_derivatives_are_symmetric_and_agree_in_all_modes(eigenvalues: tuple) -> None:
    a, weight = turned(eigenvalues).data, randn(6)
    for function in (logm, sqrtm, expm):

        def total(v: torch.Tensor, function: Callable = function) -> torch.Tensor:
            return function(SR2(v)).data @ weight

        over = torch.func.hessian(total)(a)  # forward over reverse
        twice = torch.func.jacrev(torch.func.jacrev(total))(a)
        leaf = a.clone().requires_grad_()
        (first,) = torch.autograd.grad(total(leaf), leaf, create_graph=True)
        rows = torch.stack([torch.autograd.grad(g, leaf, retain_graph=True)[0] for g in first])
        assert bool(torch.isfinite(over).all())
        assert close(over, twice, 1e-12) and close(over, rows, 1e-12)
        assert close(over, over.T, 1e-12)


# -- batches, types, tracing ----------------------------------------------------------------


@pytest.mark.parametrize("function", [sqrtm, logm, expm])
def test_batches(function: Callable[[SR2], SR2]) -> None:
    a = torch.stack([turned((3.0, 1.0, 0.5)).data for _ in range(6)])
    whole = function(SR2(a)).data
    assert close(whole[4], function(SR2(a[4])).data, 1e-14)
    assert close(function(SR2(a.reshape(2, 3, 6))).data, whole.reshape(2, 3, 6), 1e-14)
    assert close(torch.func.vmap(lambda v: function(SR2(v)).data)(a), whole, 1e-14)
    assert function(SR2(a[:0])).shape == (0, 6)
    assert function(SR2(a, 1)).sub_batch_ndim == 1
    single = function(SR2(a.float())).data
    assert single.dtype is torch.float32 and close(single.double(), whole, 1e-5)


@pytest.mark.parametrize("function", [sqrtm, logm, expm])
def test_a_trace_holds_for_other_values(function: Callable[[SR2], SR2]) -> None:
    """No step depends on the data, and none is a decomposition or a solve."""
    a, b = turned((1.0, 1.0, 1.0)).data, turned((9.0, 2.0, 0.3)).data
    graph = make_fx(lambda v: function(SR2(v)).data)(a)
    assert close(graph(b), function(SR2(b)).data, 1e-14)
    assert not any("linalg" in str(n.target) and "cross" not in str(n.target)
                   for n in graph.graph.nodes)  # fmt: skip


def test_determinant_has_derivatives_of_every_order() -> None:
    f = randn(4, 3, 3)
    assert close(det(R2(f)).data, torch.linalg.det(f), 1e-13)
    a = turned((2.0, 0.5, 0.4))
    assert abs(float(det(a).data) - 0.4) < 1e-15
    assert close(mandel.to_matrix(torch.func.grad(lambda v: det(SR2(v)).data)(a.data)),
                 0.4 * inv(a).to_r2().data, 1e-14)  # fmt: skip
    for point in (torch.zeros(3, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)):
        hessian, h = torch.func.hessian(lambda v: det(R2(v)).data)(point), randn(3, 3)
        second = torch.einsum("ijkl,ij,kl", hessian, h, h)
        minors = h.trace() ** 2 - (h @ h).trace()  # twice the second invariant
        assert close(second, minors * point[0, 0], 1e-13)
