"""neml2fe materials in scikit-fem: `MaterialPoints` are those at the quadrature points of a basis.

    points = MaterialPoints(material, basis, "plane_strain")
    stress, tangent = points.update(grad(basis.interpolate(u)), time, dt)
    K = stiffness.assemble(basis, tangent=tangent)
    f = internal_forces.assemble(basis, stress=stress)
    ...  # Newton's method; every update starts from the last accepted state
    points.accept()

Arrays are scikit-fem's (12.0): components first, then elements and quadrature points. Stress and
tangent belong to the displacement gradient: Cauchy stress at small strain, first Piola-Kirchhoff
stress at finite strain, and both forms integrate over the undeformed mesh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from neml2fe_skfem_layout import Array, Arrays, Layout
from numpy.typing import ArrayLike
from skfem import Basis, BilinearForm, LinearForm

from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.material import FORMULATIONS, PointMaterial, PointResult, State, in_formulation

__all__ = ["FORMULATIONS", "Cotangents", "MaterialPoints", "internal_forces", "stiffness"]


@LinearForm
def internal_forces(v, w):  # type: ignore[no-untyped-def]
    """Stress times the gradient of the test function: `assemble(basis, stress=stress)`."""
    return np.einsum("ij...,ij...", w.stress, v.grad)


@BilinearForm
def stiffness(u, v, w):  # type: ignore[no-untyped-def]
    """Its derivative by the displacement: `assemble(basis, tangent=tangent)`."""
    rate = np.einsum("ijkl...,kl...->ij...", w.tangent, u.grad)
    return np.einsum("ij...,ij...", rate, v.grad)


@dataclass(frozen=True)
class Cotangents:
    """Transposed derivatives of one update: of the displacement gradient, old state and fields in
    the shapes of these, and of every parameter that requires a gradient, summed over the points."""

    gradient: Array
    state: Arrays
    fields: Arrays
    parameters: Arrays


@dataclass(frozen=True)
class _Trial:
    """The last update: what it was asked, and what it gave."""

    strain: torch.Tensor
    time: float
    dt: float
    fields: State
    found: PointResult


class MaterialPoints:
    """`material` at all quadrature points of `basis`, and its state there.

    - `material` maps SR2 to SR2 (small strain), or R2 to R2 (deformation gradient to first
      Piola-Kirchhoff stress, see `neml2fe.material.finite_strain`).
    - `basis`: a scikit-fem basis, or the numbers of elements and of quadrature points in each.
    - `formulation`: "three_dimensional", "plane_strain" or "plane_stress"; the latter two take
      gradients `(2, 2, ...)`.
    - `fields`: at the start, the further inputs of the material, by name: numbers, `(*base)`, or
      `(*base, elements, points)`.

    Raises `ModelError` for another kind of material or a basis of another dimension.
    """

    def __init__(
        self,
        material: PointMaterial,
        basis: Basis | tuple[int, int],
        formulation: str = "three_dimensional",
        fields: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        self.material = in_formulation(material, formulation, "scikit-fem")
        d = 3 if formulation == "three_dimensional" else 2
        if not isinstance(basis, tuple):
            if basis.mesh.dim() != d:
                hint = "; say 'plane_strain' or 'plane_stress'" if d == 3 else ""
                raise ModelError(
                    f"scikit-fem: formulation '{formulation}' has {d} dimensions, the mesh of the "
                    f"basis {basis.mesh.dim()}{hint}"
                )
            basis = basis.nelems, basis.X.shape[-1]
        self.layout = Layout(material, d, basis)
        self.fields = dict(fields or {})
        inputs = self._inputs(self.fields)
        self._state = self.material.initial_state(self.layout.n, fields=inputs)
        self._state |= {name: v for name, v in inputs.items() if name in self._state}
        self._trial: _Trial | None = None

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """Those of the material by name."""
        return self.material.parameters

    @property
    def state(self) -> Arrays:
        """The accepted state, `(*base, elements, points)` by name, symmetric tensors in Mandel
        notation."""
        return self.layout.variables(self._state)

    def update(
        self,
        gradient: ArrayLike,
        time: float,
        dt: float,
        fields: Mapping[str, ArrayLike] | None = None,
    ) -> tuple[Array, Array]:
        """Stress `(d, d, elements, points)` and tangent `(d, d, d, d, elements, points)` for a
        displacement gradient `(d, d, elements, points)` at `time`, `dt` after the accepted state,
        which stays as it is. A strain may take the place of the gradient where strains are small.

        `fields` at `time`, by default those of the start. Raises `ConvergenceError` that names a
        point where points fail, upon which a smaller step may be tried.
        """
        if not 0.0 < dt < math.inf:
            raise ModelError(f"scikit-fem: a step must go forward, got dt = {dt}")
        self._trial = None
        strain = self.layout.strain(gradient)
        inputs = self._inputs(self.fields if fields is None else fields)
        found = self.material.update(strain, self._state, time, dt, inputs)
        if len(found.failed):
            element, point = divmod(int(found.failed[0]), self.layout.shape[1])
            raise ConvergenceError(
                f"'{self.material.label}' did not converge at {len(found.failed)} of "
                f"{self.layout.n} points (first: element {element}, point {point}) in the step to "
                f"time {time:g}"
            )
        assert found.tangent is not None
        self._trial = _Trial(strain, time, dt, inputs, found)
        return self.layout.stress(found.stress), self.layout.tangent(found.tangent)

    def accept(self) -> None:
        """The last update was right: the next ones start from its state.

        Raises `ModelError` unless there is one that succeeded.
        """
        self._state = self._last().found.state
        self._trial = None

    def pull_back(
        self, stress_bar: ArrayLike, state_bar: Mapping[str, ArrayLike] | None = None
    ) -> Cotangents:
        """Pull cotangents of the new stress and state, in the shapes of these, back through the
        last update, which is not accepted yet: a step of an adjoint."""
        last, layout = self._last(), self.layout
        found = self.material.vjp(
            last.strain,
            self._state,
            last.time,
            last.dt,
            layout.stress_bar(stress_bar),
            layout.points("state", state_bar or {}, self.material.state_spec),
            last.fields,
            last.found.solution,
        )
        return Cotangents(
            layout.gradient_bar(found.strain),
            layout.variables(found.state),
            layout.variables(found.fields),
            {name: v.numpy() for name, v in found.parameters.items()},
        )

    def _inputs(self, fields: Mapping[str, ArrayLike]) -> State:
        for name in self.material.field_spec:
            if name not in fields:
                raise ModelError(
                    f"scikit-fem: '{self.material.label}' needs a value of field '{name}'"
                )
        return self.layout.points("field", fields, self.material.field_spec)

    def _last(self) -> _Trial:
        if self._trial is None:
            raise ModelError("scikit-fem: there is no successful update since the last accept()")
        return self._trial
