"""Rigid bodies: nodes that follow the displacement and rotation of a reference point."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError
from neml2fe.fem.conditions.conditions import COMPONENTS, ROTATIONS, RigidBody
from neml2fe.fem.conditions.places import nodes_of
from neml2fe.fem.mesh.distribution import LocalMesh

Array = NDArray[np.float64]

# The generators of rotations about x, y, z.
GENERATORS = np.zeros((3, 3, 3))
for _k in range(3):
    _i, _j = (_k + 1) % 3, (_k + 2) % 3
    GENERATORS[_k, _j, _i], GENERATORS[_k, _i, _j] = 1.0, -1.0


class RigidLink:
    """u = u_ref + (R(theta) - I)(X - X_ref), or theta x (X - X_ref) at small strain.

    - `first`: the number of its first control node. That holds u_ref, the next one theta (its
      component 0 in 2-D).
    - `nodes`: this rank's nodes, ghosts too; `arms` `(n, dim)` from the reference point.
    """

    n_control = 2

    def __init__(self, body: RigidBody, local: LocalMesh, first: int, finite: bool) -> None:
        self.name, self.first, self.dim, self._finite = body.name, first, local.dim, finite
        point = np.asarray(body.point, dtype=np.float64)
        if point.shape != (local.dim,):
            raise InputError(
                f"condition '{body.name}': the reference point needs {local.dim} coordinates"
            )
        self.point = point
        self.nodes = nodes_of(local, body.boundary, body.name)
        self.arms = local.points[self.nodes] - point

    @property
    def components(self) -> tuple[str, ...]:
        """Names of its degrees of freedom."""
        return ("x", "y", "rz") if self.dim == 2 else COMPONENTS + ROTATIONS

    def dof(self, component: str) -> int:
        """Number of a degree of freedom among those of all control nodes."""
        if component in COMPONENTS:
            return self.first * self.dim + COMPONENTS.index(component)
        return (self.first + 1) * self.dim + (0 if self.dim == 2 else ROTATIONS.index(component))

    @property
    def unused(self) -> list[int]:
        """Degrees of freedom of its control nodes that mean nothing."""
        return [(self.first + 1) * 2 + 1] if self.dim == 2 else []

    def _rotation(self, controls: Array) -> Array:
        angles = controls.reshape(-1, self.dim)[self.first + 1]
        return angles[:1] if self.dim == 2 else angles

    def _turn(self, angles: torch.Tensor) -> torch.Tensor:
        """R(theta) - I, `(dim, dim)`."""
        generators = torch.as_tensor(GENERATORS)
        if self.dim == 2:
            generators = generators[2:, :2, :2]
        spin = torch.einsum("k,kij->ij", angles, generators)
        if not self._finite:
            return spin
        return torch.linalg.matrix_exp(spin) - torch.eye(self.dim, dtype=spin.dtype)

    def displacements(self, controls: Array) -> Array:
        """Of its nodes, `(n, dim)`, from the values of all control nodes."""
        turn = self._turn(torch.as_tensor(self._rotation(controls))).numpy()
        return controls.reshape(-1, self.dim)[self.first] + self.arms @ turn.T

    def derivative(self, controls: Array) -> Array:
        """Of displacements by rotations, `(n, dim, 1 or 3)`."""
        angles = torch.as_tensor(self._rotation(controls))
        d_turn = torch.func.jacfwd(self._turn)(angles).numpy()
        return np.einsum("ijk,nj->nik", d_turn, self.arms)

    def second_order(self, controls: Array, forces: Array) -> Array:
        """The sum of forces `(n, dim)` times second derivatives of displacements by rotations: the
        part `(1 or 3, 1 or 3)` of the stiffness that the turning of the arms makes."""
        angles = torch.as_tensor(self._rotation(controls))
        if not self._finite:
            return np.zeros((len(angles),) * 2)
        moments = torch.as_tensor(forces.T @ self.arms)
        work = lambda a: (self._turn(a) * moments).sum()  # noqa: E731
        return torch.func.jacfwd(torch.func.jacfwd(work))(angles).numpy()

    @property
    def moves(self) -> bool:
        """Whether its displacements are not linear in its degrees of freedom."""
        return self._finite
