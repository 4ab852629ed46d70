"""`Problem`: a quasi-static boundary-value problem, its residual, tangent and one time step."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError, ModelError
from neml2fe.fem.integrals import measures as kinematics
from neml2fe.fem.algebra import Algebra, DofLayout, Tolerances, make_algebra
from neml2fe.fem.assembly import Stiffness
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import Condition, Dirichlet
from neml2fe.fem.mesh.distribution import LocalMesh, distribute
from neml2fe.fem.failure import FailedPoint, of_any_rank
from neml2fe.fem.conditions.functions import TimeFunction, value_at
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.conditions.loads import Constraints, Loads
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.material import Material, PointResult, State, current_name

Array = NDArray[np.float64]
Monitor = Callable[[int, float], None]

ROUND_OFF = 1e-14
"""Forces below this fraction of stiffness times displacement are noise: internal forces come from
strains that cancel, such as total minus plastic ones. Measured noise is a hundredth of it."""


@dataclass(frozen=True)
class StepResult:
    """What one attempt at a time step came to.

    `residual_norms` are the norms of the out-of-balance forces, Newton iteration by
    iteration; `failed_points` counts, over all ranks, the points whose local solve failed.
    """

    converged: bool
    reason: str
    iterations: int = 0
    residual_norms: list[float] = field(default_factory=list)
    linear_iterations: int = 0
    failed_points: int = 0


class Problem:
    """Small-strain equilibrium of a body of one material under `conditions`.

    Every rank of `comm` makes one (`comm` None: serial); the mesh is a path, or a `Mesh`
    that only rank 0 needs to have. Displacements are distributed by nodes, points by
    elements. After `advance` succeeds, `time`, `u` (local displacements, ghosts included),
    `states` and `results` (per block of cells) describe the end of the step; after a failure
    they still describe its beginning.

    - `formulation`: "plane_strain", "three_dimensional" or "auto".
    - `fields`: uniform values (numbers or functions of time) of further model inputs; their
      values at `start_time` are the old ones of the first step.
    - `backend`: "petsc", "scipy" or "auto"; `petsc_options` as for `make_algebra`.
    - `tolerance`: Newton stops when the out-of-balance forces fall below this fraction of
      the largest of the internal forces, the external forces and the elastic forces of the
      step's prescribed displacements, or below round-off.

    Raises `MeshError`, `InputError` or `ModelError`, the same on every rank.
    """

    def __init__(
        self,
        mesh: Mesh | str | os.PathLike[str] | None,
        material: Material,
        conditions: Sequence[Condition],
        *,
        formulation: str = "auto",
        quadrature_degree: int | None = None,
        fields: Mapping[str, TimeFunction] | None = None,
        backend: str = "auto",
        petsc_options: Mapping[str, str | None] | None = None,
        tolerance: float = 1e-12,
        start_time: float = 0.0,
        device: str | torch.device = "cpu",
        comm: Any = None,
    ) -> None:
        self.comm, self.material, self.tolerance = comm, material, tolerance
        self.device = torch.device(device)
        root = comm is None or comm.rank == 0

        def read() -> Mesh | None:
            if not root:
                return None
            return mesh if isinstance(mesh, Mesh) or mesh is None else Mesh.read(os.fspath(mesh))

        whole = collectively(comm, read, every_rank=True)
        self.digest = collectively(comm, lambda: whole.digest() if whole is not None else "")
        self.local: LocalMesh = distribute(whole, comm)
        self.conditions = list(conditions)
        self.fields = dict(fields or {})
        self._check_material()
        local = self.local
        self.kinematics = kinematics.choose(formulation, local.dim)
        self.blocks = [
            ElementBlock(cells, local.points, self.kinematics, quadrature_degree, self.device)
            for cells in local.cells
        ]
        self.algebra = self._make_algebra(backend, petsc_options)
        self._check_conditions()
        constrained = [c for c in self.conditions if isinstance(c, Dirichlet)]
        self.constraints = Constraints(local, constrained, self.algebra)
        self.loads = Loads(local, self.blocks, self.conditions, self.algebra)
        self.stiffness = Stiffness(self.algebra, local, self.blocks, self.constraints.mask)
        self.time = start_time
        self.u: Array = np.zeros(local.n_local * local.dim)
        self.states = [self._initial_state(block) for block in self.blocks]
        self.results: list[PointResult] = []
        self.unbalanced: Array = np.zeros(local.n_owned * local.dim)
        self._trial: list[PointResult] = []  # results of the last update, accepted or not
        self._evaluated_at: Array | None = None
        self._failed_strain: tuple[float, float, torch.Tensor] | None = None

    def _check_conditions(self) -> None:
        names = set()
        for condition in self.conditions:
            if not isinstance(condition, Condition):
                raise InputError(f"{condition!r} is no boundary condition or load")
            if condition.name in names:
                raise InputError(
                    f"two conditions have the name '{condition.name}'; give each a label"
                )
            names.add(condition.name)

    def _initial_state(self, block: ElementBlock) -> State:
        """Virgin points under the fields of the start time."""
        fields = self._fields(self.time, block)
        state = self.material.initial_state(block.n_points, device=self.device)
        return {name: fields.get(current_name(name), value) for name, value in state.items()}

    def _check_material(self) -> None:
        if not 0.0 < self.tolerance < 1.0:
            raise InputError(f"the tolerance must be between 0 and 1, got {self.tolerance:g}")
        missing = [n for n in self.material.field_spec if n not in self.fields]
        if missing:
            raise ModelError(
                f"the material needs the fields {missing}; give them as fields = ... (uniform "
                "values or functions of time)"
            )
        for name in self.fields:
            if name not in self.material.field_spec:
                raise ModelError(f"the material takes no field '{name}'")

    def _make_algebra(self, backend: str, options: Mapping[str, str | None] | None) -> Algebra:
        local = self.local
        layout = DofLayout(local.comm, local.dim, local.n_owned, local.global_nodes, local.points)
        # No criterion relative to the first residual, which says nothing about the forces.
        return make_algebra(layout, backend, options, tolerances=Tolerances(rtol=0.0))

    @property
    def n_dofs(self) -> int:
        """Displacement components of the whole mesh."""
        return self.local.n_global * self.local.dim

    @property
    def n_points(self) -> int:
        """Quadrature points of the whole mesh."""
        return sum(
            n * block.n_quadrature
            for n, block in zip(self.local.n_elements, self.blocks, strict=True)
        )

    # --- residual and tangent ----------------------------------------------------------
    def _update_points(self, u: Array, time: float, dt: float) -> Array:
        """Update all points at local displacements `u`; owned internal forces."""
        displacement = torch.as_tensor(u, device=self.device)
        forces = torch.zeros_like(displacement)
        error: Exception | None = None
        try:
            self._trial, self._failed_strain = [], None
            for block, state in zip(self.blocks, self.states, strict=True):
                strain = block.strain(displacement)
                result = self.material.update(strain, state, time, dt, self._fields(time, block))
                block.add_forces(result.stress, forces)
                self._trial.append(result)
                if self._failed_strain is None and len(result.failed):
                    self._failed_strain = time, dt, strain[result.failed[0]]
        except Exception as failure:
            error = failure
        self.algebra.raise_together(error)
        return self.algebra.sum_to_owners(forces.cpu().numpy())

    def _fields(self, time: float, block: ElementBlock) -> dict[str, torch.Tensor]:
        found = {}
        for name, function in self.fields.items():
            base = self.material.field_spec[name].BASE_SHAPE
            value = value_at(function, time, f"field '{name}'")
            found[name] = torch.full(
                (block.n_points, *base), value, dtype=torch.float64, device=self.device
            )
        return found

    def failed_point(self) -> FailedPoint | None:
        """A point that failed in the last evaluation of the residual, if any did. Collective."""
        mine = None
        if self._failed_strain is not None:
            time, dt, strain = self._failed_strain
            k = next(k for k, result in enumerate(self._trial) if len(result.failed))
            block, state, point = self.blocks[k], self.states[k], self._trial[k].failed[0]
            element = int(point) // block.n_quadrature
            fields = self._fields(time, block)
            mine = FailedPoint(
                element=int(self.local.elements[k][element]),
                cell_type=block.cell_type,
                position=block.position(int(point), self.local.points),
                time=time,
                dt=dt,
                strain=strain.cpu().numpy(),
                state={n: v[point].cpu().numpy() for n, v in state.items()},
                fields={n: v[point].cpu().numpy() for n, v in fields.items()},
            )
        return of_any_rank(self.comm, mine)

    def _failed_here(self) -> int:
        return sum(len(result.failed) for result in self._trial)

    def _set_matrix(self) -> None:
        self.stiffness.assemble([result.tangent for result in self._trial])

    # --- one step ----------------------------------------------------------------------
    def advance(self, time: float, monitor: Monitor | None = None) -> StepResult:
        """Solve for equilibrium at `time`, from the present state. Collective.

        The first iteration starts from the old displacements and brings in the new
        prescribed ones through the tangent, so that no element next to the boundary takes
        them alone; the rest is Newton's method.
        """
        dt = time - self.time
        if not 0.0 < dt < math.inf:
            raise InputError(f"a step must go forward: from time {self.time:g} to {time:g}")
        algebra, fixed = self.algebra, self.constraints.mask[: len(self.unbalanced)]
        external = self.loads.forces(time)
        prescribed = self.constraints.apply(self.u, time)
        start, scale, failure = self._predict(prescribed, external, time, dt)
        if failure is not None:
            return failure

        unbalanced = external

        def residual(x: Array) -> Array:
            nonlocal unbalanced
            internal = self._update_points(algebra.update_ghosts(x), time, dt)
            self._evaluated_at = x.copy()
            unbalanced = internal - external
            r = np.where(fixed, 0.0, unbalanced)
            if self._failed_here() and len(r):
                r[0] = np.nan  # also where every node of the element is constrained
            return r

        def evaluate_at(x: Array) -> None:
            here = self._evaluated_at is not None and np.array_equal(x, self._evaluated_at)
            if algebra.allreduce(int(not here)):  # all ranks or none
                residual(x)

        def jacobian(x: Array) -> None:
            evaluate_at(x)
            self._set_matrix()

        x0 = start[: len(external)]
        noise = ROUND_OFF * self.stiffness.diagonal * algebra.norm(x0)
        atol = max(self.tolerance * scale, noise, 1e-300)
        result = algebra.solve_nonlinear(residual, jacobian, x0, monitor, atol)
        failed = algebra.allreduce(self._failed_here())
        if failed or not result.converged:
            reason = result.reason
            if failed:
                reason = f"{failed} of {self.n_points} points did not converge"
            return StepResult(
                False, reason, result.iterations, result.residual_norms,
                result.linear_iterations, failed,
            )  # fmt: skip
        evaluate_at(result.x)
        self.u, self.time = algebra.update_ghosts(result.x), time
        self.unbalanced, self.results = unbalanced, self._trial
        self.states = [r.state for r in self.results]
        return StepResult(
            True, result.reason, result.iterations, result.residual_norms, result.linear_iterations
        )

    def _predict(
        self, prescribed: Array, external: Array, time: float, dt: float
    ) -> tuple[Array, float, StepResult | None]:
        """Displacements after one linear step to the new conditions, and the force scale."""
        algebra = self.algebra
        n_owned = len(external)
        fixed = self.constraints.mask[:n_owned]
        internal = self._update_points(self.u, time, dt)
        failed = algebra.allreduce(self._failed_here())
        if failed:
            reason = f"{failed} of {self.n_points} points did not converge"
            return prescribed, 0.0, StepResult(False, reason, failed_points=failed)
        self._set_matrix()
        jump = torch.as_tensor(prescribed - self.u, device=self.device)
        lifted = torch.zeros_like(jump)
        for block, result in zip(self.blocks, self._trial, strict=True):
            assert result.tangent is not None
            stress = torch.einsum("nij,nj->ni", result.tangent, block.strain(jump))
            block.add_forces(stress, lifted)
        push = algebra.sum_to_owners(lifted.cpu().numpy())
        rhs = np.where(fixed, 0.0, external - internal - push)
        linear = algebra.solve_linear(rhs)
        if not linear.converged:
            return prescribed, 0.0, StepResult(False, linear.reason)
        step = np.where(fixed, 0.0, linear.x)
        # Forces of the linear estimate, also where a single one of the three is zero.
        scale = max(algebra.norm(internal), algebra.norm(external), algebra.norm(push))
        return prescribed + algebra.update_ghosts(step), scale, None

    # --- results -----------------------------------------------------------------------
    def load_row(self) -> dict[str, float]:
        """Prescribed values, reactions and applied forces at the end of the last step, or zeros
        before the first, when nothing acts yet.

        A reaction is the total force on the nodes of its condition; nodes that two conditions
        share count in both.
        """
        row: dict[str, float] = {}
        reactions = self.constraints.reactions(self.unbalanced)
        values = self.constraints.values(self.time)
        for condition, value in zip(self.constraints.conditions, values, strict=True):
            row[f"{condition.name}_displacement"] = value
            row[f"{condition.name}_reaction"] = reactions[condition.name]
        for name, force in self.loads.resultants(self.time).items():
            row[f"{name}_force"] = force
        return row if self.results else dict.fromkeys(row, 0.0)

    def point_fields(self) -> list[dict[str, torch.Tensor]]:
        """Per block: strain, stress and every state variable at its points, `(n, *base)`."""
        u = torch.as_tensor(self.u, device=self.device)
        found = []
        for k, (block, state) in enumerate(zip(self.blocks, self.states, strict=True)):
            strain = block.strain(u)
            stress = self.results[k].stress if self.results else torch.zeros_like(strain)
            own = {"strain": strain, "stress": stress}
            for name, value in state.items():
                if name not in (self.material.strain, self.material.stress):
                    own[f"state_{name}" if name in (*own, "displacement") else name] = value
            found.append(own)
        return found

    def close(self) -> None:
        """Release the solvers."""
        self.algebra.close()
