"""Trajectories inside a compiled kernel: each specimen goes through all its steps, forward and
backward, without a way back to Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from neml2fe.implicit import Newton
from neml2fe.implicit.tracing import GUESS, PARAMETER, UNKNOWNS
from neml2fe.kernels import BAR, RATE, SOLUTION, Array, History, Request, numbers_of
from neml2fe.material import current_name, is_old
from neml2fe.pyzag.chunks import Chunks, Splits
from neml2fe.pyzag.compiled import AHEAD, OLDER
from neml2fe.pyzag.failures import finite
from neml2fe.pyzag.inner import Inner
from neml2fe.pyzag.model import NEML2PyzagModel
from neml2fe.pyzag.packing import together

Tensors = Sequence[torch.Tensor]
FORWARD = Request("update", ())


@dataclass(frozen=True)
class March:
    """The marched solution of a model; `newton` finds each step from the one before, extrapolated,
    and where it fails `rescue`, chunks of one step. Shapes as for `Chunks`.
    """

    func: NEML2PyzagModel
    newton: Newton
    rescue: Chunks
    time: str = "t"

    def prepared(self, forces: Tensors, parameters: Tensors, n_points: int, required: bool) -> str:
        """Make the kernels, that of the backward sweep too if anything requires a gradient; empty,
        or the reason why there are none. Raises it if `required`."""
        kernels = self.func.compiled.kernels(together(forces))
        own = "kernel" if required else self.func.backend
        requests = [FORWARD]
        if torch.is_grad_enabled() and (parameters or any(f.requires_grad for f in forces)):
            requests.append(self._backward_request(self._inner(forces, parameters)[0]))
        for request in requests:
            if not kernels.prepared(own, request, n_points, forces[0].device):
                return kernels.why_not(own, request, n_points, forces[0].device)
        return ""

    def forward(
        self, y0: torch.Tensor, forces: Tensors, n: int, first: int = 0
    ) -> tuple[torch.Tensor, Splits]:
        """As `Chunks.forward`. Specimens that fail go again from the last solution instead of an
        extrapolated one, and from where they fail then in steps of `rescue`."""
        y, bad, iterations = self._marched(y0, forces, n, True)
        splits = Splits(iterations=iterations)
        if bad is None:
            return y, splits
        some = bad.any(0).nonzero().squeeze(-1)
        parts = [f[:, some] for f in forces]
        with self.func.only(some):
            y[:, some], bad, more = self._marched(y0[some], parts, n, False)
        splits.iterations += more
        if bad is not None:
            starts = torch.where(bad.any(0), bad.to(torch.int64).argmax(0), n)
            for start in starts[starts < n].unique().tolist():
                late = some[starts == start]
                splits = splits.joined(*self._rescued(y, forces, late, start))
        return y, splits

    def _rescued(
        self, y: torch.Tensor, forces: Tensors, specimens: torch.Tensor, start: int
    ) -> tuple[Splits, int]:
        """Fill in the states after `start`; what happened, and `start`."""
        parts = [f[start:, specimens] for f in forces]
        with self.func.only(specimens):
            rest, splits = self.rescue.forward(y[start, specimens], parts, len(y) - start)
        y[start:, specimens] = rest
        numbers = specimens.tolist()
        splits.failed = {numbers[s]: k for s, k in splits.failed.items()}
        splits.divided.insert(0, (1, len(rest) - 1, len(numbers)))
        return splits, start

    def _marched(
        self, y0: torch.Tensor, forces: Tensors, n: int, extrapolate: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, int]:
        """All states, the steps that failed `(n - 1, S)`, if any did, and iterations."""
        f = together(forces).detach()
        kernel = self.func.compiled.kernels(f).kernel(FORWARD)
        ahead = self._ahead(f) if extrapolate else f.new_zeros(n - 1)
        states = self.func.split_state(y0)
        arguments = self._arguments(f) | {
            **{n: states[current_name(n)] for n in self.func.compiled.lagged},
            **{GUESS: y0, OLDER: y0, AHEAD: History(ahead, shared=ahead.ndim == 1)},
        }
        inputs, outputs = kernel.source.inputs, kernel.source.outputs
        to, source = numbers_of(inputs), numbers_of(outputs)[SOLUTION]
        carry = [*zip(to[GUESS], source, strict=True)]
        carry += [(a, -1 - b) for a, b in zip(to[OLDER], to[GUESS], strict=True)]
        carry += self._carried(to, source)
        y = y0.new_empty(n, *y0.shape)
        y[0] = y0
        found = kernel(
            len(y0),
            arguments,
            [self.newton],
            like=y0,
            steps=n - 1,
            carry=carry,
            into={SOLUTION: y[1:]},
        )
        iterations = int(found.iterations.sum(0).max())
        if not bool(found.status.any()) and finite(y):
            return y, None, iterations
        bad = (found.status != 0) | ~torch.isfinite(y[1:]).all(-1)
        bad = bad.cummax(0).values
        y[1:][bad] = torch.nan
        return y, bad, iterations

    def backward(
        self, y: torch.Tensor, forces: Tensors, y_bar: torch.Tensor, parameters: Tensors
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """As `Chunks.backward`."""
        y = y.detach()
        inner, of = self._inner(forces, parameters)
        lagged, request = self.func.compiled.lagged, self._backward_request(inner)
        kernel = self.func.compiled.kernels(inner.f).kernel(request)
        arguments = self._at(y, inner.f.detach())
        arguments[BAR + UNKNOWNS] = History(y_bar[1:])
        source = kernel.source
        of_parameters = [BAR + n for n in inner.values]
        to, found_at = numbers_of(source.inputs)[BAR + UNKNOWNS], numbers_of(source.outputs)
        own = self._places_of_state()
        found = kernel(
            y.shape[1],
            arguments,
            like=y,
            steps=len(y) - 1,
            summed=[BAR + n for n in inner.shared],
            over_steps=of_parameters,
            last=[BAR + n for n in lagged],
            carry=[
                (to[a], b)
                for n in lagged
                for a, b in zip(own[current_name(n)], found_at[BAR + n], strict=True)
            ],
            backwards=True,
        ).arrays
        bars = {n: found[BAR + n] for n in inner.names}
        bars |= {n: bars[n].unsqueeze(0) for n in inner.varying}
        pulled = inner.pulled(bars)
        first = y_bar[0].clone()
        for name in lagged:
            rows = own[current_name(name)]
            first[:, rows.start : rows.stop] += found[BAR + name].reshape(len(first), -1)
        return first, pulled[: len(of)], pulled[len(of) :]

    def tangent(
        self,
        y: torch.Tensor,
        forces: Tensors,
        parameters: Tensors,
        y0_rates: torch.Tensor,
        rates: Sequence[Tensors],
    ) -> torch.Tensor:
        """As `Chunks.tangent`."""
        inner, _ = self._inner(forces, parameters)
        lagged = self.func.compiled.lagged
        request = Request("jvp", (UNKNOWNS,), (*lagged, *inner.names))
        kernel = self.func.compiled.kernels(inner.f).kernel(request)
        arguments = self._at(y, inner.f.detach())
        source = kernel.source
        to, found_at = numbers_of(source.inputs), numbers_of(source.outputs)[RATE + UNKNOWNS]
        carry = self._carried({n: to[RATE + n] for n in lagged}, found_at)
        columns = []
        for p, rate in enumerate(rates):
            start = y0_rates[..., p]
            states = self.func.split_state(start)
            pushed = inner.pushed(rate)
            here = {n: History(v) if n in inner.forces else v for n, v in pushed.items()}
            here |= {n: states[current_name(n)] for n in lagged}
            rated = {RATE + n: v for n, v in here.items()}
            found = kernel(
                y.shape[1], arguments | rated, like=y, steps=len(y) - 1, carry=carry
            ).arrays[RATE + UNKNOWNS]
            columns.append(torch.cat((start.unsqueeze(0), found)))
        return torch.stack(columns, -1)

    # --- arguments ----------------------------------------------------------------------------
    def _inner(self, forces: Tensors, parameters: Tensors) -> tuple[Inner, list[torch.Tensor]]:
        leaves = [f.detach().requires_grad_(f.requires_grad) for f in forces]
        of = [f for f in leaves if f.requires_grad]
        return Inner.of(self.func, leaves, [*of, *parameters]), of

    def _backward_request(self, inner: Inner) -> Request:
        return Request("vjp", (UNKNOWNS,), (*self.func.compiled.lagged, *inner.names))

    def _arguments(self, f: torch.Tensor) -> dict[str, torch.Tensor | History]:
        """Forces and parameters."""
        new, old = self.func.split_forces(f[1:]), self.func.split_forces(f[:-1])
        given = [n for n in self.func.system.given if n not in self.func.compiled.lagged]
        return {
            **{PARAMETER + n: p.detach() for n, p in self.func.values().items()},
            **{n: History((old if is_old(n) else new)[current_name(n)]) for n in given},
        }

    def _at(self, y: torch.Tensor, f: torch.Tensor) -> dict[str, torch.Tensor | History]:
        """All arguments of derivatives at a known trajectory."""
        states, nothing = self.func.split_state(y[:-1]), y.new_zeros(y.shape[-1])
        return self._arguments(f) | {
            **{n: History(states[current_name(n)]) for n in self.func.compiled.lagged},
            **{GUESS: nothing, OLDER: nothing, AHEAD: nothing.new_zeros(())},
            SOLUTION: History(y[1:]),
        }

    def _ahead(self, f: torch.Tensor) -> torch.Tensor:
        """Ratios of successive time increments, `(N - 1,)` or `(N - 1, S)`: how far the last
        increment of the solution is to go on. None in the first step."""
        if self.time not in self.func.fvars:
            ahead = f.new_ones(len(f) - 1)
        else:
            dt = self.func.split_forces(f)[self.time].diff(dim=0)
            last = dt[:-1]
            ratio = torch.where(last > 0.0, dt[1:] / torch.where(last > 0.0, last, 1.0), 0.0)
            ahead = torch.cat((torch.zeros_like(dt[:1]), ratio))
        ahead[:1] = 0.0
        return ahead.contiguous()

    def _places_of_state(self) -> dict[str, range]:
        m = self.func
        return numbers_of([Array(n, m.shapes[n]) for n in m.svars])

    def _carried(self, to: Mapping[str, range], solution: range) -> list[tuple[int, int]]:
        """From the numbers of the solution to those of old values."""
        own = self._places_of_state()
        return [
            (a, solution[b])
            for n in self.func.compiled.lagged
            for a, b in zip(to[n], own[current_name(n)], strict=True)
        ]
