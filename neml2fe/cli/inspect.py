"""`neml2fe inspect`: what the models of a deck are, and what of the deck is not used."""

from __future__ import annotations

import argparse

from neml2fe.errors import InputError, suggest
from neml2fe.input import Input, load_input
from neml2fe.inspection.graph import graph_of
from neml2fe.inspection.report import report
from neml2fe.models import Model

_USERS = ("Materials", "Drivers", "Calibrations")  # sections whose blocks run models
_CHECKED = ("Tensors", "Models", "EquationSystems", "Solvers", "Data")


def inspect(given: argparse.Namespace) -> int:
    """Build everything that is used, and print; the exit code."""
    source = load_input(given.deck, given.set, given.trust)
    models = _chosen(source, given)
    for section in _USERS:
        for block in source.deck.blocks(section):
            source.get(section, block.name)
    if given.dot or given.figure:
        if len(models) != 1:
            names = ", ".join(m.label for m in models)
            raise InputError(f"one model makes a graph; name one of {names}", given.deck)
        graph = graph_of(models[0])
        if given.figure:
            from neml2fe.io.network import network

            nodes = [(node.label, node.type, node.kind) for node in graph.nodes]
            # The name of an input is its only variable.
            edges = {
                (s, t): [] if graph.nodes[s].kind == "input" else names
                for (s, t), names in graph.edges.items()
            }
            print(network(given.figure, nodes, edges, models[0].label))
        if given.dot:
            print(graph.dot(models[0].label))
        return 0
    print("\n\n".join(report(model) for model in models))
    for path in unused(source):
        print(f"\nwarning: [{path}] is not used")
    return 0


def _chosen(source: Input, given: argparse.Namespace) -> list[Model]:
    """The model that is named, else those of drivers, materials and fits, else those that no other
    model refers to."""
    names = [block.name for block in source.deck.blocks("Models")]
    if given.model is not None:
        if given.model not in names:
            raise InputError(f"no model '{given.model}'{suggest(given.model, names)}", given.deck)
        return [source.get_model(given.model)]
    users = [b for s in _USERS for b in source.deck.blocks(s)]
    named = [v for block in users if (v := block.get("model")) is not None]
    if named:
        return list(dict.fromkeys(source.refer("Models", value) for value in named))
    if not names:
        raise InputError("the deck has no [Models]", given.deck)
    models = [source.get_model(name) for name in names]
    inner = {id(m) for model in models for m in model.modules() if m is not model}
    return [model for model in models if id(model) not in inner]


def unused(source: Input) -> list[str]:
    """Blocks that nothing has asked for."""
    return [
        block.path
        for section in _CHECKED
        for block in source.deck.blocks(section)
        if not source.was_built(section, block.name)
    ]
