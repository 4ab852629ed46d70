"""The tensor types of continuum mechanics: Scalar, Vec, R2, SR2, WR2 and SSR4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from neml2fe.errors import ModelError
from neml2fe.types import mandel
from neml2fe.types.base import TypedTensor, aligned


def filled(values: tuple[Any, ...], **options: Any) -> tuple[torch.Tensor, int]:
    """Stack numbers or tensors along a new last dimension, in torch's default dtype for numbers;
    the stack and the number of its sub-batch dimensions."""
    if all(isinstance(v, (int, float)) for v in values):
        options.setdefault("dtype", torch.get_default_dtype())
        return torch.tensor(values, **options), 0
    typed = [v if isinstance(v, Scalar) else Scalar(torch.as_tensor(v)) for v in values]
    if not any(v.data.is_floating_point() for v in typed):
        options.setdefault("dtype", torch.get_default_dtype())
    tensors, n = aligned(*typed)
    return torch.stack(torch.broadcast_tensors(*tensors), dim=-1).to(**options), n


class Scalar(TypedTensor):
    """A scalar per batch entry."""

    __slots__ = ()

    @classmethod
    def fill(cls, value: Any, **options: Any) -> Scalar:
        data, n = filled((value,), **options)
        return cls(data[..., 0], n)

    @classmethod
    def linspace(cls, start: float, end: float, steps: int, **options: Any) -> Scalar:
        return cls(torch.linspace(start, end, steps, **options))

    @classmethod
    def arange(cls, *bounds: float, **options: Any) -> Scalar:
        options.setdefault("dtype", torch.get_default_dtype())
        return cls(torch.arange(*bounds, **options))

    @classmethod
    def logspace(cls, start: float, end: float, steps: int, **options: Any) -> Scalar:
        return cls(torch.logspace(start, end, steps, **options))

    def __rtruediv__(self, other: Any) -> Scalar:
        return self.like(other / self.data)

    def __pow__(self, exponent: Any) -> Scalar:
        return self._combine(exponent, torch.pow, "**")

    def __rpow__(self, base: Any) -> Scalar:
        return self.like(base**self.data)

    def _compare(self, other: Any, test: Callable[[Any, Any], torch.Tensor]) -> torch.Tensor:
        return (
            test(*aligned(self, other)[0]) if isinstance(other, Scalar) else test(self.data, other)
        )

    def __lt__(self, other: Any) -> torch.Tensor:
        return self._compare(other, torch.lt)

    def __le__(self, other: Any) -> torch.Tensor:
        return self._compare(other, torch.le)

    def __gt__(self, other: Any) -> torch.Tensor:
        return self._compare(other, torch.gt)

    def __ge__(self, other: Any) -> torch.Tensor:
        return self._compare(other, torch.ge)


def _matmul(matrix: TypedTensor, other: TypedTensor) -> Any:
    """Matrix times vector or matrix, as the type of `other`."""
    (a, b), n = aligned(matrix, other)
    product = a @ b if other.base_ndim() == 2 else (a @ b.unsqueeze(-1)).squeeze(-1)
    return type(other)(product, n)


class Vec(TypedTensor):
    """A vector with Cartesian components `(..., 3)`."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3,)
    __slots__ = ()

    @classmethod
    def fill(cls, x: Any, y: Any, z: Any, **options: Any) -> Vec:
        return cls(*filled((x, y, z), **options))


class R2(TypedTensor):
    """A second-order tensor with Cartesian components `(..., 3, 3)`."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3, 3)
    __slots__ = ()

    @classmethod
    def fill(cls, *components: Any, **options: Any) -> R2:
        """1 component: spherical; 3: diagonal; 9: row by row."""
        if len(components) == 9:
            flat, n = filled(components, **options)
            return cls(flat.reshape(*flat.shape[:-1], 3, 3), n)
        if len(components) in (1, 3):
            diagonal, n = filled(components, **options)
            return cls(torch.diag_embed(diagonal.expand(*diagonal.shape[:-1], 3)), n)
        raise ModelError(f"R2.fill takes 1, 3 or 9 components, got {len(components)}")

    @classmethod
    def identity(cls, **options: Any) -> R2:
        return cls(torch.eye(3, **options))

    @property
    def T(self) -> R2:
        return self.like(self.data.transpose(-1, -2))

    def __matmul__(self, other: Any) -> Any:
        if not isinstance(other, (R2, Vec)):
            return NotImplemented
        return _matmul(self, other)


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
            normal, n = filled(components, **options)
            normal = normal.expand(*normal.shape[:-1], 3)
            return cls(torch.cat([normal, torch.zeros_like(normal)], dim=-1), n)
        if len(components) != 6:
            raise ModelError(f"SR2.fill takes 1, 3 or 6 components, got {len(components)}")
        full, n = filled(components, **options)
        return cls(full * mandel.weights(full), n)

    @classmethod
    def identity(cls, **options: Any) -> SR2:
        return cls(torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], **options))

    def to_r2(self) -> R2:
        return R2(mandel.to_matrix(self.data), self.sub_batch_ndim)

    @classmethod
    def from_r2(cls, tensor: R2) -> SR2:
        """The symmetric part of `tensor`."""
        return cls(mandel.from_matrix(tensor.data), tensor.sub_batch_ndim)


class WR2(TypedTensor):
    """A skew second-order tensor, 3 components 32, 13, 21 (its axial vector)."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (3,)
    __slots__ = ()

    @classmethod
    def fill(cls, w32: Any, w13: Any, w21: Any, **options: Any) -> WR2:
        return cls(*filled((w32, w13, w21), **options))

    def to_r2(self) -> R2:
        return R2(mandel.skew_matrix(self.data), self.sub_batch_ndim)

    @classmethod
    def from_r2(cls, tensor: R2) -> WR2:
        """The skew part of `tensor`."""
        m = tensor.data
        pairs = ((2, 1), (0, 2), (1, 0))
        axial = torch.stack([0.5 * (m[..., i, j] - m[..., j, i]) for i, j in pairs], dim=-1)
        return cls(axial, tensor.sub_batch_ndim)


class SSR4(TypedTensor):
    """A fourth-order tensor with both minor symmetries, a 6 x 6 Mandel matrix."""

    BASE_SHAPE: ClassVar[tuple[int, ...]] = (6, 6)
    __slots__ = ()

    @classmethod
    def identity(cls, **options: Any) -> SSR4:
        """1 (x) 1, as decks know it; the identity on symmetric tensors is `identity_sym`."""
        one = SR2.identity(**options).data
        return cls(torch.outer(one, one))

    @classmethod
    def identity_sym(cls, **options: Any) -> SSR4:
        """The symmetric identity: I : a = a."""
        return cls(torch.eye(6, **options))

    @classmethod
    def identity_vol(cls, **options: Any) -> SSR4:
        """The volumetric projector: J : a = tr(a)/3 1."""
        return cls(cls.identity(**options).data / 3.0)

    @classmethod
    def identity_dev(cls, **options: Any) -> SSR4:
        """The deviatoric projector: K : a = dev(a)."""
        return cls(cls.identity_sym(**options).data - cls.identity_vol(**options).data)

    @classmethod
    def identity_C1(cls, **options: Any) -> SSR4:
        """Cubic symmetry, the part of C_1111: ones at 11, 22, 33 of the diagonal."""
        return cls(torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], **options)))

    @classmethod
    def identity_C2(cls, **options: Any) -> SSR4:
        """Cubic symmetry, the part of C_1122: ones between different normal components."""
        return cls(cls.identity(**options).data - cls.identity_C1(**options).data)

    @classmethod
    def identity_C3(cls, **options: Any) -> SSR4:
        """Cubic symmetry, the part of C_2323: ones at 23, 13, 12 of the diagonal."""
        return cls(cls.identity_sym(**options).data - cls.identity_C1(**options).data)

    @classmethod
    def isotropic(cls, bulk: Scalar, shear: Scalar) -> SSR4:
        """3 K J + 2 G K_dev."""
        options: dict[str, Any] = {"dtype": bulk.dtype, "device": bulk.device}
        return 3.0 * bulk * cls.identity_vol(**options) + 2.0 * shear * cls.identity_dev(**options)

    @property
    def T(self) -> SSR4:
        return self.like(self.data.transpose(-1, -2))

    def __matmul__(self, other: Any) -> Any:
        """Double contraction with an `SR2` or another `SSR4`."""
        if not isinstance(other, (SR2, SSR4)):
            return NotImplemented
        return _matmul(self, other)
