"""The double cantilever beam: comparison with beam theory, energy, and the figure.

Each arm is a beam on an elastic foundation ahead of the crack (Kanninen, Int. J. Fract. 9, 83,
1973): with the wave number l, l^4 = k / (4 E' I), a crack of length a opens by

    d = P 2 a^3 / (3 E' I) (1 + 3 / (l a) + 3 / (l a)^2 + 3 / (2 (l a)^3)),

and releases G = P^2 (a + 1 / l)^2 / (E' I) a unit of width. The stiffness k of the foundation is
that of half the arm and of the bond in series. Without the foundation (1 / l = 0) this is the plain
beam. What the run released is the area of its loop of load and opening.

Reads the run's files (neml2fe run examples/interface_debonding/cantilever.i), writes
docs/images/fe_interface_debonding.png.
"""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from neml2fe import io
from neml2fe.io.canvas import figure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
IMAGE = HERE.parents[1] / "docs/images/fe_interface_debonding.png"
HEIGHT, CRACK = 5.0, 50.0
PLANE_MODULUS = 70e3 / (1 - 0.33**2)
TOUGHNESS, STIFFNESS, ONSET, BROKEN = 0.5, 2e4, 1e-3, 0.05
BENDING = PLANE_MODULUS * HEIGHT**3 / 12
FOUNDATION = 1 / (HEIGHT / (2 * PLANE_MODULUS) + 1 / (2 * STIFFNESS))
WAVE = (FOUNDATION / (4 * BENDING)) ** 0.25
Array = NDArray[np.float64]


def compliance(a: Array | float, soft: float) -> Array | float:
    """Opening a unit of load; `soft` is 1 / l."""
    return 2 / (3 * BENDING) * (a**3 + 3 * a**2 * soft + 3 * a * soft**2 + 1.5 * soft**3)


def growth(a: Array, soft: float) -> tuple[Array, Array]:
    """Opening and load at which a crack of length a grows."""
    load = np.sqrt(TOUGHNESS * BENDING) / (a + soft)
    return load * compliance(a, soft), load


def theory(opening: Array, soft: float) -> Array:
    """Load over opening: up to the start of growth, and from there on."""
    lengths = np.linspace(CRACK, 120.0, 2000)
    grown, load = growth(lengths, soft)
    return np.where(
        opening < grown[0], opening / compliance(CRACK, soft), np.interp(opening, grown, load)
    )


def separations(number: int) -> tuple[Array, Array]:
    """Place and separation of the node pairs of the bond."""
    field = meshio.read(RESULTS / f"cantilever_{number:04d}.vtu")
    bond = np.flatnonzero((field.points[:, 1] == 0) & (field.points[:, 0] >= CRACK))
    nodes = bond[np.argsort(field.points[bond, 0], kind="stable")].reshape(-1, 2)
    moved = field.point_data["displacement"][nodes, 1]
    return field.points[nodes[:, 0], 0], moved.max(axis=1) - moved.min(axis=1)


def main() -> None:
    table = io.read_table(RESULTS / "cantilever.csv")
    opening, load = 2 * table["up_displacement"], table["up_reaction"]
    rising = table["time"] <= 1.0 + 1e-9
    peak = int(np.argmax(load))
    start = growth(np.array([CRACK]), 1 / WAVE)
    print(f"initial stiffness {load[1] / opening[1]:.3f} N/mm, "
          f"beam theory {1 / compliance(CRACK, 1 / WAVE):.3f}")  # fmt: skip
    print(f"largest load {load[peak]:.2f} N at {opening[peak]:.2f} mm, "
          f"beam theory {start[1][0]:.2f} N at {start[0][0]:.2f} mm")  # fmt: skip
    later = rising & (opening > 2.5)
    off = load[later] / theory(opening[later], 1 / WAVE) - 1
    print(f"load from 2.5 mm on: {off.min():+.2%} to {off.max():+.2%} of beam theory")
    released = trapezoid(load, opening)
    x, jump = separations(3)
    broken = np.clip((jump - ONSET) / (BROKEN - ONSET), 0, 1)
    area = trapezoid(broken, x)
    print(f"released {released:.3f} N mm/mm; toughness times area {TOUGHNESS * area:.3f} "
          f"(crack of {CRACK + area:.2f} mm)")  # fmt: skip
    draw(opening, load)


def draw(opening: Array, load: Array) -> None:
    field = meshio.read(RESULTS / "cantilever_0003.vtu")
    points = (field.points + field.point_data["displacement"])[field.cells_dict["quad8"][:, :4]]
    with figure(IMAGE, (9.2, 3.6)) as page:
        left, right = page.subplots(1, 2, width_ratios=(1.1, 1))
        drawn = left.add_collection(PolyCollection(points[..., :2], ec="#00000030", lw=0.2))
        drawn.set_array(field.cell_data["stress"][0][:, 0])
        drawn.set(cmap="coolwarm")
        left.autoscale_view()
        left.set(aspect=5, xlabel="x in mm", ylabel="y in mm", title="opened by 5 mm (height × 5)")
        left.grid(False)
        page.colorbar(drawn, ax=left, label="stress along the beam in MPa", shrink=0.7)
        right.plot(opening, load, label="finite elements")
        at = np.linspace(0, 5, 300)
        right.plot(at, theory(at, 1 / WAVE), "k--", lw=1, label="beam on elastic foundation")
        right.plot(at, theory(at, 0.0), "k:", lw=1, label="plain beam")
        right.set(xlabel="opening in mm", ylabel="load in N/mm", ylim=(0, 15.5))
        right.legend(loc="upper right")


if __name__ == "__main__":
    main()
