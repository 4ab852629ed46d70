"""`CoordinateDescentPredictor`: rates of a step, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model, Spec, Values
from neml2fe.types import Scalar, aligned

Law = Callable[[torch.Tensor], torch.Tensor]


class CoordinateDescentPredictor(Model):
    r"""Solves $\varphi(\dot\gamma) + A\dot\gamma = b$ for the rates, $\varphi$ the inverse of a
    rate law that acts on each rate alone, by sweeps of Gauss and Seidel.

    With $A$ positive semi-definite and a law that grows and vanishes at zero, each sweep lowers a
    convex potential. One rate is the root of $w + A_{ii}\dot\gamma(w) = c$ in the driving force
    $w$, which lies between 0 and $c$: bisections, then steps of Newton. The last dimension of the
    sub-batch of $b$ and the last two of $A$ are those of the rates; without these there is one.
    """

    rate_law: Model = Option(Model, "Model from the driving force to the rate")
    driving_force_input: str = Option(str, "Its input that is the driving force")
    coupling = Input(Scalar, "A: how the rates relax the driving forces")
    trial_driving_force = Input(Scalar, "b: the driving forces at zero rates")
    rate = Output(Scalar, "Predicted rates", dimension="1/time")
    sweeps: int = Option(int, "Sweeps over all rates", default=16)
    bisections: int = Option(int, "Bisections for one rate in one sweep", default=16)
    polish: int = Option(int, "Steps of Newton after them", default=3)

    def setup(self) -> None:
        spec = self.rate_law.input_spec
        if self.driving_force_input not in spec:
            raise ModelError(
                f"{self.label}: '{self.driving_force_input}' is no input of "
                f"'{self.rate_law.label}'{suggest(self.driving_force_input, spec)}"
            )
        if list(self.rate_law.output_spec.values()) != [Scalar]:
            raise ModelError(
                f"{self.label}: the rate law '{self.rate_law.label}' must compute the rate alone, "
                f"a Scalar; it computes {list(self.rate_law.output_spec)}"
            )
        self.adopt("rate_law", self.rate_law)

    @cached_property
    def input_spec(self) -> Spec:
        law = self.rate_law.input_spec
        return {
            **super().input_spec,
            **{n: kind for n, kind in law.items() if n != self.driving_force_input},
        }

    def _evaluate(self, values: Values) -> Values:
        coupling, trial = (
            Scalar(values[self.names[n][0]]) for n in ("coupling", "trial_driving_force")
        )
        others = {n: values[n] for n in self.rate_law.input_spec if n in values}
        (b, *_), n = aligned(trial, *others.values())

        def law(force: torch.Tensor) -> torch.Tensor:
            given = {**others, self.driving_force_input: Scalar(force, n)}
            (rate,) = self.rate_law._evaluate(given).values()
            return rate.data

        b = b + 0.0 * law(b)  # has every point, so that derivatives by it are each point's own
        (output,) = self.output_spec
        if coupling.sub_batch_ndim == trial.sub_batch_ndim:
            (a, _), _ = aligned(coupling, Scalar(b, n))
            return {output: Scalar(self._root(a, b, law), n)}
        self._check(coupling, trial)
        (a, _), _ = aligned(coupling, Scalar(b, n).sub_batch.unsqueeze(-1))
        return {output: Scalar(self._descend(a, b, law), n)}

    def _check(self, coupling: Scalar, trial: Scalar) -> None:
        expected = (*trial.sub_batch_shape, *trial.sub_batch_shape[-1:])
        if not trial.sub_batch_ndim or coupling.sub_batch_shape[-2:] != expected[-2:]:
            raise ModelError(
                f"{self.label}: driving forces with the sub-batch {trial.sub_batch_shape} need a "
                f"coupling with {expected}, not {coupling.sub_batch_shape}"
            )

    def _descend(self, a: torch.Tensor, b: torch.Tensor, law: Law) -> torch.Tensor:
        """Rates `(..., n)` for couplings `(..., n, n)` and driving forces `(..., n)`."""

        def law_of(i: int) -> Law:
            """The law of rate i alone; what else it depends on may be given for all rates."""

            def of_one(force: torch.Tensor) -> torch.Tensor:
                rates = law(force)
                return rates if rates.shape[-1] == 1 else rates[..., i : i + 1]

            return of_one

        rates = [0.0 * force for force in b.split(1, dim=-1)]
        for _ in range(self.sweeps):
            for i, force in enumerate(b.split(1, dim=-1)):
                own = a[..., i, i : i + 1]
                relaxed = (a[..., i, :] * _joined(rates)).sum(-1, keepdim=True) - own * rates[i]
                rates[i] = self._root(own, force - relaxed, law_of(i))
        return _joined(rates)

    def _root(self, a: torch.Tensor, force: torch.Tensor, law: Law) -> torch.Tensor:
        """The rate at the root of w + a law(w) = force."""
        lower, upper = torch.zeros_like(force), torch.ones_like(force)
        for _ in range(self.bisections):
            middle = 0.5 * (lower + upper)
            w = middle * force
            below = (w + a * law(w) - force) * torch.sign(force) < 0.0
            lower, upper = torch.where(below, middle, lower), torch.where(below, upper, middle)
        w = 0.5 * (lower + upper) * force
        for _ in range(self.polish):
            rate, pull_back = torch.func.vjp(law, w)  # type: ignore[misc]
            (slope,) = pull_back(torch.ones_like(rate))
            w = w - (w + a * rate - force) / (1.0 + a * slope)
        return law(w)


def _joined(rates: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(torch.broadcast_tensors(*rates), dim=-1)
