"""Products, inverses, determinants and eigenvalues of small matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import casadi as cs
import torch

from neml2fe.kernels.operations.rules import (
    Unsupported,
    aten,
    operand,
    rule,
    select,
    taken,
)

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer

LARGEST_MATRIX = 12  # inverted symbolically, with pivoting
SWEEPS = 5  # of Jacobi's rotations, which converge quadratically


def _matrix(tracer: Tracer, x: torch.Tensor) -> cs.SX:
    return cs.reshape(tracer.expression(x), x.shape[1], x.shape[0]).T


def _flat(matrix: cs.SX) -> cs.SX:
    return cs.reshape(matrix.T, matrix.numel(), 1)


@rule(aten.linalg_cross)
def _cross(
    tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor, dim: int = -1
) -> torch.Tensor:
    out = func(a, b, dim=dim)
    numbers = torch.arange(out.numel()).reshape(out.shape)
    first, second = numbers.roll(-1, dim), numbers.roll(-2, dim)
    x, y = (operand(tracer, v, out.shape) for v in (a, b))
    product = taken(x, first) * taken(y, second) - taken(x, second) * taken(y, first)
    return tracer.bind(out, product)


@rule(aten.mm)
def _matmul(tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return tracer.bind(a @ b, _flat(_matrix(tracer, a) @ _matrix(tracer, b)))


@rule(aten.mv)
def _matvec(tracer: Tracer, func: Any, a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return tracer.bind(a @ x, _matrix(tracer, a) @ tracer.expression(x))


@rule(aten.dot)
def _dot(tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return tracer.bind(a @ b, cs.dot(tracer.expression(a), tracer.expression(b)))


def _pages(tracer: Tracer, x: torch.Tensor) -> list[cs.SX]:
    """The matrices of `(*batch, m, n)` one by one."""
    size = x.shape[-1] * x.shape[-2]
    column = tracer.expression(x)
    return [
        cs.reshape(column[k : k + size], x.shape[-1], x.shape[-2]).T
        for k in range(0, x.numel(), size)
    ]


@rule(aten.bmm)
def _batched_matmul(tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    products = [x @ y for x, y in zip(_pages(tracer, a), _pages(tracer, b), strict=True)]
    return tracer.bind(torch.bmm(a, b), cs.vertcat(*map(_flat, products)))


def _require_small(a: torch.Tensor, largest: int = LARGEST_MATRIX) -> None:
    n = a.shape[-1]
    if n > largest:
        raise Unsupported(f"is of a {n} x {n} matrix; {largest} is the largest")


@rule(aten.linalg_inv_ex)
def _inverse(tracer: Tracer, func: Any, a: torch.Tensor, **_: Any) -> Any:
    _require_small(a)
    pages = [_flat(_solved(page, cs.SX.eye(a.shape[-1]))) for page in _pages(tracer, a)]
    out = tracer.bind(torch.full_like(a, torch.nan), cs.vertcat(*pages))
    return out, torch.zeros(a.shape[:-2], dtype=torch.int32)


@rule(aten._linalg_solve_ex)
def _linear_solve(
    tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor, left: bool = True, **_: Any
) -> Any:
    if not left:
        raise Unsupported("solves x A = b; only A x = b has a symbolic form")
    _require_small(a)
    vector = b.ndim == 1 or b.shape == a.shape[:-1]
    columns = b.unsqueeze(-1) if vector else b
    out = torch.full((*a.shape[:-2], *b.shape[-1 - (not vector) :]), torch.nan, dtype=a.dtype)
    shape = (*a.shape[:-2], *columns.shape[-2:])
    column = operand(tracer, tracer.bind(columns, tracer.expression(b)), torch.Size(shape))
    size = math.prod(shape[-2:])
    pages = [
        _flat(_solved(page, cs.reshape(column[k * size : (k + 1) * size], *shape[:-3:-1]).T))
        for k, page in enumerate(_pages(tracer, a))
    ]
    pivots = torch.zeros(a.shape[:-1], dtype=torch.int32)
    factors = torch.full_like(a, torch.nan)
    return tracer.bind(out, cs.vertcat(*pages)), factors, pivots, pivots[..., 0]


@rule(aten._linalg_det)
def _determinant(tracer: Tracer, func: Any, a: torch.Tensor) -> Any:
    _require_small(a, 3)
    out = torch.full(a.shape[:-2], torch.nan, dtype=a.dtype)
    nothing = torch.full_like(a, torch.nan)
    pages = map(cs.det, _pages(tracer, a))
    return tracer.bind(out, cs.vertcat(*pages)), nothing, nothing[..., 0]


@rule(aten._linalg_eigh)
def _eigen(tracer: Tracer, func: Any, a: torch.Tensor, uplo: str = "L", *_: Any) -> Any:
    _require_small(a, 3)
    found = [_symmetric_eigen(page if uplo == "L" else page.T) for page in _pages(tracer, a)]
    values, vectors = torch.full_like(a[..., 0], torch.nan), torch.full_like(a, torch.nan)
    tracer.bind(values, cs.vertcat(*(v for v, _ in found)))
    return values, tracer.bind(vectors, cs.vertcat(*(_flat(q) for _, q in found)))


def _symmetric_eigen(a: cs.SX) -> tuple[cs.SX, cs.SX]:
    """Eigenvalues, ascending, and eigenvectors of the symmetric lower triangle by Jacobi's
    rotations. Derivatives exist where the eigenvalues of each rotation differ, else are NaN."""
    n = a.shape[0]
    a, q = cs.tril2symm(cs.tril(a)), cs.SX.eye(n)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    for i, j in pairs * SWEEPS:
        d, coupling = a[j, j] - a[i, i], 2 * a[i, j]
        size = cs.sqrt(d * d + coupling * coupling)
        size = select(d >= 0, d + size, d - size)
        t = coupling / select(size == 0, 1, size)
        c = 1 / cs.sqrt(1 + t * t)
        turn = cs.SX.eye(n)
        turn[i, i], turn[j, j], turn[i, j], turn[j, i] = c, c, t * c, -t * c
        a, q = turn.T @ a @ turn, q @ turn
        a[i, j] = a[j, i] = 0
    columns = [cs.vertcat(a[k, k], q[:, k]) for k in range(n)]
    for i, j in pairs:
        swap = columns[i][0] > columns[j][0]
        columns[i], columns[j] = (
            select(swap, columns[j], columns[i]),
            select(swap, columns[i], columns[j]),
        )
    both = cs.horzcat(*columns)
    return both[0, :].T, both[1:, :]


def _solved(a: cs.SX, b: cs.SX) -> cs.SX:
    """a^-1 b: by cofactors up to three rows, else by elimination with partial pivoting."""
    n = a.shape[0]
    if n <= 3:
        return _adjugate(a) / cs.det(a) @ b
    rows = [cs.horzcat(a[i, :], b[i, :]) for i in range(n)]
    for k in range(n):
        for i in range(k + 1, n):  # the largest entry moves up by swaps
            swap = cs.fabs(rows[i][k]) > cs.fabs(rows[k][k])
            if swap.is_zero():
                continue
            rows[k], rows[i] = select(swap, rows[i], rows[k]), select(swap, rows[k], rows[i])
        rows[k] = rows[k] / rows[k][k]
        for i in range(n):
            if i != k:
                rows[i] = rows[i] - rows[i][k] * rows[k]
    return cs.vertcat(*(row[n:] for row in rows))


def _adjugate(a: cs.SX) -> cs.SX:
    n = a.shape[0]
    if n == 1:
        return cs.SX.ones(1, 1)

    def cofactor(i: int, j: int) -> cs.SX:
        rows, columns = ([m for m in range(n) if m != k] for k in (i, j))
        return (-1.0) ** (i + j) * cs.det(a[rows, columns])

    return cs.vertcat(*(cs.horzcat(*(cofactor(j, i) for j in range(n))) for i in range(n)))
