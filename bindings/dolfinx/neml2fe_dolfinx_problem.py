"""Equilibrium with neml2fe materials, for the Newton solver of DOLFINx."""

from __future__ import annotations

from collections.abc import Sequence

import ufl
from dolfinx import fem
from dolfinx.fem.petsc import NonlinearProblem
from neml2fe_dolfinx_material import QuadratureMaterial
from neml2fe_dolfinx_strains import Expr
from petsc4py import PETSc

from neml2fe.errors import ModelError


class QuadratureProblem(NonlinearProblem):
    """Equilibrium of materials at quadrature points, for `dolfinx.nls.petsc.NewtonSolver`.

    - `materials`: those of the parts of the mesh, all made for the displacements `u`.
    - `bcs`: conditions of Dirichlet.
    - `external`: the virtual work of dead loads, a linear form of the space's test function.

    Set `time` and `dt` before each step; every evaluation of the residual updates the materials,
    and so `NewtonSolver.solve` raises what `QuadratureMaterial.update` does. Raises `ModelError`
    for materials of other displacements, and while `dt` is not positive.
    """

    def __init__(
        self,
        materials: Sequence[QuadratureMaterial],
        u: fem.Function,
        bcs: Sequence[fem.DirichletBCMetaClass] = (),
        external: Expr | None = None,
    ) -> None:
        for material in materials:
            if material.u is not u:
                raise ModelError(
                    f"dolfinx: '{material.material.label}' was made for other displacements than "
                    "those of the problem"
                )
        v, du = (make(u.function_space) for make in (ufl.TestFunction, ufl.TrialFunction))
        residual = sum(m.residual(v) for m in materials)
        jacobian = sum(m.jacobian(du, v) for m in materials)
        if external is not None:
            residual = residual - external
        super().__init__(residual, u, list(bcs), jacobian)
        self.materials = tuple(materials)
        self.time = self.dt = 0.0

    def form(self, x: PETSc.Vec) -> None:
        """Called by the solver before it assembles."""
        super().form(x)
        if not self.dt > 0.0:
            raise ModelError("dolfinx: set `time` and `dt` of the problem before a step is solved")
        for material in self.materials:
            material.update(self.time, self.dt)

    def accept(self) -> None:
        """Accept the step in all materials."""
        for material in self.materials:
            material.accept()
