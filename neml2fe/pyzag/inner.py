"""Between the tensors that derivatives are wanted by and the variables of a kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from neml2fe.implicit.tracing import PARAMETER
from neml2fe.material import current_name, is_old, lags

if TYPE_CHECKING:
    from neml2fe.pyzag.model import NEML2PyzagModel

Raw = dict[str, torch.Tensor]


class Inner:
    """Between the tensors z that derivatives are wanted by and the variables of a kernel: the
    parameters as the system has them, which may be functions of z, and single forces.

    Names of parameters are those of the kernel's arguments.
    """

    def __init__(
        self,
        model: NEML2PyzagModel,
        f: torch.Tensor,
        values: Raw,
        wanted: Sequence[torch.Tensor],
    ) -> None:
        self.model, self.f, self.values, self.wanted = model, f, values, wanted
        self.forces = [n for n in model.system.given if current_name(n) in model.fvars]
        self.forces = self.forces if f.requires_grad else []
        self.names = [*self.forces, *values]
        bare = {n: n.removeprefix(PARAMETER) for n in values}
        self.varying = [n for n, v in values.items() if model.varies(bare[n], v)]
        self.shared = [n for n in values if n not in self.varying]

    @classmethod
    def of(
        cls, model: NEML2PyzagModel, forces: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]
    ) -> Inner:
        """`forces` are leaves, `wanted` some of them and parameters of the model."""
        with torch.enable_grad():
            f = forces[0] if len(forces) == 1 else torch.cat(list(forces), dim=-1)
            known, own = model.values(), model.full_names.values()
            values = {PARAMETER + n: known[n] for n in own if known[n].requires_grad}
        return cls(model, f, values if wanted else {}, wanted)

    @property
    def tensors(self) -> list[torch.Tensor]:
        return [*([self.f] if self.forces else []), *self.values.values()]

    def pulled(self, bars: Raw) -> list[torch.Tensor]:
        """Cotangents of `wanted` for those of `names`: `(m, S, *shape)` for forces, and for
        parameters `(m, S, *shape)` where they vary by specimen, else in their shape."""
        inner = []
        if self.forces:
            new, old = (self._packed(bars, lagged) for lagged in (False, True))
            inner.append(torch.cat((torch.zeros_like(new[:1]), new)))
            inner[0][:-1] += old
        for name, value in self.values.items():
            bar = bars[name]
            if name in self.varying:
                bar = bar.sum(0).sum_to_size(value.shape)
            inner.append(bar.to(value.dtype))
        return chained(self.tensors, self.wanted, inner)

    def pushed(self, rates: Sequence[torch.Tensor]) -> Raw:
        """Rates of `names` for those of `wanted`."""
        tensors = self.tensors
        with torch.enable_grad():
            seeds = [torch.zeros_like(t, requires_grad=True) for t in tensors]
            pulled = chained(tensors, self.wanted, seeds, create_graph=True)
            products = [(p * r).sum() for p, r in zip(pulled, rates, strict=True)]
            found = torch.autograd.grad(
                torch.stack(products).sum(), seeds, allow_unused=True, materialize_grads=True
            )
        known = dict(zip(self.values, found[len(found) - len(self.values) :], strict=True))
        if self.forces:
            new, old = (self.model.split_forces(v) for v in (found[0][1:], found[0][:-1]))
            known |= {n: (old if is_old(n) else new)[current_name(n)] for n in self.forces}
        return known

    def _packed(self, bars: Raw, lagged: bool) -> torch.Tensor:
        """Cotangents of the forces, now or one step before, in rows `(m, S, n_force)`."""
        m = self.model
        rows = []
        steps = next(iter(bars[n] for n in self.forces)).shape[:2]
        for name in m.fvars:
            known = bars.get(lags(name, 1) if lagged else name)
            size = math.prod(m.shapes[name])
            rows.append(
                self.f.new_zeros(*steps, size) if known is None else known.reshape(*steps, size)
            )
        return torch.cat(rows, dim=-1)


def chained(
    of: Sequence[torch.Tensor],
    wrt: Sequence[torch.Tensor],
    bars: Sequence[torch.Tensor],
    create_graph: bool = False,
) -> list[torch.Tensor]:
    """The sum of products of `bars` with the derivatives of `of` by each of `wrt`."""
    if not of or not wrt:
        return [torch.zeros_like(z) for z in wrt]
    return list(
        torch.autograd.grad(
            list(of),
            list(wrt),
            list(bars),
            allow_unused=True,
            materialize_grads=True,
            create_graph=create_graph,
            retain_graph=True,
        )
    )
