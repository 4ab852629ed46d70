"""`zero_instant`: where observations put their cotangents."""

from __future__ import annotations

import numpy as np
import torch

from neml2fe.fem.observations import Instant
from neml2fe.fem.problem import Problem
from neml2fe.fem.terms.solid import SolidTerm


def zero_instant(problem: Problem) -> Instant:
    """Zeros; those of points are made when they are asked for."""
    u = torch.zeros(len(problem.u), dtype=torch.float64, device=problem.device)
    points: list[dict[str, torch.Tensor]] = [_Zeros(solid) for solid in problem.solids]
    return Instant(u, np.zeros_like(problem.q), np.zeros_like(problem.q), points)


class _Zeros(dict[str, torch.Tensor]):
    """Cotangents of the stress and state of a term, by name."""

    def __init__(self, solid: SolidTerm) -> None:
        super().__init__()
        self._like = {**solid.state, solid.material.stress: solid.stress}

    def __missing__(self, name: str) -> torch.Tensor:
        self[name] = torch.zeros_like(self._like[name])
        return self[name]
