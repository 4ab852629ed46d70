"""What the tests of the material core share: decks, samples, rotations, difference quotients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import neml2fe
from neml2fe.models import Model
from neml2fe.types import MRP, Scalar, TypedTensor, rotate

DECKS = Path(__file__).parent / "decks"
STEPS = [10.0**-k for k in range(1, 11)]
Raw = dict[str, torch.Tensor]


def f64(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def rotation(*batch: int) -> MRP:
    """Random rotations by up to a third of a turn."""
    return MRP(torch.rand(*batch, 3, dtype=torch.float64) - 0.5)


def turned(value: TypedTensor, turn: MRP) -> TypedTensor:
    return value if isinstance(value, Scalar) else rotate(value, turn)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-13) -> bool:
    """Equal up to `tolerance` times the largest entry; NaN is never close."""
    size = max(float(a.detach().abs().max()), float(b.detach().abs().max()), 1e-300)
    return a.shape == b.shape and float((a - b).detach().abs().max()) <= tolerance * size


def difference_errors(
    f: Callable[[float], torch.Tensor],
    slope: torch.Tensor,
    steps: Sequence[float] = STEPS,
    size: torch.Tensor | None = None,
) -> list[float]:
    """Errors of central differences of `f` at 0 for falling steps, relative to `size` (of the
    slope itself by default)."""
    slope = slope.detach()
    errors = []
    for h in steps:
        quotient = (f(h).detach() - f(-h).detach()) / (2.0 * h)
        errors.append(float(torch.linalg.vector_norm(quotient - slope)))
    scale = float(torch.linalg.vector_norm(slope) if size is None else size)
    assert scale > 0.0, "a vanishing derivative shows nothing"
    return [e / scale for e in errors]


def assert_v(
    f: Callable[[float], torch.Tensor],
    slope: torch.Tensor,
    floor: float = 1e-8,
    exact: bool = False,
    steps: Sequence[float] = STEPS,
) -> None:
    """Truncation makes the error fall with the step, then round-off makes it rise.

    A wrong derivative would leave a plateau instead. With `exact`, `f` is a polynomial of
    degree two at most, whose central differences have no truncation error. The ends of the V
    come first, then steps from its middle outwards, until one lies deep enough.
    """
    ends = [steps[0], steps[-1]]
    middle = math.log(steps[0] * steps[-1]) / 2.0
    between = sorted(steps[1:-1], key=lambda h: abs(math.log(h) - middle))
    errors = dict(zip(ends, difference_errors(f, slope, ends), strict=True))

    def deep(best: float) -> bool:
        falls = errors[steps[0]] < floor if exact else errors[steps[0]] > 10.0 * best
        return best < floor and falls and errors[steps[-1]] > 10.0 * best

    for h in between:
        if deep(min(errors.values())):
            return
        errors[h] = difference_errors(f, slope, [h])[0]
    best = min(errors.values())
    if best >= floor:  # the bottom of the V may lie between two steps
        bottom = min(errors, key=errors.__getitem__)
        best = min(best, *difference_errors(f, slope, [bottom * 10.0**0.5, bottom / 10.0**0.5]))
    shown = ", ".join(f"{h:.0e}: {errors[h]:.1e}" for h in steps)
    assert deep(best), f"no V that falls below {floor:g} and rises again: {shown}"


def direction(values: Mapping[str, torch.Tensor]) -> Raw:
    """A random direction in which each entry changes by about its own size."""
    found = {}
    for name, value in values.items():
        size = value.detach().abs().max()
        found[name] = randn(*value.shape) * (size if size > 0 else 1.0)
    return found


def along(values: Mapping[str, torch.Tensor], way: Mapping[str, torch.Tensor], h: float) -> Raw:
    return {name: value.detach() + h * way[name] for name, value in values.items()}


def dot(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([(a[name] * b[name]).sum() for name in b]).sum()


def typed(
    model: Model, inputs: Mapping[str, torch.Tensor], sub_batch: Mapping[str, int]
) -> dict[str, TypedTensor]:
    """Inputs of `model` with their numbers of sub-batch dimensions, none where not given."""
    spec = model.input_spec
    return {n: spec[n](v, sub_batch.get(n, 0)) for n, v in inputs.items()}


class Pure:
    """A model as a pure function of one dictionary: parameters (`p:` first) and inputs."""

    def __init__(
        self,
        model: Model,
        inputs: Mapping[str, torch.Tensor],
        sub_batch: Mapping[str, int] | None = None,
    ) -> None:
        self.model, self.sub_batch = model, sub_batch or {}
        self.values: Raw = {n: v.detach().clone() for n, v in inputs.items()}
        self.values |= {f"p:{n}": p.detach().clone() for n, p in model.named_parameters()}
        with torch.no_grad():
            outputs = self.outputs(self.values)
        self.weights = {n: randn(*v.shape) / v.abs().max() for n, v in outputs.items() if v.any()}

    def outputs(self, values: Mapping[str, torch.Tensor]) -> Raw:
        parameters = {n[2:]: v for n, v in values.items() if n.startswith("p:")}
        inputs = {n: v for n, v in values.items() if not n.startswith("p:")}
        arguments = typed(self.model, inputs, self.sub_batch)
        found = torch.func.functional_call(self.model, parameters, (), arguments)
        if isinstance(found, TypedTensor):
            found = (found,)
        return {n: v.data for n, v in zip(self.model.output_spec, found, strict=True)}

    def total(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """A random, well-scaled combination of all outputs."""
        outputs = self.outputs(values)
        return dot({n: outputs[n] for n in self.weights}, self.weights)

    def gradient(self, values: Mapping[str, torch.Tensor]) -> Raw:
        """Reverse mode, as users run it: leaves that require a gradient and `backward`."""
        leaves = {n: v.detach().clone().requires_grad_() for n, v in values.items()}
        self.total(leaves).backward()
        return {n: torch.zeros_like(v) if v.grad is None else v.grad for n, v in leaves.items()}


def plastic_point(deck: str, step: int, model: str = "model") -> tuple[Model, Raw]:
    """The model of a deck and its inputs (all specimens) at one step of its driver."""
    source = neml2fe.load_input(DECKS / f"{deck}.i")
    driver = source.get_driver("driver").driver
    driver.prescribed = {n: v[: step + 1] for n, v in driver.prescribed.items()}
    inputs = driver.run().inputs[step]
    built = source.get_model(model)
    return built, {n: inputs[n].detach().clone() for n in built.input_spec}
