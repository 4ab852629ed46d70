"""Writes double_cantilever.msh beside itself: two bonded strips, cracked from x = 0 to x = 50.

Strips of 150 by 5, of serendipity quadrilaterals, 1 long where the crack will run and longer
elsewhere, two through each strip. Regions: upper, lower; boundaries: bond (between them), end
(x = 150); node sets: pull_up and pull_down, the outer corners at x = 0. Lengths in mm. Run it
again to get the same file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from gmsh_file import write

from neml2fe.fem import CellBlock
from neml2fe.fem.mesh.generate import rectangle

LENGTH, HEIGHT, CRACK = 150.0, 5.0, 50.0
ENDS, CELLS = (0.0, 40.0, 115.0, 150.0), (10, 75, 10)  # pieces of the length


def main() -> None:
    n = sum(CELLS)
    block = rectangle(n, 4, "quad8")
    s, t = block.points.T
    x = np.interp(n * s, np.cumsum([0, *CELLS]), ENDS)
    points = np.column_stack([x, 2 * HEIGHT * (t - 0.5)])
    (cells,) = block.cells
    above = points[cells.connectivity].mean(axis=1)[:, 1] > 0

    middle = np.flatnonzero(np.isclose(points[:, 1], 0))
    middle = middle[np.argsort(points[middle, 0])]
    lines = np.column_stack([middle[:-2:2], middle[2::2], middle[1::2]])
    bond = lines[points[lines[:, 0], 0] > CRACK - 1e-9]
    # The upper strip gets nodes of its own along the crack.
    open_ = middle[points[middle, 0] < CRACK - 1e-9]
    copies = np.arange(len(points))
    copies[open_] = len(points) + np.arange(len(open_))
    connectivity = np.where(above[:, None], copies[cells.connectivity], cells.connectivity)
    left = np.isclose(x, 0)
    corners = {
        name: int(np.flatnonzero(left & np.isclose(points[:, 1], y))[0])
        for name, y in (("pull_up", HEIGHT), ("pull_down", -HEIGHT))
    }
    mesh = replace(
        block,
        points=np.vstack([points, points[open_]]),
        cells=(CellBlock("quad8", connectivity),),
        boundaries={"bond": (CellBlock("line3", bond),), "end": block.boundaries["right"]},
        regions={"upper": (np.flatnonzero(above),), "lower": (np.flatnonzero(~above),)},
    )
    write(Path(__file__).with_name("double_cantilever.msh"), mesh, corners)


if __name__ == "__main__":
    main()
