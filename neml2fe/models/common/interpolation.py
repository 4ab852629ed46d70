"""Interpolation in tables: piecewise linear in one and bilinear in two arguments.

The axes of a table are the last sub-batch dimensions of its parameters. Beyond its ends a table
goes on with the slope of the last segment, and at a knot it has the slope to the right.
"""

from __future__ import annotations

from typing import TypeVar

import torch

from neml2fe.errors import ModelError
from neml2fe.models.fields import Generic, Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import SR2, Scalar, TypedTensor, Vec, aligned, lift

T = TypeVar("T", bound=TypedTensor)


class LinearInterpolation(Model, abstract=True):
    r"""$y = y_i + \xi\,(y_{i+1} - y_i)$ with $\xi = (x - x_i)/(x_{i+1} - x_i)$."""

    argument = Input(Scalar, "Argument $x$")
    output = Output(Generic, "Interpolated value", default="{label}")
    abscissa = Parameter(Scalar, "abscissa", "Increasing knots $x_i$", table=1)
    ordinate = Parameter(Generic, "ordinate", "Values $y_i$ at the knots", table=1)

    def setup(self) -> None:
        check_table(self, ("abscissa",))

    def forward(self, x: Scalar) -> TypedTensor:
        i, xi = locate(x, self.abscissa)
        below, above = entry(self.ordinate, i), entry(self.ordinate, i + 1)
        return below + xi * (above - below)


class ScalarLinearInterpolation(LinearInterpolation, tensor=Scalar): ...


class VecLinearInterpolation(LinearInterpolation, tensor=Vec): ...


class SR2LinearInterpolation(LinearInterpolation, tensor=SR2): ...


class BilinearInterpolation(Model, abstract=True):
    r"""$y = (1-\xi)(1-\eta)\,y_{ij} + \xi(1-\eta)\,y_{i+1,j} + (1-\xi)\eta\,y_{i,j+1}
    + \xi\eta\,y_{i+1,j+1}$ in the cell of the two arguments."""

    argument1 = Input(Scalar, "First argument")
    argument2 = Input(Scalar, "Second argument")
    output = Output(Generic, "Interpolated value", default="{label}")
    abscissa1 = Parameter(Scalar, "abscissa1", "Increasing knots of the first argument", table=1)
    abscissa2 = Parameter(Scalar, "abscissa2", "Increasing knots of the second argument", table=1)
    ordinate = Parameter(
        Generic, "ordinate", "Values, one row a knot of the first argument", table=2
    )

    def setup(self) -> None:
        check_table(self, ("abscissa1", "abscissa2"))

    def forward(self, x1: Scalar, x2: Scalar) -> TypedTensor:
        i, xi = locate(x1, self.abscissa1)
        j, eta = locate(x2, self.abscissa2)
        table, columns = rows_joined(self.ordinate)
        corner = i * columns + j
        low, high = (
            below + xi * (entry(table, corner + columns + k) - below)
            for k in (0, 1)
            for below in (entry(table, corner + k),)
        )
        return low + eta * (high - low)


class ScalarBilinearInterpolation(BilinearInterpolation, tensor=Scalar): ...


class VecBilinearInterpolation(BilinearInterpolation, tensor=Vec): ...


class SR2BilinearInterpolation(BilinearInterpolation, tensor=SR2): ...


def locate(x: Scalar, knots: Scalar) -> tuple[Scalar, Scalar]:
    """Number i (from 0) of the segment of `knots` for `x`, and x as a fraction of it."""
    (value, table), n = aligned(x.sub_batch.unsqueeze(-1), knots)
    right = (table <= value).sum(-1).clamp(1, table.shape[-1] - 1)
    i = Scalar(right - 1, n - 1)
    start, end = entry(knots, i), entry(knots, i + 1)
    return i, (x - start) / (end - start)


def entry(table: T, index: Scalar) -> T:
    """Entries `index` (whole numbers) of the last sub-batch dimension of `table`."""
    (values, i), n = aligned(table, index.sub_batch.unsqueeze(-1))
    axis, i = -1 - table.base_ndim(), lift(i, table.base_ndim())
    ndim = max(values.ndim, i.ndim)
    values, i = (v.reshape((1,) * (ndim - v.ndim) + v.shape) for v in (values, i))
    return type(table)(torch.take_along_dim(values, i, axis).squeeze(axis), n - 1)


def rows_joined(table: T) -> tuple[T, int]:
    """The last two sub-batch dimensions as one, and the length of the last."""
    first = table.data.ndim - table.base_ndim() - 2
    data = table.data.flatten(first, first + 1)
    return type(table)(data, table.sub_batch_ndim - 1), table.data.shape[first + 1]


def check_table(model: Model, abscissae: tuple[str, ...]) -> None:
    """Raises `ModelError` unless the parameters `abscissae` increase and fit the ordinate."""
    given = [getattr(model, s).data for s in abscissae if s in model._parameters]
    for knots in given:
        if knots.shape[-1] < 2 or not bool((knots.diff(dim=-1) > 0.0).all()):
            raise ModelError(
                f"{model.label}: an abscissa needs two or more increasing values, "
                f"got {knots.tolist()}"
            )
    if "ordinate" in model._parameters and len(given) == len(abscissae):
        axes = model.ordinate.sub_batch_shape[-len(abscissae) :]
        expected = tuple(knots.shape[-1] for knots in given)
        if axes != expected:
            raise ModelError(
                f"{model.label}: the ordinate has {axes} values along the axes of the table, "
                f"but the abscissae have {expected}"
            )
