"""The eager side of `Material`: the model member by member, as torch operations over all points.

The implicit updates among the members still choose kernels of their own, unless the material is
told to be eager.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from neml2fe.implicit import recorded_solves
from neml2fe.kernels import TRACING, backend
from neml2fe.models import value_and_jacobian
from neml2fe.models.functional import substituted
from neml2fe.types import TypedTensor

if TYPE_CHECKING:
    from neml2fe.material.point import Material

Raw = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Update:
    """What one update gives: values of outputs, tangent, and how the implicit parts ended."""

    values: Raw
    tangent: torch.Tensor | None
    status: torch.Tensor
    iterations: torch.Tensor
    solution: torch.Tensor | None = None


class ComposedMaterial:
    """Updates of a material's model and their derivatives by torch."""

    def __init__(self, material: Material) -> None:
        self.material = material

    def update(self, inputs: Raw, tangent: bool) -> Update:
        m, slope, n = self.material, None, len(inputs[self.material.strain])
        with recorded_solves() as log, torch.no_grad(), self._backend():
            if tangent:
                values, jacobian = value_and_jacobian(
                    m.model, self._typed(inputs), [m.stress], [m.strain]
                )
                slope = jacobian[m.stress][m.strain].detach()
                values = {n: v.detach() for n, v in values.items()}
            else:
                values = {n: v.data for n, v in m.model.evaluate(self._typed(inputs)).items()}
        status, iterations = log.status, log.iterations
        if status is None or iterations is None:  # no implicit part: explicit models converge
            status = torch.zeros(n, dtype=torch.int64, device=inputs[m.strain].device)
            iterations = torch.zeros_like(status)
        return Update(values, slope, status.clone(), iterations.clone())

    def vjp(self, inputs: Raw, bars: Raw, wrt: list[str]) -> tuple[Raw, Raw]:
        """Cotangents of the inputs `wrt` and of parameters for those of outputs.

        A parameter that is a node of a graph, not a leaf, is held apart from it.
        """
        model, n = self.material.model, len(inputs[self.material.strain])
        sources = {n: inputs[n].detach().clone().requires_grad_() for n in wrt}
        parameters = {n: p for n, p in self.material.parameters.items() if p.requires_grad}
        apart = {n: p.detach().requires_grad_() for n, p in parameters.items() if not p.is_leaf}
        parameters |= apart
        with torch.enable_grad(), self._backend(), self._with(apart):
            values = model.evaluate(self._typed({**inputs, **sources}))
            weighted = sum(
                (values[name].data.expand(n, *bar.shape[1:]) * bar).sum()
                for name, bar in bars.items()
                if name in values
            )
            targets = [*sources.values(), *parameters.values()]
            found = torch.autograd.grad(weighted, targets, allow_unused=True)  # type: ignore[arg-type]
        gradients = [
            torch.zeros_like(t) if g is None else g for g, t in zip(found, targets, strict=True)
        ]
        by_input = dict(zip(sources, gradients[: len(sources)], strict=True))
        handed_on = bars.keys() & by_input.keys() - values.keys()  # of times there are none
        for name in handed_on:
            by_input[name] = by_input[name] + bars[name]
        return by_input, dict(zip(parameters, gradients[len(sources) :], strict=True))

    def jvp(self, inputs: Raw, rates: Raw, parameter_rates: Mapping[str, torch.Tensor]) -> Raw:
        """Rates of the outputs for those of some inputs and parameters."""
        own = self.material.parameters

        def outputs(values: Raw, parameters: Raw) -> Raw:
            with self._with(parameters):
                found = self.material.model.evaluate(self._typed({**inputs, **values}))
            return {n: v.data for n, v in found.items()}

        given = {n: inputs[n] for n in rates}, {n: own[n].detach() for n in parameter_rates}
        along = rates, {n: v.to(own[n]) for n, v in parameter_rates.items()}
        with torch.no_grad(), self._backend():
            return torch.func.jvp(outputs, given, along)[1]  # type: ignore[misc]

    @contextmanager
    def _with(self, parameters: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """Evaluate the model with other tensors in place of these parameters."""
        if not parameters:
            yield
            return
        with TRACING, substituted(self.material.model, parameters):
            yield

    def _typed(self, inputs: Raw) -> dict[str, TypedTensor]:
        return self.material.typed(inputs)

    def _backend(self) -> AbstractContextManager[None]:
        return backend("eager") if self.material.backend == "eager" else nullcontext()
