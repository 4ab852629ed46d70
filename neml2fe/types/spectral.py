"""Functions of principal values that automatic differentiation can pass at repeated ones.

A single principal value of a pair that coincides has no derivative, but a simple principal value
has, and so has every symmetric function of a pair. Laws are therefore written with the former
(`extreme_principal`), with symmetric functions of the latter (`pair_power`), or with invariants
(`power_sums`).
"""

from __future__ import annotations

import torch

from neml2fe.types.functions import det, inner, maximum, minimum, sqrt, tr, where
from neml2fe.types.mandel import from_matrix
from neml2fe.types.tensors import SR2, Scalar


def extreme_principal(a: SR2, largest: bool | torch.Tensor) -> tuple[Scalar, SR2]:
    """The largest (else the smallest) principal value p of `a`, and its projection n (x) n.

    Right with its derivatives up to the third order wherever p is simple; the other two values
    may coincide. `largest` may differ by point. In the eigenbasis, held fixed, with p first,
    the eigenvalue equation is p = a_11 + b . (p 1 - A)^-1 . b, A being the other 2 x 2 block
    and b the coupling to it; b is zero and only its derivatives count.
    """
    matrix = a.to_r2().data
    _, ascending = torch.linalg.eigh(_finite(matrix.detach()))
    top = torch.as_tensor(largest, device=matrix.device)[..., None, None]
    basis = torch.where(top, ascending[..., [2, 0, 1]], ascending)
    turned = basis.mT @ matrix @ basis
    first, b, c = turned[..., 0, 0], turned[..., 0, 1], turned[..., 0, 2]
    second, third, coupling = turned[..., 1, 1], turned[..., 2, 2], turned[..., 1, 2]
    value = first
    for _ in range(2):
        determinant = (value - second) * (value - third) - coupling * coupling
        determinant = torch.where(determinant == 0.0, torch.ones_like(determinant), determinant)
        x = ((value - third) * b + coupling * c) / determinant
        y = ((value - second) * c + coupling * b) / determinant
        value = first + b * x + c * y
    direction = (basis @ torch.stack([torch.ones_like(x), x, y], dim=-1)[..., None])[..., 0]
    square = (direction * direction).sum(-1)[..., None, None]
    projection = from_matrix(direction[..., :, None] * direction[..., None, :] / square)
    return Scalar(value, a.sub_batch_ndim), a.like(projection)


def principal_values(a: SR2) -> list[Scalar]:
    """Of `a`, ascending, without derivatives; NaN at points where `a` is not finite."""
    matrix = a.to_r2().data.detach()
    values = torch.linalg.eigvalsh(_finite(matrix))
    known = torch.isfinite(matrix).all(-1).all(-1)
    return [
        Scalar(torch.where(known, value, torch.nan), a.sub_batch_ndim)
        for value in values.unbind(-1)
    ]


def _finite(matrix: torch.Tensor) -> torch.Tensor:
    """Zero in place of matrices that are not finite: one of them would fail the whole batch."""
    known = torch.isfinite(matrix).all(-1).all(-1)[..., None, None]
    return torch.where(known, matrix, torch.zeros_like(matrix))


def even_power(square: Scalar, a: Scalar) -> Scalar:
    """|x|^a from x^2 for a >= 2, twice differentiable in x also at x = 0."""
    positive = ~(square <= 0.0)
    power = where(positive, square, 1.0 + 0.0 * square) ** (0.5 * a)
    limit = where(a.data == 2.0, square + 0.0 * a, 0.0 * (square + a))
    return where(positive, power, limit)


def pair_power(xx: Scalar, yy: Scalar, a: Scalar) -> Scalar:
    """|x + y|^a + |x - y|^a for a >= 2 from the squares of x and y, of which it is smooth.

    The binomial series serves where the ratio of the squares is small, since there the root
    has steep derivatives that cancel; its tenth term is below round-off.
    """
    large, small = maximum(xx, yy), minimum(xx, yy)
    positive = ~(large <= 0.0)
    large = where(positive, large, 1.0 + 0.0 * large)
    ratio = small / large
    series = term = 1.0 + 0.0 * (a * ratio)
    for k in range(0, 20, 2):
        term = term * ratio * ((a - k) * (a - (k + 1)) / ((k + 1.0) * (k + 2.0)))
        series = series + term
    near = (a * a * ratio) < 0.25
    root = sqrt(where(near, 1.0 + 0.0 * (a * ratio), ratio + 0.0 * a))
    direct = (1.0 + root) ** a + even_power((1.0 - root) * (1.0 - root), a)
    total = large ** (0.5 * a) * where(near, 2.0 * series, direct)
    return where(positive, total, 0.0 * total)


def components(a: SR2) -> list[Scalar]:
    """The six Mandel components."""
    return [Scalar(component, a.sub_batch_ndim) for component in a.data.unbind(-1)]


def power_sums(a: SR2, n: int) -> list[Scalar]:
    """tr(a^k) for k = 0 ... n, polynomials in the components, by Newton's identities."""
    e1, p2, e3 = tr(a), inner(a, a), det(a)
    e2 = 0.5 * (e1 * e1 - p2)
    sums = [3.0 + 0.0 * e1, e1, p2]
    while len(sums) <= n:
        sums.append(e1 * sums[-1] - e2 * sums[-2] + e3 * sums[-3])
    return sums[: n + 1]
