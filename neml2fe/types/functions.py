"""Free functions on typed tensors: what constitutive laws are written with.

Functions with a kink (norm, macaulay) are differentiable everywhere: at the kink they
return one element of the subdifferential, zero, in every order of differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

import torch

from neml2fe.types import mandel
from neml2fe.types.base import TypedTensor, lift
from neml2fe.types.tensors import MRP, R2, SR2, SSR4, WR2, Scalar, Vec

T = TypeVar("T", bound=TypedTensor)


def _elementwise(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Scalar], Scalar]:
    def wrapped(x: Scalar) -> Scalar:
        return Scalar(function(x.data))

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
    return Scalar((x.data > 0).to(x.dtype))


def macaulay(x: Scalar) -> Scalar:
    """<x> = max(x, 0), with derivative 0 at x = 0."""
    return Scalar(torch.where(x.data > 0, x.data, torch.zeros_like(x.data)))


def where(condition: torch.Tensor, a: T, b: T) -> T:
    """`a` where `condition` (a bool tensor of the batch shape), else `b`."""
    return type(a)(torch.where(lift(condition, a.base_ndim()), a.data, b.data))


def minimum(a: Scalar, b: Scalar) -> Scalar:
    return where(a <= b, *_broadcast(a, b))


def maximum(a: Scalar, b: Scalar) -> Scalar:
    return where(a >= b, *_broadcast(a, b))


def _broadcast(a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
    x, y = torch.broadcast_tensors(a.data, b.data)
    return Scalar(x), Scalar(y)


def clamp(x: Scalar, lower: float | None = None, upper: float | None = None) -> Scalar:
    return Scalar(torch.clamp(x.data, lower, upper))


def tr(x: SR2 | R2) -> Scalar:
    """Trace."""
    if isinstance(x, SR2):
        return Scalar(x.data[..., :3].sum(-1))
    return Scalar(torch.diagonal(x.data, dim1=-2, dim2=-1).sum(-1))


def vol(x: SR2) -> SR2:
    """Volumetric part, tr(x)/3 1."""
    return tr(x) / 3.0 * SR2.identity(dtype=x.dtype, device=x.device)


def dev(x: SR2) -> SR2:
    """Deviatoric part, x - tr(x)/3 1."""
    return x - vol(x)


def inner(a: T, b: T) -> Scalar:
    """Full contraction: a . b for vectors, a : b for second-order tensors."""
    product = a.data * b.data
    dims = tuple(range(-a.base_ndim(), 0))
    total = product.sum(dims) if dims else product
    return Scalar(2.0 * total if isinstance(a, WR2) else total)


def norm_sq(x: TypedTensor) -> Scalar:
    return inner(x, x)


def norm(x: TypedTensor) -> Scalar:
    """Frobenius norm; its derivatives at x = 0 are zero instead of NaN."""
    square = norm_sq(x).data
    positive = square > 0
    safe = torch.where(positive, square, torch.ones_like(square))
    return Scalar(torch.where(positive, torch.sqrt(safe), torch.zeros_like(square)))


def outer(a: SR2, b: SR2) -> SSR4:
    """The dyadic product a (x) b."""
    return SSR4(a.data.unsqueeze(-1) * b.data.unsqueeze(-2))


def cross(a: Vec, b: Vec) -> Vec:
    return Vec(torch.linalg.cross(*torch.broadcast_tensors(a.data, b.data)))


def det(x: SR2 | R2) -> Scalar:
    return Scalar(torch.linalg.det(x.data if isinstance(x, R2) else x.to_r2().data))


@overload
def inv(x: SR2) -> SR2: ...
@overload
def inv(x: R2) -> R2: ...
@overload
def inv(x: SSR4) -> SSR4: ...
def inv(x: Any) -> Any:
    """Inverse; of an `SSR4` on symmetric tensors."""
    if isinstance(x, SR2):
        return SR2(mandel.from_matrix(torch.linalg.inv(x.to_r2().data)))
    return type(x)(torch.linalg.inv(x.data))


def sym(x: R2) -> SR2:
    """Symmetric part."""
    return SR2.from_r2(x)


def skew(x: R2) -> WR2:
    """Skew part."""
    return WR2.from_r2(x)


def rotate(x: T, rotation: MRP | R2) -> T:
    """Active rotation of `x`: R x, R x R^T, or Q : C : Q^T for a fourth-order tensor."""
    r = rotation.to_r2().data if isinstance(rotation, MRP) else rotation.data
    if isinstance(x, (Vec, WR2)):
        return type(x)((r @ x.data.unsqueeze(-1)).squeeze(-1))
    if isinstance(x, R2):
        return type(x)(r @ x.data @ r.transpose(-1, -2))
    if isinstance(x, (SR2, SSR4)):
        q = mandel.rotation_matrix(r)
        if isinstance(x, SR2):
            return type(x)((q @ x.data.unsqueeze(-1)).squeeze(-1))
        return type(x)(q @ x.data @ q.transpose(-1, -2))
    raise TypeError(f"cannot rotate a {type(x).__name__}")


def stack(values: list[T], dim: int = 0) -> T:
    """Stack along a new batch dimension (non-negative `dim`)."""
    shaped = torch.broadcast_tensors(*(v.data for v in values))
    return type(values[0])(torch.stack(shaped, dim=dim))
