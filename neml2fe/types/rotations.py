"""Rotations and crystal directions: MRP, Quaternion and MillerIndex."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch

from neml2fe.types import mandel
from neml2fe.types.base import TypedTensor, aligned
from neml2fe.types.tensors import R2, Scalar, Vec, filled


class MRP(TypedTensor):
    """A rotation as modified Rodrigues parameters `n tan(angle/4)`, `(..., 3)`.

    Schaub and Junkins, "Stereographic orientation parameters for attitude dynamics",
    J. Astronautical Sciences 44 (1996). Singular only at a full turn.
    """

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3,)
    __slots__ = ()

    @classmethod
    def fill(cls, x: Any, y: Any, z: Any, **options: Any) -> MRP:
        return cls(*filled((x, y, z), **options))

    @classmethod
    def identity(cls, **options: Any) -> MRP:
        return cls(torch.zeros(3, **options))

    @classmethod
    def rand(cls, *batch: int, **options: Any) -> MRP:
        """Rotations uniformly distributed over all orientations (Shoemake 1992)."""
        options.setdefault("dtype", torch.float64)
        u, v, w = torch.rand(*batch, 3, **options).unbind(-1)
        a, b, turn = torch.sqrt(1.0 - u), torch.sqrt(u), 2.0 * math.pi
        parts = [a * torch.sin(turn * v), a * torch.cos(turn * v)]
        parts += [b * torch.sin(turn * w), b * torch.cos(turn * w)]
        return cls.from_quaternion(Quaternion(torch.stack(parts, dim=-1)))

    @classmethod
    def from_axis_angle(cls, axis: Vec, angle: Scalar | float) -> MRP:
        """Rotation by `angle` (radians) about `axis` (need not be of unit length)."""
        theta = angle if isinstance(angle, Scalar) else Scalar(angle)
        unit = axis / Scalar(torch.linalg.vector_norm(axis.data, dim=-1), axis.sub_batch_ndim)
        return cls(
            (Scalar(torch.tan(theta.to(unit.dtype).data / 4.0), theta.sub_batch_ndim)) * unit
        )

    from_axis_angle_standard = from_axis_angle  # its other name

    @classmethod
    def from_euler_angles(cls, phi1: Any, Phi: Any, phi2: Any, degrees: bool = False) -> MRP:
        """Bunge angles: the active rotation z(phi1) x(Phi) z(phi2), the shorter turn."""
        scale = math.pi / 180.0 if degrees else 1.0
        z, x = Vec.fill(0.0, 0.0, 1.0), Vec.fill(1.0, 0.0, 0.0)
        turns = []
        for axis, angle in ((z, phi1), (x, Phi), (z, phi2)):
            value = angle if isinstance(angle, Scalar) else Scalar(torch.as_tensor(angle))
            kind = torch.promote_types(value.dtype, torch.get_default_dtype())
            turns.append(cls.from_axis_angle(axis.to(kind), value.to(kind) * scale))
        return cls.from_quaternion((turns[0] @ turns[1] @ turns[2]).to_quaternion())

    @classmethod
    def from_quaternion(cls, quaternion: Quaternion | torch.Tensor) -> MRP:
        """From unit quaternions, scalar part first; the shorter turn is taken."""
        q = Quaternion(quaternion)
        values = torch.where(q.data[..., :1] < 0, -q.data, q.data)
        return cls(values[..., 1:] / (1.0 + values[..., :1]), q.sub_batch_ndim)

    @classmethod
    def from_matrix(cls, rotation: R2) -> MRP:
        """From rotation matrices; the shorter turn is taken."""
        m = rotation.data
        a, b, c = (m[..., i, i] for i in range(3))
        x, y, z = (m[..., j, i] - m[..., i, j] for i, j in ((1, 2), (2, 0), (0, 1)))
        u, v, w = (m[..., j, i] + m[..., i, j] for i, j in ((1, 2), (2, 0), (0, 1)))
        # 4 q q^T of the quaternion q: any column is a multiple of q, the largest a safe one.
        columns = [
            [1 + a + b + c, x, y, z],
            [x, 1 + a - b - c, w, v],
            [y, w, 1 - a + b - c, u],
            [z, v, u, 1 - a - b + c],
        ]
        table = torch.stack([torch.stack(column, dim=-1) for column in columns], dim=-2)
        size = torch.diagonal(table, dim1=-2, dim2=-1)
        pick = size.argmax(-1)[..., None, None].expand(*size.shape[:-1], 1, 4)
        q = table.gather(-2, pick).squeeze(-2)
        unit = q / torch.linalg.vector_norm(q, dim=-1, keepdim=True)
        return cls.from_quaternion(Quaternion(unit, rotation.sub_batch_ndim))

    @classmethod
    def rotation_from_to(cls, start: Vec, end: Vec) -> MRP:
        """The shortest rotation that turns direction `start` to `end`; between opposite
        directions, half a turn about one of the axes perpendicular to them."""
        (a, b), n = aligned(start, end)
        a = a / torch.linalg.vector_norm(a, dim=-1, keepdim=True)
        b = b / torch.linalg.vector_norm(b, dim=-1, keepdim=True)
        a, total = torch.broadcast_tensors(a, a + b)
        square = (total * total).sum(-1, keepdim=True)  # 2 (1 + cosine), without cancellation
        q = torch.cat([0.5 * square, torch.linalg.cross(a, total)], dim=-1)
        least = torch.eye(3, dtype=a.dtype, device=a.device)[a.abs().argmin(-1)]
        half_turn = torch.cat([0.0 * square, torch.linalg.cross(a, least)], dim=-1)
        q = torch.where(square < (8.0 * torch.finfo(a.dtype).eps) ** 2, half_turn, q)
        return cls.from_quaternion(
            Quaternion(q / torch.linalg.vector_norm(q, dim=-1, keepdim=True), n)
        )

    def to_quaternion(self) -> Quaternion:
        square = (self.data * self.data).sum(-1, keepdim=True)
        raw = torch.cat([1.0 - square, 2.0 * self.data], dim=-1) / (1.0 + square)
        return Quaternion(raw, self.sub_batch_ndim)

    def to_r2(self) -> R2:
        """The rotation matrix: 1 + (4 (1-m.m) W + 8 W W) / (1+m.m)^2, W the skew matrix of m."""
        square = (self.data * self.data).sum(-1)[..., None, None]
        w = mandel.skew_matrix(self.data)
        eye = torch.eye(3, dtype=self.dtype, device=self.device)
        matrix = eye + (4.0 * (1.0 - square) * w + 8.0 * w @ w) / (1.0 + square) ** 2
        return R2(matrix, self.sub_batch_ndim)

    def inverse(self) -> MRP:
        return -self

    def shadow(self) -> MRP:
        """The other parameters of the same rotation, -m / m.m: the turn the other way round."""
        return self.like(-self.data / (self.data * self.data).sum(-1, keepdim=True))

    def __matmul__(self, other: Any) -> Any:
        """Composition: (a @ b) turns by b first, then by a (smooth: no change to the shadow)."""
        if not isinstance(other, MRP):
            return NotImplemented
        q = self.to_quaternion() @ other.to_quaternion()
        return MRP(q.data[..., 1:] / (1.0 + q.data[..., :1]), q.sub_batch_ndim)


class Quaternion(TypedTensor):
    """A unit quaternion `(..., 4)`, scalar part first."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (4,)
    __slots__ = ()

    @classmethod
    def fill(cls, w: Any, x: Any, y: Any, z: Any, **options: Any) -> Quaternion:
        return cls(*filled((w, x, y, z), **options))

    @classmethod
    def identity(cls, **options: Any) -> Quaternion:
        return cls(torch.tensor([1.0, 0.0, 0.0, 0.0], **options))

    def to_r2(self) -> R2:
        """The rotation matrix 1 + 2 q0 W + 2 W W, W the skew matrix of the vector part."""
        w = mandel.skew_matrix(self.data[..., 1:])
        eye = torch.eye(3, dtype=self.dtype, device=self.device)
        matrix = eye + 2.0 * self.data[..., :1, None] * w + 2.0 * w @ w
        return R2(matrix, self.sub_batch_ndim)

    def __matmul__(self, other: Any) -> Any:
        """The Hamilton product."""
        if not isinstance(other, Quaternion):
            return NotImplemented
        (a, b), n = aligned(self, other)
        a, b = torch.broadcast_tensors(a, b)
        a0, av, b0, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
        scalar = a0 * b0 - (av * bv).sum(-1, keepdim=True)
        vector = a0 * bv + b0 * av + torch.linalg.cross(av, bv)
        return Quaternion(torch.cat([scalar, vector], dim=-1), n)


class MillerIndex(TypedTensor):
    """Miller indices of a crystal direction or plane, `(..., 3)`."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3,)
    __slots__ = ()

    @classmethod
    def fill(cls, h: Any, k: Any, l: Any, **options: Any) -> MillerIndex:
        return cls(*filled((h, k, l), **options))
