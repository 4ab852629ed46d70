r"""Finite strain: stress measures, and the pieces of isotropic multiplicative plasticity.

$F = F_e F_p$ with $\det F_p = 1$. The state is $\bar b_e = J^{-2/3} F_e F_e^T$, of determinant
one. J. C. Simo, CMAME 66 (1988) 199 and 99 (1992) 61. Flow rules take the yield function of
small strain at the Kirchhoff stress $\tau = J \sigma$, and any hardening. Two integrators share
the trial state: `ExponentialMapPlasticCorrector` in the logarithmic elastic strain, for every
isotropic elasticity, and `IsochoricPlasticCorrector` in $\bar b_e$ itself.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from neml2fe.models.fields import Input, Old, Option, Output, Parameter
from neml2fe.models.model import Model, Spec
from neml2fe.types import R2, SR2, Scalar, det, dev, inv, log, sym, tr, where
from neml2fe.types.matrix_functions import expm, logm

MEASURES = ("PK1", "PK2", "KIRCHHOFF", "CAUCHY")


class StressMeasure(Model, abstract=True):
    r"""A stress from $F$ in the chosen measure: $P$, $S = F^{-1} P$, $\tau = P F^T$ or
    $\sigma = \tau / J$. Its default name is the measure's, `pk1_stress` to `cauchy_stress`."""

    deformation_gradient = Input(R2, "Deformation gradient", "F", dimension="1")
    stress = Output(R2, "Stress, an SR2 unless PK1", dimension="stress")
    measure: str = Option(str, "Stress measure", default="PK1", choices=MEASURES)

    def __init__(self, **given: Any) -> None:
        given.setdefault("stress", f"{given.get('measure', 'PK1')}_stress".lower())
        super().__init__(**given)

    @cached_property
    def output_spec(self) -> Spec:
        return {self.names["stress"][0]: R2 if self.measure == "PK1" else SR2}

    def measured(self, p: R2, f: R2) -> R2 | SR2:
        """The first Piola-Kirchhoff stress `p` in the chosen measure."""
        if self.measure == "PK1":
            return p
        if self.measure == "PK2":
            return sym(inv(f) @ p)
        tau = sym(p @ f.T)
        return tau if self.measure == "KIRCHHOFF" else tau / det(f)


class KirchhoffStressMeasure(StressMeasure):
    r"""Another measure of the Kirchhoff stress, from $P = \tau F^{-T}$."""

    kirchhoff_stress = Input(SR2, "Kirchhoff stress", dimension="stress")

    def forward(self, f: R2, tau: SR2) -> R2 | SR2:
        return self.measured(tau.to_r2() @ inv(f).T, f)


class IsochoricElasticTrial(Model):
    r"""$\bar b_e^{tr} = \bar f\, \bar b_{e,n} \bar f^T$ with $f = F F_n^{-1}$ and
    $\bar f = (\det f)^{-1/3} f$. An old value of zero, the virgin one of every symmetric tensor,
    means the identity."""

    deformation_gradient = Input(R2, "Deformation gradient", "F", dimension="1")
    deformation_gradient_old = Old("deformation_gradient")
    be_bar_old = Input(SR2, "Isochoric elastic deformation at t_n", "be_bar~1", dimension="1")
    be_bar_trial = Output(SR2, "Isochoric elastic deformation without flow", dimension="1")

    def forward(self, f: R2, f_old: R2, be: SR2) -> SR2:
        one = SR2.identity(dtype=be.dtype, device=be.device)
        be = where(tr(be) > 0.0, be, be + one)
        step = f @ inv(f_old)
        step = step * det(step) ** (-1.0 / 3.0)
        return sym(step @ be.to_r2() @ step.T)


class LogarithmicElasticStrain(Model):
    r"""$\varepsilon_e = \frac12 \ln b_e = \frac12 \ln \bar b_e + \frac13 \ln J\, 1$."""

    be_bar = Input(SR2, "Isochoric elastic deformation", dimension="1")
    deformation_gradient = Input(R2, "Deformation gradient", "F", dimension="1")
    elastic_strain = Output(SR2, "Logarithmic elastic strain", dimension="1")

    def forward(self, be: SR2, f: R2) -> SR2:
        one = SR2.identity(dtype=be.dtype, device=be.device)
        return 0.5 * dev(logm(be)) + log(det(f)) / 3.0 * one


class IsochoricElasticDeformation(Model):
    r"""$\bar b_e = \exp(2\, \mathrm{dev}\, \varepsilon_e)$, of determinant one."""

    elastic_strain = Input(SR2, "Logarithmic elastic strain", dimension="1")
    be_bar = Output(SR2, "Isochoric elastic deformation", dimension="1")

    def forward(self, strain: SR2) -> SR2:
        return expm(2.0 * dev(strain))


class ExponentialMapPlasticCorrector(Model):
    r"""$r = \varepsilon_e - \varepsilon_e^{tr} + \Delta t\, D_p$: the flow rule integrated by
    $b_e = \exp(-\Delta t D_p)\, b_e^{tr} \exp(-\Delta t D_p)$, all tensors being coaxial."""

    elastic_strain = Input(SR2, "Logarithmic elastic strain", dimension="1")
    trial = Input(SR2, "Its value without flow", "{elastic_strain}_trial", dimension="1")
    plastic_strain_rate = Input(SR2, "Plastic deformation rate", dimension="1/time")
    time = Input(Scalar, "Time", "t", dimension="time")
    time_old = Old("time")
    residual = Output(SR2, "Residual", "{elastic_strain}_residual", dimension="1")

    def forward(self, strain: SR2, trial: SR2, rate: SR2, t: Scalar, t_old: Scalar) -> SR2:
        return strain - trial + (t - t_old) * rate


class IsochoricPlasticCorrector(Model):
    r"""$r = \mathrm{dev}(\bar b_e - \bar b_e^{tr})
    + \frac23 \Delta t\, \mathrm{tr}(\bar b_e)\, D_p + (\det \bar b_e - 1)\, 1$: Simo's flow rule
    with the trace that keeps the determinant."""

    be_bar = Input(SR2, "Isochoric elastic deformation", dimension="1")
    trial = Input(SR2, "Its value without flow", "{be_bar}_trial", dimension="1")
    plastic_strain_rate = Input(SR2, "Plastic deformation rate", dimension="1/time")
    time = Input(Scalar, "Time", "t", dimension="time")
    time_old = Old("time")
    residual = Output(SR2, "Residual", "{be_bar}_residual", dimension="1")

    def forward(self, be: SR2, trial: SR2, rate: SR2, t: Scalar, t_old: Scalar) -> SR2:
        one = SR2.identity(dtype=be.dtype, device=be.device)
        flow = 2.0 / 3.0 * (t - t_old) * tr(be) * dev(rate)
        return dev(be - trial) + flow + (det(be) - Scalar(1.0)) * one


class IsochoricNeoHookeanStress(Model):
    r"""$\tau = G\, \mathrm{dev}\, \bar b_e + \frac{K}{2} (J^2 - 1)\, 1$."""

    be_bar = Input(SR2, "Isochoric elastic deformation", dimension="1")
    deformation_gradient = Input(R2, "Deformation gradient", "F", dimension="1")
    kirchhoff_stress = Output(SR2, "Kirchhoff stress", dimension="stress")
    bulk_modulus = Parameter(Scalar, "K", "Bulk modulus", "stress")
    shear_modulus = Parameter(Scalar, "G", "Shear modulus", "stress")

    def forward(self, be: SR2, f: R2) -> SR2:
        one = SR2.identity(dtype=be.dtype, device=be.device)
        return self.G * dev(be) + 0.5 * self.K * (det(f) ** 2 - 1.0) * one
