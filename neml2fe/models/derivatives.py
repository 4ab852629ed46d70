"""First derivatives of models by automatic differentiation.

A model acts point by point: batch entry i of an output depends only on batch entry i of
the inputs. Derivatives are therefore stored per point, `(*batch, *out_base, *in_base)`.
"""

from __future__ import annotations

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
    """Outputs of `model` and `jacobian[output][input]`, `(*batch, *out_base, *in_base)`.

    `of` and `wrt` choose the outputs and inputs (all by default). The batch is the broadcast
    batch shape of the inputs and parameters. Implicit updates inside the model contribute
    their consistent tangent by the implicit function theorem.
    """
    spec, out_spec = model.input_spec, model.output_spec
    of, wrt = list(out_spec if of is None else of), list(spec if wrt is None else wrt)
    typed = {name: model._typed(name, kind, inputs) for name, kind in spec.items()}
    batch = batch_shape(model, typed.values())
    columns = [
        typed[n].data.expand((*batch, *spec[n].BASE_SHAPE)).reshape(*batch, spec[n].base_size())
        for n in wrt
    ]
    sizes = [spec[n].base_size() for n in wrt]
    out_sizes = [out_spec[n].base_size() for n in of]

    def function(x: torch.Tensor) -> tuple[torch.Tensor, Raw]:
        varied = {
            n: spec[n](part.reshape((*batch, *spec[n].BASE_SHAPE)))
            for n, part in zip(wrt, x.split(sizes, dim=-1), strict=True)
        }
        values = {n: v.data for n, v in model._evaluate({**typed, **varied}).items()}
        flat = [
            values[n].expand((*batch, *out_spec[n].BASE_SHAPE)).reshape(*batch, size)
            for n, size in zip(of, out_sizes, strict=True)
        ]
        return torch.cat(flat, dim=-1), values

    _, values, full = pointwise_jacobian(function, torch.cat(columns, dim=-1))
    jacobian: dict[str, Raw] = {}
    for output, rows in zip(of, full.split(out_sizes, dim=-2), strict=True):
        jacobian[output] = {
            n: block.reshape((*batch, *out_spec[output].BASE_SHAPE, *spec[n].BASE_SHAPE))
            for n, block in zip(wrt, rows.split(sizes, dim=-1), strict=True)
        }
    return values, jacobian
