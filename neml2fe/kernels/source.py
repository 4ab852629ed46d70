"""The C++ or CUDA source of a kernel: stages, what is asked of them, and the templates around."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import casadi as cs
import torch

from neml2fe.kernels import emit
from neml2fe.kernels.jacobian import jacobian
from neml2fe.kernels.program import Program, Stage, Variable
from neml2fe.kernels.reduction import Reduction, reduction

TEMPLATES = Path(__file__).with_name("templates")
SOLUTION = "solution"  # the unknowns of all stages
BAR, RATE = "bar:", "rate:"  # before the names of cotangents and of rates


@dataclass(frozen=True)
class Request:
    """What a kernel computes.

    `update`: the outputs `of`, the unknowns, and derivatives of each of `tangent_of` by each of
    `wrt`. `vjp`: from inputs, unknowns and cotangents of `of`, the cotangents of `wrt`. `jvp`:
    from inputs, unknowns and rates of `wrt`, the rates of `of`.
    """

    kind: str
    of: tuple[str, ...]
    wrt: tuple[str, ...] = ()
    tangent_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Array:
    """An array that a kernel reads or writes: name and shape of one point."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Source:
    """Generated code without the templates, and the arrays in their order."""

    body: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    n_stages: int

    def host(self, dtype: torch.dtype) -> str:
        """C++ for a CPU."""
        return _assembled(self.body, dtype)

    cuda = host  # the same text: the templates look at __CUDACC__


Parts = tuple[list[Array], list[Array], list[str]]  # read, written, functions
Places = list[tuple[int, int]]


def generate(program: Program, request: Request) -> Source:
    """The code of one kernel."""
    inputs, outputs, functions = WRITERS[request.kind](program, request)
    parts = [_stage(k, program) for k in range(len(program.stages))]
    parts += [*functions, _sizes("IN", inputs) + _sizes("OUT", outputs)]
    return Source("\n\n".join(parts), tuple(inputs), tuple(outputs), len(program.stages))


def _assembled(body: str, dtype: torch.dtype) -> str:
    single = dtype is torch.float32
    head = f"#define REAL {'float' if single else 'double'}\n" + "#define SINGLE\n" * single
    return "\n".join([head, *(_template(n) for n in ("lanes", "newton")), body, _template("drive")])


@cache
def _template(name: str) -> str:
    return (TEMPLATES / f"{name}.h").read_text(encoding="utf-8")


def _sizes(name: str, arrays: Sequence[Array]) -> str:
    sizes = ", ".join(str(a.size) for a in arrays) or "0"
    return (
        f"constexpr int N_{name} = {len(arrays)}, {name} = {sum(a.size for a in arrays)};\n"
        f"TABLE int {name}_SIZE[] = {{{sizes}}};\n"
    )


def _concatenated(columns: Iterable[cs.SX]) -> cs.SX:
    return cs.vertcat(cs.SX(0, 1), *columns)


def _arrays(variables: Iterable[Variable], prefix: str = "") -> list[Array]:
    return [Array(prefix + v.name, v.shape) for v in variables]


# --- stages --------------------------------------------------------------------------------
def _stage(k: int, program: Program) -> str:
    """The struct that `newton.h` works on."""
    stage, first = program.stages[k], program.firsts[k]
    inputs, every = program.input_column, program.unknowns
    n, ng = stage.unknowns.numel(), stage.given.numel()
    system = reduction(stage.residual, stage.unknowns)
    direction = cs.SX.sym("v", n)
    graph = emit.Graph.of(
        {"in": inputs, "g": stage.given, "u": stage.unknowns, "v": direction},
        {
            "r": stage.residual,
            "J.d": 1.0 / system.diagonal,
            "J.e": _nonzeros(system.by_kept),
            "J.f": _nonzeros(system.coupling),
            "J.A": _nonzeros(system.dense),
            "w": cs.jtimes(stage.residual, stage.unknowns, direction),
        },
    )
    hoisted = _invariants(graph)
    known = {node: f"h[{place}]" for place, node in enumerate(hoisted)}
    places = {name: [f"{name}[{i}]" for i in range(len(x))] for name, x in graph.results.items()}
    places["J.A"] = [f"J.A[{i}][{j}]" for i, j in _places(system.dense)]
    wanted = {n: dict(zip(places[n], nodes, strict=True)) for n, nodes in graph.results.items()}
    matrix = wanted["J.d"] | wanted["J.e"] | wanted["J.f"] | wanted["J.A"]
    earlier = {"in": inputs, "U": every}
    functions = [
        emit.function(
            "FN void given(const V* in, const V* U, V* g)", earlier, {"g": stage.given_values}
        ),
        emit.function("FN void guess(const V* in, const V* U, V* u)", earlier, {"u": stage.guess}),
        emit.body(
            "FN_LARGE void hoist(const V* in, const V* g, V* h)",
            emit.statements(graph, {f"h[{p}]": node for p, node in enumerate(hoisted)}, {}),
        ),
        emit.body(
            "FN_LARGE void residual(const V* u, const V* in, const V* h, V* r)",
            emit.statements(graph, wanted["r"], known),
        ),
        emit.body(
            f"FN_LARGE void linearise(const V* u, const V* in, const V* h, V* r, Matrix<Stage{k}>& J)",
            chain(_zeros(system.dense), emit.statements(graph, wanted["r"] | matrix, known)),
        ),
        emit.body(
            "FN_LARGE void rate(const V* u, const V* in, const V* h, const V* v, V* w)",
            emit.statements(graph, wanted["w"], known),
        ),
        emit.body("FN void between(const V* g, V fraction, V* part)", _between(stage)),
        *_substitutions(k, system),
    ]
    sizes = {
        "n": n,
        "first": first,
        "ng": ng,
        "nh": len(hoisted),
        "n_pairs": len(stage.pairs),
        "m": len(system.kept) + system.coupling.shape[0],
        "n_d": len(system.eliminated),
        "n_e": system.by_kept.nnz(),
        "n_f": system.coupling.nnz(),
    }
    listed = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    return "\n".join(
        [
            f"struct Stage{k} {{  // {stage.label}",
            f"  static constexpr int {listed};",
            *map(_indented, functions),
            "};",
        ]
    )


def _invariants(graph: emit.Graph) -> list[int]:
    """Nodes that do not depend on the unknowns, where those that do, or results, use them.
    Inputs can be read anyway."""
    variant = graph.depending("u") | graph.depending("v")
    used = {i for k in variant for i in graph.nodes[k].operands}
    used |= {k for nodes in graph.results.values() for k in nodes}
    return sorted(
        k for k in used - variant if not graph.plain(k) or graph.nodes[k].text.startswith("g[")
    )


def _between(stage: Stage) -> Iterator[str]:
    """The given numbers on the way from their old values."""
    for new, old in stage.pairs:
        yield f"part[{new}] = g[{old}] + fraction * (g[{new}] - g[{old}]);"


def _substitutions(k: int, system: Reduction) -> Iterator[str]:
    """From the right-hand side to that of the dense system, and from its solution to that of
    all; and so for the transposed system."""
    signature = f"FN void {{}}(const Matrix<Stage{k}>& J, {{}})"
    kept, eliminated = system.kept, system.eliminated
    coupling = [(len(kept) + i, j) for i, j in _places(system.coupling)]
    by_kept = _places(system.by_kept)
    core = [f"w[{i}] = b[{p}];" for i, p in enumerate(kept)]
    core += [f"w[{len(kept) + i}] = splat(0);" for i in range(system.coupling.shape[0])]
    back = [f"b[{p}] = w[{i}];" for i, p in enumerate(kept)]
    forward = [f"const V y{i} = b[{p}] * J.d[{i}];" for i, p in enumerate(eliminated)]
    forward += core + [f"w[{i}] += J.f[{z}] * y{j};" for z, (i, j) in enumerate(coupling)]
    yield emit.body(signature.format("reduce", "const V* b, V* w"), forward)
    end = [f"V y{i} = b[{p}] * J.d[{i}];" for i, p in enumerate(eliminated)]
    end += [f"y{i} -= J.e[{z}] * w[{j}];" for z, (i, j) in enumerate(by_kept)]
    end += back + [f"b[{p}] = y{i};" for i, p in enumerate(eliminated)]
    yield emit.body(signature.format("expand", "const V* w, V* b"), end)
    forward = core + [
        f"w[{j}] -= J.e[{z}] * b[{eliminated[i]}];" for z, (i, j) in enumerate(by_kept)
    ]
    yield emit.body(signature.format("reduce_transposed", "const V* b, V* w"), forward)
    end = [f"b[{eliminated[j]}] += J.f[{z}] * w[{i}];" for z, (i, j) in enumerate(coupling)]
    end += [f"b[{p}] *= J.d[{i}];" for i, p in enumerate(eliminated)] + back
    yield emit.body(signature.format("expand_transposed", "const V* w, V* b"), end)


def _zeros(matrix: cs.SX) -> Iterator[str]:
    rows, columns = matrix.shape
    known = set(_places(matrix))
    for i in range(rows):
        for j in range(columns):
            if (i, j) not in known:
                yield f"J.A[{i}][{j}] = splat(0);"


def _places(matrix: cs.SX) -> Places:
    """Rows and columns of the nonzeros, in their order."""
    return list(zip(*matrix.sparsity().get_triplet(), strict=True))


def _nonzeros(matrix: cs.SX) -> cs.SX:
    return cs.vertcat(cs.SX(0, 1), *matrix.nonzeros())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


# --- what is asked of them -------------------------------------------------------------------
POINT = (
    "FN_LARGE void point(const V* in, V* out, M live, const Settings* s, I& status, I& iterations)"
)


def _update(program: Program, request: Request) -> Parts:
    """Outputs, unknowns, and derivatives by forward substitution through the stages."""
    of = [program.output(n) for n in request.of]
    solution = Variable(SOLUTION, (program.n_unknowns,), program.unknowns)
    inputs, nu = program.input_column, program.n_unknowns
    results = _concatenated(v.column for v in [*of, solution])
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
    arrays = _arrays([*of, solution])
    if request.tangent_of:
        more, calls, found = _tangent(program, request, int(results.numel()))
        functions += more
        lines += calls
        arrays += found
    return _arrays(program.inputs), arrays, [*functions, emit.body(POINT, lines)]


def _tangent(
    program: Program, request: Request, first: int
) -> tuple[list[str], list[str], list[Array]]:
    """dy/dx = Y_x + Y_u Z with Z = dU/dx, stage by stage -J^-1 (R_x + R_U Z)."""
    of = [program.output(n) for n in request.tangent_of]
    wrt = [program.input(n) for n in request.wrt]
    x, y, U = (
        _concatenated(v.column for v in wrt),
        _concatenated(v.column for v in of),
        program.unknowns,
    )
    nx, ny, nu = int(x.numel()), int(y.numel()), program.n_unknowns
    arguments = {"in": program.input_column, "U": U}
    functions, lines = [], [f"V Z[{nx}][{nu + 1}] = {{}}, D[{ny}][{nx}] = {{}};"]
    for k, stage in enumerate(program.stages):
        residual, n, at = stage.full_residual, stage.unknowns.numel(), program.firsts[k]
        text, by_x, by_u = _partials(f"stage{k}_partials", residual, x, U[:at], arguments)
        functions.append(text)
        lines += [
            f"{{ Matrix<Stage{k}> J; V m[{len(by_x) + len(by_u) + 1}];",
            f"  factorised<Stage{k}>(in, U, J);",
            f"  stage{k}_partials(in, U, m);",
            *_loop(by_x, f"Z[j][{at} + i] -= m[k];"),
            *_loop(
                by_u, f"for (int c = 0; c < {nx}; ++c) Z[c][{at} + i] -= m[k] * Z[c][j];", len(by_x)
            ),
            f"  for (int j = 0; j < {nx}; ++j) solve(J, Z[j] + {at}); }}",
        ]
    text, by_x, by_u = _partials("output_partials", y, x, U, arguments)
    functions.append(text)
    lines += [
        f"{{ V m[{len(by_x) + len(by_u) + 1}];",
        "  output_partials(in, U, m);",
        *_loop(by_x, "D[i][j] = m[k];"),
        *_loop(by_u, f"for (int c = 0; c < {nx}; ++c) D[i][c] += m[k] * Z[c][j];", len(by_x)),
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


def _partials(
    name: str, y: cs.SX, x: cs.SX, u: cs.SX, arguments: dict[str, cs.SX]
) -> tuple[str, Places, Places]:
    """A function for the nonzeros of dy/dx and then dy/du, and their places."""
    parts = [jacobian(y, x), jacobian(y, u)]
    text = emit.function(
        f"FN_LARGE void {name}(const V* in, const V* U, V* m)",
        arguments,
        {"m": cs.vertcat(*map(_nonzeros, parts))},
    )
    by_x, by_u = map(_places, parts)
    return text, by_x, by_u


def _loop(places: Places, statement: str, first: int = 0) -> list[str]:
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


def _vjp(program: Program, request: Request) -> Parts:
    """lambda = -J^-T (Y_u^T y_bar + ...), stage by stage backwards, and
    x_bar = Y_x^T y_bar + R_x^T lambda."""
    of = [program.output(n) for n in request.of]
    wrt = [program.input(n) for n in request.wrt]
    x, y, U = (
        _concatenated(v.column for v in wrt),
        _concatenated(v.column for v in of),
        program.unknowns,
    )
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
            f"{{ Matrix<Stage{k}> J;",
            f"  factorised<Stage{k}>(in, U, J);",
            f"  solve_transposed(J, w + {at});",
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
    arrays = [*_arrays(program.inputs), Array(SOLUTION, (nu,)), *_arrays(of, BAR)]
    return arrays, _arrays(wrt, BAR), [*functions, emit.body(POINT, lines)]


def _jvp(program: Program, request: Request) -> Parts:
    """u' = -J^-1 (R_x x' + ...), stage by stage; y' = Y_x x' + Y_u u'."""
    of = [program.output(n) for n in request.of]
    wrt = [program.input(n) for n in request.wrt]
    x, y, U = (
        _concatenated(v.column for v in wrt),
        _concatenated(v.column for v in of),
        program.unknowns,
    )
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
            f"{{ Matrix<Stage{k}> J;",
            f"  factorised<Stage{k}>(in, U, J);",
            f"  stage{k}(in, U, x_rate, w, w + {at});",
            f"  solve(J, w + {at});",
            f"  for (int i = {at}; i < {at + n}; ++i) w[i] = -w[i]; }}",
        ]
    rate = cs.jtimes(y, cs.vertcat(x, U), cs.vertcat(x_rate, u_rate))
    functions.append(emit.function(signature.format("outputs"), arguments, {"w": rate}))
    lines.append("outputs(in, U, x_rate, w, out);")
    arrays = [*_arrays(program.inputs), Array(SOLUTION, (nu,)), *_arrays(wrt, RATE)]
    return arrays, _arrays(of, RATE), [*functions, emit.body(POINT, lines)]


WRITERS = {"update": _update, "vjp": _vjp, "jvp": _jvp}
