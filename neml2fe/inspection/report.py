"""A model explained: members, wiring, inputs, outputs, state and parameters."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from neml2fe.implicit import ImplicitUpdate
from neml2fe.inspection.dimensions import parameter_dimensions, variable_dimensions
from neml2fe.inspection.graph import wiring
from neml2fe.io.aligned import aligned
from neml2fe.material import current_name, is_old
from neml2fe.models import ComposedModel, Model
from neml2fe.models.model import Spec

MAX_VALUES = 4  # of a parameter, before only their range is shown


def report(model: Model) -> str:
    """Everything about a model, in sections."""
    dimensions = variable_dimensions(model)
    sections = [
        ("Members", tree(model)),
        *((f"Wiring of {m.label}", aligned(wiring(m), HEAD)) for m in _compositions(model)),
        *((f"Solved by {m.label}", _equations(m, dimensions)) for m in _updates(model)),
        ("Inputs", _variables(model.input_spec, dimensions)),
        ("Outputs", _variables(model.output_spec, dimensions)),
        ("State", _state(model)),
        ("Parameters", _parameters(model)),
    ]
    lines = [f"{model.label} ({type(model).__name__})"]
    for title, body in sections:
        lines += ["", title, *(body or ["  none"])]
    expansion = getattr(model, "expansion", None)
    if callable(expansion):
        lines += ["", "Expansion", *(f"  {line}".rstrip() for line in expansion().splitlines())]
    return "\n".join(lines)


HEAD = ("variable", "from", "to")


# -- members --------------------------------------------------------------------------------
def tree(model: Model) -> list[str]:
    """Modules in modules, with their types; what was shown before is not unfolded again."""
    rows = list(_branches(model, "  ", set()))
    return aligned(rows, indent="")


def _branches(module: torch.nn.Module, lead: str, seen: set[int]) -> Iterator[tuple[str, ...]]:
    children = list(module.named_children())
    for k, (name, child) in enumerate(children):
        last = k == len(children) - 1
        known = id(child) in seen
        seen.add(id(child))
        note = ""
        if isinstance(child, Model) and not isinstance(child, (ComposedModel, ImplicitUpdate)):
            note = f"{', '.join(child.input_spec)} -> {', '.join(child.output_spec)}"
        if known and any(True for _ in child.children()):
            note = "(as above)"
        yield f"{lead}{'└─' if last else '├─'} {name}", type(child).__name__, note
        if not known:
            yield from _branches(child, lead + ("   " if last else "│  "), seen)


def _models(model: Model) -> Iterator[Model]:
    return (m for m in model.modules() if isinstance(m, Model))


def _compositions(model: Model) -> Iterator[ComposedModel]:
    return (m for m in _models(model) if isinstance(m, ComposedModel))


def _updates(model: Model) -> Iterator[ImplicitUpdate]:
    return (m for m in _models(model) if isinstance(m, ImplicitUpdate))


# -- variables ------------------------------------------------------------------------------
def _variables(spec: Spec, dimensions: dict[str, str]) -> list[str]:
    rows = [(n, k.__name__, dimensions.get(current_name(n), "")) for n, k in spec.items()]
    return aligned(rows, ("name", "type", "dimension")) if rows else []


def _equations(model: ImplicitUpdate, dimensions: dict[str, str]) -> list[str]:
    system = model.equation_system
    pairs = zip(system.unknowns.items(), system.residuals, strict=False)
    rows = [(n, k.__name__, dimensions.get(n, ""), residual) for (n, k), residual in pairs]
    return aligned(rows, ("unknown", "type", "dimension", "residual"))


def _state(model: Model) -> list[str]:
    """What is remembered from step to step: the model's own results, then given variables."""
    rows = []
    for name, kind in model.input_spec.items():
        if is_old(name):
            base = current_name(name)
            origin = "computed" if base in model.output_spec else "given"
            rows.append((name, kind.__name__, f"{base}, {origin}"))
    return aligned(sorted(rows, key=lambda row: "given" in row[2])) if rows else []


def _parameters(model: Model) -> list[str]:
    dimensions = parameter_dimensions(model)
    rows = []
    for name, value in model.named_parameters():
        shape = "x".join(map(str, value.shape)) or "scalar"
        rows.append((name, _numbers(value), shape, dimensions.get(name, "")))
    return aligned(rows, ("name", "value", "shape", "dimension")) if rows else []


def _numbers(value: torch.Tensor) -> str:
    flat = value.detach().reshape(-1)
    if not len(flat):
        return "empty"
    if len(flat) <= MAX_VALUES:
        return " ".join(f"{x:g}" for x in flat.tolist())
    return f"{float(flat.min()):g} ... {float(flat.max()):g}"
