"""The cases of `fem.py`: what is solved, against what, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SOFT = {"E": 1000.0, "nu": 0.3}
METAL = {"E": 200e3, "nu": 0.3, "yield_stress": 250.0, "hardening": 1000.0}
SCALING = (100_000, 1.7)
"""Dofs from which two ranks should be so many times as fast as one."""
MEMORY = (200_000, 16.0)
"""Elements from which all ranks together should need at most so many kB an element."""


@dataclass(frozen=True)
class Case:
    """A unit cube of bricks, one face clamped, the opposite one moved by `pull` along its normal.

    law: deck `fem_LAW.i`, with the same `parameters` given to the peer
    nodes: along an edge, for each size; `quick` replaces them under --quick
    clamped: the moved face cannot move sideways
    increments: equal for both, or, unless `fixed`, where each code starts; it may cut them back
    tolerance: of our Newton iterations, see `fem.Problem`
    targets: times that ours should be faster, by the least number of dofs
    agreement: of each result, relative
    """

    law: str
    parameters: Mapping[str, float]
    pull: float
    nodes: tuple[int, ...]
    quick: int
    clamped: bool = False
    increments: int = 1
    fixed: bool = True
    peer: str | None = "torch-fem"
    tolerance: float = 1e-8
    agreement: float = 1e-6
    targets: Mapping[int, float] = field(default_factory=dict)

    def target(self, dofs: int) -> float | None:
        found = [times for least, times in sorted(self.targets.items()) if dofs >= least]
        return found[-1] if found else None


CASES = {
    "elastic": Case("elastic", SOFT, 0.1, (20, 30, 40), 8, targets={0: 1.0, 81_000: 3.0}),
    "neo-hookean": Case(
        "neo_hookean", SOFT, 9.0, (12, 20), 6, increments=5, fixed=False, targets={5_184: 5.0}
    ),
    "j2": Case("j2", METAL, 0.02, (20, 30), 7, True, increments=10, targets={24_000: 5.0}),
    "calculix": Case(
        "j2",
        METAL,
        0.02,
        (21, 41),
        7,
        clamped=True,
        increments=10,
        peer="calculix",
        tolerance=1e-6,
        agreement=1e-4,
        targets={27_783: 4.0, 200_000: 8.0},
    ),
    "scaling": Case("j2", METAL, 0.006, (35,), 8, True, increments=3, peer=None),
    "memory": Case("j2", METAL, 0.004, (60,), 8, True, increments=2, peer=None),
}
