"""Cook's membrane on all meshes, with B-bar and with ordinary elements: runs and figure.

Writes docs/images/fe_cooks_membrane.png. Runs that are in `results` already are not repeated.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import meshio
from matplotlib.collections import PolyCollection

from neml2fe import io
from neml2fe.io.canvas import figure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMAGE = ROOT / "docs/images/fe_cooks_membrane.png"
DIVISIONS = {"quad": (4, 8, 16, 32), "quad9": (4, 8, 16, 24)}


def run(cell_type: str, n: int, bbar: bool) -> Path:
    """The folder of the run on meshes/cooks_membrane_<cell_type>_<n>.msh."""
    folder = HERE / f"results/{cell_type}_{n}{'_bbar' if bbar else ''}"
    if not (folder / "cook.png").exists():
        mesh = ROOT / f"meshes/cooks_membrane_{cell_type}_{n}.msh"
        subprocess.run(
            [
                *(sys.executable, "-m", "neml2fe", "run", HERE / "cook.i", "-q", "-o", folder),
                *("--set", f"Meshes/membrane/file={mesh}"),
                *("--set", f"Bodies/panel/volumetric_locking_correction={str(bbar).lower()}"),
            ],
            check=True,
        )
    return folder


def corner(folder: Path) -> float:
    return float(io.read_table(folder / "cook.csv")["corner"][-1])


def main() -> None:
    kinds = {"quad, B-bar": ("quad", True), "quad, standard": ("quad", False),
             "quad9, standard": ("quad9", False)}  # fmt: skip
    found = {
        name: [(n, corner(run(cell_type, n, bbar))) for n in DIVISIONS[cell_type]]
        for name, (cell_type, bbar) in kinds.items()
    }
    for name, rows in found.items():
        print(f"{name}: " + ", ".join(f"{n} cells a side {lift:.4f} mm" for n, lift in rows))

    field = meshio.read(run("quad", 16, bbar=True) / "cook_0001.vtu")
    points = (field.points + field.point_data["displacement"])[:, :2]
    with figure(IMAGE, (8.4, 3.6)) as page:
        left, right = page.subplots(1, 2, width_ratios=(1, 1.15))
        quads = field.cells_dict["quad"]
        left.add_collection(
            PolyCollection(field.points[quads][..., :2], fc="none", ec="#bbbbbb", lw=0.3)
        )
        drawn = left.add_collection(PolyCollection(points[quads], ec="#00000030", lw=0.3))
        drawn.set_array(100 * field.cell_data["equivalent_plastic_strain"][0])
        left.autoscale_view()
        left.set(aspect="equal", xlabel="x in mm", ylabel="y in mm", title="B-bar, 16 x 16")
        left.grid(False)
        page.colorbar(drawn, ax=left, label="equivalent plastic strain in %", shrink=0.85)

        for (name, rows), mark in zip(found.items(), "os^", strict=True):
            order = 2 if "quad9" in name else 1
            right.plot(
                [order * n for n, _ in rows], [lift for _, lift in rows], mark + "-", label=name
            )
        right.set(
            xscale="log", xlabel="spacings of nodes a side", ylabel="lift of the corner in mm"
        )
        right.set(ylim=(0, None))
        right.set_xticks([4, 8, 16, 32, 48], ["4", "8", "16", "32", "48"])
        right.minorticks_off()
        right.legend()


if __name__ == "__main__":
    main()
