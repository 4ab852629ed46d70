"""Arrays of scikit-fem, components first, and those of a material, points first."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import ModelError, suggest
from neml2fe.material import PointMaterial, State
from neml2fe.models.model import Spec
from neml2fe.types import SR2

PLACES = ((0, 5, 4), (5, 1, 3), (4, 3, 2))  # of tensor components in Mandel order
Array = NDArray[np.float64]
Arrays = dict[str, Array]


class Layout:
    """Between `(..., elements, points)` in `d` dimensions and `(n, ...)` of `material`, with n all
    points of the elements one after the other."""

    def __init__(self, material: PointMaterial, d: int, shape: tuple[int, int]) -> None:
        self.d, self.shape, self.n = d, shape, math.prod(shape)
        self._small = material.strain_kind is SR2
        pairs = [(i, j) for i in range(d) for j in range(d)]
        self._places = np.array([PLACES[i][j] if self._small else 3 * i + j for i, j in pairs])
        # A row of tensor components times this gives the Mandel ones of its symmetric part; the
        # transpose gives the components of a symmetric tensor.
        self._mandel = np.zeros((d * d, 6))
        for row, (i, j) in enumerate(pairs):
            self._mandel[row, PLACES[i][j]] = 1.0 if i == j else math.sqrt(0.5)
        weights = self._mandel.max(0)
        self._weights = np.outer(weights, weights).reshape(36, 1)
        self._pairs = (6 * self._places[:, None] + self._places).ravel()

    def strain(self, gradient: ArrayLike) -> torch.Tensor:
        """`(n, 6)`, or the deformation gradient `(n, 3, 3)`, of a displacement gradient."""
        h = self._checked(gradient, "the displacement gradient")
        if self._small:
            return torch.from_numpy(h.T @ self._mandel)
        f = torch.eye(3, dtype=torch.float64).repeat(self.n, 1, 1)
        f.view(self.n, 9).numpy()[:, self._places] += h.T
        return f

    def gradient_bar(self, strain_bar: torch.Tensor) -> Array:
        """The transpose of `strain`; at small strain of stresses as well."""
        flat = strain_bar.reshape(self.n, -1).numpy()
        h = self._mandel @ flat.T if self._small else flat.T[self._places]
        return h.reshape(self.d, self.d, *self.shape)

    stress = gradient_bar  # the components of stress are conjugate to those of the gradient

    def stress_bar(self, bar: ArrayLike) -> torch.Tensor:
        """The transpose of `stress`."""
        flat = self._checked(bar, "a cotangent of the stress")
        if self._small:
            return torch.from_numpy(flat.T @ self._mandel)
        full = torch.zeros(self.n, 3, 3, dtype=torch.float64)
        full.view(self.n, 9).numpy()[:, self._places] = flat.T
        return full

    def tangent(self, tangent: torch.Tensor) -> Array:
        """`(d, d, d, d, elements, points)`"""
        d, values = self.d, tangent.numpy()
        if self._small:
            rows = np.ascontiguousarray(values.reshape(self.n, 36).T)
            rows *= self._weights
            found = rows.take(self._pairs, axis=0)
        else:
            found = np.ascontiguousarray(np.moveaxis(values[:, :d, :d, :d, :d], 0, -1))
        return found.reshape(*(4 * (d,)), *self.shape)

    def variables(self, state: State) -> Arrays:
        """`(*base, elements, points)` of each."""
        return {
            name: np.moveaxis(v.numpy(), 0, -1).reshape(*v.shape[1:], *self.shape)
            for name, v in state.items()
        }

    def points(self, what: str, given: Mapping[str, ArrayLike], spec: Spec) -> State:
        """The transpose of `variables`; numbers and `(*base)` are the same at all points."""
        found = {}
        for name, value in given.items():
            if name not in spec:
                raise ModelError(f"scikit-fem: no {what} '{name}'{suggest(name, spec)}")
            base, array = spec[name].BASE_SHAPE, np.asarray(value, dtype=np.float64)
            pointwise = array.ndim >= len(base) + 2 and array.shape[-2:] == self.shape
            inner = array.shape[:-2] if pointwise else array.shape
            if inner[len(inner) - len(base) :] != base or not (pointwise or inner == base):
                raise ModelError(
                    f"scikit-fem: {what} '{name}' must have shape {base} or "
                    f"{(*base, *self.shape)}, got {array.shape}"
                )
            if pointwise:
                array = np.moveaxis(array.reshape(*inner, self.n), -1, 0)
            else:
                array = np.broadcast_to(array, (self.n, *inner))
            found[name] = torch.from_numpy(np.ascontiguousarray(array))
        return found

    def _checked(self, value: ArrayLike, what: str) -> Array:
        array, d = np.asarray(value, dtype=np.float64), self.d
        if array.shape != (d, d, *self.shape):
            hint = ""
            if array.shape[:2] == (2, 2) and d == 3:
                hint = "; in two dimensions say which: 'plane_strain' or 'plane_stress'"
            elif array.shape == (d, *self.shape):
                hint = "; of a displacement take skfem.helpers.grad"
            raise ModelError(
                f"scikit-fem: {what} must have shape {(d, d, *self.shape)}, components, elements, "
                f"points of an element; got {array.shape}{hint}"
            )
        return array.reshape(d * d, self.n)
