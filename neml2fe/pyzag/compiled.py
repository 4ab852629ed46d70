"""Kernels of a nonlinear system in time: Newton steps and products with its derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch

from neml2fe.implicit import Newton
from neml2fe.implicit.tracing import GUESS, PARAMETER, UNKNOWNS
from neml2fe.kernels import (
    BAR,
    RATE,
    SOLUTION,
    KernelCache,
    Kernels,
    Program,
    Request,
    StaysEager,
    common_dtype,
    current_tracer,
    solved,
    traced,
)
from neml2fe.kernels.request import CORRECTION, PROPAGATION, RESIDUAL
from neml2fe.material import current_name, is_old, lags
from neml2fe.pyzag.inner import Inner, Raw
from neml2fe.pyzag.packing import Shapes
from neml2fe.pyzag.recursion import Linearised

if TYPE_CHECKING:
    from neml2fe.pyzag.model import NEML2PyzagModel

OLDER, AHEAD = "older:", "ahead:"  # the solution before the last one; how far to extrapolate
Sweep = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]


class CompiledSystem:
    """Kernels of r(u; g, theta) = 0 with the guess u~1 + ahead (u~1 - u~2), one set for each
    combination of shapes and number type.

    Methods return None where torch is to do the work.
    """

    def __init__(self, model: NEML2PyzagModel) -> None:
        self.model = model

    @cached_property
    def _cache(self) -> KernelCache:
        return KernelCache(self.model.system.model)

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
            raise StaysEager(f"'{label}' has a block structure")

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

    def driven_by(self, f: torch.Tensor) -> Raw:
        """Forces and parameters of m steps, from forces `(m + 1, S, n_force)`."""
        m = self.model
        old, new = (m.split_forces(v.flatten(0, 1)) for v in (f[:-1], f[1:]))
        given = {n: (old if is_old(n) else new).get(current_name(n)) for n in m.system.given}
        parameters = m.of_points(len(f) - 1, f.shape[1])
        nothing = f.new_zeros(m.nstate)
        return {
            **{n: v for n, v in given.items() if v is not None},
            **{PARAMETER + n: p.detach() for n, p in parameters.items()},
            **{GUESS: nothing, OLDER: nothing, AHEAD: nothing.new_zeros(())},
        }

    def states(self, x_full: torch.Tensor) -> Raw:
        """Old and new states of m steps, from `(m + 1, S, n)`."""
        old = self.model.split_state(x_full[:-1].flatten(0, 1))
        lagged = {n: old[current_name(n)] for n in self.lagged}
        return {**lagged, SOLUTION: x_full[1:].flatten(0, 1)}

    def linearisation(self, f: torch.Tensor) -> Callable[[torch.Tensor], Linearised] | None:
        steps = (len(f) - 1, f.shape[1])
        request = Request("correction", (), self.lagged)
        kernels = self.prepared(request, f, math.prod(steps))
        if kernels is None:
            return None
        kernel, driven = kernels.kernel(request), self.driven_by(f)

        def linearised(x_full: torch.Tensor) -> Linearised:
            arguments = {**driven, **self.states(x_full)}
            found = kernel(math.prod(steps), arguments, like=x_full).arrays
            return Linearised(
                found[RESIDUAL].unflatten(0, steps),
                found[CORRECTION].unflatten(0, steps),
                self._by_all(found[PROPAGATION]).unflatten(0, steps),
            )

        return linearised

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
        linearisation = self.linearisation(inner.f.detach()) if kernels is not None else None
        if kernels is None or linearisation is None:
            return None
        linearised = linearisation(x_full)
        w = substitute(linearised.propagation)
        arguments = {**self.driven_by(inner.f.detach()), **self.states(x_full)}
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
        linearisation = self.linearisation(inner.f.detach()) if kernels is not None else None
        if kernels is None or linearisation is None:
            return None
        linearised = linearisation(x_full)
        arguments = {**self.driven_by(inner.f.detach()), **self.states(x_full)}
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
