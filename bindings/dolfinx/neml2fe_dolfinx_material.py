"""A neml2fe material at the quadrature points of a mesh of DOLFINx."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import basix
import numpy as np
import torch
import ufl
from dolfinx import fem
from neml2fe_dolfinx_functions import Rows, at_points
from neml2fe_dolfinx_strains import Expr, deformation_gradient, mandel_strain
from numpy.typing import NDArray
from petsc4py import PETSc

from neml2fe.errors import ConvergenceError, ModelError, suggest
from neml2fe.material import PointMaterial, PointResult, State
from neml2fe.types import R2, SR2

_SIZE = {SR2: 6, R2: 9}


class QuadratureMaterial:
    """`material` at the quadrature points of the cells of a mesh.

    - `u`: the displacements, which `update` reads.
    - `degree`: of DOLFINx's default quadrature rule; `dx` integrates with it.
    - `strain`: an expression that is affine in `u`, `(6,)` Mandel strain or `(9,)` deformation
      gradient, row by row, as `material` takes it. By default `mandel_strain(u)` or
      `deformation_gradient(u)`; these are for plane stress as well, with the adapter
      `neml2fe.material.PlaneStress`.
    - `fields`: the further inputs of the material, by name: numbers, or expressions (functions,
      constants) of its base shape, which `update` evaluates at the points.
    - `subdomain`: tags of cells and the tag of those that are of this material; none: all cells.

    `stress` `(6,)` or `(9,)` and `tangent` `(6, 6)` or `(9, 9)` are Functions at the points, filled
    by `update` (zero elsewhere, and on cells that other ranks own), for forms of any kind;
    `residual` and `jacobian` are the usual ones. `state` has Functions too, one for each variable
    of the material, filled by `accept`. Points are those at `x` of each of the `cells` in turn.

    Raises `ModelError` for a material, strain or fields that do not fit, or complex numbers.
    """

    def __init__(
        self,
        material: PointMaterial,
        u: fem.Function,
        degree: int,
        *,
        strain: Expr | None = None,
        fields: Mapping[str, Expr | float] | None = None,
        subdomain: tuple[Any, int] | None = None,
    ) -> None:
        if PETSc.ScalarType != np.float64:
            raise ModelError("dolfinx: the material needs a PETSc of real numbers")
        if material.strain_kind not in _SIZE:
            raise ModelError(
                f"dolfinx: '{material.label}' is driven by {material.strain_kind.__name__}, not by "
                "a small strain (SR2) or a deformation gradient (R2)"
            )
        if material.stress_kind is not material.strain_kind:
            raise ModelError(
                f"dolfinx: '{material.label}' gives {material.stress_kind.__name__} for "
                f"{material.strain_kind.__name__}; finite_strain(material) gives the first "
                "Piola-Kirchhoff stress"
            )
        self.material, self.u, self.degree = material, u, degree
        self.mesh, self.size = u.function_space.mesh, _SIZE[material.strain_kind]
        if strain is None:
            small = material.strain_kind is SR2
            strain = mandel_strain(u) if small else deformation_gradient(u)
        if strain.ufl_shape != (self.size,):
            raise ModelError(
                f"dolfinx: '{material.label}' takes a strain of shape ({self.size},), got "
                f"{strain.ufl_shape}"
            )
        self.strain = strain

        domain = self.mesh.topology
        self.cells = np.arange(domain.index_map(domain.dim).size_local, dtype=np.int32)
        rule: dict[str, Any] = {"quadrature_degree": degree, "quadrature_scheme": "default"}
        self.dx = ufl.Measure("dx", domain=self.mesh, metadata=rule)
        if subdomain is not None:
            tags, tag = subdomain
            if tags.dim != domain.dim:
                raise ModelError(
                    f"dolfinx: the tags of a subdomain are of cells, not of {tags.dim}-D"
                )
            self.cells = np.intersect1d(self.cells, tags.find(tag)).astype(np.int32)
            self.dx = self.dx(tag, subdomain_data=tags)
        kind = getattr(basix.CellType, self.mesh.ufl_cell().cellname())
        self.x: NDArray[np.float64] = np.asarray(basix.make_quadrature(kind, degree)[0])
        self.n = len(self.cells) * len(self.x)

        self._strain = fem.Expression(strain, self.x)
        self._fields = self._bind(fields or {})
        self.stress = at_points(self.mesh, degree, (self.size,), "stress")
        self.tangent = at_points(self.mesh, degree, (self.size, self.size), "tangent")
        self._stress_at, self._tangent_at = self._rows(self.stress), self._rows(self.tangent)
        self._old: State = material.initial_state(self.n, fields=self._field_values())
        self.state = {
            name: at_points(self.mesh, degree, v.shape[1:], name) for name, v in self._old.items()
        }
        self._write_state()
        self._last: tuple[dict[str, Any], PointResult] | None = None

    # --- forms ---------------------------------------------------------------------------
    def variation(self, v: Expr) -> Expr:
        """The derivative of the strain along `v`, the test or trial function."""
        return ufl.derivative(self.strain, self.u, v)

    def residual(self, v: Expr) -> Expr:
        """The virtual work of the stresses."""
        return ufl.inner(self.stress, self.variation(v)) * self.dx

    def jacobian(self, du: Expr, v: Expr) -> Expr:
        """The derivative of `residual` along `du`, by the consistent tangent."""
        return ufl.inner(ufl.dot(self.tangent, self.variation(du)), self.variation(v)) * self.dx

    # --- one step ------------------------------------------------------------------------
    def update(self, time: float, dt: float) -> None:
        """Stress and tangent at the present `u`, a step of `dt` to `time` after the accepted state.

        It may be called any number of times before `accept`. Collective. Raises
        `ConvergenceError` on all ranks when a point fails on any: take a smaller step.
        """
        given: dict[str, Any] = {
            "strain": self._evaluate(self._strain).reshape(-1, *self._base),
            "state": self._old,
            "time": time,
            "dt": dt,
            "fields": self._field_values(),
        }
        self._last = None
        result = self.material.update(**given)
        comm = self.mesh.comm
        failed = comm.allreduce(len(result.failed))
        if failed:
            total = comm.allreduce(self.n)
            raise ConvergenceError(
                f"dolfinx: '{self.material.label}' failed at {failed} of {total} points in the "
                f"step of {dt:g} to time {time:g}; a smaller one may help"
            )
        assert result.tangent is not None
        self._stress_at.put(result.stress)
        self._tangent_at.put(result.tangent)
        self._last = given, result

    def accept(self) -> None:
        """Make the state of the last `update` that from which steps start.

        Raises `ModelError` where there is none, or it failed.
        """
        self._old = self._updated()[1].state
        self._last = None
        self._write_state()

    def load_state(self) -> None:
        """Take the accepted state from the Functions of `state`, as a restart has filled them."""
        self._old = {
            name: self._rows(f).get().reshape(self._old[name].shape)
            for name, f in self.state.items()
        }
        self._last = None

    def derivative(
        self,
        parameter_rate: Mapping[str, torch.Tensor] | None = None,
        displacement_rate: fem.Function | None = None,
        state_rate: State | None = None,
    ) -> tuple[fem.Function, State]:
        """How the last update, not yet accepted, changes: rates of the stress, a Function like
        `stress`, and of the new state, by rates of parameters of the material (by name, in their
        shapes), of `u`, and of the old state.

        Direct differentiation of a step takes it twice: first without `displacement_rate`, for
        the right-hand side of the linear problem that `jacobian` poses, then with its solution.
        """
        given, result = self._updated()
        strain_rate = torch.zeros_like(given["strain"])
        if displacement_rate is not None:
            along = ufl.algorithms.expand_derivatives(self.variation(displacement_rate))
            evaluated = self._evaluate(fem.Expression(along, self.x))
            strain_rate = evaluated.reshape(strain_rate.shape)
        stress_rate, new_rate = self.material.jvp(
            **given,
            strain_rate=strain_rate,
            state_rate=state_rate,
            solution=result.solution,
            parameter_rate=parameter_rate,
        )
        function = at_points(self.mesh, self.degree, (self.size,), "stress_rate")
        self._rows(function).put(stress_rate)
        return function, new_rate

    # --- details ---------------------------------------------------------------------------
    def _rows(self, function: fem.Function) -> Rows:
        return Rows(function, self.cells, len(self.x))

    @property
    def _base(self) -> tuple[int, ...]:
        return tuple(self.material.strain_kind.BASE_SHAPE)

    def _evaluate(self, expression: fem.Expression) -> torch.Tensor:
        return torch.from_numpy(expression.eval(self.cells))

    def _bind(self, fields: Mapping[str, Expr | float]) -> dict[str, fem.Expression]:
        spec = self.material.field_spec
        for name in fields:
            if name not in spec:
                raise ModelError(
                    f"dolfinx: '{self.material.label}' has no field '{name}'{suggest(name, spec)}"
                )
        bound = {}
        for name, kind in spec.items():
            if name not in fields:
                raise ModelError(f"dolfinx: '{self.material.label}' needs the field '{name}'")
            expression = ufl.as_ufl(fields[name])
            if expression.ufl_shape != tuple(kind.BASE_SHAPE):
                raise ModelError(
                    f"dolfinx: field '{name}' must have shape {tuple(kind.BASE_SHAPE)}, got "
                    f"{expression.ufl_shape}"
                )
            bound[name] = fem.Expression(expression, self.x)
        return bound

    def _field_values(self) -> State:
        spec = self.material.field_spec
        return {
            name: self._evaluate(expression).reshape(self.n, *spec[name].BASE_SHAPE)
            for name, expression in self._fields.items()
        }

    def _updated(self) -> tuple[dict[str, Any], PointResult]:
        if self._last is None:
            raise ModelError("dolfinx: no update since the last accepted step, or it failed")
        return self._last

    def _write_state(self) -> None:
        for name, function in self.state.items():
            self._rows(function).put(self._old[name])
