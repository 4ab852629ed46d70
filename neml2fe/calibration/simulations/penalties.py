"""What is known of a parameter field, a value of every element or node, besides the data.

`Tikhonov` wants it smooth, `TotalVariation` in pieces that are constant (L. Rudin, S. Osher,
E. Fatemi, Physica D 60, 1992).
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neml2fe.calibration.parameters import ParameterSet
from neml2fe.errors import InputError, suggest
from neml2fe.fem.mesh.elements import jacobians, reference_element
from neml2fe.fem.mesh.facets import connect_facets
from neml2fe.fem.mesh.mesh import Mesh

Array = NDArray[np.float64]

OF = ("elements", "nodes")


class Penalty(Protocol):
    """Residuals of what is known besides the data: of the entries `numbers` of x they are `rows`,
    whose half sum of squares is added to the loss."""

    def numbers(self, parameters: ParameterSet) -> Tensor: ...

    def rows(self, values: Tensor) -> Tensor: ...


class Neighbours:
    """The pairs of elements of a mesh that share a facet.

    - `pairs` `(k, 2)`: their numbers, counted through the blocks of cells.
    - `distance` `(k,)`: between their centres; `volume` `(k,)`: that times the area of the facet.

    The sum of volume * ((a - b) / distance)^2 is the integral of the squared gradient of a field
    with the values a, b, ... on a mesh of bricks, and about that on others.
    """

    def __init__(self, mesh: Mesh) -> None:
        facets = connect_facets(mesh.cells, mesh.n_nodes)
        slots = facets.twins()
        centres = np.concatenate([mesh.points[b.connectivity].mean(axis=1) for b in mesh.cells])
        areas, of = np.empty(len(slots)), facets.group_of(slots[:, 0])
        for g in np.unique(of):
            nodes = facets.groups[g].nodes(slots[of == g, 0])
            n = reference_element(facets.groups[g].facets.cell_type).n_vertices
            areas[of == g] = _areas(mesh.points[nodes[:, :n]])
        pairs = facets.element[slots]
        distance = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)
        self.pairs = torch.from_numpy(pairs)
        self.distance = torch.from_numpy(distance)
        self.volume = torch.from_numpy(areas * distance)

    def slopes(self, values: Tensor) -> Tensor:
        """`(k, 1, c)`: across each facet, of values `(n_elements, c)`."""
        first, second = values[self.pairs[:, 0]], values[self.pairs[:, 1]]
        return ((first - second) / self.distance[:, None])[:, None]


def _areas(x: Array) -> Array:
    """Of flat facets with vertices `(n, k, dim)`: length, or area."""
    if x.shape[1] == 2:
        return np.asarray(np.linalg.norm(x[:, 1] - x[:, 0], axis=1))
    a, b = (x[:, 1], x[:, 2]) if x.shape[1] == 3 else (x[:, 2], x[:, 3])
    first, second = (a - x[:, 0], b - x[:, 0]) if x.shape[1] == 3 else (a - x[:, 0], b - x[:, 1])
    return 0.5 * np.asarray(np.linalg.norm(np.cross(first, second), axis=1))


class Gradients:
    """The gradient at the quadrature points of all elements, of a field given at the nodes; their
    `volume` `(k,)`."""

    def __init__(self, mesh: Mesh) -> None:
        self._blocks: list[tuple[Tensor, Tensor]] = []
        volumes = []
        for cell_type, connectivity in mesh.cells:
            element = reference_element(cell_type)
            xi, w = element.quadrature(max(1, 2 * (element.degree - 1)))
            reference = element.tabulate(xi)[1]
            jacobian = jacobians(mesh.points[connectivity], reference)
            gradients = np.einsum("qkj,eqji->eqik", reference, np.linalg.inv(jacobian))
            self._blocks.append((torch.from_numpy(connectivity), torch.from_numpy(gradients)))
            volumes.append((w * np.linalg.det(jacobian)).ravel())
        self.volume = torch.from_numpy(np.concatenate(volumes))

    def slopes(self, values: Tensor) -> Tensor:
        """`(k, dim, c)`, of values `(n_nodes, c)`."""
        parts = [
            torch.einsum("eqik,ekc->eqic", gradients, values[nodes]).flatten(0, 1)
            for nodes, gradients in self._blocks
        ]
        return torch.cat(parts)


class FieldPenalty(ABC):
    """`weight` times the roughness of the parameter field `name`, such as "fields.E": a tensor of
    the simulation with a value of every element or node (`of`) of `mesh`, `(n, ...)`.

    It is that of the field on the scale of the fit, which goes from 0 at its lower bound to 1 at
    its upper bound: a logarithmic one makes it one of relative differences.
    """

    def __init__(self, mesh: Mesh, name: str, weight: float, of: str = "elements") -> None:
        if not 0.0 < weight < math.inf:
            raise InputError(f"the weight of a penalty must be positive, got {weight:g}")
        if of not in OF:
            raise InputError(f"a field has values of elements or nodes, not '{of}'")
        self.name, self.weight, self.of = name, weight, of
        self._at = Neighbours(mesh) if of == "elements" else Gradients(mesh)
        self._n = mesh.n_elements if of == "elements" else mesh.n_nodes

    def weighing(self, weight: float) -> FieldPenalty:
        """The same with another weight."""
        other = copy.copy(self)
        other.weight = weight
        return other

    def numbers(self, parameters: ParameterSet) -> Tensor:
        """Which entries of x are the field, `(n, k)`. Raises `InputError` for a field that is not
        fitted or has no value of every element or node."""
        if self.name not in parameters.tensor_names:
            raise InputError(
                f"no parameter '{self.name}' is fitted{suggest(self.name, parameters.tensor_names)}"
            )
        found = [i for i, n in enumerate(parameters.names) if n.startswith(f"{self.name}[")]
        if not found or len(found) % self._n:
            raise InputError(
                f"'{self.name}' has {len(found) or 1} values for {self._n} {self.of}: it is no "
                "field"
            )
        return torch.tensor(found).reshape(self._n, -1)

    def rows(self, values: Tensor) -> Tensor:
        """Residuals whose half sum of squares is the penalty of `values` `(n, k)`."""
        rows = self.root(self._at.slopes(values))
        return (rows * (self.weight * self._at.volume[:, None, None]).sqrt()).flatten()

    @abstractmethod
    def root(self, slopes: Tensor) -> Tensor:
        """r `(., d, c)`, of which r^2 / 2 summed over d is the roughness at slopes along d
        directions."""


class Tikhonov(FieldPenalty):
    """weight / 2 times the integral of the squared gradient."""

    def root(self, slopes: Tensor) -> Tensor:
        return slopes


class TotalVariation(FieldPenalty):
    """`weight` times the integral of sqrt(g^2 + s^2) - s: the variation, rounded where g is below
    `smoothing` s (in parts of the range per length). g is the gradient across a facet for values
    of elements, the size of the gradient for values of nodes."""

    def __init__(
        self, mesh: Mesh, name: str, weight: float, smoothing: float, of: str = "elements"
    ) -> None:
        super().__init__(mesh, name, weight, of)
        if not 0.0 < smoothing < math.inf:
            raise InputError(f"the smoothing of a variation must be positive, got {smoothing:g}")
        self._s = smoothing

    def root(self, slopes: Tensor) -> Tensor:
        s, size = self._s, slopes.square().sum(dim=1, keepdim=True)
        return slopes * (2.0 / ((size + s * s).sqrt() + s)).sqrt()
