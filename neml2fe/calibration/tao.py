"""Fits by the gradient alone with PETSc's Toolkit for Advanced Optimization (TAO)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult
from torch import Tensor

from neml2fe.calibration.gradient import lbfgs
from neml2fe.calibration.interface import Monitor, Outcome, Problem, Stopping
from neml2fe.errors import InputError

Array = NDArray[np.float64]


def tao(problem: Problem, x: Tensor, monitor: Monitor, stopping: Stopping) -> Outcome:
    """Bounded quasi-Newton (TAO's `bqnls`) from `x` `(P,)`, otherwise as `lbfgs`.

    Every rank of a distributed problem does the same search. Raises `InputError` where petsc4py is
    missing, `ConvergenceError` as `lbfgs`.
    """
    if find_spec("petsc4py") is None:
        raise InputError(
            "the optimiser tao needs petsc4py, which is not installed; lbfgs does as well without"
        )
    return lbfgs(problem, x, monitor, stopping, method=_minimise)


def _minimise(
    fun: Callable[[Array], float],
    x0: Array,
    *,
    jac: Callable[[Array], Array],
    callback: Callable[[Array], None],
    **_: Any,
) -> OptimizeResult:
    """A method for `scipy.optimize.minimize`, in the unit box. The callback ends it."""
    from petsc4py import PETSc

    def evaluate(_: Any, at: Any, gradient: Any) -> float:
        x = at.getArray(readonly=True).copy()
        value = fun(x)
        gradient.setArray(jac(x))
        return value

    last = x0

    def test(solver: Any) -> Any:
        nonlocal last
        if solver.getIterationNumber() == 0:
            return PETSc.TAO.Reason.CONTINUE_ITERATING
        here = solver.getSolution().getArray(readonly=True).copy()
        if np.array_equal(here, last):  # else it would try the same line search again
            return PETSc.TAO.Reason.DIVERGED_LS_FAILURE
        last = here
        try:
            callback(here)
        except StopIteration:
            return PETSc.TAO.Reason.CONVERGED_USER
        return PETSc.TAO.Reason.CONTINUE_ITERATING

    arrays = [x0.copy(), np.zeros_like(x0), np.zeros_like(x0), np.ones_like(x0)]
    vectors = [PETSc.Vec().createWithArray(a, comm=PETSc.COMM_SELF) for a in arrays]
    x, gradient, lower, upper = vectors
    solver = PETSc.TAO().create(PETSc.COMM_SELF)
    try:
        solver.setType("bqnls")
        solver.setObjectiveGradient(evaluate, gradient)
        solver.setVariableBounds((lower, upper))
        solver.setConvergenceTest(test)
        solver.solve(x)
        return OptimizeResult(x=x.getArray().copy())
    finally:
        for each in (solver, *vectors):
            each.destroy()
