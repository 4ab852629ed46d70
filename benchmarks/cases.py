"""The laws that are timed, and the seeded strains and old states both codes are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DECKS = Path(__file__).parent / "decks"
SEED = 20240607
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A deck of that name with a model called `model`, which maps `strain` to `stress`.

    The norm of the deviatoric strain is drawn log-uniformly from `sizes`, and the mean strain is
    normal with `mean` of that as deviation. `others` are the inputs that are not zero: old values
    `x~1` and fields. A point counts as plastic where the variable `plastic` exceeds the number.
    The one step lasts `dt`.
    """

    law: str
    unknowns: int
    strain: str = "E"
    sizes: tuple[float, float] = (2e-4, 5e-2)
    mean: float = 0.2
    dt: float = 1.0
    plastic: tuple[str, float] = ("equivalent_plastic_strain", 1e-9)
    others: Callable[[int, np.random.Generator], Arrays] = lambda n, rng: {}


def voids(n: int, rng: np.random.Generator) -> Arrays:
    """Void fractions of 1 to 10 per cent."""
    return {"void_fraction~1": rng.uniform(0.01, 0.1, n)}


def lattice(n: int, rng: np.random.Generator) -> Arrays:
    """Orientations of all kinds (modified Rodrigues parameters) and a small spin."""
    quaternion = rng.standard_normal((n, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    turn = quaternion[:, 1:] / (1.0 + np.abs(quaternion[:, :1]))
    return {"orientation~1": turn, "vorticity": 1e-3 * rng.standard_normal((n, 3))}


# In rate-independent laws a short step gives rates of flow the size of stresses. The peer smooths
# the corner of the Fischer-Burmeister function by sqrt(2e-16): with slow rates that would show in
# tangents of points just below yield.
SHORT = 1e-6

CASES = {
    "perzyna": Case("Perzyna J2, linear hardening", 7),
    "radial_linear": Case("radial return, linear hardening", 1, dt=SHORT),
    "radial_voce": Case("radial return, Voce hardening", 1, dt=SHORT),
    "closest_point": Case("rate-independent J2, closest point", 8, dt=SHORT),
    "chaboche2": Case("Chaboche, 2 back stresses", 19),
    "chaboche6": Case("Chaboche, 6 back stresses", 43),
    # Full Newton steps diverge at some points where voids grow much in a single step.
    "gurson": Case("Gurson (GTN)", 9, sizes=(2e-4, 3e-2), mean=0.02, dt=SHORT, others=voids),
    # The step lasts one unit of time: the rate of deformation is the increment of strain.
    "crystal_fcc": Case(
        "FCC crystal, 12 systems",
        10,
        "deformation_rate",
        sizes=(1e-4, 7e-3),
        plastic=("slip_hardening", 0.04),  # a total slip of 1e-4
        others=lattice,
    ),
}


def sample(name: str, n: int) -> Arrays:
    """Strains `(n, 6)` in Mandel components, and the other inputs that are not zero, by name.

    The first points of a longer sample are those of a shorter one.
    """
    case = CASES[name]
    rng = np.random.default_rng([SEED, list(CASES).index(name)])
    strain = rng.standard_normal((n, 6))
    strain[:, :3] -= strain[:, :3].mean(axis=1, keepdims=True)
    strain /= np.linalg.norm(strain, axis=1, keepdims=True)
    strain[:, :3] += case.mean * rng.standard_normal((n, 1))
    low, high = np.log(case.sizes)
    strain *= np.exp(rng.uniform(low, high, (n, 1)))
    return {case.strain: strain, **case.others(n, rng)}
