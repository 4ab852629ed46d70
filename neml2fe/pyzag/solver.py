"""`RecursiveNonlinearEquationSolver`: which way through time, checks, and what is reported."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from neml2fe.errors import ConvergenceError, InputError, suggest
from neml2fe.implicit import Newton
from neml2fe.kernels import Untraceable, repeated, repetitions
from neml2fe.kernels.store import BuildError
from neml2fe.pyzag.bidiagonal import BidiagonalThomasFactorization
from neml2fe.pyzag.binding import Binding
from neml2fe.pyzag.checks import checked
from neml2fe.pyzag.chunks import Chunks, Engine, Splits
from neml2fe.pyzag.march import March
from neml2fe.pyzag.model import NEML2PyzagModel
from neml2fe.pyzag.newton import ChunkNewtonRaphson
from neml2fe.pyzag.predictors import LastStepPredictor, Predictor
from neml2fe.pyzag.recursion import NonlinearFunctionOperatorFactory
from neml2fe.pyzag.steps import StepGenerator
from neml2fe.pyzag.trajectory import Run, Sparse, Trajectory

BACKENDS = ("auto", "march", "chunk", "sequential")
POINTS = 4096  # of a chunk that is chosen here: enough for torch, and still small in memory
LONGEST = 50  # steps of such a chunk: Newton's method for longer ones takes more iterations
MOST_ITERATIONS = 25  # of a step within a march, before another way is tried
MANY = 2048  # specimens from which on a GPU is busy with one thread each
_log = logging.getLogger("neml2fe.pyzag")


class TrajectoryError(ConvergenceError):
    """Specimens did not converge. `failed` maps each to the step that failed; `states` are all
    that was found, `(N, S, n)` with NaN from there on."""

    def __init__(self, message: str, failed: dict[int, int], states: torch.Tensor) -> None:
        super().__init__(message)
        self.failed, self.states = failed, states


@dataclass(frozen=True)
class Outcome:
    """How a solver did its last run: the backend and why; chunks that were divided, as (first
    step, last step, number of specimens); and the specimens that failed with their steps."""

    backend: str = ""
    reason: str = ""
    divided: list[tuple[int, int, int]] = field(default_factory=list)
    failed: dict[int, int] = field(default_factory=dict)
    iterations: int = 0


class RecursiveNonlinearEquationSolver(torch.nn.Module):
    """Solves `func` for whole trajectories, in chunks of steps.

    `step_generator` cuts trajectories into chunks (by default as long as suits the number of
    specimens), `predictor` guesses their states, `direct_solve_operator` (of `chunktime`) solves
    the linear systems of `nonlinear_solver`. `callbacks` see the states of each chunk.

    `backend`: `march` takes a compiled model through its steps within a kernel, `chunk` solves
    chunks of steps at once, `sequential` one step after another; `auto` chooses and says so in
    `outcome` and in the log `neml2fe.pyzag`. All give the same trajectories and gradients. A march
    takes tolerances and `miter` from `nonlinear_solver`; chunks, predictor and linear solver are
    for specimens that fail in it.
    """

    def __init__(
        self,
        func: NonlinearFunctionOperatorFactory,
        step_generator: StepGenerator | None = None,
        predictor: Predictor | None = None,
        direct_solve_operator: Any = BidiagonalThomasFactorization,
        nonlinear_solver: ChunkNewtonRaphson | None = None,
        callbacks: Sequence[Callable[[torch.Tensor], torch.Tensor]] | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if func.lookback != 1:
            raise InputError(f"recursions look back one step; this one has {func.lookback}")
        if backend not in BACKENDS:
            raise InputError(
                f"backend is {', '.join(BACKENDS)}, not '{backend}'{suggest(backend, BACKENDS)}"
            )
        self.func = func
        self.step_generator, self.backend = step_generator, backend
        self.predictor: Predictor = predictor or LastStepPredictor()
        self.direct_solve_operator = direct_solve_operator
        self.nonlinear_solver = nonlinear_solver or ChunkNewtonRaphson()
        self.callbacks = list(callbacks or [])
        self.outcome = Outcome()
        self._specimens = 0

    def forward(self, y0: torch.Tensor, n: int, *forces: torch.Tensor) -> torch.Tensor:
        """As `solve`."""
        return self.solve(y0, n, *forces)

    def solve(
        self,
        y0: torch.Tensor,
        n: int,
        *forces: torch.Tensor,
        restart: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """All n states `(n, S, n_state)`, `y0` `(S, n_state)` first; without gradients.

        `forces` are `(n, S, n_force)`, those of the initial state first. `restart` are the first k
        states `(k, S, n_state)`, if they are known. Raises `TrajectoryError` where specimens do not
        converge.
        """
        with torch.no_grad():
            return self._run(y0, n, forces, restart, None, None)

    def adjoint(
        self,
        y0: torch.Tensor,
        n: int,
        *forces: torch.Tensor,
        restart: torch.Tensor | None = None,
        components: Sequence[int] | None = None,
        keep_every: int | None = None,
    ) -> torch.Tensor:
        """As `solve`, with gradients: see `solve_adjoint`."""
        return self._run(y0, n, forces, restart, components, keep_every)

    def _run(
        self,
        y0: torch.Tensor,
        n: int,
        forces: Sequence[torch.Tensor],
        restart: torch.Tensor | None,
        components: Sequence[int] | None,
        keep_every: int | None,
    ) -> torch.Tensor:
        checked(y0, n, forces, restart, components, keep_every)
        batch = y0.shape[:-1]
        if len(batch) != 1:
            y0 = y0.reshape(-1, y0.shape[-1])
            forces = [f.reshape(n, len(y0), f.shape[-1]) for f in forces]
        known = y0.unsqueeze(0) if restart is None else restart.reshape(-1, *y0.shape)
        first = len(known) - 1  # the state that the run starts from
        y0, n, forces = known[first], n - first, [f[first:] for f in forces]
        self.func.check(y0, forces)
        with repeated(n):
            binding = Binding.of(self, self.func.held_modules())
            engine, self.outcome = self.engine(y0, n, forces, binding.tensors, first)
            _log.info("%s: %s", self.outcome.backend, self.outcome.reason)

            def report(splits: Splits, states: torch.Tensor) -> None:
                if first:
                    before = known[:first].detach()
                    before = before if components is None else before[..., list(components)]
                    splits, states = Splits().joined(splits, first), torch.cat((before, states))
                self._report(splits, states)

            chunks = self._chunks(y0, first)
            packing = self.func.packing
            run = Run(engine, chunks, binding, n, len(forces), report, repetitions(), packing)
            if keep_every is None and components is None:
                y = Trajectory.apply(run, y0, *forces, *binding.tensors)
            else:
                chosen = range(y0.shape[-1]) if components is None else components
                index = torch.tensor([*chosen], dtype=torch.int64, device=y0.device)
                y = Sparse.apply(run, keep_every or n, index, y0, *forces, *binding.tensors)
                known = known[..., index]
        self._warn()
        y = torch.cat((known[:first], y)) if first else y
        return y if len(batch) == 1 else y.reshape(len(y), *batch, y.shape[-1])

    # --- the choice of an engine ----------------------------------------------------------------
    def engine(
        self,
        y0: torch.Tensor,
        n: int,
        forces: Sequence[torch.Tensor],
        parameters: Sequence[torch.Tensor],
        first: int = 0,
    ) -> tuple[Engine, Outcome]:
        """The way through time for such a trajectory, and why; `first` is the number of y0."""
        chunks = self._chunks(y0, first)
        if n == 1:
            return chunks, Outcome("sequential", "there are no steps")
        if self.backend in ("auto", "march"):
            march, reason = self._march(y0, n, forces, parameters)
            if march is not None:
                return march, Outcome("march", reason)
            if self.backend == "march":
                raise InputError(f"backend = march: {reason}")
        else:
            reason = f"backend = {self.backend}"
        longest = max((b - a for a, b in chunks.generator(n)), default=1)
        name = "chunk" if longest > 1 else "sequential"
        how = f"chunks of {longest} steps" if longest > 1 else "step by step"
        return chunks, Outcome(name, f"{how}: {reason}")

    def _chunks(self, y0: torch.Tensor, first: int) -> Chunks:
        generator = self.step_generator
        if self.backend == "sequential":
            generator = StepGenerator(1)
        elif generator is None:
            generator = StepGenerator(min(max(POINTS // max(len(y0), 1), 1), LONGEST))
        return Chunks(
            self.func,
            generator,
            self.predictor,
            self.direct_solve_operator,
            self.nonlinear_solver,
            first,
            self._after,
        )

    def _march(
        self,
        y0: torch.Tensor,
        n: int,
        forces: Sequence[torch.Tensor],
        parameters: Sequence[torch.Tensor],
    ) -> tuple[March | None, str]:
        """An engine, or None, and the reason."""
        func = self.func
        if not isinstance(func, NEML2PyzagModel):
            return None, f"{type(func).__name__} is no model of a deck that could be compiled"
        if self.callbacks:
            return None, "callbacks see each chunk"
        if self.backend == "auto" and y0.is_cuda and len(y0) < MANY:
            return None, f"{len(y0)} specimens leave most of a GPU idle in a march"
        newton = self.nonlinear_solver
        march = March(
            func,
            Newton(
                abs_tol=newton.atol,
                rel_tol=newton.rtol,
                substep_del_tol=newton.step_tol,
                max_its=min(newton.miter, MOST_ITERATIONS),
            ),
            replace(self._chunks(y0, 0), generator=StepGenerator(1), predictor=LastStepPredictor()),
        )
        required = self.backend == "march"
        try:
            reason = march.prepared(forces, parameters, len(y0) * (n - 1), required)
        except (Untraceable, BuildError) as error:
            return None, str(error)
        if reason:
            return None, reason
        return march, f"{len(y0)} specimens, {n - 1} steps, compiled"

    # --- checks and reports -----------------------------------------------------------------------
    def _after(self, states: torch.Tensor) -> torch.Tensor:
        """Callbacks see what was found, and may not change it: the adjoint would be wrong."""
        for callback in self.callbacks:
            seen = callback(states.clone())
            if seen is not None and not torch.equal(
                torch.nan_to_num(seen), torch.nan_to_num(states)
            ):
                raise InputError(
                    "a callback changed the states of a chunk, which then solve the equations no "
                    "longer; change a copy, or the recursion"
                )
        return states

    def _report(self, splits: Splits, states: torch.Tensor) -> None:
        self.outcome = replace(
            self.outcome,
            divided=splits.divided,
            failed=splits.failed,
            iterations=splits.iterations,
        )
        if splits.failed and self.nonlinear_solver.throw_on_fail:
            raise TrajectoryError(self._failures(states.shape[1]), splits.failed, states)
        self._specimens = states.shape[1]

    def _failures(self, n_specimens: int) -> str:
        failed = self.outcome.failed
        shown = ", ".join(f"{s} at step {k}" for s, k in [*failed.items()][:5])
        return (
            f"{len(failed)} of {n_specimens} specimens did not converge (specimen {shown}"
            f"{', ...' if len(failed) > 5 else ''}); use smaller steps there"
        )

    def _warn(self) -> None:
        divided, failed = self.outcome.divided, self.outcome.failed
        if divided:
            first, last, number = divided[0]
            message = (
                f"{len(divided)} chunks did not converge at once for some specimens (first: steps "
                f"{first} to {last}, {number} specimens) and were solved in shorter ones"
            )
            _log.info(message)
            if self.step_generator is not None:  # else nobody asked for chunks of this length
                warnings.warn(message, stacklevel=_outside())
        if failed:
            message = f"{self._failures(self._specimens)}; their states are NaN from there on"
            warnings.warn(message, stacklevel=_outside())


def _outside() -> int:
    """`stacklevel` of the first caller that is neither torch nor this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("neml2fe.", "torch.")):
        frame, level = frame.f_back, level + 1
    return level
