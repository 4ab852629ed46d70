"""`Problem`: a quasi-static boundary-value problem, its residual, tangent and one time step."""

from __future__ import annotations

import math
import os
import time as clock
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import ConvergenceError, Error, InputError
from neml2fe.fem.algebra import Algebra, Tolerances, make_algebra, petsc_available
from neml2fe.fem.body import Body
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import (
    CohesiveInterface,
    Condition,
    check_conditions,
)
from neml2fe.fem.conditions.constraints import Constraints
from neml2fe.fem.conditions.fields import FieldLike, with_mesh_data
from neml2fe.fem.conditions.loads import Loads
from neml2fe.fem.conditions.unknowns import Unknowns
from neml2fe.fem.equations import Equations
from neml2fe.fem.failure import FailedPoint, of_any_rank
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.distribution import LocalMesh, distribute
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.terms.make import condition_terms, solid_terms
from neml2fe.fem.terms.term import Term
from neml2fe.material import PointMaterial, State

if TYPE_CHECKING:
    from neml2fe.fem.adjoint.checkpoints import Checkpoints
    from neml2fe.fem.adjoint.solve import Solution
    from neml2fe.fem.adjoint.taylor import TaylorTest
    from neml2fe.fem.observations import BoundObservation, Observation
    from neml2fe.fem.stepping import TimeStepping

Array = NDArray[np.float64]
Monitor = Callable[[int, float], None]
Judge = Callable[[float, Array], str]

ROUND_OFF = 1e-14
"""Forces below this fraction of stiffness times displacement are noise: internal forces come from
strains that cancel, such as total minus plastic ones. Measured noise is a hundredth of it."""


TIGHT, LOOSE = 1e-10, 1e-3
"""Reductions of the residual that iterative solvers aim at in the linear estimate of a step."""


@dataclass(frozen=True)
class StepResult:
    """What one attempt at a time step came to.

    `residual_norms` are the norms of the out-of-balance forces, Newton iteration by
    iteration, `force_scale` the forces that they compare with, and `round_off` what these norms
    cannot fall below; `failed_points` counts, over all ranks, the points whose local solve failed.
    """

    converged: bool
    reason: str
    iterations: int = 0
    residual_norms: list[float] = field(default_factory=list)
    linear_iterations: int = 0
    failed_points: int = 0
    force_scale: float = 0.0
    round_off: float = 0.0


class Problem:
    """Equilibrium of bodies under `conditions`.

    Every rank of `comm` makes one (`comm` None: serial); the mesh is a path, or a `Mesh`
    that only rank 0 needs to have. `bodies`: one material for the whole mesh, or `Body`s.
    Displacements are distributed by nodes, points by elements. After `advance` succeeds,
    `time`, `u` (local displacements, ghosts included), and the state and stress of each of the
    `solids` describe the end of the step; after a failure they still describe its beginning.

    - `formulation`: "plane_strain", "plane_stress", "axisymmetric", "three_dimensional" or
      "auto".
    - `kinematics`: "small" or "finite" strain (total Lagrangian); "auto" is finite where a
      material is driven by a deformation gradient. At finite strain a law of small strain sees
      the logarithmic strain.
    - `fields`: values of further inputs of all materials that read them; a body's own come
      first. Their values at `start_time` are the old ones of the first step.
    - `backend`: "petsc", "scipy" or "auto"; `petsc_options` as for `make_algebra`.
    - `tolerance`: Newton stops when the out-of-balance forces fall below this fraction of
      the largest of the internal forces, the external forces and the elastic forces of the
      step's prescribed displacements, or below round-off.
    - `coordinates`: a tensor `(n_nodes, dim)` in place of the points of the mesh, the same on
      every rank: an input of gradients, which is read again at the beginning of each `solve`.

    Raises `MeshError`, `InputError` or `ModelError`, the same on every rank.
    """

    def __init__(
        self,
        mesh: Mesh | str | os.PathLike[str] | None,
        bodies: PointMaterial | Body | Sequence[Body],
        conditions: Sequence[Condition],
        *,
        formulation: str = "auto",
        kinematics: str = "auto",
        quadrature_degree: int | None = None,
        fields: Mapping[str, FieldLike] | None = None,
        backend: str = "auto",
        petsc_options: Mapping[str, str | None] | None = None,
        tolerance: float = 1e-12,
        start_time: float = 0.0,
        device: str | torch.device = "cpu",
        comm: Any = None,
        coordinates: torch.Tensor | None = None,
    ) -> None:
        from neml2fe.fem.adjoint.shape import check_shape, with_coordinates  # which need `Problem`

        if not 0.0 < tolerance < 1.0:
            raise InputError(f"the tolerance must be between 0 and 1, got {tolerance:g}")
        self.comm, self.tolerance = comm, tolerance
        self.time = self.start_time = start_time
        self.device = torch.device(device)
        self.timings: dict[str, float] = defaultdict(float)
        self.bodies = as_bodies(bodies)
        self.conditions = check_conditions(conditions)
        self.fields = dict(fields or {})
        root = comm is None or comm.rank == 0

        def read() -> Mesh | None:
            if not root:
                return None
            given = mesh if isinstance(mesh, Mesh) or mesh is None else Mesh.read(os.fspath(mesh))
            if given is None or coordinates is None:
                return given
            return with_coordinates(given, coordinates)

        whole = collectively(comm, read, every_rank=True)
        self.fields = with_mesh_data(self.fields, whole, comm)
        self.bodies = [
            replace(
                body,
                fields=with_mesh_data(body.fields, whole, comm),
                initial_state=with_mesh_data(body.initial_state, whole, comm),
            )
            for body in self.bodies
        ]
        self.coordinates = coordinates
        check_shape(self)
        self.digest = collectively(comm, lambda: whole.digest() if whole is not None else "")
        self.local: LocalMesh = distribute(whole, comm)
        local = self.local
        self.points = torch.as_tensor(local.points, device=self.device)
        self.solids = solid_terms(self, formulation, kinematics, quadrature_degree)
        self.formulation = self.solids[0].block.measure.formulation
        self.terms: list[Term] = [*self.solids, *condition_terms(self)]
        measure = self.solids[0].block.measure
        self.unknowns = Unknowns(local, whole, self.conditions, measure)
        self.algebra = self._make_algebra(backend, petsc_options)
        connectivity = [c for term in self.terms for c in term.connectivity]
        matrix = LocalMatrix(connectivity, local.n_local, local.dim, self.device)
        for term in self.terms:
            term.bind(matrix)
        self.algebra.set_pattern(*self.unknowns.pattern(matrix))
        self.unknowns.bind(self.algebra)
        self.constraints = Constraints(self.unknowns, self.conditions, self.algebra)
        self.loads = Loads(self.unknowns, self.solids, self.conditions, self.algebra)
        self.equations = Equations(
            self.terms, self.unknowns, self.constraints, self.algebra, matrix
        )
        self.u: Array = np.zeros(local.n_local * local.dim)
        self.q: Array = np.zeros(self.unknowns.layout.n_owned_dofs)
        self.unbalanced: Array = np.zeros(local.n_owned * local.dim)
        self.steps = 0
        self._evaluated_at: Array | None = None
        # A deformation gradient carries the round-off of its 1, whatever the displacements are.
        self._least_motion = (
            self._element_size() * math.sqrt(self.n_dofs) if measure.finite else 0.0
        )
        self.holds_tangent = False  # `equations.matrix` is that of the last step
        self._linear = True  # the linear estimate has been the answer so far

    def _make_algebra(self, backend: str, options: Mapping[str, str | None] | None) -> Algebra:
        # No criterion relative to the first residual, which says nothing about the forces.
        tolerances = Tolerances(rtol=0.0)
        cohesive = any(isinstance(c, CohesiveInterface) for c in self.conditions)
        if cohesive and backend != "scipy" and petsc_available():
            # Where interfaces open, residuals rise before they fall: measured, 858 iterations of
            # Newton's method with backtracking and 156 without (examples/interface_debonding).
            options = {"snes_linesearch_type": "basic", **(options or {})}
        return make_algebra(self.unknowns.layout, backend, options, tolerances=tolerances)

    def _element_size(self) -> float:
        """A length: the mean area or volume of elements, to the power 1 / dim. Collective."""
        areas = [
            float((block.weights @ torch.linalg.det(block.jacobians(part)).T).sum())
            for block in (solid.block for solid in self.solids)
            for part in block.parts()
        ]
        total = self.algebra.allreduce(math.fsum(areas))
        return float(total / sum(self.local.n_elements)) ** (1.0 / self.local.dim)

    @property
    def n_dofs(self) -> int:
        """Displacement components of the whole mesh."""
        return self.local.n_global * self.local.dim

    @property
    def n_points(self) -> int:
        """Quadrature points of the whole mesh."""
        return int(self.algebra.allreduce(sum(solid.block.n_points for solid in self.solids)))

    @contextmanager
    def stopwatch(self, phase: str) -> Iterator[None]:
        """Adds the seconds that its context takes to `timings[phase]`."""
        start = clock.perf_counter()
        try:
            yield
        finally:
            self.timings[phase] += clock.perf_counter() - start

    def failed_point(self) -> FailedPoint | None:
        """A point that failed in the last evaluation of the residual, if any did. Collective."""
        mine = (solid.failed_point(self.local) for solid in self.solids)
        return of_any_rank(self.comm, next((point for point in mine if point is not None), None))

    # --- one step ----------------------------------------------------------------------
    def advance(
        self, time: float, monitor: Monitor | None = None, refuses: Judge | None = None
    ) -> StepResult:
        """Solve for equilibrium at `time`, from the present state. Collective.

        A step that `refuses(time, unknowns)` gives a reason against counts as failed.

        The first iteration starts from the old displacements and brings in the new
        prescribed ones through the tangent, so that no element next to the boundary takes
        them alone; the rest is Newton's method.
        """
        self.holds_tangent = False
        dt = time - self.time
        if not 0.0 < dt < math.inf:
            raise InputError(f"a step must go forward: from time {self.time:g} to {time:g}")
        algebra, equations = self.algebra, self.equations
        fixed = equations.fixed
        external = self.loads.forces(time)
        control = self.constraints.control_forces(time)
        prescribed = self.constraints.apply(self.q, time)
        start, scale, failure = self._predict(prescribed, external, control, time, dt)
        if failure is not None:
            return failure

        unbalanced = external

        def residual(x: Array) -> Array:
            nonlocal unbalanced
            internal = self._evaluate(x, time, dt)
            self._evaluated_at = x.copy()
            unbalanced = internal - external
            r = np.where(fixed, 0.0, self.unknowns.reduced(unbalanced) - control)
            if equations.failed and len(r):
                r[0] = np.nan  # also where every node of the element is constrained
            return r

        def evaluate_at(x: Array) -> None:
            here = self._evaluated_at is not None and np.array_equal(x, self._evaluated_at)
            if algebra.allreduce(int(not here)):  # all ranks or none
                residual(x)

        def jacobian(x: Array) -> None:
            evaluate_at(x)
            with self.stopwatch("assembly"):
                equations.set_matrix(unbalanced)
            self._evaluated_at = None  # the matrix has lost its removed entries

        noise = ROUND_OFF * equations.diagonal * max(algebra.norm(start), self._least_motion)
        atol = max(self.tolerance * scale, noise, 1e-300)
        with self.stopwatch("Newton"):
            result = algebra.solve_nonlinear(residual, jacobian, start, monitor, atol)
        failed = algebra.allreduce(equations.failed)
        if failed or not result.converged:
            reason = result.reason
            if failed:
                reason = f"{failed} of {self.n_points} points did not converge"
            return StepResult(
                False, reason, result.iterations, result.residual_norms,
                result.linear_iterations, failed,
            )  # fmt: skip
        evaluate_at(result.x)
        reason = refuses(time, result.x) if refuses else ""
        if reason:
            return StepResult(
                False, reason, result.iterations, result.residual_norms, result.linear_iterations
            )
        self.q, self.u = result.x, self.unknowns.displacements(result.x)
        self.time, self.unbalanced = time, unbalanced
        for term in self.terms:
            term.accept()
        self.steps += 1
        self.holds_tangent = True
        self._linear = result.iterations == 0
        return StepResult(
            True, result.reason, result.iterations, result.residual_norms,
            result.linear_iterations, force_scale=scale, round_off=noise,
        )  # fmt: skip

    def _predict(
        self, prescribed: Array, external: Array, control: Array, time: float, dt: float
    ) -> tuple[Array, float, StepResult | None]:
        """Unknowns after one linear step to the new conditions, and the force scale."""
        algebra, equations, unknowns = self.algebra, self.equations, self.unknowns
        fixed = equations.fixed
        internal = self._evaluate(self.q, time, dt)
        self._evaluated_at = None
        failed = algebra.allreduce(equations.failed)
        if failed:
            reason = f"{failed} of {self.n_points} points did not converge"
            return prescribed, 0.0, StepResult(False, reason, failed_points=failed)
        push = equations.tangent_product(prescribed - self.q)
        with self.stopwatch("assembly"):
            equations.set_matrix(internal - external)
        held, given = unknowns.reduced(internal), unknowns.reduced(external) + control
        with self.stopwatch("predictor"):
            rhs = np.where(fixed, 0.0, given - held - push)
            linear = algebra.solve_linear(rhs, self._predictor_rtol())
        if not linear.converged:
            return prescribed, 0.0, StepResult(False, linear.reason)
        step = np.where(fixed, 0.0, linear.x)
        # Forces of the linear estimate, also where a single one of the three is zero.
        scale = max(algebra.norm(held), algebra.norm(given), algebra.norm(push))
        return prescribed + step, scale, None

    def _evaluate(self, q: Array, time: float, dt: float) -> Array:
        """Internal forces. Where a value cannot be right on one rank, all raise its error."""
        try:
            return self.equations.evaluate(q, time, dt)
        except Exception as failure:  # on every rank: its own, or that another has failed
            error = failure

            def own() -> None:
                if isinstance(error, Error) and not isinstance(error, ConvergenceError):
                    raise error

            collectively(self.comm, own, every_rank=True)
            raise

    def _predictor_rtol(self) -> float:
        """Accuracy of the linear estimate: high while it is the answer, as in elasticity."""
        return max(0.1 * self.tolerance, TIGHT) if self._linear else LOOSE

    def renew(self) -> None:
        """Forget what the solvers have learnt, so that a run that goes on from here and one that
        is restarted take the same steps bit by bit. Collective."""
        self.algebra.renew()
        self.equations.diagonal, self._linear = 0.0, True

    def reset(self) -> None:
        """Back to the start: no displacements, the initial state. What follows is the same, bit by
        bit, as with a new problem. Collective."""
        self.renew()
        for term in self.terms:
            term.reset(self.start_time)
        self.restore(np.zeros_like(self.q), self.start_time)
        self.unbalanced = np.zeros_like(self.unbalanced)
        self.steps, self.holds_tangent = 0, False

    def restore(self, q: Array, time: float) -> None:
        """Take up owned unknowns `q` `(n_unknowns,)`, of `Problem.q`, at `time`. Collective."""
        self.q, self.time = np.array(q, dtype=np.float64), time
        self.u = self.unknowns.displacements(self.q)

    # --- whole runs --------------------------------------------------------------------
    def solve(
        self,
        stepping: TimeStepping | Sequence[float],
        observe: Mapping[str, Observation | BoundObservation],
        times: Sequence[float] = (),
        *,
        parameters: Mapping[str, torch.Tensor] | None = None,
        checkpoints: Checkpoints | None = None,
        record: bool | None = None,
        quiet: bool = True,
    ) -> Solution:
        """A run from the start as one node of torch's graph: see `neml2fe.fem.adjoint.solve`."""
        from neml2fe.fem.adjoint.solve import solve  # which needs `Problem`

        return solve(
            self, stepping, observe, times,
            parameters=parameters, checkpoints=checkpoints, record=record, quiet=quiet,
        )  # fmt: skip

    def tensors(self) -> dict[str, torch.Tensor]:
        """What results can be differentiated by, by name: see `fem.adjoint.inputs`."""
        from neml2fe.fem.adjoint.inputs import tensors_of_problem

        return tensors_of_problem(self)

    def taylor_test(
        self,
        stepping: TimeStepping | Sequence[float],
        observe: Mapping[str, Observation | BoundObservation],
        loss: Callable[[Solution], torch.Tensor],
        times: Sequence[float] = (),
        *,
        names: Sequence[str] | None = None,
        sizes: Sequence[float] | None = None,
        checkpoints: Checkpoints | None = None,
        seed: int = 0,
    ) -> TaylorTest:
        """Check the gradient of a loss: see `neml2fe.fem.adjoint.taylor.taylor_test`."""
        from neml2fe.fem.adjoint.taylor import SIZES, taylor_test

        return taylor_test(
            self, stepping, observe, loss, times,
            names=names, sizes=sizes or SIZES, checkpoints=checkpoints, seed=seed,
        )  # fmt: skip

    # --- results -----------------------------------------------------------------------
    def load_row(self) -> dict[str, float]:
        """Prescribed values, reactions and applied forces at the end of the last step, or zeros
        before the first, when nothing acts yet.

        A reaction is the total force on the nodes of its condition; nodes that two conditions
        share count in both.
        """
        self.unknowns.displacements(self.q)  # T as it is there
        forces = self.unknowns.reduced(self.unbalanced)
        forces = forces - self.constraints.control_forces(self.time)
        row = self.constraints.load_row(self.q, forces, self.time)
        resultants = self.loads.resultants(self.time)
        u = torch.as_tensor(self.u, device=self.device)
        for term in self.terms:
            for name, force in term.resultant(u, self.time).items():
                resultants[name] = resultants.get(name, 0.0) + self.algebra.allreduce(force)
        for name, force in resultants.items():
            row[f"{name}_force"] = force
        return row if self.unbalanced.any() or self.steps else dict.fromkeys(row, 0.0)

    def point_fields(self) -> list[State]:
        """Strain, stress and state at the points of each of the `solids`."""
        u = torch.as_tensor(self.u, device=self.device)
        return [solid.point_fields(u) for solid in self.solids]

    def close(self) -> None:
        """Release the solvers."""
        self.algebra.close()


def as_bodies(bodies: PointMaterial | Body | Sequence[Body]) -> list[Body]:
    """A list of bodies from what `Problem` takes."""
    if isinstance(bodies, Body):
        return [bodies]
    if isinstance(bodies, Sequence):
        return list(bodies)
    return [Body(bodies)]
