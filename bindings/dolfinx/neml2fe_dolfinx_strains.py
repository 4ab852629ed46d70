"""Strains of displacements as expressions of UFL, in the layouts of neml2fe."""

from __future__ import annotations

import math
from typing import Any

import ufl

from neml2fe.errors import ModelError

Expr = Any  # an expression of UFL


def mandel_strain(v: Expr) -> Expr:
    """Small strain of displacements `v` in 2-D (plane strain) or 3-D, `(6,)`: 11, 22, 33, 23, 13,
    12, shear times the root of 2."""
    e = _in_space(ufl.sym(ufl.grad(v)))
    shear = [math.sqrt(2.0) * e[i][j] for i, j in ((1, 2), (0, 2), (0, 1))]
    return ufl.as_vector([e[0][0], e[1][1], e[2][2], *shear])


def deformation_gradient(v: Expr) -> Expr:
    """1 + grad v of displacements in 2-D (plane strain) or 3-D, `(9,)`, row by row."""
    h = _in_space(ufl.grad(v))
    return ufl.as_vector([h[i][j] + (1.0 if i == j else 0.0) for i in range(3) for j in range(3)])


def _in_space(gradient: Expr) -> list[list[Expr]]:
    """The entries of a gradient in 2-D or 3-D as those in 3-D."""
    d = gradient.ufl_shape[0]
    if gradient.ufl_shape not in ((2, 2), (3, 3)):
        raise ModelError(f"dolfinx: displacements are 2-D or 3-D, got {gradient.ufl_shape}")
    return [
        [gradient[i, j] if max(i, j) < d else ufl.as_ufl(0.0) for j in range(3)] for i in range(3)
    ]
