"""Loss of hardening with time and temperature: static recovery and annealing."""

from __future__ import annotations

from typing import TypeVar

from neml2fe.models.fields import Generic, Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import SR2, Scalar, TypedTensor, abs, heaviside, norm, sign, where

T = TypeVar("T", bound=TypedTensor)


def power(x: T, n: Scalar) -> T:
    r"""$|x|^{n-1} x$. At $x = 0$ its derivative is that of the power too: zero for $n > 1$, the
    identity for $n = 1$; for $n < 1$, where it is infinite, zero is given."""
    size = norm(x) + 0.0 * n  # in the batch of both
    nonzero = ~(size <= 0.0)
    safe = where(nonzero, size, 1.0 + 0.0 * size)
    at_zero = 1.0 - sign(abs(n - 1.0))  # 1 for n = 1, else 0
    result: T = where(nonzero, safe ** (n - 1.0), at_zero) * x
    return result


class PowerLawIsotropicHardeningStaticRecovery(Model):
    r"""$\dot h = -\left(|h|/\tau\right)^{n-1} h/\tau$."""

    isotropic_hardening = Input(Scalar, "Isotropic hardening", dimension="stress")
    isotropic_hardening_rate = Output(
        Scalar,
        "Rate of the isotropic hardening",
        default="{isotropic_hardening}_rate",
        dimension="stress/time",
    )
    tau = Parameter(Scalar, "tau", "Recovery constant", "stress*(time/stress)^(1/n)")
    n = Parameter(Scalar, "n", "Recovery exponent", "1")

    def forward(self, h: Scalar) -> Scalar:
        return -power(h / self.tau, self.n)


class PowerLawKinematicHardeningStaticRecovery(Model):
    r"""$\dot X = -\left(|X|/\tau\right)^{n-1} X/\tau$."""

    back_stress = Input(SR2, "Back stress", dimension="stress")
    back_stress_rate = Output(
        SR2, "Rate of the back stress", default="{back_stress}_rate", dimension="stress/time"
    )
    tau = Parameter(Scalar, "tau", "Recovery constant", "stress*(time/stress)^(1/n)")
    n = Parameter(Scalar, "n", "Recovery exponent", "1")

    def forward(self, x: SR2) -> SR2:
        return -power(x / self.tau, self.n)


class TwoStageThermalAnnealing(Model, abstract=True):
    r"""$\dot h = \dot h_0$ below $T_1$, $0$ from $T_1$ to $T_2$, $-h/\tau$ from $T_2$ on."""

    base_rate = Input(Generic, "Rate of hardening without annealing")
    base = Input(Generic, "Hardening variable")
    temperature = Input(Scalar, "Temperature", dimension="temperature")
    modified_rate = Output(Generic, "Rate of hardening")
    T1 = Parameter(Scalar, "T1", "Temperature where hardening stops", "temperature")
    T2 = Parameter(Scalar, "T2", "Temperature where recovery begins", "temperature")
    tau = Parameter(Scalar, "tau", "Recovery time", "time")

    def forward(self, rate: T, h: T, temperature: Scalar) -> T:
        result: T = heaviside(self.T1 - temperature) * rate
        return result - (1.0 - heaviside(self.T2 - temperature)) * (h / self.tau)


class ScalarTwoStageThermalAnnealing(TwoStageThermalAnnealing, tensor=Scalar): ...


class SR2TwoStageThermalAnnealing(TwoStageThermalAnnealing, tensor=SR2): ...
