"""The C++ of an update: stages one after another, outputs, and their tangents."""

from __future__ import annotations

import casadi as cs

from neml2fe.kernels import emit
from neml2fe.kernels.jacobian import Places, jacobian, nonzeros, places
from neml2fe.kernels.program import Program, Variable
from neml2fe.kernels.request import (
    POINT,
    SOLUTION,
    Array,
    Parts,
    Request,
    arrays_of,
    concatenated,
    dependence,
)


def update(program: Program, request: Request) -> Parts:
    """Outputs, unknowns, and derivatives by forward substitution through the stages."""
    of = [program.output(n) for n in request.of]
    solution = Variable(SOLUTION, (program.n_unknowns,), program.unknowns)
    inputs, nu = program.input_column, program.n_unknowns
    results = concatenated(v.column for v in [*of, solution])
    arguments = {"in": inputs, "U": program.unknowns}
    functions = [
        emit.function(
            "FN_LARGE void values(const V* in, const V* U, V* y)", arguments, {"y": results}
        )
    ]
    lines = [f"V U[{nu + 1}];"]
    for k in range(len(program.stages)):
        lines.append(f"find<Stage{k}>(in, U, live, s[{k}], status, iterations);")
    lines.append("values(in, U, out);")
    arrays = arrays_of([*of, solution])
    if request.tangent_of:
        more, calls, found = _tangent(program, request, int(results.numel()))
        functions += more
        lines += calls
        arrays += found
    return arrays_of(program.inputs), arrays, [*functions, emit.body(POINT, lines)]


def _tangent(
    program: Program, request: Request, first: int
) -> tuple[list[str], list[str], list[Array]]:
    """dy/dx = Y_x + Y_u Z with Z = dU/dx, stage by stage -J^-1 (R_x + R_U Z)."""
    of, wrt, x, y, U = dependence(program, request.tangent_of, request.wrt)
    nx, ny, nu = int(x.numel()), int(y.numel()), program.n_unknowns
    arguments = {"in": program.input_column, "U": U}
    functions, lines = [], [f"V Z[{nx}][{nu + 1}] = {{}}, D[{ny}][{nx}] = {{}};"]
    for k, stage in enumerate(program.stages):
        residual, at = stage.full_residual, program.firsts[k]
        text, by_x, by_u = partials(f"stage{k}_partials", residual, x, U[:at], arguments)
        functions.append(text)
        lines += [
            f"{{ Linearised<Stage{k}> J; V m[{len(by_x) + len(by_u) + 1}];",
            "  J.at(in, U);",
            f"  stage{k}_partials(in, U, m);",
            *loop(by_x, f"Z[j][{at} + i] -= m[k];"),
            *loop(
                by_u, f"for (int c = 0; c < {nx}; ++c) Z[c][{at} + i] -= m[k] * Z[c][j];", len(by_x)
            ),
            f"  for (int j = 0; j < {nx}; ++j) "
            f"status = (live & J.apply(Z[j] + {at}, false)) ? I{{}} + NOT_FINITE : status; }}",
        ]
    text, by_x, by_u = partials("output_partials", y, x, U, arguments)
    functions.append(text)
    lines += [
        f"{{ V m[{len(by_x) + len(by_u) + 1}];",
        "  output_partials(in, U, m);",
        *loop(by_x, "D[i][j] = m[k];"),
        *loop(by_u, f"for (int c = 0; c < {nx}; ++c) D[i][c] += m[k] * Z[c][j];", len(by_x)),
        "}",
    ]
    arrays, row, place = [], 0, first
    for out in of:
        column = 0
        for variable in wrt:
            lines.append(
                f"for (int i = 0; i < {out.size}; ++i) for (int j = 0; j < {variable.size}; ++j) "
                f"out[{place} + i * {variable.size} + j] = D[{row} + i][{column} + j];"
            )
            arrays.append(Array(f"{out.name}/{variable.name}", out.shape + variable.shape))
            column += variable.size
            place += out.size * variable.size
        row += out.size
    return functions, lines, arrays


def partials(
    name: str, y: cs.SX, x: cs.SX, u: cs.SX, arguments: dict[str, cs.SX]
) -> tuple[str, Places, Places]:
    """A function for the nonzeros of dy/dx and then dy/du, and their places."""
    parts = [jacobian(y, x), jacobian(y, u)]
    text = emit.function(
        f"FN_LARGE void {name}(const V* in, const V* U, V* m)",
        arguments,
        {"m": cs.vertcat(*map(nonzeros, parts))},
    )
    by_x, by_u = map(places, parts)
    return text, by_x, by_u


def loop(places: Places, statement: str, first: int = 0) -> list[str]:
    """`statement` for every nonzero m[k] in row i and column j; the first one is m[`first`]."""
    if not places:
        return []
    rows, columns = (", ".join(map(str, p)) for p in zip(*places, strict=True))
    return [
        f"  {{ const short rows[] = {{{rows}}}, columns[] = {{{columns}}};",
        f"    for (int z = 0; z < {len(places)}; ++z) {{",
        f"      const int i = rows[z], j = columns[z], k = z + {first};",
        f"      {statement} }} }}",
    ]
