"""`Observation`: a quantity that a test measures, linear in what a problem computes at one time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from neml2fe.fem.problem import Problem

Array = NDArray[np.float64]


@dataclass
class Instant:
    """What a problem has computed at one time, on one rank; also a change or a cotangent of it.

    - `u` `(n_local * dim,)`: displacements of the local nodes, ghosts included.
    - `q` `(n_unknowns,)`: owned unknowns, those of control nodes included.
    - `forces` `(n_unknowns,)`: internal less external forces on the owned unknowns, T^T (f_int -
      f_ext): where these are fixed, the reactions. What acts on control nodes (`ControlForce`,
      prescribed mean stresses) is not subtracted.
    - `points`: for each of the problem's solids the stress, by its material's name, and the state
      at its points, `(n, *base)`.
    """

    u: torch.Tensor
    q: Array
    forces: Array
    points: list[dict[str, torch.Tensor]]

    @classmethod
    def of(cls, problem: Problem) -> Instant:
        """The end of the last step of `problem`, in the arrays of the problem itself: clone what
        is to be kept. Collective."""
        u = torch.as_tensor(problem.unknowns.displacements(problem.q), device=problem.device)
        points = [{s.material.stress: s.stress, **s.state} for s in problem.solids]
        return cls(u, problem.q, problem.unknowns.reduced(problem.unbalanced), points)

    def zeros_like(self) -> Instant:
        """Zeros of the same shapes, for `pull` to add to."""
        points = [{name: torch.zeros_like(v) for name, v in p.items()} for p in self.points]
        return Instant(
            torch.zeros_like(self.u), np.zeros_like(self.q), np.zeros_like(self.forces), points
        )


class Observation(ABC):
    """A linear function of an `Instant`, the same for every problem that it fits."""

    @abstractmethod
    def bind(self, problem: Problem) -> BoundObservation:
        """The observation of `problem`. Collective. Raises `InputError` or `MeshError` for what the
        problem does not have, the same on every rank."""


class BoundObservation(ABC):
    """The observation of one problem. `shape`: of its value."""

    shape: tuple[int, ...]

    @abstractmethod
    def apply(self, at: Instant) -> torch.Tensor:
        """The value `(*shape)`, float64 on the CPU, the same bits on every rank. Collective."""

    @abstractmethod
    def pull(self, bar: torch.Tensor, to: Instant) -> None:
        """Add the transpose of `apply` times `bar` `(*shape)`, the same on every rank, to the
        arrays of `to`, in place: this rank's part. Not collective."""
