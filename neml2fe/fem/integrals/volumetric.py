"""F-bar: the volume change of finite-strain elements is their mean, against locking.

Points see F' = a F with a = (J_m / J)^(1/3), where J_m is the mean of J = det F over the reference
volume; the virtual work is that of the Cauchy stress at F' on the true virtual displacement
gradient (E. A. de Souza Neto et al., Int. J. Solids Structures 33, 1996, with the mean in place
of the value at the centroid). In terms of the first Piola-Kirchhoff stress P at F', elements
integrate P* = P / a^2 on F, whose derivative has a part through J_m.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.integrals.matrix import LocalMatrix


@dataclass(frozen=True)
class _Kinematics:
    """Of the points `(e, q)` of a part."""

    part: slice
    volumes: torch.Tensor
    f: torch.Tensor  # (e, q, 3, 3)
    inverse: torch.Tensor  # F^-1
    j: torch.Tensor
    mean: torch.Tensor  # J_m (e,)
    a: torch.Tensor

    @property
    def share(self) -> torch.Tensor:
        """Derivatives of ln J_m by ln J, `(e, q)`."""
        return self.volumes * self.j / (self.volumes.sum(1) * self.mean)[:, None]


class FBarBlock(ElementBlock):
    """An `ElementBlock` of deformation gradients with their mean volume change.

    All methods but `strain` take the strains that its last call gave, for the same part.
    """

    _kinematics: _Kinematics | None = None
    _stress: torch.Tensor | None = None

    def strain(self, u: torch.Tensor, part: slice = slice(None)) -> torch.Tensor:
        volumes = self.volumes(part)
        f = super().strain(u, part).reshape(*volumes.shape, 3, 3)
        j = torch.linalg.det(f)
        mean = (volumes * j).sum(1) / volumes.sum(1)
        ratio = mean[:, None] / j
        a = torch.where(ratio > 0, ratio, torch.nan) ** (1.0 / 3.0)  # inverted: a failed point
        self._kinematics = _Kinematics(part, volumes, f, torch.linalg.inv_ex(f)[0], j, mean, a)
        return (a[..., None, None] * f).reshape(-1, 3, 3)

    def push_strain(self, du: torch.Tensor, part: slice) -> torch.Tensor:
        """dF' = a dF + a F (d ln J_m - d ln J) / 3, d ln J = F^-T : dF."""
        k = self._at(part)
        df = super().push_strain(du, part).reshape(k.f.shape)
        d_ln_j = torch.einsum("eqij,eqji->eq", k.inverse, df)
        d_ln_a = ((k.share * d_ln_j).sum(1, keepdim=True) - d_ln_j) / 3.0
        return (k.a[..., None, None] * (df + d_ln_a[..., None, None] * k.f)).reshape(-1, 3, 3)

    def pull_strain(self, bar: torch.Tensor, part: slice, nodal: torch.Tensor) -> None:
        k = self._at(part)
        scaled = k.a[..., None, None] * bar.reshape(k.f.shape)
        d_ln_a = (scaled * k.f).sum((2, 3)) / 3.0
        d_ln_j = k.share * d_ln_a.sum(1, keepdim=True) - d_ln_a
        own = scaled + d_ln_j[..., None, None] * k.inverse.mT
        super().pull_strain(own.reshape(-1, 3, 3), part, nodal)

    def virtual_strain(self, w: torch.Tensor, part: slice) -> torch.Tensor:
        k = self._at(part)
        change = super().virtual_strain(w, part).reshape(k.f.shape)
        return (change / k.a[..., None, None] ** 2).reshape(-1, 3, 3)

    def add_forces(self, stress: torch.Tensor, part: slice, forces: torch.Tensor) -> None:
        k = self._at(part)
        self._stress = stress.reshape(k.f.shape)
        scaled = self._stress / k.a[..., None, None] ** 2
        super().add_forces(scaled.reshape(-1, 3, 3), part, forces)

    def add_stiffness(self, tangent: torch.Tensor, part: slice, matrix: LocalMatrix) -> None:
        """dP* = A : dF / a - Z (F^-T : dF) + Z dJ_m / J_m with Z = (A : F - 2 P / a) / (3 a)."""
        k = self._at(part)
        assert self._stress is not None and self._slots is not None
        c = tangent.reshape(*k.a.shape, 3, 3, 3, 3)
        a = k.a[..., None, None]
        z = (torch.einsum("eqijkl,eqkl->eqij", c, k.f) - 2.0 * self._stress / a) / (3.0 * a)
        own = c / a[..., None, None] - torch.einsum("eqij,eqlk->eqijkl", z, k.inverse)
        super().add_stiffness(own.reshape(-1, 3, 3, 3, 3), part, matrix)

        g, volumes = self._operator(part)
        active = list(self.measure.components)
        pull = (k.inverse.mT * k.share[..., None, None]).flatten(2)[..., active]
        d_mean = torch.einsum("eqcj,eqc->ej", g, pull)
        push = torch.einsum("eq,eqcj,eqc->ej", volumes, g, z.flatten(2)[..., active])
        matrix.add(self._slots[part], self.nodes[part], push[:, :, None] * d_mean[:, None, :])

    def _at(self, part: slice) -> _Kinematics:
        k = self._kinematics
        everywhere = range(self.n_elements)
        assert k is not None and everywhere[k.part] == everywhere[part], (
            "strain of the same part comes first"
        )
        return k
