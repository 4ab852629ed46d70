"""Times and counts of PETSc's own operations, for the report of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from petsc4py import PETSc

EVENTS = (
    "SNESSolve", "SNESFunctionEval", "SNESJacobianEval", "KSPSolve", "PCSetUp", "PCApply",
    "MatMult", "MatPtAPNumeric", "MatLUFactorSym", "MatLUFactorNum", "MatCholFctrSym",
    "MatCholFctrNum", "MatSolve", "VecScatterBegin", "VecScatterEnd",
)  # fmt: skip


class Log:
    """What PETSc has done since this object was made. It counts for the whole process: solvers
    that live at the same time are seen together. Made after the first SNES.

    PETSc stops counting an operation once an exception has broken out of it: after an error in a
    callback of Newton's method the outer events stand still, `Algebra.statistics` do not.
    """

    def __init__(self) -> None:
        PETSc.Log.begin()
        PETSc.Mat().create(
            PETSc.COMM_SELF
        ).destroy()  # PETSc names its events with its first object
        self._before = self._totals()

    @staticmethod
    def _totals() -> dict[str, tuple[int, float, float]]:
        found = {}
        for name in EVENTS:
            info = PETSc.Log.Event(name).getPerfInfo()
            found[name] = int(info["count"]), float(info["time"]), float(info["flops"])
        return found

    def rows(self, reduce: Callable[..., Any]) -> list[tuple[str, int, float, float]]:
        """(event, count, seconds, flops); seconds of the slowest rank, flops of all. Collective.

        Times include those of events within: KSPSolve holds PCApply, which holds MatMult.
        """
        rows = []
        for name, now in self._totals().items():
            count, time, flops = (a - b for a, b in zip(now, self._before[name], strict=True))
            rows.append((name, reduce(count, "max"), reduce(time, "max"), reduce(flops)))
        return [row for row in rows if row[1]]
