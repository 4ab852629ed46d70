"""CasADi expressions as straight-line C++ on the number type V of `templates/lanes.h`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import casadi as cs

UNARY = {
    cs.OP_SQRT: "sqrt_",
    cs.OP_EXP: "exp_",
    cs.OP_LOG: "log_",
    cs.OP_SIN: "sin_",
    cs.OP_COS: "cos_",
    cs.OP_TAN: "tan_",
    cs.OP_ASIN: "asin_",
    cs.OP_ACOS: "acos_",
    cs.OP_ATAN: "atan_",
    cs.OP_SINH: "sinh_",
    cs.OP_COSH: "cosh_",
    cs.OP_TANH: "tanh_",
    cs.OP_ASINH: "asinh_",
    cs.OP_ACOSH: "acosh_",
    cs.OP_ATANH: "atanh_",
    cs.OP_EXPM1: "expm1_",
    cs.OP_LOG1P: "log1p_",
    cs.OP_ERF: "erf_",
    cs.OP_FLOOR: "floor_",
    cs.OP_CEIL: "ceil_",
    cs.OP_FABS: "abs_",
    cs.OP_SIGN: "sign_",
}
BINARY = {
    cs.OP_ADD: "{} + {}",
    cs.OP_SUB: "{} - {}",
    cs.OP_MUL: "{} * {}",
    cs.OP_POW: "pow_({}, {})",
    cs.OP_CONSTPOW: "pow_({}, {})",
    cs.OP_ATAN2: "atan2_({}, {})",
    cs.OP_FMOD: "fmod_({}, {})",
    cs.OP_FMIN: "min_({}, {})",
    cs.OP_FMAX: "max_({}, {})",
}
COMPARISON = {cs.OP_LT: "<", cs.OP_LE: "<=", cs.OP_EQ: "==", cs.OP_NE: "!="}
LOGIC = {cs.OP_AND: "&", cs.OP_OR: "|"}
COMMUTATIVE = {cs.OP_ADD, cs.OP_MUL, cs.OP_AND, cs.OP_OR, cs.OP_EQ, cs.OP_NE}
CHOICE = "choice"  # c ? a : b, found as the sum of two halves


@dataclass(frozen=True)
class Node:
    """An operation on earlier nodes; or `text`, an argument or a constant."""

    operation: int | str
    operands: tuple[int, ...] = ()
    text: str = ""


@dataclass
class Graph:
    """Nodes in the order of evaluation, equal ones once, and the nodes of the results."""

    nodes: list[Node] = field(default_factory=list)
    results: dict[str, list[int]] = field(default_factory=dict)
    _number: dict[Node, int] = field(default_factory=dict)
    _constants: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, arguments: Mapping[str, cs.SX], results: Mapping[str, cs.SX]) -> Graph:
        """The graph of columns `results` of the columns of symbols `arguments`; the names are
        those of the arrays in C++."""
        names, function = (
            list(arguments),
            cs.Function("f", list(arguments.values()), [cs.densify(r) for r in results.values()]),
        )
        graph = cls(results={n: [-1] * r.numel() for n, r in results.items()})
        work: dict[int, int] = {}
        for k in range(function.n_instructions()):
            operation = function.instruction_id(k)
            inputs, outputs = function.instruction_input(k), function.instruction_output(k)
            if operation == cs.OP_OUTPUT:
                graph.results[list(results)[outputs[0]]][outputs[1]] = work[inputs[0]]
            elif operation == cs.OP_INPUT:
                work[outputs[0]] = graph.add(Node("in", (), f"{names[inputs[0]]}[{inputs[1]}]"))
            elif operation == cs.OP_CONST:
                work[outputs[0]] = graph.constant(function.instruction_constant(k))
            else:
                work[outputs[0]] = graph.operation(operation, [work[i] for i in inputs])
        return graph

    def add(self, node: Node) -> int:
        if node not in self._number:
            self._number[node] = len(self.nodes)
            self.nodes.append(node)
        return self._number[node]

    def constant(self, value: float) -> int:
        if math.isnan(value):
            return self.add(Node("const", (), "splat(NOT_A_NUMBER)"))
        if math.isinf(value):
            return self.add(Node("const", (), "splat(INF)" if value > 0 else "splat(-INF)"))
        k = self.add(Node("const", (), f"splat({value!r})"))
        self._constants[k] = value
        return k

    def operation(self, operation: int, operands: list[int]) -> int:
        if operation == cs.OP_ASSIGN:
            return operands[0]
        if operation in (cs.OP_SQ, cs.OP_TWICE):
            operation = cs.OP_MUL if operation == cs.OP_SQ else cs.OP_ADD
            operands = [operands[0], operands[0]]
        if operation == cs.OP_INV:
            return self.reciprocal(operands[0])
        if operation == cs.OP_DIV:  # a reciprocal may serve several quotients
            operation, operands = cs.OP_MUL, [operands[0], self.reciprocal(operands[1])]
        if operation == cs.OP_POW:
            power = self._lower_power(*operands)
            if power is not None:
                return power
        if operation == cs.OP_ADD:
            choice = self._choice(*operands)
            if choice:
                return self.add(Node(CHOICE, choice))
        if operation in COMMUTATIVE:
            operands = sorted(operands)
        return self.add(Node(operation, tuple(operands)))

    def reciprocal(self, k: int) -> int:
        value = self.value(k)
        if value:
            return self.constant(1.0 / value)
        return self.add(Node(cs.OP_INV, (k,)))

    def value(self, k: int) -> float | None:
        """The number that a node is, if it is a constant and finite."""
        return self._constants.get(k)

    def _lower_power(self, base: int, exponent: int) -> int | None:
        """x^(y - 1), as the derivative of x^y has it, as x^y / x. The base of a power with a
        variable exponent is never zero."""
        node = self.nodes[exponent]
        if node.operation not in (cs.OP_ADD, cs.OP_SUB):
            return None
        one = 1.0 if node.operation == cs.OP_SUB else -1.0
        for y, shift in (node.operands, node.operands[::-1])[: 1 + (one < 0.0)]:
            power = self._number.get(Node(cs.OP_POW, (base, y)))
            if power is not None and self.value(shift) == one:
                return self.add(Node(cs.OP_MUL, tuple(sorted((power, self.reciprocal(base))))))
        return None

    def _choice(self, a: int, b: int) -> tuple[int, int, int] | None:
        """(c, x, y) where `a + b` is (c ? x : 0) + (!c ? y : 0), in either order."""
        halves = [self.nodes[a], self.nodes[b]]
        if any(half.operation != cs.OP_IF_ELSE_ZERO for half in halves):
            return None
        for one, other in (halves, halves[::-1]):
            condition = self.nodes[other.operands[0]]
            if condition.operation == cs.OP_NOT and condition.operands[0] == one.operands[0]:
                return one.operands[0], one.operands[1], other.operands[1]
        return None

    def needed(self, wanted: Collection[int], known: Collection[int] = ()) -> list[int]:
        """Nodes in order that `wanted` are computed from, where `known` ones are there already."""
        found, left = set(), [k for k in wanted if k not in known]
        while left:
            k = left.pop()
            if k in found:
                continue
            found.add(k)
            left += [i for i in self.nodes[k].operands if i not in known]
        return sorted(found)

    def depending(self, argument: str) -> set[int]:
        """Nodes that depend on the array `argument`."""
        found: set[int] = set()
        for k, node in enumerate(self.nodes):
            own = node.operation == "in" and node.text.startswith(f"{argument}[")
            if own or any(i in found for i in node.operands):
                found.add(k)
        return found

    def is_condition(self, k: int) -> bool:
        return self.nodes[k].operation in (*COMPARISON, *LOGIC, cs.OP_NOT)

    def plain(self, k: int) -> bool:
        """An argument or a constant, which needs no name."""
        return self.nodes[k].operation in ("in", "const")


def statements(graph: Graph, wanted: Mapping[str, int], known: Mapping[int, str]) -> Iterator[str]:
    """C++ that computes nodes and assigns them: `wanted` maps places to nodes, `known` nodes to
    where they can be read."""

    def name(k: int) -> str:
        if k in known:
            return known[k]
        return graph.nodes[k].text if graph.plain(k) else f"a{k}"

    def value(k: int) -> str:
        return f"number({name(k)})" if graph.is_condition(k) and k not in known else name(k)

    def condition(k: int) -> str:
        if graph.is_condition(k) and k not in known:
            return name(k)
        return f"({name(k)} != splat(0))"

    for k in graph.needed(wanted.values(), known):
        node = graph.nodes[k]
        if graph.plain(k):
            continue
        operation, i = node.operation, node.operands
        kind = "M" if graph.is_condition(k) else "V"
        if operation == CHOICE:
            text = f"{condition(i[0])} ? {value(i[1])} : {value(i[2])}"
        elif operation == cs.OP_IF_ELSE_ZERO:
            text = f"{condition(i[0])} ? {value(i[1])} : splat(0)"
        elif operation == cs.OP_NOT:
            text = f"no({condition(i[0])})"
        elif operation == cs.OP_INV:
            text = f"splat(1) / {value(i[0])}"
        elif operation == cs.OP_NEG:
            text = f"-{value(i[0])}"
        elif operation in COMPARISON:
            text = f"{value(i[0])} {COMPARISON[operation]} {value(i[1])}"
        elif operation in LOGIC:
            text = f"{condition(i[0])} {LOGIC[operation]} {condition(i[1])}"
        elif operation in UNARY:
            text = f"{UNARY[operation]}({value(i[0])})"
        elif operation in BINARY:
            text = BINARY[operation].format(value(i[0]), value(i[1]))
        else:
            raise AssertionError(f"no C++ for CasADi's operation {operation}")
        yield f"const {kind} a{k} = {text};"
    for place, k in wanted.items():
        yield f"{place} = {value(k)};"


def function(signature: str, arguments: Mapping[str, cs.SX], results: Mapping[str, cs.SX]) -> str:
    """A C++ function that computes columns `results` of columns `arguments`."""
    graph = Graph.of(arguments, results)
    wanted = {f"{n}[{i}]": k for n, ks in graph.results.items() for i, k in enumerate(ks)}
    return body(signature, statements(graph, wanted, {}))


def body(signature: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{signature} {{", *(f"  {line}" for line in lines), "}"])
