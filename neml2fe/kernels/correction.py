"""The C++ of one step of Newton's method, taken by the caller: for systems of many time steps."""

from __future__ import annotations

import casadi as cs

from neml2fe.kernels import emit
from neml2fe.kernels.program import Program
from neml2fe.kernels.request import (
    CORRECTION,
    POINT,
    PROPAGATION,
    RESIDUAL,
    SOLUTION,
    Array,
    Parts,
    Request,
    arrays_of,
    concatenated,
)
from neml2fe.kernels.update import loop, partials


def correction(program: Program, request: Request) -> Parts:
    """r, J^-1 r and J^-1 R_x with one factorisation of J, at unknowns that the caller gives."""
    (stage,) = program.stages
    x = concatenated(program.input(n).column for n in request.wrt)
    n, nx, n_in = program.n_unknowns, int(x.numel()), int(program.input_column.numel())
    arguments = {"in": program.input_column, "U": program.unknowns}
    residual = stage.full_residual
    text, by_x, _ = partials("stage_partials", residual, x, cs.SX(0, 1), arguments)
    functions = [
        emit.function(
            "FN_LARGE void stage_residual(const V* in, const V* U, V* r)",
            arguments,
            {"r": residual},
        ),
        text,
    ]
    lines = [
        f"const V* U = in + {n_in};",
        f"V c[{n}], Z[{nx + 1}][{n}] = {{}}, m[{len(by_x) + 1}];",
        "Linearised<Stage0> J;",
        "J.at(in, U);",
        "stage_residual(in, U, out);",
        "stage_partials(in, U, m);",
        f"for (int i = 0; i < {n}; ++i) c[i] = out[i];",
        "M wrong = J.apply(c, false);",
        *loop(by_x, "Z[j][i] = m[k];"),
        f"for (int j = 0; j < {nx}; ++j) wrong = wrong | J.apply(Z[j], false);",
        f"for (int i = 0; i < {n}; ++i) {{",
        f"  out[{n} + i] = c[i];",
        f"  for (int j = 0; j < {nx}; ++j) out[{2 * n} + i * {nx} + j] = Z[j][i];",
        "}",
        "status = (live & wrong) ? I{} + NOT_FINITE : status;",
    ]
    inputs = [*arrays_of(program.inputs), Array(SOLUTION, (n,))]
    outputs = [Array(RESIDUAL, (n,)), Array(CORRECTION, (n,)), Array(PROPAGATION, (n, nx))]
    return inputs, outputs, [*functions, emit.body(POINT, lines)]
