"""Bounds on the work and memory of a deck's expressions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

MAX_LENGTH = 200_000  # characters of an expression
MAX_STEPS = 1_000_000  # nodes visited and list items made or passed on, in one evaluation
MAX_BITS = 1024  # of an integer
MAX_ELEMENTS = 100_000_000  # of one tensor
MAX_TOTAL_ELEMENTS = 400_000_000  # of all tensors made in one evaluation


# Operators whose result depends on values: at most one index for each element and dimension.
_DATA_DEPENDENT = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten._unique2.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.unique_dim.default,
}


def _meta(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


class SizeGuard(TorchDispatchMode):
    """Finds the size of every result before memory is taken for it: of what works entry by entry
    from its operands, of other operators by a dry run on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.pointwise in func.tags:
            shapes = [x.shape[::-1] for x in (*args, *kwargs.values()) if hasattr(x, "shape")]
            # Exact where the shapes fit; where not, the operator says so itself.
            sizes = [math.prod(map(max, zip_longest(*shapes, fillvalue=1)))]
        elif self._is_data_dependent(func, args):
            inputs = [x for x in tree_leaves(args) if isinstance(x, torch.Tensor)]
            sizes = [x.numel() * max(1, x.ndim) for x in inputs]
        else:
            dry_args, dry_kwargs = tree_map_only(torch.Tensor, _meta, (args, kwargs))
            if any(argument.name == "device" for argument in func._schema.arguments):
                dry_kwargs["device"] = torch.device("meta")
            dry = func(*dry_args, **dry_kwargs)
            sizes = [x.numel() for x in tree_leaves(dry) if isinstance(x, torch.Tensor)]
        self.total += sum(sizes)
        if max(sizes, default=0) > MAX_ELEMENTS:
            raise ValueError(f"a tensor of more than {MAX_ELEMENTS} elements")
        if self.total > MAX_TOTAL_ELEMENTS:
            raise ValueError(f"tensors of more than {MAX_TOTAL_ELEMENTS} elements in all")
        return func(*args, **kwargs)

    @staticmethod
    def _is_data_dependent(func: Any, args: Any) -> bool:
        if func is torch.ops.aten.index.Tensor:
            # One mask selects at most what there is; a mask beside other indices may not.
            indices = [i for i in args[1] if i is not None]
            return len(indices) == 1 and indices[0].dtype == torch.bool
        return func in _DATA_DEPENDENT
