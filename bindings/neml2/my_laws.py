"""A law of one's own for NEML2, with its chain rule or without: importing it registers both."""

from __future__ import annotations

from typing import Any

import neml2
from neml2.schema import HitSchema, input, output, parameter
from neml2.types import Scalar, exp, heaviside


class FlowRate(neml2.Model):
    """rate (exp(f / D) - 1) where f > 0."""

    hit = HitSchema(
        input("yield_function", Scalar, "Yield function"),
        output("flow_rate", Scalar, "Flow rate"),
        parameter("reference_rate", Scalar, "Reference rate", attr="rate"),
        parameter("drag_stress", Scalar, "Drag stress", attr="D"),
    )

    def law(self, f: Scalar) -> tuple[Scalar, Scalar]:
        """The flow rate and its derivative by f."""
        rate, drag = self._get_param("rate", (), Scalar), self._get_param("D", (), Scalar)
        grown = heaviside(f) * rate * exp(f / drag)
        return grown - heaviside(f) * rate, grown / drag


@neml2.register_neml2_object("ExponentialFlowRate")
class ExponentialFlowRate(FlowRate):
    """With its derivative."""

    def forward(self, yield_function: Scalar, v: Any = None) -> Any:
        value, slope = self.law(yield_function)
        if v is None:
            return value
        rules = {"yield_function": lambda way: slope * way}
        return value, self.apply_chain_rule(v, "flow_rate", rules, output=value)


@neml2.register_neml2_object("AutomaticFlowRate")
class AutomaticFlowRate(FlowRate):
    """With a derivative by NEML2's automatic differentiation."""

    def __post_init__(self) -> None:
        self.request_AD()

    def forward(self, yield_function: Scalar) -> Scalar:
        return self.law(yield_function)[0]
