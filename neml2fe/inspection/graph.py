"""Which member gives which variable to which: the wiring of a model as a graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from neml2fe.implicit import ImplicitUpdate
from neml2fe.models import ComposedModel, Model

Sources = dict[str, int]  # node that gives a variable, by its name


@dataclass
class Node:
    """A member, or one of the kinds `input`, `output` and `solve` (an implicit update)."""

    label: str
    type: str
    kind: str


@dataclass
class Graph:
    """Nodes by number; edges from one to another with the names of the variables.

    Of an implicit update, the unknowns come from its `solve` node and the residuals go back to
    it: these edges alone lead from a later node to an earlier one.
    """

    nodes: list[Node] = field(default_factory=list)
    edges: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def add(self, label: str, type_: str, kind: str) -> int:
        self.nodes.append(Node(label, type_, kind))
        return len(self.nodes) - 1

    def join(self, source: int, target: int, variable: str) -> None:
        names = self.edges.setdefault((source, target), [])
        if variable not in names:
            names.append(variable)

    def dot(self, title: str) -> str:
        """As text for Graphviz."""
        lines = [f"digraph {_quoted(title)} {{", "  rankdir=LR;", "  node [shape=box];"]
        for k, node in enumerate(self.nodes):
            shape = {"input": "plaintext", "output": "plaintext", "solve": "box, style=rounded"}
            label = node.label if node.type in ("", node.label) else f"{node.label}\\n{node.type}"
            lines.append(f"  n{k} [label={_quoted(label)}, shape={shape.get(node.kind, 'box')}];")
        for (source, target), names in self.edges.items():
            lines.append(f"  n{source} -> n{target} [label={_quoted(', '.join(names))}];")
        return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def graph_of(model: Model) -> Graph:
    """The members of compositions and implicit updates, however deep; other models are one node
    each, after the models that compute their parameters."""
    graph = Graph()
    sources = {name: graph.add(name, "", "input") for name in model.input_spec}
    results = _walk(graph, model, sources)
    for name in model.output_spec:
        graph.join(results[name], graph.add(name, "", "output"), name)
    return graph


def _walk(graph: Graph, model: Model, sources: Sources) -> Sources:
    """Add the nodes of `model`; the sources of its outputs."""
    if isinstance(model, ComposedModel):
        known = dict(sources)
        for member in model._order:
            known.update(_walk(graph, member, known))
        return {name: known[name] for name in model.output_spec}
    if isinstance(model, ImplicitUpdate):
        return _solve(graph, model, sources)
    inner = wrapped(model)
    if inner is not None:
        return _walk(graph, inner, sources)
    nested = model._nested.values()
    parameters = [item for p in nested for item in _walk(graph, p, sources).items()]
    node = graph.add(model.label, type(model).__name__, "model")
    for name, source in parameters:
        graph.join(source, node, name)
    of_nested = {name for provider in nested for name in provider.input_spec}
    own = {name for names in model.names.values() for name in names} | set(model._runtime.values())
    for name in model.input_spec:
        if name in sources and (name in own or name not in of_nested):
            graph.join(sources[name], node, name)
    return dict.fromkeys(model.output_spec, node)


def _solve(graph: Graph, model: ImplicitUpdate, sources: Sources) -> Sources:
    system = model.equation_system
    predictor = model.predictor
    guesses = {} if predictor is None else _walk(graph, predictor, sources)
    node = graph.add(model.label, "ImplicitUpdate", "solve")
    for name, source in guesses.items():
        graph.join(source, node, f"{name} (guess)")
    inside = {**sources, **dict.fromkeys(system.unknowns, node)}
    residuals = _walk(graph, system.model, inside)
    for name in system.residuals:
        graph.join(residuals[name], node, name)
    return dict.fromkeys(system.unknowns, node)


def wrapped(model: Model) -> Model | None:
    """The one model that `model` stands for, such as the expansion of a short form."""
    children = [c for c in model.children() if isinstance(c, Model)]
    children = [c for c in children if c not in model._nested.values()]
    if len(children) != 1 or isinstance(model, (ComposedModel, ImplicitUpdate)):
        return None
    (inner,) = children
    same = list(inner.output_spec) == list(model.output_spec)
    return inner if same and set(inner.input_spec) <= set(model.input_spec) else None


def wiring(model: ComposedModel) -> list[tuple[str, str, str]]:
    """Of each variable in a composition: its name, the member that gives it, those that take
    it. What comes from outside is given by `(input)`, what goes there is taken by `(output)`."""
    givers = {name: "(input)" for name in model.input_spec}
    takers: dict[str, list[str]] = {name: [] for name in model.input_spec}
    for member in model._order:
        for name in member.input_spec:
            takers.setdefault(name, []).append(member.label)
        for name in member.output_spec:
            givers[name] = member.label
            takers.setdefault(name, [])
    for name in model.output_spec:
        takers[name].append("(output)")
    return [(name, giver, ", ".join(takers[name])) for name, giver in givers.items()]
