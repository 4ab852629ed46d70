"""Strain measures: the generalised strain that displacements of a mesh make at a point.

A measure is linear in the displacements, E = E0 + G u: the small strain as a Mandel vector, or
the deformation gradient. So forces are the integral of G^T S, and stiffness that of G^T C G, with
the stress S that does work on E: Cauchy's or the first Piola-Kirchhoff stress.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from neml2fe.errors import InputError, suggest

# (row, column) of each Mandel component.
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_SHEAR = math.sqrt(0.5)


@dataclass(frozen=True)
class Entry:
    """Strain component `component` gets `factor` times displacement `direction` times gradient
    number `gradient` of the shape function: its derivative along that axis, or, for the number
    after those, its value over the radius."""

    component: int
    direction: int
    gradient: int
    factor: float


@dataclass(frozen=True)
class Measure:
    """The strain of one formulation.

    - `dim`: space dimension of the mesh, and dofs of a node.
    - `finite`: the strain is the deformation gradient (9 components by rows), else small (6).
    - `axisymmetric`: x is the radius, y the axis; integrals go around the whole circumference.
    - `mean_dilatation`: the volumetric part of the small strain is its mean over the element
      (B-bar; T. J. R. Hughes, Int. J. Numer. Meth. Engng 15, 1980).
    """

    formulation: str
    dim: int
    finite: bool = False
    axisymmetric: bool = False
    mean_dilatation: bool = False

    @property
    def size(self) -> int:
        """Components of the strain that a material sees."""
        return 9 if self.finite else 6

    @property
    def shape(self) -> tuple[int, ...]:
        """Base shape of the strain."""
        return (3, 3) if self.finite else (6,)

    @property
    def n_gradients(self) -> int:
        return self.dim + self.axisymmetric

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The operator G without the mean dilatation."""
        found = []
        for i in range(self.dim):
            for j in range(self.dim):
                if self.finite:
                    found.append(Entry(3 * i + j, i, j, 1.0))
                else:
                    component = next(c for c, pair in enumerate(PAIRS) if set(pair) == {i, j})
                    found.append(Entry(component, i, j, 1.0 if i == j else _SHEAR))
        if self.axisymmetric:
            found.append(Entry(8 if self.finite else 2, 0, self.dim, 1.0))
        return tuple(found)

    @property
    def normals(self) -> tuple[int, ...]:
        """Components of the small strain that make up its trace."""
        return (0, 1, 2) if self.mean_dilatation else ()

    @cached_property
    def components(self) -> tuple[int, ...]:
        """The components that displacements change; stresses of the others do no work."""
        return tuple(sorted({*(e.component for e in self.entries), *self.normals}))

    def reference(self, like: torch.Tensor) -> torch.Tensor:
        """E0 `(6,)` or `(3, 3)`: the strain without displacements."""
        return torch.eye(3).to(like) if self.finite else like.new_zeros(6)

    def operator(self, gradients: torch.Tensor, mean: torch.Tensor | None = None) -> torch.Tensor:
        """G `(..., c, k*dim)` of the active components from gradients `(..., k, n_gradients)`.

        Columns run over nodes, then directions. `mean`, of the same shape, are the mean
        gradients over the element, for the mean dilatation.
        """
        k = gradients.shape[-2]
        rows = {c: row for row, c in enumerate(self.components)}
        g = gradients.new_zeros(*gradients.shape[:-2], len(rows), k, self.dim)
        for e in self.entries:
            g[..., rows[e.component], :, e.direction] += e.factor * gradients[..., e.gradient]
        if self.mean_dilatation:
            assert mean is not None
            for e in (e for e in self.entries if e.component in self.normals):
                correction = (mean[..., e.gradient] - gradients[..., e.gradient]) / 3.0
                for c in self.normals:
                    g[..., rows[c], :, e.direction] += correction
        return g.flatten(-2)


FORMULATIONS = {"plane_strain": 2, "plane_stress": 2, "axisymmetric": 2, "three_dimensional": 3}
"""Names of formulations, and the dimension of their meshes."""


def measure(formulation: str, dim: int, finite: bool, mean_dilatation: bool = False) -> Measure:
    """The measure of a formulation, or of the one that fits a `dim`-D mesh for "auto".

    Plane stress has the measure of plane strain: the material sees to the rest
    (`neml2fe.material.PlaneStress`). Raises `InputError` for one that does not fit the mesh.
    """
    if formulation == "auto":
        formulation = "plane_strain" if dim == 2 else "three_dimensional"
    if formulation not in FORMULATIONS:
        raise InputError(f"unknown formulation '{formulation}'{suggest(formulation, FORMULATIONS)}")
    if FORMULATIONS[formulation] != dim:
        raise InputError(
            f"the formulation '{formulation}' needs a {FORMULATIONS[formulation]}-D mesh, got "
            f"{dim}-D"
        )
    if mean_dilatation and formulation == "plane_stress":
        raise InputError("plane stress does not lock: leave out volumetric_locking_correction")
    return Measure(formulation, dim, finite, formulation == "axisymmetric", mean_dilatation)
