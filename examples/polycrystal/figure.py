"""The polycrystal: comparison with bounds, and the figure.

- The elastic slope lies between the bounds of Reuss and Voigt for random cubic crystals.
- The flow stress over the mean strength of the slip systems lies between the factors 2.24 of
  Sachs (Z. VDI 72, 734, 1928) and 3.07 of Taylor (J. Inst. Met. 62, 307, 1938).

Reads the run's files (neml2fe run --ranks 2 examples/polycrystal/polycrystal.i), writes
docs/images/fe_polycrystal.png.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import meshio
import numpy as np
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.spatial import cKDTree

from neml2fe import io
from neml2fe.io.canvas import figure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
ROOT = HERE.parents[1]
IMAGE = ROOT / "docs/images/fe_polycrystal.png"
C11, C12, C44 = 168.4, 121.4, 75.4  # GPa
SACHS, TAYLOR = 2.24, 3.07
Array = NDArray[Any]


def young_bounds() -> tuple[float, float]:
    """Young's modulus after Reuss and Voigt (GPa)."""
    bulk = (C11 + 2 * C12) / 3
    reuss = 5 * (C11 - C12) * C44 / (4 * C44 + 3 * (C11 - C12))
    voigt = (C11 - C12 + 3 * C44) / 5
    low, high = (9 * bulk * shear / (3 * bulk + shear) for shear in (reuss, voigt))
    return low, high


def read_last() -> dict[str, Array]:
    """The last output, of all ranks: corners of the hexahedra (n, 8, 3) and data of the cells."""
    last = (RESULTS / "polycrystal.pvd").read_text().split('file="')[-1].split(".")[0]
    parts = [meshio.read(path) for path in sorted(RESULTS.glob(f"{last}*.vtu"))]
    found = {name: np.concatenate([part.cell_data[name][0] for part in parts])
             for name in ("stress", "slip_hardening")}  # fmt: skip
    return found | {"corners": np.concatenate([p.points[p.cells[0].data] for p in parts])}


def grains(corners: Array) -> Array:
    """The number of the grain of each element."""
    mesh = meshio.read(ROOT / "meshes/polycrystal.vtu")
    centres = mesh.points[mesh.cells[0].data].mean(axis=1)
    return mesh.cell_data["grain"][0][cKDTree(centres).query(corners.mean(axis=1))[1]]


def main() -> None:
    table, field = io.read_table(RESULTS / "polycrystal.csv"), read_last()
    strain, stress = table["cell_strain_zz"], table["cell_stress_zz"]
    low, high = young_bounds()
    slope = stress[1] / strain[1] / 1e3
    print(f"Young's modulus {slope:.1f} GPa; Reuss {low:.1f}, Voigt {high:.1f}")
    strength = 40 + float(field["slip_hardening"].mean())
    print(f"stress at 2 % {stress[-1]:.1f} MPa, mean strength {strength:.1f} MPa: factor "
          f"{stress[-1] / strength:.3f} (Sachs {SACHS}, Taylor {TAYLOR})")  # fmt: skip
    others = [table[f"cell_stress_{c}"][1:] for c in ("xx", "yy", "yz", "xz", "xy")]
    print(f"largest other mean stress {max(abs(o).max() for o in others):.1e} MPa")
    print(f"work of the mean stress {trapezoid(stress, strain):.5f}, of all points "
          f"{table['internal_energy'][-1]:.5f} N mm")  # fmt: skip
    zz = field["stress"][:, 2]
    print(f"stress zz of elements: {zz.min():.0f} to {zz.max():.0f} MPa")
    draw(field, 100 * strain, stress, strength)


def cube(axes: Any, corners: Array, values: Array, colours: str) -> Any:
    """Paint the three sides of the cube that are in sight by the values of its elements."""
    quads, painted = [], []
    for axis, wall, side in (
        (0, 1.0, [1, 2, 6, 5]),
        (1, 0.0, [0, 1, 5, 4]),
        (2, 1.0, [4, 5, 6, 7]),
    ):
        there = np.isclose(corners[:, side, axis], wall).all(axis=1)
        quads += list(corners[there][:, side])
        painted.append(values[there])
    drawn = Poly3DCollection(quads, ec="#00000025", lw=0.2, cmap=colours)
    drawn.set_array(np.concatenate(painted))
    axes.add_collection3d(drawn)
    axes.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1))
    axes.set_box_aspect((1, 1, 1), zoom=1.05)
    axes.view_init(25, -55)
    axes.set_axis_off()
    return drawn


def draw(field: dict[str, Array], strain: Array, stress: Array, strength: float) -> None:
    order = np.random.default_rng(3).permutation(101)
    with figure(IMAGE, (10.5, 3.6)) as page:
        grid = page.add_gridspec(1, 3, width_ratios=(1, 1.2, 1.1))
        left, middle = (page.add_subplot(grid[k], projection="3d") for k in range(2))
        right = page.add_subplot(grid[2])
        cube(left, field["corners"], order[grains(field["corners"])], "twilight")
        left.set_title("100 grains")
        drawn = cube(middle, field["corners"], field["stress"][:, 2], "viridis")
        middle.set_title("stress zz at 2 %")
        page.colorbar(drawn, ax=middle, label="MPa", shrink=0.7, pad=0.0)
        right.plot(strain, stress, "o-", ms=3, label="100 grains")
        for factor, name, mark in ((TAYLOR, "Taylor", "^"), (SACHS, "Sachs", "v")):
            right.plot(strain[-1], factor * strength, mark, color="k", label=f"{name}, at 2 %")
        right.set(xlabel="mean strain zz in %", ylabel="mean stress zz in MPa", ylim=(0, None))
        right.legend()


if __name__ == "__main__":
    main()
