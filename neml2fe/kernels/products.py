"""The C++ of products with the derivatives of an update: vector-Jacobian and Jacobian-vector."""

from __future__ import annotations

import casadi as cs

from neml2fe.kernels import emit
from neml2fe.kernels.program import Program
from neml2fe.kernels.request import (
    BAR,
    POINT,
    RATE,
    SOLUTION,
    Array,
    Parts,
    Request,
    arrays_of,
    dependence,
)


def vjp(program: Program, request: Request) -> Parts:
    """lambda = -J^-T (Y_u^T y_bar + ...), stage by stage backwards, and
    x_bar = Y_x^T y_bar + R_x^T lambda."""
    of, wrt, x, y, U = dependence(program, request.of, request.wrt)
    y_bar, adjoint = cs.SX.sym("y_bar", y.numel()), cs.SX.sym("adjoint", program.n_unknowns)
    arguments = {"in": program.input_column, "U": U, "y_bar": y_bar, "adjoint": adjoint}
    signature = "FN_LARGE void {}(const V* in, const V* U, const V* y_bar, const V* adjoint, V* w)"
    nx, nu = int(program.input_column.numel()), program.n_unknowns
    functions = [
        emit.function(signature.format("outputs"), arguments, {"w": cs.jtimes(y, U, y_bar, True)})
    ]
    lines = [
        f"const V *U = in + {nx}, *y_bar = in + {nx + nu};",
        f"V w[{nu + 1}], v[{nu + 1}];",
        "outputs(in, U, y_bar, w, w);",
    ]
    residuals = [stage.full_residual for stage in program.stages]
    for k in reversed(range(len(program.stages))):
        stage, at = program.stages[k], program.firsts[k]
        n = stage.unknowns.numel()
        lines += [
            f"{{ Linearised<Stage{k}> J;",
            "  J.at(in, U);",
            f"  status = (live & J.apply(w + {at}, true)) ? I{{}} + NOT_FINITE : status;",
            f"  for (int i = {at}; i < {at + n}; ++i) w[i] = -w[i]; }}",
        ]
        if at:
            part = cs.jtimes(residuals[k], U[:at], adjoint[at : at + n], True)
            functions.append(emit.function(signature.format(f"stage{k}"), arguments, {"w": part}))
            lines += [
                f"stage{k}(in, U, y_bar, w, v);",
                f"for (int i = 0; i < {at}; ++i) w[i] += v[i];",
            ]
    whole, seed = cs.vertcat(y, *residuals), cs.vertcat(y_bar, adjoint)
    functions.append(
        emit.function(signature.format("inputs"), arguments, {"w": cs.jtimes(whole, x, seed, True)})
    )
    lines.append("inputs(in, U, y_bar, w, out);")
    arrays = [*arrays_of(program.inputs), Array(SOLUTION, (nu,)), *arrays_of(of, BAR)]
    return arrays, arrays_of(wrt, BAR), [*functions, emit.body(POINT, lines)]


def jvp(program: Program, request: Request) -> Parts:
    """u' = -J^-1 (R_x x' + ...), stage by stage; y' = Y_x x' + Y_u u'."""
    of, wrt, x, y, U = dependence(program, request.of, request.wrt)
    x_rate, u_rate = cs.SX.sym("x_rate", x.numel()), cs.SX.sym("u_rate", program.n_unknowns)
    arguments = {"in": program.input_column, "U": U, "x_rate": x_rate, "u_rate": u_rate}
    signature = "FN_LARGE void {}(const V* in, const V* U, const V* x_rate, const V* u_rate, V* w)"
    nx, nu = int(program.input_column.numel()), program.n_unknowns
    functions = []
    lines = [f"const V *U = in + {nx}, *x_rate = in + {nx + nu};", f"V w[{nu + 1}];"]
    for k, stage in enumerate(program.stages):
        n, at = stage.unknowns.numel(), program.firsts[k]
        rate = cs.jtimes(
            stage.full_residual, cs.vertcat(x, U[:at]), cs.vertcat(x_rate, u_rate[:at])
        )
        functions.append(emit.function(signature.format(f"stage{k}"), arguments, {"w": rate}))
        lines += [
            f"{{ Linearised<Stage{k}> J;",
            "  J.at(in, U);",
            f"  stage{k}(in, U, x_rate, w, w + {at});",
            f"  status = (live & J.apply(w + {at}, false)) ? I{{}} + NOT_FINITE : status;",
            f"  for (int i = {at}; i < {at + n}; ++i) w[i] = -w[i]; }}",
        ]
    rate = cs.jtimes(y, cs.vertcat(x, U), cs.vertcat(x_rate, u_rate))
    functions.append(emit.function(signature.format("outputs"), arguments, {"w": rate}))
    lines.append("outputs(in, U, x_rate, w, out);")
    arrays = [*arrays_of(program.inputs), Array(SOLUTION, (nu,)), *arrays_of(wrt, RATE)]
    return arrays, arrays_of(of, RATE), [*functions, emit.body(POINT, lines)]
