"""Bidiagonal systems against dense ones."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neml2fe.errors import Error
from neml2fe.pyzag.bidiagonal import (
    BidiagonalForwardOperator,
    BidiagonalHybridFactorization,
    BidiagonalPCRFactorization,
    BidiagonalThomasFactorization,
)

METHODS = {
    "thomas": BidiagonalThomasFactorization,
    "pcr": BidiagonalPCRFactorization,
    "hybrid": BidiagonalHybridFactorization(min_size=3),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def system(m, batch, n, seed=0):
    """Blocks whose products neither grow nor vanish, and a right-hand side."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2.0 - 1.0

    one = torch.eye(n, dtype=torch.float64)
    A = one + random(m, *batch, n, n) * 0.4 / n
    B = -one + random(m - 1, *batch, n, n) * 0.4 / n
    return A, B, random(m, *batch, n)


def by_time_last(v, batch):
    """`(m, *batch, n)` as dense columns `(*batch, m n, 1)`."""
    return v.movedim(0, -2).reshape(*batch, v.shape[0] * v.shape[-1], 1)


def dense_solution(J, v, batch):
    x = torch.linalg.solve(J, by_time_last(v, batch))
    return x.reshape(*batch, v.shape[0], v.shape[-1]).movedim(-2, 0)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@every_method
@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(1, 19),
    batch=st.lists(st.integers(0, 3), max_size=3).map(tuple),
    n=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_solutions_and_products_are_those_of_the_dense_matrix(method, m, batch, n, seed):
    A, B, v = system(m, batch, n, seed)
    operator = BidiagonalForwardOperator(A, B, inverse_operator=method)
    J = operator.to_dense()
    assert J.shape == (*batch, m * n, m * n)
    inverse = operator.inverse()
    if math.prod(batch):
        close(inverse.matvec(v), dense_solution(J, v, batch))
        close(inverse.vecmat(v), dense_solution(J.mT, v, batch))
        close(by_time_last(operator.matvec(v), batch), J @ by_time_last(v, batch))
        close(by_time_last(operator.vecmat(v), batch), J.mT @ by_time_last(v, batch))
    else:
        assert inverse.matvec(v).shape == inverse.vecmat(v).shape == v.shape
        assert operator.matvec(v).shape == operator.vecmat(v).shape == v.shape
    V = torch.stack([v, 2.0 * v, v.flip(0)], -1)
    for k in range(3):
        close(inverse.matmat(V)[..., k], inverse.matvec(V[..., k]))
        close(inverse.transposed_matmat(V)[..., k], inverse.vecmat(V[..., k]))


@every_method
@pytest.mark.parametrize("m", [1, 2, 9])
def test_divided_blocks_need_no_diagonal(method, m):
    A, B, v = system(m, (2, 3), 4)
    G = torch.linalg.solve(A[1:], B)
    reduced = method.reduced(G)
    c = torch.linalg.solve(A, v)
    close(reduced.matvec(c), method(A, B).matvec(v))
    one = torch.eye(4, dtype=torch.float64).expand_as(A)
    close(reduced.vecmat(v), method(one, G).vecmat(v))
    close(reduced.matmat(c.unsqueeze(-1)).squeeze(-1), reduced.matvec(c))


@pytest.mark.parametrize("min_size", [0, 1, 2, 5, 12, 13, 50])
def test_hybrid_is_exact_between_its_limits(min_size):
    A, B, v = system(13, (2,), 3)
    hybrid = BidiagonalHybridFactorization(min_size=min_size)(A, B)
    close(hybrid.matvec(v), BidiagonalThomasFactorization(A, B).matvec(v))
    limit = {0: BidiagonalPCRFactorization, 1: BidiagonalPCRFactorization}.get(
        min_size, BidiagonalThomasFactorization if min_size >= 13 else None
    )
    if limit is not None:
        assert torch.equal(hybrid.matvec(v), limit(A, B).matvec(v))


@every_method
def test_gradients_of_first_and_second_order(method):
    A, B, v = (t.requires_grad_() for t in system(3, (2,), 2))
    for solve in ("matvec", "vecmat"):

        def solution(A, B, v, solve=solve):
            return getattr(method(A, B), solve)(v)

        assert torch.autograd.gradcheck(solution, (A, B, v))
        assert torch.autograd.gradgradcheck(solution, (A, B, v))

        def reduced(G, v, solve=solve):
            return getattr(method.reduced(G), solve)(v)

        assert torch.autograd.gradcheck(reduced, (B, v))
        assert torch.autograd.gradgradcheck(reduced, (B, v))


@every_method
@pytest.mark.parametrize("bad", ["singular", "zero", "nan", "inf"])
@pytest.mark.parametrize("n", [2, 7])
def test_a_bad_specimen_spoils_itself_only(method, bad, n):
    A, B, v = system(11, (4,), n)
    before = [method(A, B).matvec(v), method(A, B).vecmat(v)]
    if bad == "singular":
        A[5, 2, 1] = A[5, 2, 0]
    else:
        A[5, 2] = {"zero": 0.0, "nan": math.nan, "inf": math.inf}[bad]
    after = [method(A, B).matvec(v), method(A, B).vecmat(v)]
    others = [0, 1, 3]
    for x, y in zip(before, after, strict=True):
        assert torch.equal(x[:, others], y[:, others])
        assert not torch.isfinite(y[:, 2]).all()


@every_method
def test_operands_are_left_alone_and_reused(method):
    A, B, v = system(6, (2,), 3)
    copies = [t.clone() for t in (A, B, v)]
    with torch.no_grad():
        inverse = method(A, B)
        first = inverse.matvec(v)
        inverse.vecmat(v)
        assert torch.equal(inverse.matvec(v), first)
    assert all(torch.equal(a, b) for a, b in zip((A, B, v), copies, strict=True))


@every_method
def test_gradients_survive_a_first_use_without_them(method):
    A, B, v = (t.requires_grad_() for t in system(5, (2,), 3))
    expected = torch.autograd.grad(method(A, B).matvec(v).square().sum(), (A, B, v))
    inverse = method(A, B)
    with torch.no_grad():
        inverse.matvec(v)
    found = torch.autograd.grad(inverse.matvec(v).square().sum(), (A, B, v))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_shapes_that_do_not_fit_are_named():
    A, B, v = system(4, (2,), 3)
    with pytest.raises(Error, match=r"\(4, 2, 3, 3\) and \(4, 2, 3, 3\)"):
        BidiagonalThomasFactorization(A, A)
    with pytest.raises(Error, match=r"shape \(4, 2, 3\), not \(4, 3\)"):
        BidiagonalThomasFactorization(A, B).matvec(v[:, 0])
    with pytest.raises(Error, match=r"shape \(4, 2, 3, k\), not \(4, 2, 3\)"):
        BidiagonalPCRFactorization.reduced(B).matmat(v)
    with pytest.raises(Error, match="min_size must be at least 0"):
        BidiagonalHybridFactorization(min_size=-1)
