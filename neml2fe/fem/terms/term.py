"""`Term`: a part of a problem that has internal forces and a stiffness."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.distribution import LocalMesh

Index = NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """What a restart needs of a term, to be written into in place.

    numbers: (n,) original numbers of the term's elements or facets, among all of their type.
    variables: by name, `(n * points of each, ...)`.
    """

    numbers: Index
    variables: dict[str, torch.Tensor]


class Term(ABC):
    """Adds forces, and on demand their derivatives, to those of a rank's local dofs.

    `connectivity`: arrays `(n, k)` of local nodes whose dofs the term couples.
    """

    name: str
    connectivity: Sequence[Index]

    @abstractmethod
    def bind(self, matrix: LocalMatrix) -> None:
        """Remember where the term's entries go in `matrix`."""

    @abstractmethod
    def update(
        self,
        u: torch.Tensor,
        time: float,
        dt: float,
        forces: torch.Tensor,
        matrix: LocalMatrix | None,
    ) -> int:
        """Add the forces at local displacements `u` `(n_local_dofs,)` at the end of the step from
        `time - dt` to `time`, and the stiffness where a `matrix` is given. What history there
        is stays as it was until `accept`. Returns the number of points that failed, whose forces
        are NaN."""

    def accept(self) -> None:  # noqa: B027 - terms without history have nothing to do
        """The last update was the step."""

    def reset(self, time: float) -> None:  # noqa: B027
        """Back to the state at the start of the problem, at `time`. Collective."""

    def history(self, local: LocalMesh) -> History | None:
        """State and stress of the term at the end of the last step, if it has any."""
        return None

    def resultant(self, u: torch.Tensor, time: float) -> dict[str, float]:
        """This rank's part of what the load table says of the term: total forces on the body by
        `<name>_<component>`. The same names on every rank."""
        return {}
