"""Writes polycrystal.vtu beside itself: 100 grains in a unit cube of 12 x 12 x 12 hexahedra.

The cell data are the number of the grain (from 1) and its crystal's orientation in modified
Rodrigues parameters. Run it again to get the same file.
"""

from __future__ import annotations

from pathlib import Path

import meshio

from neml2fe.fem.mesh.polycrystal import random_orientations, voronoi_box

N_GRAINS = 100


def main() -> None:
    mesh = voronoi_box(N_GRAINS, (12, 12, 12), (1.0, 1.0, 1.0), seed=1)
    grain = mesh.cell_data["grain"][0]
    data = {"grain": [grain], "orientation": [random_orientations(N_GRAINS, seed=2)[grain - 1]]}
    path = Path(__file__).with_suffix(".vtu")
    meshio.Mesh(mesh.points, list(mesh.cells), cell_data=data).write(path, compression="zlib")


if __name__ == "__main__":
    main()
