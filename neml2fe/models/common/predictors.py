"""Predictors: initial guesses for the unknowns of an implicit update."""

from __future__ import annotations

from functools import cached_property

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models.fields import Option
from neml2fe.models.model import Model, Spec, Values
from neml2fe.types import TENSOR_TYPES, Scalar, TypedTensor, abs, where


class ConstantExtrapolationPredictor(Model):
    """Each unknown starts from its value one step back.

    On the first step, where the times one and two steps back are equal, an unknown with an entry
    `unknown:variable` in `cold` starts from that variable instead.
    """

    unknowns_Scalar: list[str] = Option(list[str], "Unknowns of type Scalar", default=())
    unknowns_SR2: list[str] = Option(list[str], "Unknowns of type SR2", default=())
    unknowns_R2: list[str] = Option(list[str], "Unknowns of type R2", default=())
    unknowns_Vec: list[str] = Option(list[str], "Unknowns of type Vec", default=())
    unknowns_WR2: list[str] = Option(list[str], "Unknowns of type WR2", default=())
    unknowns_MRP: list[str] = Option(list[str], "Unknowns of type MRP", default=())
    cold: list[str] = Option(
        list[str], "Pairs unknown:variable for the start of the first step", default=()
    )
    time: str = Option(str, "Time", default="t")

    def setup(self) -> None:
        self._unknowns: Spec = {
            name: kind
            for type_name, kind in TENSOR_TYPES.items()
            for name in self.__dict__.get(f"unknowns_{type_name}", ())
        }
        self._cold: dict[str, str] = {}
        for entry in self.cold:
            unknown, _, variable = entry.partition(":")
            if not variable:
                raise ModelError(f"{self.label}: '{entry}' in 'cold' is no pair unknown:variable")
            if unknown not in self._unknowns:
                raise ModelError(
                    f"{self.label}: '{unknown}' in 'cold' is none of the unknowns"
                    f"{suggest(unknown, self._unknowns)}"
                )
            if unknown in self._cold:
                raise ModelError(f"{self.label}: 'cold' names '{unknown}' twice")
            self._cold[unknown] = variable

    @property
    def _times(self) -> list[str]:
        return [f"{self.time}{lag}" for lag in ("", "~1", "~2")]

    @cached_property
    def input_spec(self) -> Spec:
        spec = {f"{name}~1": kind for name, kind in self._unknowns.items()}
        if not self._cold:
            return spec
        seeds = {variable: self._unknowns[name] for name, variable in self._cold.items()}
        return {**spec, **dict.fromkeys(self._times, Scalar), **seeds}

    @cached_property
    def output_spec(self) -> Spec:
        return self._unknowns

    def _evaluate(self, values: Values) -> Values:
        guesses = {name: self._guess(name, values) for name in self._unknowns}
        for name, variable in self._cold.items():
            guesses[name] = where(self._moved(values), guesses[name], values[variable])
        return guesses

    def _guess(self, name: str, values: Values) -> TypedTensor:
        return values[f"{name}~1"]

    def _moved(self, values: Values) -> torch.Tensor:
        """Where there is a step before the last: false on the first step."""
        _, last, before = (Scalar(values[name]) for name in self._times)
        return abs(last - before) > 0.0


class LinearExtrapolationPredictor(ConstantExtrapolationPredictor):
    r"""$u = u_n + (u_n - u_{n-1})\,(t - t_n)/(t_n - t_{n-1})$.

    On the first step, where the three times leave no rate, it is the constant predictor.
    """

    @cached_property
    def input_spec(self) -> Spec:
        older = {f"{name}~2": kind for name, kind in self._unknowns.items()}
        return {**super().input_spec, **dict.fromkeys(self._times, Scalar), **older}

    def _guess(self, name: str, values: Values) -> TypedTensor:
        now, last, before = (Scalar(values[name]) for name in self._times)
        moved, step = self._moved(values), last - before
        safe = where(moved, step, step.like(torch.ones_like(step.data)))
        ratio = where(moved, (now - last) / safe, 0.0 * (now - last))
        u, older = values[f"{name}~1"], values[f"{name}~2"]
        return u + ratio * (u - older)
