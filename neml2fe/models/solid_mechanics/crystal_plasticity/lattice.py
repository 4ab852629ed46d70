"""Elastic strain and orientation of the lattice."""

from __future__ import annotations

from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import MRP, SR2, WR2, Scalar, norm_sq, skew, sym, where


class ElasticStrainRate(Model):
    r"""$\dot\varepsilon = d - d^p + w \varepsilon - \varepsilon w$: the rate of a strain that turns
    with the spin $w$."""

    elastic_strain = Input(SR2, "Elastic strain", dimension="1")
    deformation_rate = Input(SR2, "Deformation rate", dimension="1/time")
    vorticity = Input(WR2, "Vorticity", dimension="1/time")
    plastic_deformation_rate = Input(SR2, "Plastic deformation rate", dimension="1/time")
    elastic_strain_rate = Output(SR2, "Elastic strain rate", dimension="1/time")

    def forward(self, strain: SR2, d: SR2, w: WR2, dp: SR2) -> SR2:
        spin, e = w.to_r2(), strain.to_r2()
        return d - dp + sym(spin @ e - e @ spin)


class OrientationRate(Model):
    r"""$\Omega = w - w^p - \varepsilon d^p + d^p \varepsilon$, the spin of the lattice."""

    elastic_strain = Input(SR2, "Elastic strain", dimension="1")
    vorticity = Input(WR2, "Vorticity", dimension="1/time")
    plastic_deformation_rate = Input(SR2, "Plastic deformation rate", dimension="1/time")
    plastic_vorticity = Input(WR2, "Plastic vorticity", dimension="1/time")
    orientation_rate = Output(WR2, "Spin of the lattice", dimension="1/time")

    def forward(self, strain: SR2, w: WR2, dp: SR2, wp: WR2) -> WR2:
        d, e = dp.to_r2(), strain.to_r2()
        return w - wp + skew(d @ e - e @ d)


class FixOrientation(Model):
    r"""The other parameters of the same rotation, $-r/(r \cdot r)$, where $r \cdot r$ has reached
    the threshold: away from the full turn, where the parameters are singular."""

    input = Input(MRP, "Orientation", dimension="1")
    output = Output(MRP, "The same orientation", dimension="1")
    threshold: float = Option(float, "Square of the parameters from which to change", default=1.0)

    def forward(self, r: MRP) -> MRP:
        square = Scalar(norm_sq(r).data, r.sub_batch_ndim)
        keep = square < self.threshold
        safe = where(keep, 1.0 + 0.0 * square, square)
        shadow: MRP = -r / safe
        return where(keep, r, shadow)
