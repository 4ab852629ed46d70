"""First derivatives of models by forward and reverse automatic differentiation.

A model acts point by point: batch entry i of an output depends only on batch entry i of
the inputs. Derivatives are therefore stored per point, `(*batch, *out_base, *in_base)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from neml2fe.models.model import Model
from neml2fe.types import TypedTensor

Raw = dict[str, torch.Tensor]


def pointwise_jacobian(
    function: Callable[[torch.Tensor], Raw], x: torch.Tensor
) -> tuple[Raw, Raw]:
    """Values and derivatives of a point-by-point `function` of `x`, shape `(*batch, n)`.

    One forward-mode sweep whose tangents carry the n unit directions, so `function` runs
    once. Returns the outputs and, by the same names, derivatives with a last dimension n.
    """
    n = x.shape[-1]
    directions = torch.eye(n, dtype=x.dtype, device=x.device)

    def along(direction: torch.Tensor) -> tuple[Raw, Raw]:
        values, tangents = torch.func.jvp(function, (x,), (direction.expand(x.shape),))
        return tangents, values

    tangents, values = torch.func.vmap(along, out_dims=(0, None))(directions)
    return values, {name: t.movedim(0, -1) for name, t in tangents.items()}


def value_and_jacobian(
    model: Model,
    inputs: Mapping[str, TypedTensor],
    wrt: Sequence[str] | None = None,
) -> tuple[Raw, dict[str, Raw]]:
    """Outputs of `model` and `jacobian[output][input]`, `(*batch, *out_base, *in_base)`.

    `wrt` lists the inputs to differentiate with respect to (all by default). The batch is
    the broadcast batch shape of the inputs. Implicit updates inside the model contribute
    their consistent tangent by the implicit function theorem.
    """
    spec = model.input_spec
    names = list(spec if wrt is None else wrt)
    typed = {name: model._typed(name, kind, inputs) for name, kind in spec.items()}
    batch = torch.broadcast_shapes(*(v.batch_shape for v in typed.values()))
    columns = [
        typed[n].data.expand(*batch, *spec[n].BASE_SHAPE).reshape(*batch, -1) for n in names
    ]
    sizes = [spec[n].base_size() for n in names]

    def function(x: torch.Tensor) -> Raw:
        parts = x.split(sizes, dim=-1)
        varied = {
            n: spec[n](part.reshape(*batch, *spec[n].BASE_SHAPE))
            for n, part in zip(names, parts, strict=True)
        }
        return {n: v.data for n, v in model._evaluate({**typed, **varied}).items()}

    values, tangents = pointwise_jacobian(function, torch.cat(columns, dim=-1))
    jacobian: dict[str, Raw] = {}
    for output, kind in model.output_spec.items():
        full = tangents[output].expand(*batch, *kind.BASE_SHAPE, sum(sizes))
        blocks = full.split(sizes, dim=-1)
        jacobian[output] = {
            n: block.reshape(*batch, *kind.BASE_SHAPE, *spec[n].BASE_SHAPE)
            for n, block in zip(names, blocks, strict=True)
        }
    return values, jacobian
