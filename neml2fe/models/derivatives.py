"""First derivatives of models by automatic differentiation.

A model acts point by point: batch entry i of an output depends only on batch entry i of
the inputs. Derivatives are therefore stored per point, `(*batch, *out_base, *in_base)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

from neml2fe.models.functional import batch_shape
from neml2fe.models.model import Model
from neml2fe.types import TypedTensor

Raw = dict[str, torch.Tensor]
T = TypeVar("T")


def pointwise_jacobian(
    function: Callable[[torch.Tensor], tuple[torch.Tensor, T]], x: torch.Tensor
) -> tuple[torch.Tensor, T, torch.Tensor]:
    """Value, by-products and derivative of a point-by-point `function` of `x` `(*batch, n)`.

    `function` returns a value `(*batch, m)` and anything else that is wanted undifferentiated;
    the derivative is `(*batch, m, n)`. It runs once; the m rows come from one reverse sweep
    with m cotangents a point. (Forward mode would serve as well but is three times slower
    in eager torch, which expands the zero tangents of parameters.)
    """
    value, pull_back, others = torch.func.vjp(function, x, has_aux=True)  # type: ignore[misc]
    m = value.shape[-1]
    rows = torch.eye(m, dtype=value.dtype, device=value.device)
    rows = rows.reshape(m, *(1,) * (value.ndim - 1), m).expand(m, *value.shape)
    jacobian = torch.func.vmap(lambda row: pull_back(row)[0])(rows)
    return value, others, jacobian.movedim(0, -2)


def value_and_jacobian(
    model: Model,
    inputs: Mapping[str, TypedTensor],
    of: Sequence[str] | None = None,
    wrt: Sequence[str] | None = None,
) -> tuple[Raw, dict[str, Raw]]:
    """Outputs of `model` and `jacobian[output][input]`, `(*batch, *out_base, *in_base)`; a
    base shape includes the sub-batch of its variable here.

    `of` and `wrt` choose the outputs and inputs (all by default). The batch is the broadcast
    batch shape of the inputs and parameters. Implicit updates inside the model contribute
    their consistent tangent by the implicit function theorem.
    """
    spec = model.input_spec
    of, wrt = list(model.output_spec if of is None else of), list(spec if wrt is None else wrt)
    typed = {name: model._typed(name, kind, inputs) for name, kind in spec.items()}
    batch = batch_shape(model, typed.values())
    shapes = {n: inner_shape(typed[n]) for n in wrt}
    sizes = [math.prod(shapes[n]) for n in wrt]
    columns = [flattened(typed[n], batch) for n in wrt]
    out_shapes: dict[str, tuple[int, ...]] = {}

    def function(x: torch.Tensor) -> tuple[torch.Tensor, Raw]:
        varied = {
            n: typed[n].like(part.reshape((*batch, *shapes[n])))
            for n, part in zip(wrt, x.split(sizes, dim=-1), strict=True)
        }
        values = model._evaluate({**typed, **varied})
        out_shapes.update({n: inner_shape(values[n]) for n in of})
        flat = torch.cat([flattened(values[n], batch) for n in of], dim=-1)
        return flat, {n: v.data for n, v in values.items()}

    _, values, full = pointwise_jacobian(function, torch.cat(columns, dim=-1))
    out_sizes = [math.prod(out_shapes[n]) for n in of]
    jacobian: dict[str, Raw] = {}
    for output, rows in zip(of, full.split(out_sizes, dim=-2), strict=True):
        jacobian[output] = {
            n: block.reshape((*batch, *out_shapes[output], *shapes[n]))
            for n, block in zip(wrt, rows.split(sizes, dim=-1), strict=True)
        }
    return values, jacobian


def inner_shape(value: TypedTensor) -> tuple[int, ...]:
    """Sub-batch and base shape."""
    return value.sub_batch_shape + value.BASE_SHAPE


def flattened(value: TypedTensor, batch: Sequence[int]) -> torch.Tensor:
    """All components of each point in a row, `(*batch, n)`."""
    inner = inner_shape(value)
    return value.data.expand((*batch, *inner)).reshape(*batch, math.prod(inner))
