"""Plasticity of porous metals and powders: yield, growth of voids, sintering."""

from __future__ import annotations

from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import SR2, Scalar, cosh, tr


class GTNYieldFunction(Model):
    r"""$f = (\bar\sigma/k)^2 + 2 q_1 \phi \cosh(\frac12 q_2\,p/k) - (1 + q_3 \phi^2)$, with
    $k = \sigma_y + h$ and $p$ the trace of the stress, less the sintering stress where there is
    one (Gurson 1977, Tvergaard and Needleman 1984); $h$ is left out unless named."""

    flow_invariant = Input(Scalar, "Von Mises stress", dimension="stress")
    poro_invariant = Input(Scalar, "Stress that opens voids", dimension="stress")
    void_fraction = Input(Scalar, "Volume fraction of voids", dimension="1")
    isotropic_hardening = Input(Scalar, "Isotropic hardening", optional=True, dimension="stress")
    yield_function = Output(Scalar, "Yield function", dimension="1")
    yield_stress = Parameter(Scalar, "sy", "Initial yield stress of the matrix", "stress")
    q1 = Parameter(Scalar, "q1", "Weight of the voids", "1")
    q2 = Parameter(Scalar, "q2", "Weight of the pressure", "1")
    q3 = Parameter(Scalar, "q3", "Weight of the squared void fraction", "1")

    def forward(self, s: Scalar, p: Scalar, phi: Scalar, h: Scalar | None) -> Scalar:
        flow = self.sy if h is None else self.sy + h
        voids = 2.0 * self.q1 * phi * cosh(0.5 * self.q2 * p / flow)
        result: Scalar = (s / flow) ** 2 + voids - (1.0 + self.q3 * phi * phi)
        return result


class GursonCavitation(Model):
    r"""$\dot\phi = (1 - \phi)\,\mathrm{tr}\,\dot\varepsilon_p$: growth of voids in a matrix that
    keeps its volume."""

    plastic_strain_rate = Input(SR2, "Plastic strain rate", dimension="1/time")
    void_fraction = Input(Scalar, "Volume fraction of voids", dimension="1")
    void_fraction_rate = Output(Scalar, "Rate of the void fraction", dimension="1/time")

    def forward(self, rate: SR2, phi: Scalar) -> Scalar:
        return (1.0 - phi) * tr(rate)


class OlevskySinteringStress(Model):
    r"""$\sigma_s = 3\,\gamma\,\phi^2 / r$ (Olevsky 1998)."""

    void_fraction = Input(Scalar, "Volume fraction of voids", dimension="1")
    sintering_stress = Output(Scalar, "Sintering stress", dimension="stress")
    surface_tension = Parameter(Scalar, "gamma", "Surface tension", "stress*length")
    particle_radius = Parameter(Scalar, "r", "Radius of the powder's particles", "length")

    def forward(self, phi: Scalar) -> Scalar:
        return 3.0 * self.gamma * phi * phi / self.r
