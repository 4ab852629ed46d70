"""When a preconditioner is set up anew, and whether a matrix is symmetric."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import numpy as np

from neml2fe.fem.algebra.interface import Algebra

ASYMMETRY = 1e-9
"""Relative asymmetry that conjugate gradients and Cholesky factors bear without harm."""
GROWTH = 1.5
"""Iterations for a digit may grow by this factor before a set-up is renewed."""


class SetUp(Enum):
    """What becomes of the preconditioner when the matrix has changed."""

    KEEP = "keep"  # the one of an earlier matrix
    UPDATE = "update"  # new values; multigrid keeps its interpolation
    REBUILD = "rebuild"  # from nothing


class SetUpPolicy:
    """Keeps a preconditioner while iterations for a digit stay below 1.5 times what they were
    after its last set-up. Counts, no clock: every run and every rank decides alike."""

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self.action = SetUp.REBUILD
        self._rebuilt = self._updated = math.inf

    def solved(self, iterations: int, reduction: float) -> None:
        """Learn from a solve that reduced the residual to the fraction `reduction`."""
        done, self.action = self.action, SetUp.UPDATE
        if not (self._keeps and iterations and 0.0 < reduction < 0.5):
            return
        effort = iterations / -math.log10(reduction)
        if done is SetUp.REBUILD or math.isinf(self._rebuilt):
            self._rebuilt = effort
        if done is not SetUp.KEEP or math.isinf(self._updated):
            self._updated = effort
        if done is SetUp.UPDATE and effort > GROWTH * self._rebuilt:
            self.action = SetUp.REBUILD
        elif effort <= GROWTH * self._updated:
            self.action = SetUp.KEEP


def is_symmetric(mat: Any, algebra: Algebra) -> bool:
    """True when x^T A y = y^T A x for two random vectors, up to round-off."""
    x, y = mat.createVecs()
    product = mat.createVecLeft()
    random = np.random.default_rng(algebra.layout.rank)
    for vector in (x, y):
        vector.array[:] = random.standard_normal(vector.getLocalSize())
    mat.mult(y, product)
    forward, scale = x.dot(product), x.norm() * product.norm()
    mat.mult(x, product)
    backward = y.dot(product)
    for vector in (x, y, product):
        vector.destroy()
    return bool(abs(forward - backward) <= ASYMMETRY * scale)
