"""Writes necking_bar_<n>.msh beside itself: half of a round bar, x the radius, y the axis.

n by 3 n quadrilaterals, flat ones near the bottom, where they will be stretched more than tenfold.
The radius is 0.982 times the nominal one at the bottom (the plane of symmetry) and grows to it
linearly along the axis. Boundaries: axis, surface, middle (y = 0), end; node set: neck, the
surface at y = 0. Lengths in mm. Run it again to get the same files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from gmsh_file import write

from neml2fe.fem.mesh.generate import rectangle

RADIUS, LENGTH, IMPERFECTION = 6.413, 53.334, 0.982
NAMES = {"left": "axis", "right": "surface", "bottom": "middle", "top": "end"}


def main() -> None:
    for n in (5, 8, 12):
        square = rectangle(n, 3 * n, "quad")
        s, t = square.points.T
        y = LENGTH / 2 * t**1.6
        radius = RADIUS * (IMPERFECTION + (1 - IMPERFECTION) * y / (LENGTH / 2))
        mesh = replace(
            square,
            points=np.column_stack([s * radius, y]),
            boundaries={NAMES[name]: blocks for name, blocks in square.boundaries.items()},
        )
        neck = int(np.argmax(s - t))
        write(Path(__file__).with_name(f"necking_bar_{n}.msh"), mesh, {"neck": neck})


if __name__ == "__main__":
    main()
