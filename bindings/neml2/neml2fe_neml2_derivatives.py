"""Derivatives of a model of NEML2: transposed ones in reverse mode, rates by its chain rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from neml2fe_neml2_model import FAILURES, Neml2Model, Raw, expanded

from neml2fe.errors import ConvergenceError, ModelError


class Derivatives:
    """Those of the outputs of `model` at n points, by name.

    All raise `ConvergenceError` where a point does not converge, and those in reverse mode (also
    rates of parameters) `ModelError` for systems with several groups of unknowns.
    """

    def __init__(self, model: Neml2Model) -> None:
        self.model, self.module = model, model.module

    def pulled(
        self, inputs: Raw, n: int, bars: Mapping[str, torch.Tensor], wrt: list[str]
    ) -> tuple[Raw, Raw]:
        """Cotangents of the inputs `wrt` and of the parameters that require a gradient, for those
        of outputs: one reverse sweep."""
        sources = {k: inputs[k].detach().clone().requires_grad_() for k in wrt}
        wanted = {k: p for k, p in self.model.parameters.items() if p.requires_grad}
        targets = [*sources.values(), *wanted.values()]
        with self._reverse(), torch.enable_grad():
            values = self.model.values({**inputs, **sources}, n)
            total = torch.stack([(values[k] * bar).sum() for k, bar in bars.items()]).sum()
            found = torch.autograd.grad(total, targets, allow_unused=True)
        bars_in = [
            torch.zeros_like(t) if g is None else g for g, t in zip(found, targets, strict=True)
        ]
        split = len(sources)
        return (
            dict(zip(sources, bars_in[:split], strict=True)),
            dict(zip(wanted, bars_in[split:], strict=True)),
        )

    @torch.no_grad()
    def pushed(
        self, inputs: Raw, n: int, rates: Raw, parameter_rates: Mapping[str, torch.Tensor]
    ) -> Raw:
        """Rates of the outputs for those of inputs and parameters."""
        typed = self.model.typed(inputs)
        with self._failing():
            _, found = self.module.jvp(typed, self.model.typed(rates))
        pushed = {k: expanded(v, n) for k, v in found.items()}
        if parameter_rates:
            for name, rate in self._by_parameters(inputs, n, parameter_rates).items():
                pushed[name] = pushed[name] + rate
        return pushed

    def _by_parameters(
        self, inputs: Raw, n: int, parameter_rates: Mapping[str, torch.Tensor]
    ) -> Raw:
        """Rates of the outputs for those of parameters: NEML2 has these in reverse only, one sweep
        for each number of an output, back to one factor for each point."""
        like = next(v for v in inputs.values() if v.ndim)
        factor = like.new_zeros(n, requires_grad=True)
        own, rates = self.model.parameters, {}
        with self._reverse(), torch.enable_grad():
            varied = {
                name: own[name].detach() + factor.view(n, *[1] * rate.ndim) * rate.to(own[name])
                for name, rate in parameter_rates.items()
            }
            with self.model.with_parameters(varied):
                for name, value in self.model.values(inputs, n).items():
                    numbers = value.reshape(n, math.prod(value.shape[1:]))
                    columns = [self._slope(numbers[:, i], factor) for i in range(numbers.shape[1])]
                    rates[name] = torch.stack(columns, -1).reshape(value.shape)
        return rates

    @staticmethod
    def _slope(of: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        if not of.requires_grad:
            return torch.zeros_like(by)
        ones = torch.ones_like(of)
        found = torch.autograd.grad(of, by, ones, retain_graph=True, allow_unused=True)[0]
        return torch.zeros_like(by) if found is None else found

    @contextmanager
    def _reverse(self) -> Iterator[None]:
        """Within this context NEML2's reverse mode works: all parameters require a gradient."""
        grouped = [u for u in self.model.updates if len(u.system.unknown_groups) > 1]
        if grouped:
            raise ModelError(
                f"'{self.model.label}': NEML2 differentiates no system with several groups of "
                "unknowns (SchurComplement) in reverse; put the unknowns in one group"
            )
        with self.model.lock:
            before = [(p, p.requires_grad) for p in self.module.parameters()]
            try:
                self.module.requires_grad_(True)
                with self._failing():
                    yield
            finally:
                for parameter, required in before:
                    parameter.requires_grad_(required)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            with self.model.evaluating():
                yield
        except FAILURES as error:
            raise ConvergenceError(
                f"'{self.model.label}': a point does not converge ({error}), so that its "
                "derivatives do not exist"
            ) from error
