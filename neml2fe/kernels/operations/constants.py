"""Operations that make no expression, or show a number to Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neml2fe.kernels.operations.rules import (
    Unsupported,
    aten,
    rule,
)

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer


@rule(
    *(aten.zeros_like, aten.ones_like, aten.full_like, aten.empty_like, aten.new_zeros),
    *(aten.new_ones, aten.new_full, aten.new_empty, aten._has_same_storage_numel),
    *(aten.is_same_size, aten._linalg_check_errors, aten.sym_size, aten._efficientzerotensor),
    aten._new_zeros_with_same_feature_meta,
)
def _constant(tracer: Tracer, func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs)


@rule(aten._local_scalar_dense, aten.item, aten.is_nonzero, aten.equal)
def _shown(tracer: Tracer, func: Any, *args: Any, **kwargs: Any) -> Any:
    raise Unsupported("takes a computed value to Python, for a branch or a number there")
