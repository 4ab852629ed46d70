"""Predictors: initial guesses for the unknowns of an implicit update."""

from __future__ import annotations

from functools import cached_property

import torch

from neml2fe.models.fields import Option
from neml2fe.models.model import Model, Spec, Values
from neml2fe.types import TENSOR_TYPES


class ConstantExtrapolationPredictor(Model):
    """Each unknown starts from its value one step back."""

    unknowns_Scalar: list[str] = Option(list[str], "Unknowns of type Scalar", default=())
    unknowns_SR2: list[str] = Option(list[str], "Unknowns of type SR2", default=())
    unknowns_R2: list[str] = Option(list[str], "Unknowns of type R2", default=())
    unknowns_Vec: list[str] = Option(list[str], "Unknowns of type Vec", default=())

    def setup(self) -> None:
        self._unknowns: Spec = {
            name: kind
            for type_name, kind in TENSOR_TYPES.items()
            for name in self.__dict__.get(f"unknowns_{type_name}", ())
        }

    @cached_property
    def input_spec(self) -> Spec:
        return {f"{name}~1": kind for name, kind in self._unknowns.items()}

    @cached_property
    def output_spec(self) -> Spec:
        return self._unknowns

    def _evaluate(self, values: Values) -> Values:
        return {name: values[f"{name}~1"] for name in self._unknowns}


class LinearExtrapolationPredictor(ConstantExtrapolationPredictor):
    r"""$u = u_n + (u_n - u_{n-1})\,(t - t_n)/(t_n - t_{n-1})$; constant on the first step,
    where the three times leave no rate."""

    time: str = Option(str, "Time", default="t")

    @cached_property
    def input_spec(self) -> Spec:
        time = TENSOR_TYPES["Scalar"]
        old = {f"{n}~{k}": kind for n, kind in self._unknowns.items() for k in (1, 2)}
        return {**old, self.time: time, f"{self.time}~1": time, f"{self.time}~2": time}

    def _evaluate(self, values: Values) -> Values:
        t, t1, t2 = (values[f"{self.time}{tail}"].data for tail in ("", "~1", "~2"))
        moved = t1 != t2
        ratio = torch.where(moved, (t - t1) / torch.where(moved, t1 - t2, 1.0), 0.0)
        scale = TENSOR_TYPES["Scalar"](ratio)
        return {
            n: values[f"{n}~1"] + scale * (values[f"{n}~1"] - values[f"{n}~2"])
            for n in self._unknowns
        }
