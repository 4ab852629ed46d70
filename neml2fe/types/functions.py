"""Free functions on typed tensors: what constitutive laws are written with.

Functions with a kink (norm, macaulay) are differentiable everywhere: at the kink they
return one element of the subdifferential, zero, in every order of differentiation.
NaN passes through every function: special branches are those where `x <= 0`, false for NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

import torch

from neml2fe.types import mandel
from neml2fe.types.base import TypedTensor, aligned, lift
from neml2fe.types.rotations import MRP
from neml2fe.types.tensors import R2, SR2, SSR4, WR2, Scalar, Vec

T = TypeVar("T", bound=TypedTensor)


def _elementwise(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Scalar], Scalar]:
    def wrapped(x: Scalar) -> Scalar:
        return x.like(function(x.data))

    wrapped.__name__ = wrapped.__qualname__ = function.__name__
    wrapped.__doc__ = f"`torch.{function.__name__}` of a Scalar."
    return wrapped


exp, log, log10, sqrt = map(_elementwise, (torch.exp, torch.log, torch.log10, torch.sqrt))
sin, cos, tan = map(_elementwise, (torch.sin, torch.cos, torch.tan))
sinh, cosh, tanh = map(_elementwise, (torch.sinh, torch.cosh, torch.tanh))
asin, acos, atan = map(_elementwise, (torch.asin, torch.acos, torch.atan))
abs, sign = _elementwise(torch.abs), _elementwise(torch.sign)


def pow(base: Scalar, exponent: Scalar | float) -> Scalar:
    return base**exponent


def heaviside(x: Scalar) -> Scalar:
    """1 for x > 0, else 0."""
    return x.like(torch.where(torch.isnan(x.data), x.data, (x.data > 0).to(x.dtype)))


def macaulay(x: Scalar) -> Scalar:
    """<x> = max(x, 0), with derivative 0 at x = 0."""
    return x.like(torch.where(x.data <= 0, torch.zeros_like(x.data), x.data))


def where(condition: torch.Tensor, a: T, b: T) -> T:
    """`a` where `condition` (a bool tensor of the batch and sub-batch shape), else `b`."""
    (x, y), n = aligned(a, b)
    return type(a)(torch.where(lift(condition, a.base_ndim()), x, y), n)


def minimum(a: Scalar, b: Scalar) -> Scalar:
    """The smaller one, NaN if one is; at a tie the derivative is that of `a`."""
    (x, y), n = aligned(a, b)
    return Scalar(torch.where((x <= y) | torch.isnan(x), x, y), n)


def maximum(a: Scalar, b: Scalar) -> Scalar:
    """The larger one, NaN if one is; at a tie the derivative is that of `a`."""
    (x, y), n = aligned(a, b)
    return Scalar(torch.where((x >= y) | torch.isnan(x), x, y), n)


def clamp(x: Scalar, lower: float | None = None, upper: float | None = None) -> Scalar:
    return x.like(torch.clamp(x.data, lower, upper))


def tr(x: SR2 | R2) -> Scalar:
    """Trace."""
    diagonal = x.data[..., :3] if isinstance(x, SR2) else torch.diagonal(x.data, 0, -2, -1)
    return Scalar(diagonal.sum(-1), x.sub_batch_ndim)


def vol(x: SR2) -> SR2:
    """Volumetric part, tr(x)/3 1."""
    return tr(x) / 3.0 * SR2.identity(dtype=x.dtype, device=x.device)


def dev(x: SR2) -> SR2:
    """Deviatoric part, x - tr(x)/3 1."""
    return x - vol(x)


def inner(a: T, b: T) -> Scalar:
    """Full contraction: a . b for vectors, a : b for second-order tensors."""
    (x, y), n = aligned(a, b)
    dims = tuple(range(-a.base_ndim(), 0))
    total = (x * y).sum(dims) if dims else x * y
    return Scalar(2.0 * total if isinstance(a, WR2) else total, n)


def norm_sq(x: TypedTensor) -> Scalar:
    return inner(x, x)


def norm(x: TypedTensor) -> Scalar:
    """Frobenius norm; its derivatives at x = 0 are zero instead of NaN."""
    total = norm_sq(x)
    square = total.data
    zero = square <= 0
    safe = torch.where(zero, torch.ones_like(square), square)
    return total.like(torch.where(zero, torch.zeros_like(square), torch.sqrt(safe)))


def outer(a: SR2, b: SR2) -> SSR4:
    """The dyadic product a (x) b."""
    (x, y), n = aligned(a, b)
    return SSR4(x.unsqueeze(-1) * y.unsqueeze(-2), n)


def cross(a: Vec, b: Vec) -> Vec:
    (x, y), n = aligned(a, b)
    return Vec(torch.linalg.cross(*torch.broadcast_tensors(x, y)), n)


def det(x: SR2 | R2) -> Scalar:
    """Determinant, as a polynomial: regular in all derivatives also where it vanishes."""
    a, b, c = (x if isinstance(x, R2) else x.to_r2()).data.unbind(-2)
    return Scalar((a * torch.linalg.cross(b, c)).sum(-1), x.sub_batch_ndim)


@overload
def inv(x: SR2) -> SR2: ...
@overload
def inv(x: R2) -> R2: ...
@overload
def inv(x: SSR4) -> SSR4: ...
def inv(x: Any) -> Any:
    """Inverse; of an `SSR4` on symmetric tensors."""
    if isinstance(x, SR2):
        return x.like(mandel.from_matrix(torch.linalg.inv(x.to_r2().data)))
    return x.like(torch.linalg.inv(x.data))


def sym(x: R2) -> SR2:
    """Symmetric part."""
    return SR2.from_r2(x)


def skew(x: R2) -> WR2:
    """Skew part."""
    return WR2.from_r2(x)


def rotate(x: T, rotation: MRP | R2) -> T:
    """Active rotation of `x`: R x, R x R^T, or Q : C : Q^T for a fourth-order tensor."""
    matrix = rotation.to_r2() if isinstance(rotation, MRP) else rotation
    (a, r), n = aligned(x, matrix)
    kind = type(x)
    if isinstance(x, (Vec, WR2)):
        return kind((r @ a.unsqueeze(-1)).squeeze(-1), n)
    if isinstance(x, R2):
        return kind(r @ a @ r.transpose(-1, -2), n)
    if isinstance(x, (SR2, SSR4)):
        q = mandel.rotation_matrix(r)
        if isinstance(x, SR2):
            return kind((q @ a.unsqueeze(-1)).squeeze(-1), n)
        return kind(q @ a @ q.transpose(-1, -2), n)
    raise TypeError(f"cannot rotate a {kind.__name__}")


def euler_rodrigues(rotation: MRP) -> R2:
    """The rotation matrix of `rotation`."""
    return rotation.to_r2()


def compose(a: MRP, b: MRP) -> MRP:
    """The rotation that turns by `b` first, then by `a`."""
    return a @ b


def exp_map(w: WR2) -> MRP:
    """The rotation exp(W): by the angle |w| about the axis w; smooth at w = 0."""
    quarter_sq = (w.data * w.data).sum(-1, keepdim=True) / 16.0
    return MRP(w.data / 4.0 * _tangent_ratio(quarter_sq), w.sub_batch_ndim)


def _tangent_ratio(square: torch.Tensor) -> torch.Tensor:
    """tan(x) / x as a smooth function of x^2: its series near zero, the quotient elsewhere."""
    small = square < 1e-4
    x = torch.sqrt(torch.where(small, torch.ones_like(square), square))
    terms = (1.0 / 3.0, 2.0 / 15.0, 17.0 / 315.0, 62.0 / 2835.0, 1382.0 / 155925.0)
    series = torch.zeros_like(square)
    for term in reversed(terms):
        series = square * (term + series)
    return torch.where(small, 1.0 + series, torch.tan(x) / x)
