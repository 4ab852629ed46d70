"""A model at one point as scalar expressions: what a kernel is generated from."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import casadi as cs
import numpy as np
import torch

from neml2fe.kernels.trace import Tracer, Untraceable, place_of

Shapes = Mapping[str, tuple[int, ...]]
Traced = dict[str, torch.Tensor]
FILLS = (float("nan"), 1.25, -0.75)  # a model that sees its symbols' values shows by these
TRACING = threading.RLock()  # held while a model's parameters are symbols


@dataclass(frozen=True)
class Variable:
    """A named tensor of one point: its shape, and a column of symbols or expressions."""

    name: str
    shape: tuple[int, ...]
    column: cs.SX

    @property
    def size(self) -> int:
        return int(self.column.numel())


@dataclass(frozen=True)
class Stage:
    """Implicit unknowns u with r(u; g, inputs) = 0.

    `given` are symbols of the given variables g, whose values `given_values` depend on inputs
    and on the unknowns of earlier stages, as does the `guess`. `pairs` are the places in g of
    numbers that changed since the step before, each with the place of its old value.
    """

    label: str
    unknowns: cs.SX
    given: cs.SX
    given_values: cs.SX
    guess: cs.SX
    residual: cs.SX
    pairs: tuple[tuple[int, int], ...]
    settings: Callable[[], Any]  # of Newton's method, asked for at each call

    @property
    def full_residual(self) -> cs.SX:
        """The residual with the given variables written out."""
        return cs.substitute([self.residual], [self.given], [self.given_values])[0]


@dataclass(frozen=True)
class Program:
    """Outputs as expressions of inputs and of the unknowns of `stages`, found one after another."""

    label: str
    inputs: list[Variable]
    outputs: list[Variable]
    stages: list[Stage] = field(default_factory=list)

    @cached_property
    def unknowns(self) -> cs.SX:
        """The unknowns of all stages in a column."""
        return cs.vertcat(cs.SX(0, 1), *(stage.unknowns for stage in self.stages))

    @cached_property
    def input_column(self) -> cs.SX:
        """All inputs in a column."""
        return cs.vertcat(cs.SX(0, 1), *(v.column for v in self.inputs))

    @cached_property
    def firsts(self) -> list[int]:
        """Where the unknowns of each stage begin among all."""
        sizes = [int(stage.unknowns.numel()) for stage in self.stages]
        return [sum(sizes[:k]) for k in range(len(sizes))]

    @property
    def n_unknowns(self) -> int:
        return int(self.unknowns.numel())

    def input(self, name: str) -> Variable:
        return next(v for v in self.inputs if v.name == name)

    def output(self, name: str) -> Variable:
        return next(v for v in self.outputs if v.name == name)


def traced(
    label: str,
    function: Callable[[Traced], Mapping[str, torch.Tensor]],
    shapes: Shapes,
    dtype: torch.dtype = torch.float64,
) -> Program:
    """`function` of tensors of one point, of the given shapes, as a program.

    Raises `Untraceable`, which names operation and source line, where that is impossible.
    """
    # In a thread of its own, as torch keeps transforms that may be under way by thread.
    with TRACING, ThreadPoolExecutor(1) as thread:
        program, *others = (
            thread.submit(_traced, label, function, shapes, dtype, fill).result() for fill in FILLS
        )
    if any(not _equal(program, other) for other in others):
        raise Untraceable(
            f"'{label}' makes plain numbers of its inputs (by .tolist(), .numpy() or another way "
            "around torch) and computes with them"
        )
    return program


def _traced(
    label: str,
    function: Callable[[Traced], Mapping[str, torch.Tensor]],
    shapes: Shapes,
    dtype: torch.dtype,
    fill: float,
) -> Program:
    tracer = Tracer(fill)
    with torch.no_grad(), tracer.recording():
        symbols = {n: tracer.symbol(n, shape, dtype) for n, shape in shapes.items()}
        try:
            outputs = {n: v.contiguous() for n, v in function(symbols).items()}
        except Untraceable:
            raise
        except Exception as error:  # whatever a law does with a symbol that it cannot
            frames = reversed(list(traceback.walk_tb(error.__traceback__)))
            raise Untraceable(
                f"{type(error).__name__} on symbols of one point, {place_of(frames)}: {error}"
            ) from error
        if tracer.refused is not None:
            raise tracer.refused
        columns = {n: tracer.expression(v) for n, v in outputs.items()}
    inputs = [Variable(n, tuple(v.shape), tracer.expression(v)) for n, v in symbols.items()]
    results = [Variable(n, tuple(v.shape), columns[n]) for n, v in outputs.items()]
    return Program(label, inputs, results, tracer.stages)


def solved(
    tracer: Tracer,
    label: str,
    residual: Callable[[torch.Tensor, Traced], torch.Tensor],
    given: Traced,
    guess: torch.Tensor,
    continued: Mapping[str, str],
    settings: Callable[[], Any],
) -> torch.Tensor:
    """The unknowns `(1, n)` of an implicit solve as new symbols; the tracer keeps the stage.

    `residual(u, given)` is `(1, n)`; `continued` maps names of given variables to those of their
    old values. `settings` returns what `neml2fe.implicit.Newton` holds.
    """
    k = len(tracer.stages)
    columns = {n: tracer.expression(v) for n, v in given.items()}
    first, places = 0, {}
    for name, column in columns.items():
        places[name] = range(first, first + column.numel())
        first += column.numel()
    symbols = {n: tracer.symbol(f"g{k}_{n}", tuple(v.shape), v.dtype) for n, v in given.items()}
    u = tracer.symbol(f"u{k}", tuple(guess.shape), guess.dtype)
    r = residual(u, symbols)
    if r.numel() != u.numel():
        raise Untraceable(f"'{label}' has {u.numel()} unknowns, but {r.numel()} residuals")
    pairs = [
        p for new, old in continued.items() for p in zip(places[new], places[old], strict=True)
    ]
    empty = cs.SX(0, 1)
    stage = Stage(
        label,
        tracer.expression(u),
        cs.vertcat(empty, *(tracer.expression(v) for v in symbols.values())),
        cs.vertcat(empty, *columns.values()),
        tracer.expression(guess),
        tracer.expression(r),
        tuple(pairs),
        settings,
    )
    tracer.stages.append(stage)
    return u


def _equal(a: Program, b: Program) -> bool:
    """Whether two traces give the same numbers, to the bit."""
    if a.input_column.numel() != b.input_column.numel() or a.n_unknowns != b.n_unknowns:
        return False
    numbers = np.random.default_rng(0)
    values: list[np.ndarray] = []
    for program in (a, b):
        columns = [v.column for v in program.outputs]
        columns += [c for s in program.stages for c in (s.residual, s.guess, s.given_values)]
        symbols = [program.input_column, program.unknowns, *(s.given for s in program.stages)]
        function = cs.Function("numbers", symbols, [cs.vertcat(cs.SX(0, 1), *columns)])
        if not values:
            point = [numbers.uniform(0.1, 1.0, s.numel()) for s in symbols]
        values.append(np.array(function(*point)))
    return np.array_equal(values[0], values[1], equal_nan=True)
