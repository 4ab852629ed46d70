"""Time integration of orientations by the exponential of the spin."""

from __future__ import annotations

import torch

from neml2fe.models.fields import Input, Old, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import MRP, WR2, Scalar, exp_map, norm_sq, where


class ExponentialTimeIntegration(Model, abstract=True):
    r"""$R_n$ turned by $\exp[(t - t_n)\,\dot s]$.

    `exponential` chooses the map from the rotation vector $w$ to modified Rodrigues parameters:
    `exact`, $w \tan(|w|/4)/|w|$, or `NEML2`, $w \tan(|w|^2/2) / (2 |w|^2 \cos(|w|^2/2))$, the
    default. The two differ by $|w|^3/192$; the latter ends at $|w| = \sqrt\pi$.
    """

    exponential: str = Option(
        str, "Which exponential map", default="NEML2", choices=("NEML2", "exact")
    )

    def turned(self, old: MRP, w: WR2) -> MRP:
        """`old`, then the rotation of vector `w`; no change to the shadow parameters."""
        increment = exp_map(w) if self.exponential == "exact" else _increment(w)
        new: MRP = increment @ old
        return new


class WR2ExplicitExponentialTimeIntegration(ExponentialTimeIntegration):
    r"""Explicit update $s = \exp[(t - t_n)\,\dot s] \circ s_n$."""

    variable = Output(MRP, "Orientation to integrate", dimension="1")
    rate = Input(WR2, "Spin", default="{variable}_rate", dimension="1/time")
    time = Input(Scalar, "Time", default="t", dimension="time")
    variable_old = Old("variable")
    time_old = Old("time")

    def forward(self, spin: WR2, t: Scalar, s_old: MRP, t_old: Scalar) -> MRP:
        return self.turned(s_old, (t - t_old) * spin)


class WR2ImplicitExponentialTimeIntegration(ExponentialTimeIntegration):
    r"""Residual $r = s - \exp[(t - t_n)\,\dot s] \circ s_n$."""

    variable = Input(MRP, "Orientation to integrate", dimension="1")
    rate = Input(WR2, "Spin", default="{variable}_rate", dimension="1/time")
    time = Input(Scalar, "Time", default="t", dimension="time")
    variable_old = Old("variable")
    time_old = Old("time")
    variable_residual = Output(MRP, "Residual", default="{variable}_residual", dimension="1")

    def forward(self, s: MRP, spin: WR2, t: Scalar, s_old: MRP, t_old: Scalar) -> MRP:
        return s - self.turned(s_old, (t - t_old) * spin)


def _increment(w: WR2) -> MRP:
    """The default map: tan(h) / (4 h cos(h)) w with h = |w|^2 / 2, by its series near zero."""
    h = 0.25 * norm_sq(w)  # of the tensor, which is twice that of the vector
    small = h < 1e-2
    safe = where(small, h.like(torch.ones_like(h.data)), h).data
    quotient = h.like(torch.tan(safe) / (4.0 * safe * torch.cos(safe)))
    square = h * h
    series = 0.25 + square * (5.0 / 24.0 + square * (61.0 / 480.0 + square * (1385.0 / 20160.0)))
    return MRP(where(small, series, quotient) * w)
