"""The C++ struct of a stage: residual and linear system of one implicit solve."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import casadi as cs

from neml2fe.kernels import emit
from neml2fe.kernels.condensation import Condensation, condensation, whole
from neml2fe.kernels.jacobian import nonzeros, places
from neml2fe.kernels.program import Program, Stage


def stage_struct(k: int, program: Program, condensed: bool) -> str:
    """The struct that `newton.h` works on."""
    stage, first = program.stages[k], program.firsts[k]
    inputs, every = program.input_column, program.unknowns
    n, ng = stage.unknowns.numel(), stage.given.numel()
    find = condensation if condensed else whole
    system = find(stage.residual, stage.unknowns)
    direction = cs.SX.sym("v", n)
    graph = emit.Graph.of(
        {"in": inputs, "g": stage.given, "u": stage.unknowns, "v": direction},
        {
            "r": stage.residual,
            "J.d": 1.0 / system.diagonal,
            "J.e": nonzeros(system.by_kept),
            "J.f": nonzeros(system.coupling),
            "J.A": nonzeros(system.dense),
            "w": cs.jtimes(stage.residual, stage.unknowns, direction),
            "t": cs.jtimes(stage.residual, stage.unknowns, direction, True),
        },
    )
    hoisted = _invariants(graph)
    known = {node: f"h[{place}]" for place, node in enumerate(hoisted)}
    where = {name: [f"{name}[{i}]" for i in range(len(x))] for name, x in graph.results.items()}
    where["J.A"] = [f"J.A[{i}][{j}]" for i, j in places(system.dense)]
    wanted = {n: dict(zip(where[n], nodes, strict=True)) for n, nodes in graph.results.items()}
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
            "FN_LARGE void linearise(const V* u, const V* in, const V* h, V* r, "
            f"Matrix<Stage{k}>& J)",
            chain(_zeros(system.dense), emit.statements(graph, wanted["r"] | matrix, known)),
        ),
        emit.body(
            "FN_LARGE void rate(const V* u, const V* in, const V* h, const V* v, V* w)",
            emit.statements(graph, wanted["w"], known),
        ),
        emit.body(
            "FN_LARGE void rate_transposed(const V* u, const V* in, const V* h, const V* v, V* t)",
            emit.statements(graph, wanted["t"], known),
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


def _substitutions(k: int, system: Condensation) -> Iterator[str]:
    """From the right-hand side to that of the dense system, and from its solution to that of
    all; and so for the transposed system."""
    signature = f"FN void {{}}(const Matrix<Stage{k}>& J, {{}})"
    kept, eliminated = system.kept, system.eliminated
    coupling = [(len(kept) + i, j) for i, j in places(system.coupling)]
    by_kept = places(system.by_kept)
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
    known = set(places(matrix))
    for i in range(rows):
        for j in range(columns):
            if (i, j) not in known:
                yield f"J.A[{i}][{j}] = splat(0);"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
