r"""Rigid motion of a cloud of points: finite rotation and translation by least squares.

$\min_{R, t} \sum_i w_i |x_i + u_i - R x_i - t|^2$ over proper rotations, with positive weights w
(Kabsch 1976, Acta Cryst. A32, 922; Umeyama 1991, IEEE PAMI 13, 376). R is the polar factor of
$A = \sum w (x + u)(x - \bar x)^T$, which is smooth where the singular vectors of A are not: for as
many points along x as along y. Derivatives are therefore those of the condition that $R^T A$ be
symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neml2fe.errors import InputError

FLAT = 1e-10
"""Spread of the points across their line, relative to that along it, that fixes no rotation."""


@dataclass(frozen=True, eq=False)
class RigidMotion:
    """For each image: x -> R x + t."""

    rotations: Tensor
    """`(T, c, c)`"""
    translations: Tensor
    """`(T, c)`, in the unit of the points"""

    @property
    def angles(self) -> Tensor:
        """`(T,)`: angles of rotation in rad; in the plane with sign, counterclockwise."""
        R = self.rotations
        if R.shape[-1] == 2:
            return torch.atan2(R[:, 1, 0] - R[:, 0, 1], R[:, 0, 0] + R[:, 1, 1])
        return torch.atan2(2.0 * _axial(R).norm(dim=1), R.diagonal(dim1=1, dim2=2).sum(1) - 1.0)

    def removed_from(self, displacements: Tensor, points: Tensor) -> Tensor:
        """R^T (x + u - t) - x: what is left of displacements `(T, m, c)` of points `(m, c)`."""
        moved = points + displacements - self.translations[:, None]
        return moved @ self.rotations - points


@dataclass(frozen=True, eq=False)
class RigidMotionRemoval:
    """Takes the rigid motion out of displacements, measured and simulated ones alike.

    Noise of measured displacements turns with them; a test turns by so little that its standard
    deviations are kept.
    """

    points: Tensor
    """`(m, c)`: in the reference, with a zero where points on a plane move in space"""
    used: Tensor
    """`(T, m)`, bool: the points to which the motion of an image is fitted"""
    weights: Tensor | None = None
    """`(T, m)`: w, positive where used; None: all alike"""

    def __post_init__(self) -> None:
        """Raises `InputError` for an image whose used points do not fix a motion."""
        c = self.points.shape[1]
        for image, used in enumerate(self.used):
            x = self.points[used]
            spread = torch.linalg.svdvals(x - x.mean(0)) if len(x) >= c else x.new_zeros(2)
            if not bool(spread[c - 2] > FLAT * spread[0]):
                raise InputError(
                    f"image {image + 1}: {len(x)} points fix no rigid motion; "
                    + ("two apart" if c == 2 else "three that are not on a line")
                    + " are needed"
                )

    def motion(self, displacements: Tensor) -> RigidMotion:
        """Of displacements `(T, m, c)`, NaN only at points that are not used. Differentiable."""
        x, used = self.points.to(displacements), self.used.to(displacements.device)
        weights = used.to(displacements)[..., None]
        if self.weights is not None:
            weights = weights * self.weights.to(displacements)[..., None]
        weights = weights / weights.sum(1, keepdim=True)
        origin = (weights * x).sum(1)
        moved = torch.where(used[..., None], x + displacements, 0.0)
        A = moved.transpose(1, 2) @ (weights * (x - origin[:, None]))
        R = _rotation_2d(A) if x.shape[1] == 2 else _rotation_3d(A)
        return RigidMotion(R, (weights * moved).sum(1) - (R @ origin[..., None]).squeeze(-1))

    def __call__(self, displacements: Tensor) -> Tensor:
        """Displacements `(T, m, c)` without their rigid motion. Differentiable."""
        points = self.points.to(displacements)
        return self.motion(displacements).removed_from(displacements, points)


def _rotation_2d(A: Tensor) -> Tensor:
    cosine, sine = A[:, 0, 0] + A[:, 1, 1], A[:, 1, 0] - A[:, 0, 1]
    R = torch.stack([cosine, -sine, sine, cosine], dim=1).reshape(-1, 2, 2)
    return R / torch.hypot(cosine, sine)[:, None, None]


def _rotation_3d(A: Tensor) -> Tensor:
    """The rotation from the singular values, without derivatives; two Newton steps on the axial
    vector of R^T A from there change nothing but carry derivatives, exact to the third order."""
    with torch.no_grad():
        U, _, Vh = torch.linalg.svd(A.detach())
        U[:, :, 2] *= torch.linalg.det(U @ Vh)[:, None]
        R = U @ Vh
    eye = torch.eye(3).to(A)
    for _ in range(2):
        P = R.transpose(1, 2) @ A
        trace = P.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        half = 0.5 * _skew(torch.linalg.solve(trace * eye - P, 2.0 * _axial(P)))
        R = R @ torch.linalg.solve(eye - half, eye + half)  # Cayley: orthogonal, as the exponential
    return R


def _axial(P: Tensor) -> Tensor:
    """`(T, 3)`: the axial vector of the skew part of `(T, 3, 3)`."""
    S = 0.5 * (P - P.transpose(1, 2))
    return torch.stack([S[:, 2, 1], S[:, 0, 2], S[:, 1, 0]], dim=1)


def _skew(w: Tensor) -> Tensor:
    """`(T, 3, 3)` with the axial vectors `(T, 3)`."""
    x, y, z = w.unbind(1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=1).reshape(-1, 3, 3)
