"""What a kernel computes, and the arrays that it reads and writes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import casadi as cs

from neml2fe.kernels.program import Program, Variable

SOLUTION = "solution"  # the unknowns of all stages
RESIDUAL, CORRECTION, PROPAGATION = "residual", "correction", "propagation"
BAR, RATE = "bar:", "rate:"  # before the names of cotangents and of rates
POINT = (
    "FN_LARGE void point(const V* in, V* out, M live, const Settings* s, I& status, I& iterations)"
)


@dataclass(frozen=True)
class Request:
    """What a kernel computes.

    `update`: the outputs `of`, the unknowns, and derivatives of each of `tangent_of` by each of
    `wrt`. `vjp`: from inputs, unknowns and cotangents of `of`, the cotangents of `wrt`. `jvp`:
    from inputs, unknowns and rates of `wrt`, the rates of `of`. `correction`: from inputs and
    unknowns u of a single stage, its residual r, J^-1 r and J^-1 dr/dx for the inputs x of `wrt`.
    """

    kind: str
    of: tuple[str, ...]
    wrt: tuple[str, ...] = ()
    tangent_of: tuple[str, ...] = ()
    condensed: bool = True  # eliminate linear unknowns before the dense solve


@dataclass(frozen=True)
class Array:
    """An array that a kernel reads or writes: name and shape of one point."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def numbers_of(arrays: Iterable[Array]) -> dict[str, range]:
    """Where the numbers of each array lie in a row of all."""
    found, first = {}, 0
    for array in arrays:
        found[array.name] = range(first, first + array.size)
        first += array.size
    return found


Parts = tuple[list[Array], list[Array], list[str]]  # read, written, functions in C++


def arrays_of(variables: Iterable[Variable], prefix: str = "") -> list[Array]:
    return [Array(prefix + v.name, v.shape) for v in variables]


def concatenated(columns: Iterable[cs.SX]) -> cs.SX:
    return cs.vertcat(cs.SX(0, 1), *columns)


def dependence(
    program: Program, of: Iterable[str], wrt: Iterable[str]
) -> tuple[list[Variable], list[Variable], cs.SX, cs.SX, cs.SX]:
    """Outputs and inputs by name; the columns of these inputs, these outputs and all unknowns."""
    outputs, inputs = [program.output(n) for n in of], [program.input(n) for n in wrt]
    x, y = (concatenated(v.column for v in variables) for variables in (inputs, outputs))
    return outputs, inputs, x, y, program.unknowns
