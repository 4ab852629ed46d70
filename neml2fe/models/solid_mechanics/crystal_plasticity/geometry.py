"""Crystal lattices and their slip systems: what the `[Data]` section of a deck holds."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from neml2fe.errors import ModelError
from neml2fe.models.fields import Parameter, ParameterField
from neml2fe.types import R2, SR2, WR2, MillerIndex, Quaternion, Scalar

SLIP: dict[str, ParameterField] = {
    "slip_directions": Parameter(MillerIndex, "d", "Slip directions, one a family", "1"),
    "slip_planes": Parameter(MillerIndex, "n", "Slip planes, one a family", "1"),
}


class CrystalGeometry(torch.nn.Module):
    """The slip systems of a lattice, and their Schmid tensors in the lattice's axes.

    Rows of `lattice_vectors` are the three edges of the cell. A direction [uvw] is
    u a1 + v a2 + w a3, a plane (hkl) has the normal h b1 + k b2 + l b3, b the reciprocal lattice.
    Each pair of a direction and a plane is one family: all the pairs that `symmetry_operators`
    make of the two, as far as the direction lies in the plane, opposite ones counted once. The
    lengths of the directions are the Burgers vectors. Everything moves with `.to(device)`.
    Raises `ModelError` for indices that are no integers and for families without a system.
    """

    fields: ClassVar[dict[str, ParameterField]] = {
        "lattice_vectors": Parameter(R2, "a", "Edges of the cell, one a row", "length"),
        "symmetry_operators": Parameter(
            R2, "S", "Rotations that map the lattice to itself; none by default", "1", default=None
        ),
        **SLIP,
    }
    directions: torch.Tensor
    planes: torch.Tensor
    burgers: torch.Tensor
    schmid: torch.Tensor

    def __init__(
        self,
        lattice_vectors: R2,
        slip_directions: MillerIndex,
        slip_planes: MillerIndex,
        symmetry_operators: R2 | None = None,
    ) -> None:
        super().__init__()
        cell = lattice_vectors.data.detach().double()
        operators = torch.eye(3, dtype=cell.dtype)[None]
        if symmetry_operators is not None:
            operators = symmetry_operators.data.detach().to(cell).reshape(-1, 3, 3)
        d, n = (_indices(miller) for miller in (slip_directions, slip_planes))
        if d.shape != n.shape:
            raise ModelError(
                f"{type(self).__name__}: {len(d)} slip directions for {len(n)} slip planes"
            )
        reciprocal = torch.linalg.inv(cell).T
        families = [
            _family(operators, direction @ cell, plane @ reciprocal)
            for direction, plane in zip(d.to(cell), n.to(cell), strict=True)
        ]
        for k, family in enumerate(families):
            if not len(family):
                raise ModelError(
                    f"{type(self).__name__}: no direction of the family {d[k].tolist()} lies in "
                    f"a plane of the family {n[k].tolist()}"
                )
        pairs = torch.cat(families)
        length = torch.linalg.vector_norm(pairs, dim=-1, keepdim=True)
        directions, planes = (pairs / length).unbind(1)
        schmid = directions.unsqueeze(-1) * planes.unsqueeze(-2)
        self.family_sizes = [len(family) for family in families]
        for name, value in (
            ("directions", directions),
            ("planes", planes),
            ("burgers", length[:, 0, 0]),
            ("schmid", schmid),
            ("_symmetric", SR2.from_r2(R2(schmid)).data),
            ("_skew", WR2.from_r2(R2(schmid)).data),
        ):
            self.register_buffer(name, value, persistent=False)

    @property
    def n_slip(self) -> int:
        """Number of slip systems."""
        return len(self.schmid)

    @property
    def A(self) -> R2:
        """Schmid tensors d (x) n; the slip systems are a sub-batch."""
        return R2(self.schmid, 1)

    @property
    def M(self) -> SR2:
        """Their symmetric parts."""
        return SR2(self.get_buffer("_symmetric"), 1)

    @property
    def W(self) -> WR2:
        """Their skew parts."""
        return WR2(self.get_buffer("_skew"), 1)


class CubicCrystal(CrystalGeometry):
    """A cubic lattice (rotations of the group 432)."""

    fields = {"lattice_parameter": Parameter(Scalar, "a", "Edge of the cube", "length"), **SLIP}

    def __init__(
        self,
        lattice_parameter: Scalar | float,
        slip_directions: MillerIndex,
        slip_planes: MillerIndex,
    ) -> None:
        cell = _number(lattice_parameter) * torch.eye(3, dtype=torch.float64)
        super().__init__(R2(cell), slip_directions, slip_planes, _rotations(CUBIC))


class HexagonalCrystal(CrystalGeometry):
    """A hexagonal lattice (group 622), a1 along x, c along z; indices are of three places:
    [uvw] and (hkl), which is (hk.l) of four."""

    fields = {
        "lattice_parameter_a": Parameter(Scalar, "a", "Edge in the basal plane", "length"),
        "lattice_parameter_c": Parameter(Scalar, "c", "Edge across it", "length"),
        **SLIP,
    }

    def __init__(
        self,
        lattice_parameter_a: Scalar | float,
        lattice_parameter_c: Scalar | float,
        slip_directions: MillerIndex,
        slip_planes: MillerIndex,
    ) -> None:
        a, c = _number(lattice_parameter_a), _number(lattice_parameter_c)
        rows = [[a, 0.0, 0.0], [-0.5 * a, math.sqrt(0.75) * a, 0.0], [0.0, 0.0, c]]
        cell = R2(torch.tensor(rows, dtype=torch.float64))
        super().__init__(cell, slip_directions, slip_planes, _rotations(HEXAGONAL))


# Quaternions, scalar part first. The signs of the cubic ones are to be divided by their norm;
# their order decides the order and the sense of the slip systems.
_SIGNS = (
    "+000 ++++ -+++ +-++ ++-+ ---+ +--+ --++ -+-+ 00+0 000+ 0+00 "
    "0-0+ 0+0+ +0+0 +0-0 00-+ ++00 +-00 00++ 0-+0 +00- 0++0 +00+"
)
CUBIC = [[float("-0+".index(sign) - 1) for sign in word] for word in _SIGNS.split()]
_TWELFTHS = [(math.cos(k * math.pi / 6.0), math.sin(k * math.pi / 6.0)) for k in range(6)]
HEXAGONAL = [[c, 0.0, 0.0, s] for c, s in _TWELFTHS] + [[0.0, c, s, 0.0] for c, s in _TWELFTHS]


def _rotations(quaternions: list[list[float]]) -> R2:
    q = torch.tensor(quaternions, dtype=torch.float64)
    return Quaternion(q / torch.linalg.vector_norm(q, dim=-1, keepdim=True)).to_r2()


def _number(value: Scalar | float) -> float:
    return float(value.data if isinstance(value, Scalar) else value)


def _indices(miller: MillerIndex) -> torch.Tensor:
    """`(n, 3)` integers without a common divisor."""
    given = miller.data.detach().reshape(-1, 3)
    whole = given.round().long()
    if bool((whole != given).any()) or not bool(whole.any(-1).all()):
        raise ModelError(f"Miller indices are integers, not all zero; got {given.tolist()}")
    h, k, l = whole.unbind(-1)
    return whole // torch.gcd(torch.gcd(h, k), l).unsqueeze(-1)


def _family(operators: torch.Tensor, direction: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    """The perpendicular pairs `(n, 2, 3)` of the images of a direction and of a plane's normal."""
    images = [
        (d, n)
        for d in _unlike(operators @ direction)
        for n in _unlike(operators @ plane)
        if abs(_cosine(d, n)) < 1e-6
    ]
    return torch.stack([torch.stack(pair) for pair in images]) if images else plane.new_zeros(0, 2)


def _unlike(vectors: torch.Tensor) -> list[torch.Tensor]:
    """Those that no earlier one is parallel to."""
    found: list[torch.Tensor] = []
    for vector in vectors:
        if all(abs(_cosine(vector, known)) < 1.0 - 1e-9 for known in found):
            found.append(vector)
    return found


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b)))
