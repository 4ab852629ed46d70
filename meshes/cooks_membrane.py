"""Writes cooks_membrane_<type>_<n>.msh beside itself: n by n quadrilaterals.

Boundaries: left (clamped), right (loaded), bottom, top; node set: corner, the upper right one.
Lengths in mm. Run it again to get the same files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from gmsh_file import write

from neml2fe.fem.mesh.generate import rectangle

MESHES = {"quad": (4, 8, 16, 32), "quad9": (4, 8, 16, 24)}


def main() -> None:
    for cell_type, n in ((kind, n) for kind, numbers in MESHES.items() for n in numbers):
        square = rectangle(n, n, cell_type)
        s, t = square.points.T
        points = np.column_stack([48 * s, 44 * s + t * (44 - 28 * s)])
        corner = int(np.argmax(s + t))
        path = Path(__file__).with_name(f"cooks_membrane_{cell_type}_{n}.msh")
        write(path, replace(square, points=points), {"corner": corner})


if __name__ == "__main__":
    main()
