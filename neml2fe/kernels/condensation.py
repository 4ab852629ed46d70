"""Static condensation: linear unknowns eliminated before the dense solve.

Many laws couple their unknowns through a few numbers only: all back stresses of a Chaboche model
meet in the six components of the flow direction and the flow rate. With such numbers c = C(u, w)
as variables beside the unknowns, the residuals split,

    r_e(u_e, w) = 0,   c = C(u_e, w),   r_k(w) = 0,   w = (u_k, c),

where each eliminated residual depends on its own unknown among u_e only, and linearly. Its
derivative by it is one number, and what is left is a dense system for w, however many u_e
there are. The coupling numbers are a smallest vertex cut between unknowns and residuals in the
graph of elementary operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import casadi as cs
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from neml2fe.kernels.jacobian import Tape, jacobian

WORTHWHILE = 0.9  # of the unknowns, at most, in the dense system that is left


@dataclass(frozen=True)
class Condensation:
    """The linear system J x = b of a stage, as matrices of expressions.

    `eliminated` and `kept` are places of unknowns and of residuals. With y = D^-1 b_e it is
    `dense` w = (b_k, `coupling` y), x_e = y - `by_kept` w, where `diagonal` is D = dr_e/du_e,
    `by_kept` D^-1 dr_e/dw, `coupling` dC/du_e, and `dense` has the rows of kept residuals first.
    """

    eliminated: list[int]
    kept: list[int]
    diagonal: cs.SX
    by_kept: cs.SX
    coupling: cs.SX
    dense: cs.SX


def condensation(residual: cs.SX, unknowns: cs.SX) -> Condensation:
    """The smallest dense system that was found; that of all unknowns, where none is smaller."""
    n, kept = unknowns.numel(), set[int]()
    tape = Tape.of(residual, unknowns)
    while len(kept) < WORTHWHILE * n:
        cut = _smallest_cut(tape, kept)
        if not cut and not kept:
            kept.add(0)  # something is left to solve, be it one equation
            continue
        if len(kept) + len(cut) > WORTHWHILE * n:
            break
        found = _split(tape, residual, unknowns, cut, kept)
        if isinstance(found, Condensation):
            return found
        kept |= found
    return whole(residual, unknowns)


def whole(residual: cs.SX, unknowns: cs.SX) -> Condensation:
    """Nothing eliminated."""
    n = unknowns.numel()
    matrix = jacobian(residual, unknowns)
    return Condensation([], list(range(n)), cs.SX(0, 1), cs.SX(0, n), cs.SX(0, 0), matrix)


def _split(
    tape: Tape, residual: cs.SX, unknowns: cs.SX, cut: list[int], kept: set[int]
) -> Condensation | set[int]:
    """The system at these coupling numbers, or unknowns that must be kept for it."""
    n = unknowns.numel()
    e, k = [i for i in range(n) if i not in kept], sorted(kept)
    c = cs.SX.sym("c", len(cut))
    original = cs.vertcat(cs.SX(0, 1), *(tape.values[v] for v in cut))
    values = tape.replayed({v: c[i] for i, v in enumerate(cut)})
    ends = [r if r is not None else -1 for r in tape.results]
    r = cs.vertcat(*(values[v] if v >= 0 else residual[i] for i, v in enumerate(ends)))
    own = cs.vertcat(cs.SX(0, 1), *(tape.defined(v, values) for v in cut))
    u_e, w = unknowns[e], cs.vertcat(unknowns[k], c)
    direct = jacobian(r[e], u_e)
    rows, columns = direct.sparsity().get_triplet()
    wrong = {e[j] for i, j in zip(rows, columns, strict=True) if i != j}
    diagonal = cs.diag(cs.densify(direct))
    for i in range(len(e)):
        if diagonal[i].is_zero() or cs.depends_on(diagonal[i], unknowns[e[i]]):
            wrong.add(e[i])
    if k:
        wrong |= {e[j] for j in jacobian(r[k], u_e).sparsity().get_triplet()[1]}
    if wrong:
        return wrong
    identity = cs.horzcat(cs.SX(len(cut), len(k)), cs.SX.eye(len(cut)))
    by_kept = cs.diag(1.0 / diagonal) @ jacobian(r[e], w)
    coupling = jacobian(own, u_e)
    dense = cs.vertcat(
        jacobian(r[k], w) if k else cs.SX(0, w.numel()),
        identity - jacobian(own, w) + coupling @ by_kept,
    )
    found = cs.substitute([diagonal, by_kept, coupling, dense], [c], [original])
    return Condensation(e, k, *found)


def _smallest_cut(tape: Tape, kept: set[int]) -> list[int]:
    """Fewest vertices that part the eliminated unknowns from all residuals, but for the way of
    an unknown to its own residual through operations that lead nowhere else."""
    n, total = tape.n_arguments, len(tape.values)
    support: list[set[int]] = [{v} for v in range(n)]
    for v in range(n, total):
        support.append(set().union(*(support[p] for p in tape.edges[v])))
    reach: list[set[int]] = [set() for _ in range(total)]
    ends = {i: v for i, v in enumerate(tape.results) if v is not None}
    for i, v in ends.items():
        reach[v].add(i)
    for v in range(total - 1, n - 1, -1):
        for p in tape.edges[v]:
            reach[p] |= reach[v]
    source, sink, unlimited = 2 * total, 2 * total + 1, total
    arcs: dict[tuple[int, int], int] = {(2 * v, 2 * v + 1): 1 for v in range(total)}
    for v in range(n):
        if v not in kept:
            arcs[(source, 2 * v)] = unlimited
    for v in range(n, total):
        for p in tape.edges[v]:
            private = len(support[p]) == 1 and support[p] == reach[v] and not support[p] & kept
            if not private:
                arcs[(2 * p + 1, 2 * v)] = unlimited
    for i, v in ends.items():
        if support[v] != {i} or i in kept:
            arcs[(2 * v + 1, sink)] = unlimited
    return _cut(arcs, total, source, sink)


def _cut(arcs: dict[tuple[int, int], int], total: int, source: int, sink: int) -> list[int]:
    """Vertices whose two halves lie on different sides of a smallest cut."""
    ends = np.array(list(arcs), dtype=np.int32)
    capacity = np.array(list(arcs.values()), dtype=np.int32)
    shape = (2 * total + 2, 2 * total + 2)
    graph = coo_array((capacity, (ends[:, 0], ends[:, 1])), shape=shape).tocsr()
    left = graph - maximum_flow(graph, source, sink).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    near = set(breadth_first_order(left, source, return_predecessors=False).tolist())
    return [v for v in range(total) if 2 * v in near and 2 * v + 1 not in near]
