"""The compiled side of `Material`: the whole model as one kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch

from neml2fe.errors import ConvergenceError
from neml2fe.implicit import ImplicitUpdate, Status
from neml2fe.implicit.tracing import PARAMETER
from neml2fe.kernels import (
    BAR,
    RATE,
    SOLUTION,
    TRACING,
    KernelCache,
    Kernels,
    Program,
    Request,
    chosen_backend,
    common_dtype,
    traced,
)
from neml2fe.material.composed import Update
from neml2fe.material.history import lags
from neml2fe.models.functional import parameter_base_ndims, substituted

if TYPE_CHECKING:
    from neml2fe.material.point import Material

Raw = dict[str, torch.Tensor]


class CompiledMaterial:
    """Kernels of a material's model, one set for each combination of shapes and number type."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._cache = KernelCache(material.model)

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
        """What an update hands out: stress, energy, and the whole state, computed or handed on."""
        m = self.material
        energy = [] if m.energy is None else [m.energy]
        return tuple(dict.fromkeys([m.stress, *energy, *m.state_spec]))

    @property
    def _inputs(self) -> list[str]:
        """The model's inputs and all of the old state, be it only to be handed on."""
        m = self.material
        return list(dict.fromkeys([*m.inputs, *(lags(n, 1) for n in m.state_spec)]))

    def pull_request(self) -> Request:
        """Cotangents of all inputs but times, and of parameters where one needs them."""
        return self._product("vjp", any(p.requires_grad for p in self.parameters().values()))

    def _product(self, kind: str, by_parameters: bool) -> Request:
        """By all inputs but times, so that the choice of rates makes no further kernels."""
        wrt = [n for n in self._inputs if n not in self.material._times]
        if by_parameters:
            wrt += [PARAMETER + n for n in self.parameters()]
        return Request(kind, self.of, tuple(wrt))

    def kernels(self, inputs: Raw) -> Kernels:
        m, model = self.material, self.material.model
        inputs = {n: inputs[n] for n in self._inputs}
        parameters = self.parameters()
        shapes = {n: inner_shape(n, v, m) for n, v in inputs.items()}
        shapes |= {
            PARAMETER + n: tuple(p.shape[p.ndim - self._base_ndims[n] :])
            for n, p in parameters.items()
        }
        dtype = common_dtype([*inputs.values(), *parameters.values()])
        trace = partial(self._traced, shapes, dtype)
        return self._cache.of(model.label, shapes, dtype, trace)

    def kernels_of_points(self) -> Kernels:
        """Those for numbers in float64, and fields without a sub-batch."""
        m = self.material
        strain = torch.zeros(1, *m.strain_kind.BASE_SHAPE, dtype=torch.float64)
        fields = {n: strain.new_zeros(1, *kind.BASE_SHAPE) for n, kind in m.field_spec.items()}
        state = m.initial_state(1, torch.float64, fields=fields)
        return self.kernels(m._inputs(strain, state, 1.0, 1.0, fields))

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
            return {n: outputs[n].data if n in outputs else symbols[n] for n in self.of}

        return traced(material.model.label, point, shapes, dtype)

    def _prepared(self, inputs: Raw, request: Request, n: int) -> Kernels | None:
        if chosen_backend(self.material.backend) == "eager":
            return None
        kernels = self.kernels(inputs)
        device = inputs[self.material.strain].device
        return kernels if kernels.prepared(self.material.backend, request, n, device) else None

    def arguments(self, inputs: Raw) -> Raw:
        return {**inputs, **{PARAMETER + n: p for n, p in self.parameters().items()}}

    @cached_property
    def _members(self) -> list[tuple[str, torch.nn.Module]]:
        return list(self.material.model.named_modules())

    def parameters(self) -> Raw:
        """As `named_parameters`, which walks through all members at every call."""
        found: Raw = {}
        seen: set[int] = set()
        with TRACING:  # by another thread
            for path, member in self._members:
                for symbol, p in member._parameters.items():
                    if p is not None and id(p) not in seen:
                        seen.add(id(p))
                        found[f"{path}.{symbol}" if path else symbol] = p
        return found

    def update(self, inputs: Raw, tangent: bool) -> Update | None:
        """Stress, state and tangent by the kernel; None where eager is to do it."""
        m = self.material
        strain = inputs[m.strain]
        request = Request("update", self.of, *(((m.strain,), (m.stress,)) if tangent else ()))
        kernels = self._prepared(inputs, request, len(strain))
        if kernels is None:
            return None
        settings = [stage.settings() for stage in kernels.program.stages]
        kernel = kernels.kernel(request)
        found = kernel(len(strain), self.arguments(inputs), settings, like=strain)
        slope, solution = found.arrays.get(f"{m.stress}/{m.strain}"), found.arrays[SOLUTION]
        done = Update(found.arrays, slope, found.status, found.iterations, solution)
        return self._with_substeps(done, inputs) if self.substeps else done

    def _with_substeps(self, done: Update, inputs: Raw) -> Update:
        """Failed points once more, member by member, so that an update may divide its step."""
        failed = (done.status != Status.CONVERGED).nonzero().squeeze(-1)
        if not len(failed):
            return done
        part = {n: v if not v.ndim else v[failed] for n, v in inputs.items()}
        again = self.material.composed.update(part, done.tangent is not None)
        done.status[failed], done.iterations[failed] = again.status, again.iterations
        for name in again.values.keys() & done.values.keys():
            done.values[name][failed] = again.values[name]
        if done.tangent is not None and again.tangent is not None:
            done.tangent[failed] = again.tangent
        return replace(done, solution=None)

    def vjp(
        self, inputs: Raw, bars: Raw, wrt: list[str], solution: torch.Tensor | None
    ) -> tuple[Raw, Raw] | None:
        """Cotangents of the inputs `wrt` and of parameters for those of outputs, `bars`; None
        where eager is to do it."""
        m = self.material
        strain, parameters = inputs[m.strain], self.parameters()
        request = self.pull_request()
        kernels = self._prepared(inputs, request, len(strain))
        if kernels is None:
            return None
        solution = self._solution(kernels, inputs, solution)
        if solution is None:
            return None
        zero = {v.name: strain.new_zeros(v.shape) for v in kernels.program.outputs}
        arguments = self.arguments(inputs) | {SOLUTION: solution}
        arguments |= {BAR + n: bars.get(n, zero[n]) for n in self.of}
        shared = [n for n, p in parameters.items() if p.ndim == self._base_ndims[n]]
        summed = [BAR + PARAMETER + n for n in shared]
        found = kernels.kernel(request)(len(strain), arguments, like=strain, summed=summed).arrays
        by_parameter = {
            n: found[BAR + PARAMETER + n].to(p.dtype).sum_to_size(p.shape)
            for n, p in parameters.items()
            if p.requires_grad
        }
        return {n: found[BAR + n] for n in wrt}, by_parameter

    def jvp(
        self,
        inputs: Raw,
        rates: Raw,
        parameter_rates: Mapping[str, torch.Tensor],
        solution: torch.Tensor | None,
    ) -> Raw | None:
        """Rates of the outputs for those of some inputs and parameters; None where eager is to do
        it."""
        strain = inputs[self.material.strain]
        request = self._product("jvp", bool(parameter_rates))
        kernels = self._prepared(inputs, request, len(strain))
        if kernels is None:
            return None
        solution = self._solution(kernels, inputs, solution)
        if solution is None:
            return None
        arguments = self.arguments(inputs) | {SOLUTION: solution}
        known = rates | {PARAMETER + n: v for n, v in parameter_rates.items()}
        for name in request.wrt:
            zero = strain.new_zeros(kernels.program.input(name).shape)
            arguments[RATE + name] = known.get(name, zero)
        found = kernels.kernel(request)(len(strain), arguments, like=strain).arrays
        return {n: found[RATE + n] for n in self.of}

    def _solution(
        self, kernels: Kernels, inputs: Raw, known: torch.Tensor | None
    ) -> torch.Tensor | None:
        """The unknowns at which derivatives are taken; None where a step was divided."""
        if known is not None:
            return known
        strain = inputs[self.material.strain]
        if not kernels.program.stages:
            return strain.new_zeros(len(strain), 0)
        found = self.update(inputs, tangent=False)
        if found is None or found.solution is None:
            return None
        failed = (found.status != Status.CONVERGED).nonzero().squeeze(-1)
        if len(failed):
            raise ConvergenceError(
                f"'{self.material.model.label}' did not converge at {len(failed)} of "
                f"{len(strain)} points (first: point {int(failed[0])}); derivatives do not exist "
                "there"
            )
        return found.solution


def inner_shape(name: str, value: torch.Tensor, material: Material) -> tuple[int, ...]:
    """Sub-batch and base shape of an input; times may be plain numbers."""
    kind = material.inputs.get(name) or material.state_spec[lags(name, -1)]
    return tuple(value.shape[1:]) if value.ndim > kind.base_ndim() else tuple(value.shape)
