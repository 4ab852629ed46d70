"""The tensor types of continuum mechanics: Scalar, Vec, R2, SR2, WR2, SSR4 and MRP."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch

from neml2fe.errors import ModelError
from neml2fe.types import mandel
from neml2fe.types.base import TypedTensor, lift


def _fill(values: tuple[Any, ...], **options: Any) -> torch.Tensor:
    """Stack numbers or tensors along a new last dimension, in torch's default dtype for numbers."""
    if all(isinstance(v, (int, float)) for v in values):
        options.setdefault("dtype", torch.get_default_dtype())
        return torch.tensor(values, **options)
    tensors = [v.data if isinstance(v, TypedTensor) else torch.as_tensor(v) for v in values]
    if not any(t.is_floating_point() for t in tensors):
        options.setdefault("dtype", torch.get_default_dtype())
    return torch.stack(torch.broadcast_tensors(*tensors), dim=-1).to(**options)


class Scalar(TypedTensor):
    """A scalar per batch entry."""

    __slots__ = ()

    @classmethod
    def fill(cls, value: Any, **options: Any) -> Scalar:
        return cls(_fill((value,), **options)[..., 0])

    @classmethod
    def linspace(cls, start: float, end: float, steps: int, **options: Any) -> Scalar:
        return cls(torch.linspace(start, end, steps, **options))

    @classmethod
    def logspace(cls, start: float, end: float, steps: int, **options: Any) -> Scalar:
        return cls(torch.logspace(start, end, steps, **options))

    def __rtruediv__(self, other: Any) -> Scalar:
        return Scalar(other / self.data)

    def __pow__(self, exponent: Any) -> Scalar:
        return Scalar(self.data ** (exponent.data if isinstance(exponent, Scalar) else exponent))

    def __rpow__(self, base: Any) -> Scalar:
        return Scalar(base**self.data)

    def __lt__(self, other: Any) -> torch.Tensor:
        return self.data < _raw(other)

    def __le__(self, other: Any) -> torch.Tensor:
        return self.data <= _raw(other)

    def __gt__(self, other: Any) -> torch.Tensor:
        return self.data > _raw(other)

    def __ge__(self, other: Any) -> torch.Tensor:
        return self.data >= _raw(other)


def _raw(value: Any) -> Any:
    return value.data if isinstance(value, TypedTensor) else value


class Vec(TypedTensor):
    """A vector with Cartesian components `(..., 3)`."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3,)
    __slots__ = ()

    @classmethod
    def fill(cls, x: Any, y: Any, z: Any, **options: Any) -> Vec:
        return cls(_fill((x, y, z), **options))


class R2(TypedTensor):
    """A second-order tensor with Cartesian components `(..., 3, 3)`."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3, 3)
    __slots__ = ()

    @classmethod
    def fill(cls, *components: Any, **options: Any) -> R2:
        """1 component: spherical; 3: diagonal; 9: row by row."""
        if len(components) == 9:
            flat = _fill(components, **options)
            return cls(flat.reshape(*flat.shape[:-1], 3, 3))
        if len(components) in (1, 3):
            diagonal = _fill(components, **options)
            return cls(torch.diag_embed(diagonal.expand(*diagonal.shape[:-1], 3)))
        raise ModelError(f"R2.fill takes 1, 3 or 9 components, got {len(components)}")

    @classmethod
    def identity(cls, **options: Any) -> R2:
        return cls(torch.eye(3, **options))

    @property
    def T(self) -> R2:
        return R2(self.data.transpose(-1, -2))

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, R2):
            return R2(self.data @ other.data)
        if isinstance(other, Vec):
            return Vec((self.data @ other.data.unsqueeze(-1)).squeeze(-1))
        return NotImplemented


class SR2(TypedTensor):
    """A symmetric second-order tensor, 6 Mandel components 11, 22, 33, 23, 13, 12.

    Shear components carry a factor sqrt(2), so the tensor contraction is the dot product.
    """

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (6,)
    __slots__ = ()

    @classmethod
    def fill(cls, *components: Any, **options: Any) -> SR2:
        """1 component: spherical; 3: diagonal; 6: tensor components 11, 22, 33, 23, 13, 12."""
        if len(components) in (1, 3):
            normal = _fill(components, **options)
            normal = normal.expand(*normal.shape[:-1], 3)
            return cls(torch.cat([normal, torch.zeros_like(normal)], dim=-1))
        if len(components) != 6:
            raise ModelError(f"SR2.fill takes 1, 3 or 6 components, got {len(components)}")
        full = _fill(components, **options)
        return cls(full * mandel.weights(full))

    @classmethod
    def identity(cls, **options: Any) -> SR2:
        return cls(torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], **options))

    def to_r2(self) -> R2:
        return R2(mandel.to_matrix(self.data))

    @classmethod
    def from_r2(cls, tensor: R2) -> SR2:
        """The symmetric part of `tensor`."""
        return cls(mandel.from_matrix(tensor.data))


class WR2(TypedTensor):
    """A skew second-order tensor, 3 components 32, 13, 21 (its axial vector)."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3,)
    __slots__ = ()

    @classmethod
    def fill(cls, w32: Any, w13: Any, w21: Any, **options: Any) -> WR2:
        return cls(_fill((w32, w13, w21), **options))

    def to_r2(self) -> R2:
        return R2(mandel.skew_matrix(self.data))

    @classmethod
    def from_r2(cls, tensor: R2) -> WR2:
        """The skew part of `tensor`."""
        m = tensor.data
        pairs = ((2, 1), (0, 2), (1, 0))
        return cls(torch.stack([0.5 * (m[..., i, j] - m[..., j, i]) for i, j in pairs], dim=-1))


class SSR4(TypedTensor):
    """A fourth-order tensor with both minor symmetries, a 6 x 6 Mandel matrix."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (6, 6)
    __slots__ = ()

    @classmethod
    def identity(cls, **options: Any) -> SSR4:
        """The symmetric identity: I : a = a."""
        return cls(torch.eye(6, **options))

    @classmethod
    def identity_vol(cls, **options: Any) -> SSR4:
        """The volumetric projector: J : a = tr(a)/3 1."""
        one = SR2.identity(**options).data
        return cls(torch.outer(one, one) / 3.0)

    @classmethod
    def identity_dev(cls, **options: Any) -> SSR4:
        """The deviatoric projector: K : a = dev(a)."""
        return cls(cls.identity(**options).data - cls.identity_vol(**options).data)

    @classmethod
    def isotropic(cls, bulk: Scalar, shear: Scalar) -> SSR4:
        """3 K J + 2 G K_dev."""
        options: dict[str, Any] = {"dtype": bulk.dtype, "device": bulk.device}
        return 3.0 * bulk * cls.identity_vol(**options) + 2.0 * shear * cls.identity_dev(**options)

    @property
    def T(self) -> SSR4:
        return SSR4(self.data.transpose(-1, -2))

    def __matmul__(self, other: Any) -> Any:
        """Double contraction with an `SR2` or another `SSR4`."""
        if isinstance(other, SR2):
            return SR2((self.data @ other.data.unsqueeze(-1)).squeeze(-1))
        if isinstance(other, SSR4):
            return SSR4(self.data @ other.data)
        return NotImplemented


class MRP(TypedTensor):
    """A rotation as modified Rodrigues parameters `n tan(angle/4)`, `(..., 3)`.

    Schaub and Junkins, "Stereographic orientation parameters for attitude dynamics",
    J. Astronautical Sciences 44 (1996). Singular only at a full turn.
    """

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3,)
    __slots__ = ()

    @classmethod
    def fill(cls, x: Any, y: Any, z: Any, **options: Any) -> MRP:
        return cls(_fill((x, y, z), **options))

    @classmethod
    def identity(cls, **options: Any) -> MRP:
        return cls(torch.zeros(3, **options))

    @classmethod
    def from_axis_angle(cls, axis: Vec, angle: Scalar | float) -> MRP:
        """Rotation by `angle` (radians) about `axis` (need not be of unit length)."""
        unit = axis.data / torch.linalg.vector_norm(axis.data, dim=-1, keepdim=True)
        theta = angle.data if isinstance(angle, Scalar) else torch.as_tensor(angle)
        return cls(unit * lift(torch.tan(theta.to(unit.dtype) / 4.0), 1))

    @classmethod
    def from_euler_angles(cls, phi1: Any, Phi: Any, phi2: Any, degrees: bool = False) -> MRP:
        """Bunge angles: the active rotation z(phi1) x(Phi) z(phi2)."""
        scale = math.pi / 180.0 if degrees else 1.0
        z, x = Vec.fill(0.0, 0.0, 1.0), Vec.fill(1.0, 0.0, 0.0)
        turns = []
        for axis, angle in ((z, phi1), (x, Phi), (z, phi2)):
            value = angle.data if isinstance(angle, Scalar) else torch.as_tensor(angle)
            value = value.to(torch.promote_types(value.dtype, torch.get_default_dtype())) * scale
            turns.append(cls.from_axis_angle(axis.to(value.dtype), Scalar(value)))
        return turns[0] @ turns[1] @ turns[2]

    @classmethod
    def from_quaternion(cls, q: torch.Tensor) -> MRP:
        """From unit quaternions `(..., 4)`, scalar part first; the shorter turn is taken."""
        q = torch.where(q[..., :1] < 0, -q, q)
        return cls(q[..., 1:] / (1.0 + q[..., :1]))

    def to_quaternion(self) -> torch.Tensor:
        """Unit quaternions `(..., 4)`, scalar part first."""
        square = (self.data * self.data).sum(-1, keepdim=True)
        return torch.cat([1.0 - square, 2.0 * self.data], dim=-1) / (1.0 + square)

    def to_r2(self) -> R2:
        """The rotation matrix: 1 + (4 (1-m.m) W + 8 W W) / (1+m.m)^2, W the skew matrix of m."""
        square = (self.data * self.data).sum(-1)[..., None, None]
        w = mandel.skew_matrix(self.data)
        eye = torch.eye(3, dtype=self.dtype, device=self.device)
        return R2(eye + (4.0 * (1.0 - square) * w + 8.0 * w @ w) / (1.0 + square) ** 2)

    def inverse(self) -> MRP:
        return MRP(-self.data)

    def __matmul__(self, other: Any) -> Any:
        """Composition: (a @ b) turns by b first, then by a."""
        if not isinstance(other, MRP):
            return NotImplemented
        a, b = torch.broadcast_tensors(self.to_quaternion(), other.to_quaternion())
        a0, av, b0, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
        scalar = a0 * b0 - (av * bv).sum(-1, keepdim=True)
        vector = a0 * bv + b0 * av + torch.linalg.cross(av, bv)
        return MRP.from_quaternion(torch.cat([scalar, vector], dim=-1))
