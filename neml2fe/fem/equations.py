"""`Equations`: forces and tangent of all terms of a problem, as its solver sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.fem.algebra import Algebra, LinearResult
from neml2fe.fem.conditions.constraints import Constraints
from neml2fe.fem.conditions.unknowns import Unknowns
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.terms.term import Term

Array = NDArray[np.float64]


class Equations:
    """The discrete equations in the owned unknowns q, with u = T q.

    - `matrix`: the rank's tangent of the last evaluation, until the algebra gets it.
    - `fixed`: mask of the owned unknowns with prescribed values.
    - `failed`: points of this rank that failed in the last evaluation.
    - `diagonal`: mean entry on the diagonal of the tangent, 0 before there is one.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        unknowns: Unknowns,
        constraints: Constraints,
        algebra: Algebra,
        matrix: LocalMatrix,
    ) -> None:
        self.terms, self.unknowns, self.algebra, self.matrix = terms, unknowns, algebra, matrix
        self.fixed = constraints.fixed
        self.failed, self.diagonal = 0, 0.0
        algebra.set_constrained(self.fixed)
        self._set_masks()

    def _set_masks(self) -> None:
        """Entries of the matrix in rows and columns of prescribed dofs, and their diagonals."""
        device = self.matrix.values.device
        diagonal = self.matrix.diagonal_places()
        places = np.empty(0, dtype=np.int64)
        if not self.unknowns.linked:  # otherwise the algebra leaves them out of T^T K T
            mask = self.unknowns.update_ghosts(self.fixed.astype(np.float64)) > 0
            places = self.matrix.places(mask)
        self._diagonal_places = torch.as_tensor(diagonal, device=device)
        self._removed = torch.as_tensor(places, device=device)
        fixed = np.flatnonzero(self.fixed) if len(places) else places
        self._fixed_places = torch.as_tensor(diagonal[fixed], device=device)

    def evaluate(self, q: Array, time: float, dt: float) -> Array:
        """Internal forces on the owned nodes at the unknowns `q`, for a step of size `dt` that
        ends at `time`; the tangent as well. Collective."""
        like = self.matrix.values
        displacement = torch.as_tensor(self.unknowns.displacements(q)).to(like)
        forces = torch.zeros_like(displacement)
        error: Exception | None = None
        self.failed = 0
        try:
            self.matrix.zero()
            for term in self.terms:
                self.failed += term.update(displacement, time, dt, forces, self.matrix)
        except Exception as failure:
            error = failure
        self.algebra.raise_together(error)
        return self.unknowns.sum_to_owners(forces.cpu().numpy())

    def set_matrix(self, unbalanced: Array) -> None:
        """Hand the tangent of the last evaluation, where the forces on the owned nodes were
        `unbalanced`, to the algebra. It loses the entries of prescribed unknowns. Collective."""
        values = self.matrix.values
        if not self.diagonal:
            entries = values[self._diagonal_places].abs()
            total = self.algebra.allreduce(float(entries.sum()))
            self.diagonal = total / self.algebra.allreduce(len(entries))
        values[self._removed] = 0.0
        values[self._fixed_places] = self.diagonal
        if self.unknowns.linked:
            linked = self.unknowns.values(self.matrix, unbalanced)
            self.algebra.set_matrix(linked, self.diagonal)
        else:
            self.algebra.set_matrix(values.cpu().numpy())

    def tangent_product(self, dq: Array) -> Array:
        """Forces on the owned unknowns that a change `dq` of them makes, with the tangents of the
        last evaluation, before the solver has its matrix. Collective."""
        moved = self.unknowns.tangent(dq)
        forces = self.unknowns.sum_to_owners(self.matrix.product(moved))
        return self.unknowns.reduced(forces)

    def transposed_product(self, w: Array, unbalanced: Array) -> Array:
        """The transposed tangent of the last evaluation, whole, where the forces on the owned nodes
        were `unbalanced`, times owned unknowns `w`. Collective."""
        moved = self.unknowns.tangent(w)
        forces = self.unknowns.sum_to_owners(self.matrix.product(moved, transposed=True))
        return self.unknowns.reduced(forces) + self.unknowns.turning(w, unbalanced)

    def solve_with_tangent(
        self, rhs: Array, unbalanced: Array, rtol: float, transposed: bool = False
    ) -> LinearResult:
        """Solve with the tangent of the last evaluation, or its transpose, and the prescribed
        unknowns held; the rank's own tangent stays whole. Collective."""
        values = self.matrix.values
        kept = values[self._removed]
        try:
            self.set_matrix(unbalanced)
            return self.algebra.solve_linear(rhs, rtol, transposed=transposed, reuse=True)
        finally:
            values[self._removed] = kept

    @contextmanager
    def holding(self, controls: Sequence[int], unbalanced: Array) -> Iterator[NDArray[np.bool_]]:
        """Linear solves with these degrees of freedom of control nodes held too, and the tangents
        of the last evaluation; gives the mask of the owned unknowns that are held. Collective."""
        fixed = self.fixed.copy()
        for dof in controls:
            fixed[self.unknowns.own(dof)] = True
        self.algebra.set_constrained(fixed)
        try:
            self.set_matrix(unbalanced)
            yield fixed
        finally:
            self.algebra.set_constrained(self.fixed)
