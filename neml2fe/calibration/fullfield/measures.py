r"""In-plane strains from the gradient of displacement along a surface.

With the unit tangents T `(c, 2)` of the surface and the gradient $H = \partial u / \partial s$
`(c, 2)` by the lengths s along them, the deformed tangents are T + H, and

- small: $e = \mathrm{sym}(T^T H)$
- Green-Lagrange: $E = \frac12 ((T + H)^T (T + H) - I) = e + \frac12 H^T H$
- logarithmic (Hencky): $\frac12 \ln(I + 2 E)$

all `(2, 2)`, in the axes of the tangents; rigid rotations add nothing to the last two.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SERIES = 1e-2
"""Squared relative difference of stretches below which a series of nine terms is exact."""


def small(tangents: Tensor, gradient: Tensor) -> Tensor:
    """`(..., 2, 2)` of tangents and gradients `(..., c, 2)`, as all measures here."""
    product = tangents.transpose(-1, -2) @ gradient
    return 0.5 * (product + product.transpose(-1, -2))


def green_lagrange(tangents: Tensor, gradient: Tensor) -> Tensor:
    return small(tangents, gradient) + 0.5 * gradient.transpose(-1, -2) @ gradient


def logarithmic(tangents: Tensor, gradient: Tensor) -> Tensor:
    """1/2 ln C with C = I + 2 E, in closed form: for the mean m and the deviator D of C, whose
    eigenvalues are m +- r, ln C = 1/2 ln(m^2 - r^2) I + (atanh(r/m) / r) D. In q = (r/m)^2 this is
    smooth where both stretches are equal."""
    E = green_lagrange(tangents, gradient)
    mean = E[..., 0, 0] + E[..., 1, 1]  # m - 1
    half, shear = E[..., 0, 0] - E[..., 1, 1], 2.0 * E[..., 0, 1]
    m = 1.0 + mean
    q = (half.square() + shear.square()) / m.square()
    volume = torch.log1p(mean) + 0.5 * torch.log1p(-q)
    slope = _atanh_ratio(q) / m
    first, second, cross = volume + slope * half, volume - slope * half, slope * shear
    rows = torch.stack([first, cross, cross, second], dim=-1).reshape(E.shape)
    return 0.5 * rows


def _atanh_ratio(q: Tensor) -> Tensor:
    """atanh(sqrt q) / sqrt q = 1 + q/3 + q^2/5 + ..."""
    near = q < SERIES
    root = torch.where(near, SERIES, q).sqrt()
    series = torch.zeros_like(q)
    for k in range(8, -1, -1):
        series = series * q + 1.0 / (2 * k + 1)
    return torch.where(near, series, torch.atanh(root) / root)


MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "small": small,
    "green_lagrange": green_lagrange,
    "logarithmic": logarithmic,
}


def mandel(strain: Tensor) -> Tensor:
    """`(..., 3)`: 11, 22 and sqrt(2) times 12 of `(..., 2, 2)`."""
    e = strain
    return torch.stack([e[..., 0, 0], e[..., 1, 1], math.sqrt(2.0) * e[..., 0, 1]], dim=-1)
