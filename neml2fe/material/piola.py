r"""First Piola-Kirchhoff stress from other stresses: $P = F S = \tau F^{-T} = J \sigma F^{-T}$."""

from __future__ import annotations

import torch

from neml2fe.types.mandel import to_matrix


def first_piola(f: torch.Tensor, stress: torch.Tensor, measure: str) -> torch.Tensor:
    """P `(n, 3, 3)` of a symmetric stress `(n, 6)` at deformation gradients `f` `(n, 3, 3)`."""
    full = to_matrix(stress)
    if measure == "PK2":
        return f @ full
    p = full @ torch.linalg.inv_ex(f)[0].mT
    return torch.linalg.det(f)[:, None, None] * p if measure == "CAUCHY" else p


def first_piola_slope(
    f: torch.Tensor, stress: torch.Tensor, slope: torch.Tensor, measure: str
) -> torch.Tensor:
    """dP/dF `(n, 3, 3, 3, 3)` from dstress/dF `(n, 6, 3, 3)` by the product rule."""
    by_f = to_matrix(slope.permute(0, 2, 3, 1)).permute(0, 3, 4, 1, 2)
    if measure == "PK2":
        found = torch.einsum("nim,nmjkl->nijkl", f, by_f)
        add_initial_stress(found, to_matrix(stress))
        return found
    p, g = first_piola(f, stress, measure), torch.linalg.inv_ex(f)[0]
    found = torch.einsum("nimkl,njm->nijkl", by_f, g)
    if measure == "CAUCHY":
        found *= torch.linalg.det(f)[:, None, None, None, None]
        found += torch.einsum("nij,nlk->nijkl", p, g)
    return found - torch.einsum("njk,nil->nijkl", g, p)


def add_initial_stress(slope: torch.Tensor, second: torch.Tensor) -> None:
    r"""Add $\delta_{ik} S_{JL}$, the derivative of $F S$ by F at constant S `(n, 3, 3)`."""
    slope.diagonal(dim1=1, dim2=3).add_(second[..., None])
