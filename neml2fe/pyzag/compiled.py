"""Kernels of a nonlinear system in time: Newton steps and products with its derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from neml2fe.implicit import Newton
from neml2fe.implicit.tracing import GUESS, PARAMETER, UNKNOWNS
from neml2fe.kernels import (
    BAR,
    RATE,
    SOLUTION,
    HasOwnKernel,
    KernelCache,
    Kernels,
    Program,
    Request,
    common_dtype,
    current_tracer,
    solved,
    traced,
)
from neml2fe.kernels.request import CORRECTION, PROPAGATION, RESIDUAL
from neml2fe.material import current_name, is_old, lags
from neml2fe.pyzag.recursion import Linearised

if TYPE_CHECKING:
    from neml2fe.pyzag.model import NEML2PyzagModel

Raw = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]
OLDER, AHEAD = "older:", "ahead:"  # the solution before the last one; how far to extrapolate
Sweep = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]


class CompiledSystem:
    """Kernels of r(u; g, theta) = 0 with the guess u~1 + ahead (u~1 - u~2), one set for each
    combination of shapes and number type.

    Methods return None where torch is to do the work.
    """

    def __init__(self, model: NEML2PyzagModel) -> None:
        self.model = model
        self._cache = KernelCache(model.system.model)

    def __deepcopy__(self, memo: dict[int, object]) -> CompiledSystem:
        return CompiledSystem(memo.get(id(self.model), self.model))  # type: ignore[arg-type]

    # --- tracing ------------------------------------------------------------------------------
    def prepared(self, request: Request, f: torch.Tensor, n_points: int) -> Kernels | None:
        """The kernels, ready for `request`."""
        kernels = self.kernels(f)
        ready = kernels.prepared(self.model.backend, request, n_points, f.device)
        return kernels if ready else None

    def kernels(self, f: torch.Tensor) -> Kernels:
        """Kernels for the shapes of the model's variables and parameters now."""
        m, values = self.model, self.model.values()
        known = m.shapes
        given = {n: known[current_name(n)] for n in m.system.given}
        parameters = {n: tuple(p.shape[m.varies(n, p) :]) for n, p in values.items()}
        shapes = {**given, **{PARAMETER + n: shape for n, shape in parameters.items()}}
        shapes |= {GUESS: (m.nstate,), OLDER: (m.nstate,), AHEAD: ()}
        dtype = common_dtype([*values.values(), f])
        trace = partial(self._traced, shapes, [*parameters], dtype)
        return self._cache.of(m.system.model.label, shapes, dtype, trace)

    def _traced(self, shapes: Shapes, parameters: list[str], dtype: torch.dtype) -> Program:
        system = self.model.system
        label, given = system.model.label, list(system.given)
        if "block" in system.structure:
            raise HasOwnKernel(f"'{label}' has a block structure: each entry is its own point")

        def point(symbols: Raw) -> Raw:
            tracer = current_tracer()
            assert tracer is not None
            values = {n: symbols[PARAMETER + n] for n in parameters}
            guess = symbols[GUESS] + symbols[AHEAD] * (symbols[GUESS] - symbols[OLDER])
            u = solved(
                tracer,
                label,
                lambda u, g: system.residual(u, g, values),
                {n: symbols[n].unsqueeze(0) for n in given},
                guess.unsqueeze(0),
                {n: f"{n}~1" for n in given if f"{n}~1" in given},
                Newton,
            )
            return {UNKNOWNS: u.squeeze(0)}

        return traced(label, point, shapes, dtype)

    # --- each step of each specimen as a point ------------------------------------------------
    @property
    def lagged(self) -> tuple[str, ...]:
        """Old values of unknowns that the system needs."""
        names = (lags(n, 1) for n in self.model.svars)
        return tuple(n for n in names if n in self.model.system.given)

    def arguments(self, x_full: torch.Tensor, f: torch.Tensor) -> Raw:
        given = self.model.given(*(v.flatten(0, 1) for v in (x_full[:-1], f[1:], f[:-1])))
        parameters = self.model.of_points(len(x_full) - 1, x_full.shape[1])
        nothing = x_full.new_zeros(self.model.nstate)
        return {
            **given,
            **{PARAMETER + n: p for n, p in parameters.items()},
            **{GUESS: nothing, OLDER: nothing, AHEAD: nothing.new_zeros(())},
            SOLUTION: x_full[1:].flatten(0, 1),
        }

    def linearised(self, x_full: torch.Tensor, f: torch.Tensor) -> Linearised | None:
        steps = (len(x_full) - 1, x_full.shape[1])
        request = Request("correction", (), self.lagged)
        kernels = self.prepared(request, f, math.prod(steps))
        if kernels is None:
            return None
        kernel = kernels.kernel(request)
        found = kernel(math.prod(steps), self.arguments(x_full, f), like=x_full).arrays
        return Linearised(
            found[RESIDUAL].unflatten(0, steps),
            found[CORRECTION].unflatten(0, steps),
            self._by_all(found[PROPAGATION]).unflatten(0, steps),
        )

    def _by_all(self, propagation: torch.Tensor) -> torch.Tensor:
        """Columns for all unknowns, from those for the ones whose old values matter."""
        m = self.model
        if list(self.lagged) == [lags(n, 1) for n in m.svars]:
            return propagation
        sizes = [math.prod(m.shapes[n]) for n in m.svars]
        places = dict(zip(m.svars, torch.arange(m.nstate).split(sizes), strict=True))
        columns = torch.cat([torch.arange(0), *(places[current_name(n)] for n in self.lagged)])
        full = propagation.new_zeros(*propagation.shape[:-1], m.nstate)
        full[..., columns.to(full.device)] = propagation
        return full

    # --- products with derivatives ------------------------------------------------------------
    def swept_back(
        self,
        x_full: torch.Tensor,
        forces: Sequence[torch.Tensor],
        substitute: Callable[[torch.Tensor], torch.Tensor],
        wanted: Sequence[torch.Tensor],
    ) -> Sweep | None:
        inner = Inner.of(self.model, forces, wanted)
        request = Request("vjp", (UNKNOWNS,), tuple(inner.names))
        steps = (len(x_full) - 1, x_full.shape[1])
        kernels = self.prepared(request, inner.f, math.prod(steps))
        linearised = self.linearised(x_full, inner.f.detach()) if kernels is not None else None
        if kernels is None or linearised is None:
            return None
        w = substitute(linearised.propagation)
        arguments = self.arguments(x_full, inner.f.detach())
        arguments[BAR + UNKNOWNS] = w.flatten(0, 1)
        found = kernels.kernel(request)(
            math.prod(steps), arguments, like=x_full, summed=[BAR + n for n in inner.shared]
        )
        bars = {
            n: bar if n in inner.shared else bar.unflatten(0, steps)
            for n in inner.names
            for bar in [found.arrays[BAR + n]]
        }
        return w, linearised.propagation, inner.pulled(bars)

    def driven(
        self,
        x_full: torch.Tensor,
        forces: Sequence[torch.Tensor],
        wrt: Sequence[torch.Tensor],
        rates: Sequence[Sequence[torch.Tensor]],
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        inner = Inner.of(self.model, forces, wrt)
        request = Request("jvp", (UNKNOWNS,), tuple(inner.names))
        m, n_specimens = steps = (len(x_full) - 1, x_full.shape[1])
        kernels = self.prepared(request, inner.f, math.prod(steps))
        linearised = self.linearised(x_full, inner.f.detach()) if kernels is not None else None
        if kernels is None or linearised is None:
            return None
        arguments = self.arguments(x_full, inner.f.detach())
        columns = []
        for rate in rates:
            pushed = inner.pushed(rate)
            for name, value in pushed.items():
                if name in inner.varying:
                    value = value.expand(m, n_specimens, *value.shape[1:])
                arguments[RATE + name] = value if name in inner.shared else value.flatten(0, 1)
            found = kernels.kernel(request)(math.prod(steps), arguments, like=x_full)
            columns.append(-found.arrays[RATE + UNKNOWNS].unflatten(0, steps))
        return torch.stack(columns, -1), linearised.propagation


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
            values = {PARAMETER + n: v for n, v in model.values().items() if v.requires_grad}
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
