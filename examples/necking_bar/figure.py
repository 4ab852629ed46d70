"""The necking bar on three meshes: runs, comparison with closed forms, and figure.

- Considere (1885): an even bar's load has its maximum where the true stress equals its slope over
  the logarithmic strain.
- Bridgman (1952): the mean axial stress in the neck is the flow stress times
  (1 + 2 R / a) ln(1 + a / 2 R), with the neck's radius a and its radius of curvature R.

Writes docs/images/fe_necking_bar.png. Runs that are in `results` already are not repeated.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import meshio
import numpy as np
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray
from scipy.optimize import brentq

from neml2fe import io
from neml2fe.io.canvas import figure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMAGE = ROOT / "docs/images/fe_necking_bar.png"
MESHES = (5, 8, 12)
RADIUS, LENGTH = 6.413, 53.334  # nominal radius and whole length, mm
START = 0.982 * RADIUS  # of the neck


def run(n: int) -> Path:
    folder = HERE / f"results/bar_{n}"
    if not (folder / "bar.png").exists():
        mesh = f"Meshes/bar/file={ROOT}/meshes/necking_bar_{n}.msh"
        command = [sys.executable, "-m", "neml2fe", "run", str(HERE / "bar.i"), "-q"]
        subprocess.run([*command, "-o", str(folder), "--set", mesh], check=True)
    return folder


def flow_stress(strain: float) -> float:
    return 450 + 265 * (1 - np.exp(-16.93 * strain)) + 129.24 * strain


def considere() -> tuple[float, float]:
    """Elongation (mm) and load (kN) at the maximum of an even bar of the nominal radius.

    Its elastic strain is taken into account, its elastic change of area not.
    """

    def excess(plastic: float) -> float:
        slope = 265 * 16.93 * np.exp(-16.93 * plastic) + 129.24
        return slope / (1 + slope / 206.9e3) - flow_stress(plastic)

    plastic = brentq(excess, 0.01, 0.5)
    strain = plastic + flow_stress(plastic) / 206.9e3
    load = flow_stress(plastic) * np.pi * RADIUS**2 * np.exp(-strain) / 1e3
    return LENGTH * (np.exp(strain) - 1), load


def bridgman(folder: Path, number: int, load: float) -> tuple[float, float, float]:
    """Neck radius over its radius of curvature; mean axial stress over the flow stress: computed
    and by Bridgman's formula."""
    field = meshio.read(folder / f"bar_{number:04d}.vtu")
    x = field.points + field.point_data["displacement"]
    # Nodes with the largest radius of each row, from the neck upward.
    order = np.lexsort((field.points[:, 0], np.round(field.points[:, 1], 9)))
    last = np.append(np.diff(np.round(field.points[order, 1], 9)) > 0, True)
    r, y = x[order[last], :2].T
    near = y < 0.6 * r[0]
    _, curvature, neck = np.polyfit(y[near] ** 2, r[near], 2)
    ratio = 2 * curvature * neck
    stress = flow_stress(2 * np.log(START / neck))
    formula = (1 + 2 / ratio) * np.log(1 + ratio / 2)
    return ratio, load / (np.pi * neck**2) / stress, formula


def neck_ratio(table: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return (START + table["neck"]) / RADIUS


def main() -> None:
    tables = {n: io.read_table(run(n) / "bar.csv") for n in MESHES}
    even = considere()
    print(f"Considere: {even[1]:.2f} kN at {even[0]:.2f} mm")
    for n, table in tables.items():
        top = np.argmax(table["pull_reaction"])
        load, stretch = table["pull_reaction"][top] / 1e3, 2 * table["pull_displacement"][top]
        print(
            f"{n} x {3 * n}: maximum {load:.2f} kN at {stretch:.2f} mm; at 12 mm "
            f"{table['pull_reaction'][-1] / 1e3:.2f} kN, r/R = {neck_ratio(table)[-1]:.4f}"
        )
    fine = tables[MESHES[-1]]
    for number, time in enumerate((0.5, 0.75, 1.0), start=1):
        row = np.argmin(abs(fine["time"] - time))
        found = bridgman(run(MESHES[-1]), number, fine["pull_reaction"][row])
        print(f"elongation {12 * time:.1f} mm: a/R {found[0]:.3f}, stress over flow stress "
              f"{found[1]:.4f}, Bridgman {found[2]:.4f}")  # fmt: skip
    draw(tables, even)


def draw(tables: dict[int, dict[str, NDArray[np.float64]]], even: tuple[float, float]) -> None:
    field = meshio.read(run(MESHES[-1]) / "bar_0003.vtu")
    points = (field.points + field.point_data["displacement"])[field.cells_dict["quad"]][..., :2]
    with figure(IMAGE, (9.2, 4.2)) as page:
        left, middle, right = page.subplots(1, 3, width_ratios=(0.75, 1.1, 1.1))
        for mirror in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            drawn = left.add_collection(PolyCollection(points * mirror, ec="#00000020", lw=0.15))
            drawn.set_array(field.cell_data["equivalent_plastic_strain"][0])
        left.autoscale_view()
        left.set(aspect="equal", xlabel="mm", ylabel="mm", ylim=(-15, 15))
        left.grid(False)
        left.set_title("the neck, elongation 12 mm")
        page.colorbar(drawn, ax=left, label="equivalent plastic strain")

        for n, table in tables.items():
            stretch = 2 * table["pull_displacement"]
            middle.plot(stretch, table["pull_reaction"] / 1e3, label=f"{n} x {3 * n} elements")
            right.plot(stretch / LENGTH, neck_ratio(table), label=f"{n} x {3 * n} elements")
        middle.plot(*even, "k+", ms=10, label="Considère, even bar")
        middle.set(xlabel="elongation in mm", ylabel="load in kN", ylim=(0, None))
        uniform = np.linspace(0, even[0], 20)
        right.plot(
            uniform / LENGTH, (1 + uniform / LENGTH) ** -0.5, "k--", lw=1, label="even, isochoric"
        )
        right.set(xlabel="elongation / length", ylabel="neck radius / nominal radius")
        right.set(ylim=(0, 1.02))
        middle.legend()
        right.legend()


if __name__ == "__main__":
    main()
