"""The points of one implicit solve in a row, and back in the shape of the caller's batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from neml2fe.errors import ModelError
from neml2fe.implicit.system import NonlinearSystem, Raw, unpacked
from neml2fe.models.derivatives import inner_shape
from neml2fe.models.functional import parameter_base_ndims, parameter_sub_batch_ndims
from neml2fe.models.model import Values
from neml2fe.types import TypedTensor


@dataclass(frozen=True)
class Points:
    """Given variables and parameters of N points as raw tensors, by name.

    In a system of `block` structure each entry of the sub-batch is a point of its own.
    """

    values: Raw  # (N, *sub_batch, *base)
    parameters: Raw  # (N, *inner) where they vary by point, else (*inner)
    guess: Raw  # predicted unknowns, like `values`
    base_ndim: dict[str, int]  # inner dimensions of the parameters
    batch: tuple[int, ...]  # of N numbers; the caller's, then the entries
    unknowns: Values  # empty ones, with the caller's sub-batch
    entries: int = 0  # how many dimensions of `batch` are the caller's sub-batch

    @classmethod
    def of(cls, system: NonlinearSystem, values: Values, guess: Values) -> Points:
        """The points of a call of `system.model` with `values`; `guess` is of some unknowns."""
        base_ndim = parameter_base_ndims(system.model)
        parameters: Raw = dict(system.model.named_parameters())
        unknowns = _unknowns(system, values, parameters)
        entries = _entries(system, unknowns)
        if entries:
            sub = parameter_sub_batch_ndims(system.model)
            values = {n: _folded(v, entries) for n, v in values.items()}
            guess = {n: _folded(v, entries) for n, v in guess.items()}
            parameters = {
                n: _folded_parameter(p, base_ndim[n], sub[n], entries)
                for n, p in parameters.items()
            }
        batch = torch.broadcast_shapes(
            *(v.batch_shape for v in values.values()),
            *(p.shape[: p.ndim - base_ndim[n]] for n, p in parameters.items()),
        )

        def in_a_row(value: torch.Tensor, inner: tuple[int, ...]) -> torch.Tensor:
            # Contiguous: forward-mode duals refuse the overlapping memory of expanded tensors.
            return value.expand((*batch, *inner)).reshape(math.prod(batch), *inner).contiguous()

        return cls(
            {name: in_a_row(v.data, inner_shape(v)) for name, v in values.items()},
            {
                n: in_a_row(p, p.shape[p.ndim - base_ndim[n] :]) if p.ndim > base_ndim[n] else p
                for n, p in parameters.items()
            },
            {name: in_a_row(v.data, inner_shape(v)) for name, v in guess.items()},
            base_ndim,
            tuple(batch),
            unknowns,
            len(entries),
        )

    @property
    def number(self) -> int:
        return math.prod(self.batch)

    def like(self) -> torch.Tensor:
        """Some tensor of the right dtype and device."""
        return next(iter([*self.values.values(), *self.parameters.values()]))

    def only(self, chosen: torch.Tensor) -> Points:
        """The points of these numbers."""
        return replace(
            self,
            values={n: v[chosen] for n, v in self.values.items()},
            parameters={
                n: p[chosen] if p.ndim > self.base_ndim[n] else p
                for n, p in self.parameters.items()
            },
            guess={n: v[chosen] for n, v in self.guess.items()},
            batch=(len(chosen),),
            unknowns={
                n: type(v)(v.data.flatten(0, self.entries), v.sub_batch_ndim - self.entries)
                for n, v in self.unknowns.items()
            },
            entries=0,
        )

    def restored(self, u: torch.Tensor) -> Values:
        """Unknowns `(N, n)` as variables of the caller's batch and sub-batch."""
        shapes = {n: inner_shape(v)[self.entries :] for n, v in self.unknowns.items()}
        parts = unpacked(u.reshape(*self.batch, u.shape[-1]), shapes)
        return {name: self.unknowns[name].like(part) for name, part in parts.items()}


def _unknowns(system: NonlinearSystem, values: Values, parameters: Raw) -> Values:
    """Unknowns of no points."""
    given = {n: values[n].data.new_zeros(0, *inner_shape(values[n])) for n in system.given}
    layout = system.layout(given, parameters)
    return {
        name: kind(torch.empty(0, *shape), len(shape) - kind.base_ndim())
        for (name, kind), shape in zip(system.unknowns.items(), layout.shapes.values(), strict=True)
    }


def _entries(system: NonlinearSystem, unknowns: Values) -> tuple[int, ...]:
    """The leading sub-batch that all unknowns of a `block` system share; else nothing."""
    if not system.structure or "dense" in system.structure:
        return ()
    subs = {name: value.sub_batch_shape for name, value in unknowns.items()}
    common = min(subs.values(), key=len)
    if any(sub[: len(common)] != common for sub in subs.values()):
        raise ModelError(
            f"'{system.model.label}': the unknowns of a block structure must share their leading "
            f"sub-batch, but they have {subs}"
        )
    return common


def _folded(value: TypedTensor, entries: tuple[int, ...]) -> TypedTensor:
    """`value` with its leading sub-batch `entries` as batch, or of size one where it has none."""
    k = len(entries)
    if value.sub_batch_shape[:k] == entries:
        return value.with_sub_batch_ndim(value.sub_batch_ndim - k)
    return value.batch.unsqueeze(-1, k) if value.batch_shape else value


def _folded_parameter(
    value: torch.Tensor, inner_ndim: int, sub_batch_ndim: int, entries: tuple[int, ...]
) -> torch.Tensor:
    """The same for a parameter, whose number of inner dimensions stays as it is."""
    split, k = value.ndim - inner_ndim, len(entries)
    batch, inner = value.shape[:split], value.shape[split:]
    if sub_batch_ndim >= k and inner[:k] == entries:
        return value.reshape(*batch, *entries, *(1,) * k, *inner[k:])
    return value.reshape(*batch, *(1,) * k, *inner) if batch else value
