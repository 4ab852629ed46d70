"""Per-point outcomes of implicit updates, collected on request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch


@dataclass
class SolveLog:
    """Per-point outcome of the implicit updates run inside `recorded_solves`.

    Tensors have the batch shape of the update; several updates combine by the worst
    status and the sum of iterations.
    """

    status: torch.Tensor | None = None
    iterations: torch.Tensor | None = None
    labels: list[str] = field(default_factory=list)

    def add(self, label: str, status: torch.Tensor, iterations: torch.Tensor) -> None:
        self.labels.append(label)
        known = self.status is not None and self.iterations is not None
        self.status = torch.maximum(self.status, status) if known else status  # type: ignore[arg-type]
        self.iterations = self.iterations + iterations if known else iterations  # type: ignore[operator]


current_log: ContextVar[SolveLog | None] = ContextVar("neml2fe_solve_log", default=None)


@contextmanager
def recorded_solves() -> Iterator[SolveLog]:
    """Within this context a point that does not converge yields NaN and a status in the log.

    Outside of it, `ImplicitUpdate` raises `ConvergenceError` instead.
    """
    log = SolveLog()
    token = current_log.set(log)
    try:
        yield log
    finally:
        current_log.reset(token)
