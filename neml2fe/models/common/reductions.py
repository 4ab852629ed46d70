"""Sums, means and differences along a batch dimension (points, specimens) or along a sub-batch
dimension (slip systems, grains)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from neml2fe.errors import ModelError
from neml2fe.models.common.copies import members
from neml2fe.models.fields import Generic, Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import R2, SR2, RegionView, Scalar, TypedTensor, diff, mean, sum

TYPES = (Scalar, R2, SR2)
_SEPARATE = ContextVar("separate", default=False)


@contextmanager
def separate_points() -> Iterator[None]:
    """Refuse reductions over the batch, whose points have nothing to do with each other."""
    token = _SEPARATE.set(True)
    try:
        yield
    finally:
        _SEPARATE.reset(token)


class Reduction(Model, abstract=True):
    from_ = Input(Generic, "Variable to reduce")
    to_ = Output(Generic, "The reduced variable")

    def require_together(self) -> None:
        """Raises `ModelError` among `separate_points`."""
        if _SEPARATE.get():
            raise ModelError(
                f"'{self.label}' ({type(self).__name__}) reduces over points that are separate: "
                f"'{self.names['from'][0]}' has no sub-batch, such as the grains that a field "
                "(n, grains, ...) brings"
            )


class DynamicReduction(Reduction, abstract=True):
    """The points of a batch enter together: this is no law of one point."""

    dim: int = Option(int, "Dimension of the batch")

    def view(self, x: TypedTensor) -> RegionView[TypedTensor]:
        self.require_together()
        return x.batch


class DynamicSum(DynamicReduction, abstract=True):
    r"""$y = \sum_i x_i$ along a batch dimension."""

    def forward(self, x: TypedTensor) -> TypedTensor:
        return sum(self.view(x), self.dim)


class DynamicMean(DynamicReduction, abstract=True):
    r"""$y = \frac1n \sum_i x_i$ along a batch dimension."""

    def forward(self, x: TypedTensor) -> TypedTensor:
        return mean(self.view(x), self.dim)


class IntermediateReduction(Reduction, abstract=True):
    """Acts on the last dimension of the batch where there is no sub-batch."""

    reduces: str = Option(str, "What the dimension is, such as 'grain': a remark", default="")

    def view(self, x: TypedTensor) -> RegionView[TypedTensor]:
        if x.sub_batch_ndim == 0:
            self.require_together()
            x = x.with_sub_batch_ndim(1)
        return x.sub_batch


class IntermediateSum(IntermediateReduction, abstract=True):
    r"""$y = \sum_i x_i$ along the last sub-batch dimension."""

    def forward(self, x: TypedTensor) -> TypedTensor:
        return sum(self.view(x), -1)


class IntermediateMean(IntermediateReduction, abstract=True):
    r"""$y = \frac1n \sum_i x_i$ along the last sub-batch dimension."""

    def forward(self, x: TypedTensor) -> TypedTensor:
        return mean(self.view(x), -1)


class IntermediateDiff(IntermediateReduction, abstract=True):
    r"""$y_i = x_{i+1} - x_i$, `n` times, along a sub-batch dimension."""

    dim: int = Option(int, "Dimension of the sub-batch")
    n: int = Option(int, "Order of the difference", default=1)

    def forward(self, x: TypedTensor) -> TypedTensor:
        return diff(self.view(x), self.n, self.dim)


for _family in (DynamicSum, DynamicMean, IntermediateSum, IntermediateMean, IntermediateDiff):
    globals().update(members(_family, f"{{}}{_family.__name__}", TYPES))
