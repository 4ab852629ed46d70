"""The tensors that a problem is made of, by name: what its results can be differentiated by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch.autograd import forward_ad

from neml2fe.errors import Error, InputError, suggest
from neml2fe.fem.conditions.conditions import CohesiveInterface
from neml2fe.fem.conditions.fields import FieldLike
from neml2fe.fem.conditions.tensors import condition_tensors, tensors_of
from neml2fe.fem.problem import Problem
from neml2fe.material import PointMaterial


def materials_of(problem: Problem) -> dict[str, PointMaterial]:
    """Materials by the name of their body or interface, each once."""
    found = {body.name: body.material for body in problem.bodies}
    found |= {c.name: c.material for c in problem.conditions if isinstance(c, CohesiveInterface)}
    seen: set[int] = set()
    return {n: m for n, m in found.items() if not (id(m) in seen or seen.add(id(m)))}  # type: ignore[func-returns-value]


def parameters_of(problem: Problem) -> dict[str, torch.Tensor]:
    """Parameters of the materials: by their names in the model, with the name of the body or
    interface in front where there are several materials."""
    materials = materials_of(problem)
    return {
        f"{prefix}{name}": value
        for prefix, material in _prefixed(materials)
        for name, value in material.parameters.items()
    }


def tensors_of_problem(problem: Problem) -> dict[str, torch.Tensor]:
    """Parameters of materials, and the tensors among fields, initial states, loads and prescribed
    displacements: `fields.temperature`, `<body>.fields.temperature` (and of an interface),
    `<body>.initial_state.x`, `<condition>.value`, and `coordinates`. Each tensor once."""
    found = parameters_of(problem)
    if problem.coordinates is not None:
        found["coordinates"] = problem.coordinates
    groups: list[tuple[str, Mapping[str, FieldLike]]] = [("fields.", problem.fields)]
    for body in problem.bodies:
        groups.append((f"{body.name}.fields.", body.fields))
        groups.append((f"{body.name}.initial_state.", body.initial_state))
    for condition in problem.conditions:
        if isinstance(condition, CohesiveInterface):
            groups.append((f"{condition.name}.fields.", condition.fields))
    for prefix, fields in groups:
        for name, field in fields.items():
            tensors = tensors_of(field)
            for k, tensor in enumerate(tensors):
                found[prefix + name + (f"[{k}]" if len(tensors) > 1 else "")] = tensor
    found |= load_tensors(problem)
    seen: set[int] = set()
    return {n: t for n, t in found.items() if not (id(t) in seen or seen.add(id(t)))}  # type: ignore[func-returns-value]


def load_tensors(problem: Problem) -> dict[str, torch.Tensor]:
    """The tensors among loads and prescribed displacements: `<condition>.value`."""
    return {
        f"{condition.name}.{name}": tensor
        for condition in problem.conditions
        if not isinstance(condition, CohesiveInterface)
        for name, tensor in condition_tensors(condition).items()
    }


@contextmanager
def with_parameters(problem: Problem, values: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """The problem with other tensors in place of parameters of its materials, by the names of
    `parameters_of`. Raises `InputError` for a name or a shape that does not fit."""
    every = parameters_of(problem)
    for name, value in values.items():
        if name not in every:
            raise InputError(f"no material has a parameter '{name}'{suggest(name, every)}")
        if value.shape != every[name].shape:
            raise InputError(
                f"parameter '{name}' has shape {tuple(every[name].shape)}, not {tuple(value.shape)}"
            )
        twin = next((n for n in values if n != name and every[n] is every[name]), None)
        if twin is not None:
            raise InputError(f"'{name}' and '{twin}' are one parameter: give it once")
    with ExitStack() as stack:
        for prefix, material in _prefixed(materials_of(problem)):
            own = {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
            known = material.parameters
            own = {n: v for n, v in own.items() if n in known}
            stack.enter_context(material.with_parameters(own))
        yield


def refuse_duals(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raises `Error` for dual numbers, whose tangents would be lost."""
    for name, tensor in tensors.items():
        if forward_ad.unpack_dual(tensor).tangent is not None:
            raise Error(
                f"'{name}' is a dual number of torch's forward mode, which does not go through a "
                "simulation: take Solution.sensitivities"
            )


def _prefixed(materials: Mapping[str, PointMaterial]) -> list[tuple[str, PointMaterial]]:
    several = len(materials) > 1
    return [(f"{name}." if several else "", material) for name, material in materials.items()]
