"""Solving recursions, and gradients of what is computed from their trajectories.

The chunked solution and its adjoint follow Messner, Hu and Chen (arXiv:2310.08649).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from neml2fe.errors import ConvergenceError, InputError, suggest
from neml2fe.implicit import Newton
from neml2fe.kernels import Untraceable, repeated
from neml2fe.kernels.store import BuildError
from neml2fe.pyzag.bidiagonal import BidiagonalThomasFactorization
from neml2fe.pyzag.binding import Binding
from neml2fe.pyzag.chunks import Chunks, Splits
from neml2fe.pyzag.march import March
from neml2fe.pyzag.model import NEML2PyzagModel
from neml2fe.pyzag.newton import ChunkNewtonRaphson
from neml2fe.pyzag.predictors import (
    ExtrapolatingPredictor,
    FullTrajectoryPredictor,
    LastStepPredictor,
    Predictor,
    PreviousStepsPredictor,
    StepExtrapolatingPredictor,
    ZeroPredictor,
)
from neml2fe.pyzag.recursion import NonlinearFunctionOperatorFactory, NonlinearRecursiveFunction
from neml2fe.pyzag.steps import InitialOffsetStepGenerator, StepGenerator
from neml2fe.pyzag.trajectory import Engine, Run, Sparse, Trajectory

__all__ = [
    "ExtrapolatingPredictor",
    "FullTrajectoryPredictor",
    "InitialOffsetStepGenerator",
    "LastStepPredictor",
    "NonlinearFunctionOperatorFactory",
    "NonlinearRecursiveFunction",
    "Outcome",
    "PreviousStepsPredictor",
    "RecursiveNonlinearEquationSolver",
    "StepExtrapolatingPredictor",
    "StepGenerator",
    "TrajectoryError",
    "ZeroPredictor",
    "sensitivities",
    "solve",
    "solve_adjoint",
]

BACKENDS = ("auto", "march", "chunk", "sequential")
POINTS = 4096  # of a chunk that is chosen here: enough for torch, and still small in memory
LONGEST = 50  # steps of such a chunk: Newton's method for longer ones takes more iterations
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
    `outcome` and in the log `neml2fe.pyzag`. All give the same trajectories and gradients.
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

    def forward(self, y0: torch.Tensor, n: int, *forces: torch.Tensor) -> torch.Tensor:
        """As `solve`."""
        return self.solve(y0, n, *forces)

    def solve(self, y0: torch.Tensor, n: int, *forces: torch.Tensor) -> torch.Tensor:
        """All n states `(n, S, n_state)`, `y0` `(S, n_state)` first; without gradients.

        `forces` are `(n, S, n_force)`, those of the initial state first. Raises `TrajectoryError`
        where specimens do not converge.
        """
        with torch.no_grad():
            return self._run(y0, n, forces, None, None)

    def adjoint(
        self,
        y0: torch.Tensor,
        n: int,
        *forces: torch.Tensor,
        components: Sequence[int] | None = None,
        keep_every: int | None = None,
    ) -> torch.Tensor:
        """As `solve`, with gradients: see `solve_adjoint`."""
        return self._run(y0, n, forces, components, keep_every)

    def _run(
        self,
        y0: torch.Tensor,
        n: int,
        forces: Sequence[torch.Tensor],
        components: Sequence[int] | None,
        keep_every: int | None,
    ) -> torch.Tensor:
        single = y0.ndim == 1
        if single:
            y0, forces = y0.unsqueeze(0), [f.unsqueeze(1) if f.ndim == 2 else f for f in forces]
        self._check(y0, n, forces, keep_every)
        with repeated(n):
            engine, choice = self._engine(y0, n, forces)
            self.outcome = choice
            _log.info("%s: %s", choice.backend, choice.reason)
            binding = Binding.of(self)

            def report(splits: Splits, states: torch.Tensor) -> None:
                self._report(splits, states)

            run = Run(engine, self._chunks(y0, n), binding, n, len(forces), report)
            if keep_every is None and components is None:
                y = Trajectory.apply(run, y0, *forces, *binding.tensors)
            else:
                chosen = range(y0.shape[-1]) if components is None else components
                index = torch.tensor([*chosen], dtype=torch.int64, device=y0.device)
                every = keep_every or n
                y = Sparse.apply(run, every, index, y0, *forces, *binding.tensors)
        return y[:, 0] if single else y

    # --- the choice of an engine ----------------------------------------------------------------
    def _engine(
        self, y0: torch.Tensor, n: int, forces: Sequence[torch.Tensor]
    ) -> tuple[Engine, Outcome]:
        chunks = self._chunks(y0, n)
        if self.backend in ("auto", "march"):
            march, reason = self._march(y0, n, forces)
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

    def _chunks(self, y0: torch.Tensor, n: int) -> Chunks:
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
            self._after,
        )

    def _march(
        self, y0: torch.Tensor, n: int, forces: Sequence[torch.Tensor]
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
            func, Newton(abs_tol=newton.atol, rel_tol=newton.rtol, substep_del_tol=newton.step_tol)
        )
        try:
            ready = march.prepared(forces, len(y0) * (n > 1), required=self.backend == "march")
        except (Untraceable, BuildError) as error:
            return None, str(error)
        if not ready:
            return None, "too few steps, or no kernel can be made (see docs/kernels.md)"
        return march, f"compiled; {len(y0)} specimens, {n - 1} steps"

    # --- checks and reports -----------------------------------------------------------------------
    def _check(
        self,
        y0: torch.Tensor,
        n: int,
        forces: Sequence[torch.Tensor],
        keep_every: int | None,
    ) -> None:
        if n < 1:
            raise InputError(f"a trajectory has at least its initial state; n is {n}")
        if keep_every is not None and keep_every < 1:
            raise InputError(f"keep_every must be at least 1, got {keep_every}")
        if y0.ndim != 2:
            raise InputError(
                f"the initial state must have shape (specimens, n_state), got {tuple(y0.shape)}"
            )
        for k, force in enumerate(forces):
            if force.ndim != 3 or tuple(force.shape[:2]) != (n, len(y0)):
                raise InputError(
                    f"driving force {k} must have shape ({n}, {len(y0)}, n_force), got "
                    f"{tuple(force.shape)}"
                )
        for name, tensor in (
            ("the initial state", y0),
            *((f"force {k}", f) for k, f in enumerate(forces)),
        ):
            if not bool(torch.isfinite(tensor.sum())) and not bool(torch.isfinite(tensor).all()):
                place = tuple((~torch.isfinite(tensor)).nonzero()[0].tolist())
                raise InputError(f"{name} is not finite at index {place}")

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
        if splits.divided:
            first, last, number = splits.divided[0]
            message = (
                f"{len(splits.divided)} chunks did not converge at once for some specimens (first: "
                f"steps {first} to {last}, {number} specimens) and were solved in shorter ones"
            )
            _log.info(message)
            if self.step_generator is not None:  # else nobody asked for chunks of this length
                warnings.warn(message, stacklevel=2)
        if not splits.failed:
            return
        shown = ", ".join(f"{s} at step {k}" for s, k in [*splits.failed.items()][:5])
        message = (
            f"{len(splits.failed)} of {states.shape[1]} specimens did not converge (specimen "
            f"{shown}{', ...' if len(splits.failed) > 5 else ''}); use smaller steps there"
        )
        if self.nonlinear_solver.throw_on_fail:
            raise TrajectoryError(message, splits.failed, states)
        warnings.warn(f"{message}; their states are NaN from there on", stacklevel=2)


def solve(
    solver: RecursiveNonlinearEquationSolver,
    y0: torch.Tensor,
    n: int,
    *forces: torch.Tensor,
    restart: torch.Tensor | None = None,
) -> torch.Tensor:
    """Trajectory `(n, S, n_state)` without gradients.

    `restart` are the first k states of it `(k, S, n_state)`, known from before: only the others
    are solved for.
    """
    return _restarted(solver.solve, y0, n, forces, restart)


def solve_adjoint(
    solver: RecursiveNonlinearEquationSolver,
    y0: torch.Tensor,
    n: int,
    *forces: torch.Tensor,
    restart: torch.Tensor | None = None,
    components: Sequence[int] | None = None,
    keep_every: int | None = None,
) -> torch.Tensor:
    """Trajectory as a node of torch's graph: gradients of parameters, y0 and forces by the
    adjoint method, and products with second derivatives (`torch.autograd.grad` of a gradient
    made with `create_graph=True`).

    `components` of the state, `(n, S, len(components))`, are returned alone if given. With
    `keep_every` = k only every k-th state is kept for the gradient and the others are computed
    again: memory for long trajectories, at the price of a second solution; first derivatives
    only.
    """

    def run(y0: torch.Tensor, n: int, *forces: torch.Tensor) -> torch.Tensor:
        return solver.adjoint(y0, n, *forces, components=components, keep_every=keep_every)

    if restart is not None and components is not None:
        raise InputError("a restart needs all components of the state")
    return _restarted(run, y0, n, forces, restart)


def _restarted(
    run: Callable[..., torch.Tensor],
    y0: torch.Tensor,
    n: int,
    forces: Sequence[torch.Tensor],
    restart: torch.Tensor | None,
) -> torch.Tensor:
    if restart is None:
        return run(y0, n, *forces)
    k = len(restart)
    if not 1 <= k <= n or restart.shape[1:] != y0.shape:
        raise InputError(
            f"restart must hold 1 to {n} states of shape {tuple(y0.shape)}, got "
            f"{tuple(restart.shape)}"
        )
    rest = run(restart[-1], n - k + 1, *(f[k - 1 :] for f in forces))
    return torch.cat((restart[:-1], rest))


@torch.no_grad()
def sensitivities(
    solver: RecursiveNonlinearEquationSolver,
    y: torch.Tensor,
    *forces: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    rates: Sequence[Sequence[torch.Tensor]],
) -> torch.Tensor:
    """Derivatives of a trajectory `y` `(N, S, n)` in P directions, `(N, S, n, P)`.

    `parameters` are some of those of the solver that require a gradient; each of `rates` holds a
    change of each of them. One linear solution a step, whatever the number of iterations before.
    """
    with repeated(len(y)):
        engine, _ = solver._engine(y[0], len(y), forces)
        zero = y.new_zeros(*y.shape[1:], len(rates))
        return engine.tangent(y, [f.detach() for f in forces], parameters, zero, rates)
