"""Trajectories chunk by chunk: forward, backward (adjoint), and in the direction of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from neml2fe.errors import InputError
from neml2fe.pyzag.newton import ChunkNewtonRaphson
from neml2fe.pyzag.predictors import FullTrajectoryPredictor, LastStepPredictor, Predictor
from neml2fe.pyzag.recursion import (
    Linearised,
    NonlinearFunctionOperatorFactory,
    gradients,
    sum_of_products,
)
from neml2fe.pyzag.steps import StepGenerator

Tensors = Sequence[torch.Tensor]


class Engine(Protocol):
    """A way through time: forward, backward and in the direction of changes, as `Chunks`."""

    @property
    def func(self) -> NonlinearFunctionOperatorFactory: ...

    def forward(
        self, y0: torch.Tensor, forces: Tensors, n: int, first: int = 0
    ) -> tuple[torch.Tensor, Splits]: ...

    def backward(
        self, y: torch.Tensor, forces: Tensors, y_bar: torch.Tensor, parameters: Tensors
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]: ...

    def tangent(
        self,
        y: torch.Tensor,
        forces: Tensors,
        parameters: Tensors,
        y0_rates: torch.Tensor,
        rates: Sequence[Tensors],
    ) -> torch.Tensor: ...


@dataclass
class Splits:
    """What happened on the way: chunks that had to be divided, and specimens that failed."""

    divided: list[tuple[int, int, int]] = field(default_factory=list)  # first, last step, specimens
    failed: dict[int, int] = field(default_factory=dict)  # specimen to the step that failed
    iterations: int = 0  # of Newton's method, over chunks; the slowest specimen of each counts

    def joined(self, later: Splits, first: int) -> Splits:
        """With those of a later stretch, whose step 0 is the step `first` here."""
        return Splits(
            [*self.divided, *((a + first, b + first, n) for a, b, n in later.divided)],
            {**{s: k + first for s, k in later.failed.items()}, **self.failed},
            self.iterations + later.iterations,
        )


@dataclass(frozen=True)
class Chunks:
    """The chunked solution of a recursion; `inverse` is one of the factorisations of `chunktime`.

    States are `(N, S, n)`, forces `(N, S, n_force)`.
    """

    func: NonlinearFunctionOperatorFactory
    generator: StepGenerator
    predictor: Predictor
    inverse: Any
    newton: ChunkNewtonRaphson
    first: int = 0  # number of the state that a restart began from
    after: Callable[[torch.Tensor], torch.Tensor] = lambda states: states

    # --- forward ----------------------------------------------------------------------------
    @torch.no_grad()
    def forward(
        self, y0: torch.Tensor, forces: Tensors, n: int, first: int = 0
    ) -> tuple[torch.Tensor, Splits]:
        """All states, `y0` `(S, n)` first; NaN from the step on in which a specimen failed.

        `first` is the number of y0 in the trajectory that a predictor may know.
        """
        y = y0.new_full((n, *y0.shape), torch.nan)
        y[0] = y0
        splits = Splits()
        separable = self.func.separable(len(y0))
        alive = torch.isfinite(y0).all(-1).nonzero().squeeze(-1)  # others failed before
        for a, b in self.generator(len(y)):
            block = _Block(self, y, forces, separable, splits)
            alive = block.solve(a, b, alive, self._predicted(y, a, b, first))
            y[a:b] = self.after(y[a:b])
        return y, splits

    def _predicted(self, y: torch.Tensor, a: int, b: int, first: int) -> torch.Tensor:
        known = isinstance(self.predictor, FullTrajectoryPredictor)  # and not what was found
        guess = self.predictor.predict(y, a + self.first + first if known else a, b - a)
        if guess.shape != y[a:b].shape:
            raise InputError(
                f"{type(self.predictor).__name__}: predicted states {a} to {b - 1} have shape "
                f"{tuple(guess.shape)}, expected {tuple(y[a:b].shape)}"
            )
        return guess

    # --- backward ---------------------------------------------------------------------------
    def backward(
        self, y: torch.Tensor, forces: Tensors, y_bar: torch.Tensor, parameters: Tensors
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Cotangents of y0, of the forces that require a gradient (in order) and of `parameters`
        for those of all states."""
        adjoint = _Adjoint(self, y, forces, y_bar, parameters)
        for _ in adjoint.sweep():
            pass
        return adjoint.y0_bar, adjoint.force_bars, adjoint.parameter_bars

    # --- in the direction of changes --------------------------------------------------------
    def tangent(
        self,
        y: torch.Tensor,
        forces: Tensors,
        parameters: Tensors,
        y0_rates: torch.Tensor,
        rates: Sequence[Tensors],
    ) -> torch.Tensor:
        """Rates of all states `(N, S, n, P)` for P directions: rates `(S, n, P)` of y0, and in
        each of `rates` those of the forces that require a gradient and of `parameters`."""
        found = y.new_zeros(*y.shape, y0_rates.shape[-1])
        found[0] = y0_rates
        for a, b in self.generator(len(y)):
            parts, of = window(forces, a, b)
            here = [[r[a - 1 : b] for r in rate[: len(of)]] + [*rate[len(of) :]] for rate in rates]
            driven, propagation = self.func.driven(
                y[a - 1 : b].detach(), parts, [*of, *parameters], here
            )
            driven[0] += propagation[0] @ found[a - 1]
            found[a:b] = -self.inverse.reduced(propagation[1:]).matmat(driven)
        return found

    # --- derivatives of the backward sweep --------------------------------------------------
    def curvature(
        self,
        y: torch.Tensor,
        forces: Tensors,
        y_bar: torch.Tensor,
        parameters: Tensors,
        y0_rate: torch.Tensor,
        rates: Tensors,
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Cotangents of y, y_bar, forces and parameters for those of what `backward` returns.

        With lambda the adjoint states and mu the tangent in the direction of these cotangents,
        they are mu for y_bar, and -d(lambda^T R_z z')/d(...) for the rest, z' being mu and them.
        """
        adjoint = _Adjoint(self, y, forces, y_bar, parameters)
        mu = self.tangent(y, forces, parameters, y0_rate.unsqueeze(-1), [rates])[..., 0]
        y_found = torch.zeros_like(y)
        force_found = [torch.zeros_like(f) for f in forces if f.requires_grad]
        parameter_found = [torch.zeros_like(p) for p in parameters]
        for a, b, w in adjoint.sweep():
            parts, of = window(forces, a, b)
            with torch.enable_grad():
                x = adjoint.y[a - 1 : b].detach().requires_grad_()
                z = [x, *of, *parameters]
                residual, jacobian = self.func.evaluate_raw(x, parts)
                transposed = jacobian.diag.detach().mT
                states = torch.linalg.solve_ex(transposed, w.unsqueeze(-1))[0].squeeze(-1)
                pulled = gradients(residual, z, states, create_graph=True)
                change = [mu[a - 1 : b], *(r[a - 1 : b] for r in rates[: len(of)])]
                phi = sum_of_products(pulled, [*change, *rates[len(of) :]])
                found = gradients(-phi, z, None)
            y_found[a - 1 : b] += found[0]
            _add(force_found, found[1 : 1 + len(of)], slice(a - 1, b))
            _add(parameter_found, found[1 + len(of) :])
        return y_found, mu, force_found, parameter_found


def window(forces: Tensors, a: int, b: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Forces of the states a - 1 to b - 1 as leaves, and those of them that require a gradient."""
    parts = [f.detach()[a - 1 : b].requires_grad_(f.requires_grad) for f in forces]
    return parts, [p for p in parts if p.requires_grad]


def _add(sums: list[torch.Tensor], more: Sequence[torch.Tensor], rows: slice | None = None) -> None:
    for total, part in zip(sums, more, strict=True):
        if rows is None:
            total += part
        else:
            total[rows] += part


class _Block:
    """Some steps of some specimens."""

    def __init__(
        self,
        chunks: Chunks,
        y: torch.Tensor,
        forces: Tensors,
        separable: bool,
        splits: Splits,
    ) -> None:
        self.chunks, self.y, self.forces = chunks, y, forces
        self.separable, self.splits = separable, splits

    def solve(self, a: int, b: int, specimens: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
        """Fill in states a to b - 1 of the specimens; returns those that did not fail."""
        if not len(specimens):
            return specimens
        bad = self._attempt(a, b, specimens, guess, False)
        if len(bad) and b - a > 1:
            self.splits.divided.append((a, b - 1, len(bad)))
            middle, last = (a + b) // 2, LastStepPredictor()
            rest = self.solve(a, middle, bad, last.predict(self.y, a, middle - a))
            self.solve(middle, b, rest, last.predict(self.y, middle, b - middle))
        elif len(bad):
            last_state = LastStepPredictor().predict(self.y, a, 1)
            bad = self._attempt(a, b, bad, last_state, True)
            self.splits.failed |= {int(s): a for s in bad}
        failed = torch.tensor([*self.splits.failed], dtype=torch.int64, device=specimens.device)
        return specimens[~torch.isin(specimens, failed)]

    def _attempt(
        self, a: int, b: int, specimens: torch.Tensor, guess: torch.Tensor, line_search: bool
    ) -> torch.Tensor:
        """Newton's method for all steps at once; returns the specimens for which it failed."""
        newton = self.chunks.newton
        known: dict[int, Callable[[torch.Tensor], Linearised]] = {}

        def evaluate(x: torch.Tensor, active: torch.Tensor) -> Linearised:
            if len(active) not in known:  # specimens are only ever taken out
                known.clear()
                known[len(active)] = self._linearisation(a, b, specimens[active], guess)
            return known[len(active)](x)

        solution = newton.solve(
            evaluate,
            lambda correction, propagation: self.chunks.inverse.reduced(propagation).matvec(
                correction
            ),
            guess[:, specimens],
            line_search or newton.line_search,
        )
        done = specimens[solution.converged]
        self.y[a:b, done] = solution.x[:, solution.converged]
        self.splits.iterations += int(solution.iterations.max())
        return specimens[~solution.converged]

    def _linearisation(
        self, a: int, b: int, chosen: torch.Tensor, guess: torch.Tensor
    ) -> Callable[[torch.Tensor], Linearised]:
        """Of the steps a to b - 1 of some specimens, as a function of their states there."""
        func, start = self.chunks.func, self.y[a - 1 : a]
        forces = [f[a - 1 : b] for f in self.forces]
        everyone = len(chosen) == self.y.shape[1]
        if self.separable and not everyone:
            forces, start = [f[:, chosen] for f in forces], start[:, chosen]
            with func.only(chosen):
                of_chosen = func.linearisation(forces)

            def alone(x: torch.Tensor) -> Linearised:
                with func.only(chosen):
                    return of_chosen(torch.cat((start, x)))

            return alone
        linearised = func.linearisation(forces)
        if everyone:
            return lambda x: linearised(torch.cat((start, x)))

        def of_some(x: torch.Tensor) -> Linearised:
            whole = guess.clone()
            whole[:, chosen] = x
            found = linearised(torch.cat((start, whole)))
            parts = (found.residual, found.correction, found.propagation)
            return Linearised(*(part[:, chosen] for part in parts))

        return of_some


class _Adjoint:
    """The backward sweep."""

    def __init__(
        self,
        chunks: Chunks,
        y: torch.Tensor,
        forces: Tensors,
        y_bar: torch.Tensor,
        parameters: Tensors,
    ) -> None:
        self.chunks, self.forces, self.parameters = chunks, forces, parameters
        self.y, self.y_bar = y.detach(), y_bar
        self.y0_bar = y_bar[0]
        self.force_bars = [torch.zeros_like(f) for f in forces if f.requires_grad]
        self.parameter_bars = [torch.zeros_like(p) for p in parameters]

    def sweep(self) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Go through the chunks from the last to the first; yields each with w = A^T lambda."""
        carried = torch.zeros_like(self.y_bar[0])
        for a, b in reversed(self.chunks.generator(len(self.y))):
            parts, of = window(self.forces, a, b)
            given = self.y_bar[a:b].clone()
            given[-1] -= carried

            def substitute(propagation: torch.Tensor, given: torch.Tensor = given) -> torch.Tensor:
                return self.chunks.inverse.reduced(propagation[1:]).vecmat(given)

            w, propagation, bars = self.chunks.func.swept_back(
                self.y[a - 1 : b], parts, substitute, [*of, *self.parameters]
            )
            carried = (propagation[0].mT @ w[0].unsqueeze(-1)).squeeze(-1)
            _add(self.force_bars, bars[: len(of)], slice(a - 1, b))
            _add(self.parameter_bars, bars[len(of) :])
            yield a, b, w
        self.y0_bar = self.y_bar[0] - carried
