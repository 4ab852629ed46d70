"""The compiled side of `Material`: the whole model as one kernel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from neml2fe.errors import ConvergenceError
from neml2fe.implicit import ImplicitUpdate, Status
from neml2fe.kernels import (
    BAR,
    SOLUTION,
    Kernels,
    Program,
    Request,
    Results,
    common_dtype,
    traced,
)
from neml2fe.models.functional import parameter_base_ndims, substituted

if TYPE_CHECKING:
    from neml2fe.material.point import Material

Raw = dict[str, torch.Tensor]
PARAMETER = "parameter:"  # before the names of parameters, which may be those of variables


class CompiledMaterial:
    """Kernels of a material's model, one set for each combination of shapes and number type."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._kernels: dict[tuple[object, ...], Kernels] = {}

    @cached_property
    def substeps(self) -> bool:
        """Whether an update of the model may divide its step, which kernels leave to it."""
        updates = (m for m in self.material.model.modules() if isinstance(m, ImplicitUpdate))
        return any(update.max_substepping_level for update in updates)

    @cached_property
    def _base_ndims(self) -> dict[str, int]:
        return parameter_base_ndims(self.material.model)

    @property
    def of(self) -> tuple[str, ...]:
        """The outputs that an update hands out: stress and state."""
        m = self.material
        return tuple(dict.fromkeys([m.stress, *(n for n in m.state_spec if n in m.outputs)]))

    def kernels(self, inputs: Raw) -> Kernels:
        model = self.material.model
        inputs = {n: inputs[n] for n in self.material.inputs}  # times, which it may not need
        parameters = dict(model.named_parameters())
        shapes = {n: inner_shape(n, v, self.material) for n, v in inputs.items()}
        shapes |= {
            PARAMETER + n: tuple(p.shape[p.ndim - self._base_ndims[n] :])
            for n, p in parameters.items()
        }
        dtype = common_dtype([*inputs.values(), *parameters.values()])
        constants = ((id(b), b._version) for b in model.buffers())
        key = (*shapes.values(), *constants, dtype)
        if key not in self._kernels:
            self._kernels[key] = Kernels(model.label, lambda d: self._traced(shapes, d), dtype)
        return self._kernels[key]

    def _traced(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> Program:
        material = self.material

        def point(symbols: Raw) -> Raw:
            parameters = {
                n.removeprefix(PARAMETER): v for n, v in symbols.items() if n.startswith(PARAMETER)
            }
            values = {n: symbols[n] for n in material.inputs}
            typed = {
                n: kind(values[n], values[n].ndim - kind.base_ndim())
                for n, kind in material.inputs.items()
            }
            with substituted(material.model, parameters):
                outputs = material.model._evaluate(typed)
            return {n: outputs[n].data for n in self.of}

        return traced(material.model.label, point, shapes, dtype)

    def _usable(self, inputs: Raw, request: Request, n: int) -> Kernels | None:
        kernels = self.kernels(inputs)
        device = inputs[self.material.strain].device
        return kernels if kernels.usable(self.material.backend, request, n, device) else None

    def arguments(self, inputs: Raw) -> Raw:
        parameters = self.material.model.named_parameters()
        return {**inputs, **{PARAMETER + n: p for n, p in parameters}}

    def update(self, inputs: Raw, tangent: bool) -> Results | None:
        """Stress and state, unknowns and tangent by the kernel; None where eager is to do it."""
        m = self.material
        strain = inputs[m.strain]
        request = Request("update", self.of, *(((m.strain,), (m.stress,)) if tangent else ()))
        kernels = self._usable(inputs, request, len(strain))
        if kernels is None:
            return None
        settings = [stage.settings() for stage in kernels.program.stages]
        return kernels.kernel(request)(len(strain), self.arguments(inputs), settings, like=strain)

    def vjp(
        self, inputs: Raw, bars: Raw, times: tuple[str, ...], solution: torch.Tensor | None
    ) -> tuple[Raw, Raw] | None:
        """Cotangents of inputs and of parameters for those of outputs, `bars`; None where eager
        is to do it."""
        m = self.material
        strain = inputs[m.strain]
        parameters = {n: p for n, p in m.model.named_parameters()}
        wrt = [n for n in m.inputs if n not in times]
        if any(p.requires_grad for p in parameters.values()):
            wrt += [PARAMETER + n for n in parameters]
        request = Request("vjp", self.of, tuple(wrt))
        kernels = self._usable(inputs, request, len(strain))
        if kernels is None:
            return None
        if solution is None and kernels.program.stages:
            found = self.update(inputs, tangent=False)
            failed = None if found is None else (found.status != Status.CONVERGED).nonzero()
            if found is None or failed is None or (len(failed) and self.substeps):
                return None
            if len(failed):
                raise ConvergenceError(
                    f"'{m.model.label}' did not converge at {len(failed)} of {len(strain)} points "
                    f"(first: point {int(failed[0])}); derivatives do not exist there"
                )
            solution = found.arrays[SOLUTION]
        elif solution is None:
            solution = strain.new_zeros(len(strain), 0)
        shapes = {v.name: v.shape for v in kernels.program.outputs}
        zero = {n: strain.new_zeros(shapes[n]) for n in self.of}
        arguments = self.arguments(inputs) | {SOLUTION: solution}
        arguments |= {BAR + n: bars.get(n, zero[n]) for n in self.of}
        shared = [
            BAR + PARAMETER + n for n, p in parameters.items() if p.ndim == self._base_ndims[n]
        ]
        found = kernels.kernel(request)(len(strain), arguments, like=strain, summed=shared)
        of_inputs = {n: found.arrays[BAR + n] for n in m.inputs if n not in times}
        of_parameters = {
            n: found.arrays[BAR + PARAMETER + n].to(p.dtype)
            for n, p in parameters.items()
            if p.requires_grad
        }
        return of_inputs, of_parameters


def inner_shape(name: str, value: torch.Tensor, material: Material) -> tuple[int, ...]:
    """Sub-batch and base shape of an input; times may be plain numbers."""
    kind = material.inputs[name]
    return tuple(value.shape[1:]) if value.ndim > kind.base_ndim() else tuple(value.shape)
