"""`RateCondensation`: a driving force as a linear function of the rate that relaxes it."""

from __future__ import annotations

from functools import cached_property

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models.fields import Option, Output
from neml2fe.models.model import Model, Spec, Values
from neml2fe.types import Scalar


class RateCondensation(Model):
    r"""$b = f(0)$ and $A = -\partial f/\partial\dot\gamma$ at $\dot\gamma = 0$ of a driving force
    $f(\dot\gamma)$ that `model` computes, by forward-mode differentiation.

    $\varphi(\dot\gamma) + A\dot\gamma = b$, with $\varphi$ the inverse of the rate law, then stands
    for a step of the material in a `CoordinateDescentPredictor`.
    """

    model: Model = Option(Model, "Model from the rate to the driving force")
    rate: str = Option(str, "Its input that is the rate")
    driving_force: str = Option(str, "Its output that is the driving force")
    coupling = Output(Scalar, "A: how the rate relaxes the driving force")
    trial_driving_force = Output(Scalar, "b: the driving force at zero rate")

    def setup(self) -> None:
        for name, spec in (
            (self.rate, self.model.input_spec),
            (self.driving_force, self.model.output_spec),
        ):
            if spec.get(name) is not Scalar:
                raise ModelError(
                    f"{self.label}: '{self.model.label}' has no Scalar '{name}' "
                    f"there{suggest(name, spec)}"
                )
        if len(self.model.input_spec) == 1:
            raise ModelError(
                f"{self.label}: '{self.model.label}' depends on nothing but the rate '{self.rate}'"
            )
        self.adopt("model", self.model)

    @cached_property
    def input_spec(self) -> Spec:
        return {n: kind for n, kind in self.model.input_spec.items() if n != self.rate}

    def _evaluate(self, values: Values) -> Values:
        like = next(iter(values.values()))
        sub_batch: list[int] = []

        def driving_force(rate: torch.Tensor) -> torch.Tensor:
            found = self.model._evaluate({**values, self.rate: Scalar(rate)})[self.driving_force]
            sub_batch.append(found.sub_batch_ndim)
            return found.data

        zero = torch.zeros((), dtype=like.dtype, device=like.device)
        force, slope = torch.func.jvp(driving_force, (zero,), (torch.ones_like(zero),))  # type: ignore[misc]
        coupling, trial = self.output_spec
        return {
            coupling: Scalar(-slope, sub_batch[-1]),
            trial: Scalar(force, sub_batch[-1]),
        }
