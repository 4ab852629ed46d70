"""Writes thick_cylinder.msh beside itself: half the length of a pipe, x the radius, y the axis.

10 by 16 serendipity quadrilaterals. Boundaries: inner, outer, middle (y = 0), end; node set: bore,
the inner node at y = 0. Lengths in mm. Run it again to get the same file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from gmsh_file import write

from neml2fe.fem.mesh.generate import rectangle

INNER, OUTER, LENGTH = 50.0, 100.0, 300.0
NAMES = {"left": "inner", "right": "outer", "bottom": "middle", "top": "end"}


def main() -> None:
    strip = rectangle(10, 16, "quad8", (OUTER - INNER, LENGTH))
    mesh = replace(
        strip,
        points=strip.points + np.array([INNER, 0.0]),
        boundaries={NAMES[name]: blocks for name, blocks in strip.boundaries.items()},
    )
    bore = int(np.argmin(mesh.points.sum(axis=1)))
    write(Path(__file__).with_name("thick_cylinder.msh"), mesh, {"bore": bore})


if __name__ == "__main__":
    main()
