"""Power-law hardening (Ludwik, Swift) and Johnson-Cook's dependence on rate and temperature."""

from __future__ import annotations

from typing import Any

from neml2fe.errors import ModelError
from neml2fe.models.common.checks import check, positive
from neml2fe.models.fields import Input, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.models.solid_mechanics.isotropic_hardening import IsotropicHardening
from neml2fe.types import Scalar, log, macaulay, where

SMALL_STRAIN = 1e-6


def power_law(ep: Scalar, n: Scalar, small: Scalar) -> Scalar:
    r"""$\bar\varepsilon^n$, below the strain `small` the parabola through the origin with the
    same value and slope: the infinite initial slope of $n < 1$ would stop Newton's method.
    Negative strains, which iterations may try, continue it by the tangent at zero."""
    beyond = ep > small
    r = ep / small
    return where(
        beyond,
        where(beyond, ep, small + 0.0 * ep) ** n,
        small**n * (r * (2.0 - n) - r * macaulay(r) * (1.0 - n)),
    )


class LudwikIsotropicHardening(IsotropicHardening):
    r"""$h = K \bar\varepsilon_p^n$ (Ludwik 1909); a parabola below the initial strain, so that
    the slope at zero is finite: $(2-n) K \varepsilon_s^{n-1}$."""

    strength = Parameter(Scalar, "K", "Hardening at unit strain", "stress")
    exponent = Parameter(Scalar, "n", "Hardening exponent", "1")
    initial_strain = Parameter(
        Scalar, "es", "Strain below which the power becomes a parabola", "1", default=SMALL_STRAIN
    )

    def setup(self) -> None:
        positive(self, "es")

    def forward(self, ep: Scalar) -> Scalar:
        return self.K * power_law(ep, self.n, self.es)


class SwiftIsotropicHardening(IsotropicHardening):
    r"""$h = K \left[(\varepsilon_0 + \bar\varepsilon_p)^n - \varepsilon_0^n\right]$ (Swift 1952),
    continued by its tangent for the negative strains that iterations may try. The yield stress
    is $K\varepsilon_0^n$ in Swift's original."""

    strength = Parameter(Scalar, "K", "Strength coefficient", "stress")
    initial_strain = Parameter(Scalar, "e0", "Strain before loading", "1")
    exponent = Parameter(Scalar, "n", "Hardening exponent", "1")

    def setup(self) -> None:
        positive(self, "e0")

    def forward(self, ep: Scalar) -> Scalar:
        r = ep / self.e0
        valid = r >= 0.0
        grown = (1.0 + where(valid, r, 0.0 * r)) ** self.n - 1.0
        return self.K * self.e0**self.n * where(valid, grown, self.n * r)


# The fields that say something of each optional input, and those of them it cannot do without.
_OF_INPUT = {
    "equivalent_plastic_strain_rate": (
        {"rate_sensitivity", "reference_rate", "smooth"},
        {"rate_sensitivity"},
    ),
    "temperature": (
        {"thermal_exponent", "reference_temperature", "melting_temperature"},
        {"reference_temperature", "melting_temperature"},
    ),
}


class _JohnsonCook(Model, abstract=True):
    """The factors, and the check that an input and its parameters are given together."""

    equivalent_plastic_strain_rate = Input(
        Scalar, "Plastic strain rate", optional=True, dimension="1/time"
    )
    temperature = Input(Scalar, "Temperature", optional=True, dimension="temperature")
    rate_sensitivity = Parameter(Scalar, "C", "Sensitivity to the strain rate", "1", default=0.0)
    reference_rate = Parameter(Scalar, "rate0", "Reference strain rate", "1/time", default=1.0)
    thermal_exponent = Parameter(Scalar, "m", "Thermal exponent", "1", default=1.0)
    reference_temperature = Parameter(
        Scalar, "T0", "Temperature of no softening", "temperature", default=0.0
    )
    melting_temperature = Parameter(
        Scalar, "Tm", "Temperature of no strength", "temperature", default=1.0
    )
    smooth: bool = Option(bool, "Rate term without a kink", default=False)

    def __init__(self, **given: Any) -> None:
        label = given.get("label", type(self).__name__)
        for variable, (fields, needed) in _OF_INPUT.items():
            named = given.get(variable) is not None
            if not named and fields & given.keys():
                raise ModelError(
                    f"{label}: '{min(fields & given.keys())}' has no effect without "
                    f"'{variable}'; name that input or leave the field out"
                )
            if named and needed - given.keys():
                raise ModelError(
                    f"{label}: '{variable}' needs the field '{min(needed - given.keys())}'"
                )
        super().__init__(**given)

    def setup(self) -> None:
        positive(self, "rate0")
        check(
            self,
            "'melting_temperature' must be above 'reference_temperature'",
            lambda melting, reference: melting > reference,
            ("Tm", "T0"),
        )

    def factor(self, rate: Scalar | None, temperature: Scalar | None) -> Scalar:
        total = 1.0 + 0.0 * self.C
        if rate is not None:
            r = rate / self.rate0 + (1.0 if self.smooth else 0.0)
            fast = ~(r <= 1.0)
            total = total + self.C * log(where(fast, r, 1.0 + 0.0 * r))
        if temperature is not None:
            t = (temperature - self.T0) / (self.Tm - self.T0)
            soft, solid = ~(t <= 0.0), ~(t >= 1.0)
            power = where(soft & solid, t, 0.5 + 0.0 * t) ** self.m
            total = total * where(solid, where(soft, 1.0 - power, 1.0 + 0.0 * power), 0.0 * power)
        return total


class JohnsonCookFactor(_JohnsonCook):
    r"""$(1 + C \ln \max(\dot\varepsilon^*, 1))\,(1 - T^{*m})$ with
    $\dot\varepsilon^* = \dot{\bar\varepsilon}_p/\dot\varepsilon_0$ and
    $T^* = (T - T_0)/(T_m - T_0)$ between 0 and 1 (Johnson and Cook 1983): what multiplies a
    static flow stress or a reference stress. An input that is not named leaves its factor out;
    one that is needs $C$, or $T_0$ and $T_m$.

    With `smooth`, $\ln(1 + \langle\dot\varepsilon^*\rangle)$ takes the place of the logarithm with
    the kink."""

    johnson_cook_factor = Output(Scalar, "Factor of the flow stress", dimension="1")

    def forward(self, rate: Scalar | None, temperature: Scalar | None) -> Scalar:
        return self.factor(rate, temperature)


class JohnsonCookIsotropicHardening(_JohnsonCook):
    r"""$h = (A + B \bar\varepsilon_p^n)\,R\,\Theta - A$ (Johnson and Cook 1983) with the factors
    of `JohnsonCookFactor`, so that a yield function with $\sigma_y = A$ has the flow stress
    $\sigma_y + h$. `ScalarVariableRate` computes the rate of the step."""

    equivalent_plastic_strain = Input(Scalar, "Equivalent plastic strain", dimension="1")
    isotropic_hardening = Output(Scalar, "Isotropic hardening", dimension="stress")
    yield_stress = Parameter(Scalar, "A", "Yield stress at the reference", "stress")
    strength = Parameter(Scalar, "B", "Hardening at unit strain", "stress")
    exponent = Parameter(Scalar, "n", "Hardening exponent", "1")
    initial_strain = Parameter(
        Scalar, "es", "Strain below which the power becomes a parabola", "1", default=SMALL_STRAIN
    )

    def setup(self) -> None:
        super().setup()
        positive(self, "es")

    def forward(self, rate: Scalar | None, temperature: Scalar | None, ep: Scalar) -> Scalar:
        static = self.A + self.B * power_law(ep, self.n, self.es)
        return static * self.factor(rate, temperature) - self.A
