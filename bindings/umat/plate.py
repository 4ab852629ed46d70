"""A plate with a hole under cyclic tension: the deck for CalculiX, and the same test in neml2fe.

    neml2fe compile ../../examples/steel.i --umat libneml2fe_umat.so
    ./build_calculix.sh calculix libneml2fe_umat.so
    python plate.py write plate.inp --material VISCOPLASTICITY --state-variables 19
    calculix/ccx plate
    python plate.py compare plate.dat ../../examples/steel.i viscoplasticity

One layer of hexahedra on the quadrilaterals of meshes/perforated_plate.msh (mm, N, s). The back is
held in z, the bottom in y, a corner in x; the top moves in y, forth and back and forth.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neml2fe import fem, load_model
from neml2fe.material import Material, PointMaterial

MESH = Path(__file__).parents[2] / "meshes" / "perforated_plate.msh"
THICKNESS = 4.0
CYCLE = fem.PiecewiseLinear([0.0, 4.0, 6.0, 10.0], [0.0, 0.4, 0.0, 0.5])
DT = 0.25

ELEMENTS = {"C3D8": ("hexahedron", 2), "C3D20": ("hexahedron20", 4), "C3D20R": ("hexahedron20", 3)}
"""Elements of CalculiX: meshio's name (the nodes are in the same order), and the degree of the
Gauss rule with as many points."""

Series = list[tuple[float, NDArray[np.float64]]]


def plate(element: str = "C3D8") -> fem.Mesh:
    """The mesh, with the sets of nodes `bottom`, `top`, `corner`, `hole` and `back`."""
    flat = fem.Mesh.read(str(MESH))
    cell_type, n = ELEMENTS[element][0], len(flat.points)
    quad9 = flat.cells[0].connectivity
    corners, edges = quad9[:, :4], quad9[:, 4:8]
    nodes = [corners, corners + 2 * n]
    if cell_type == "hexahedron20":
        nodes += [edges, edges + 2 * n, corners + n]
    sheets = [np.insert(flat.points, 2, z, axis=1) for z in (0.0, THICKNESS / 2, THICKNESS)]
    lines = {
        name: np.concatenate([block.connectivity.ravel() for block in blocks])
        for name, blocks in flat.boundaries.items()
    }
    sets = {
        name: np.concatenate([some, some + n, some + 2 * n])
        for name, some in {**lines, **flat.node_sets}.items()
    }
    return fem.Mesh(
        np.vstack(sheets),
        (fem.CellBlock(cell_type, np.hstack(nodes)),),
        node_sets={**sets, "back": np.arange(n)},
    )


def deck(
    mesh: fem.Mesh,
    element: str,
    material: str,
    state_variables: int,
    properties: Sequence[float] = (0.0,),
    dt: float = DT,
) -> str:
    """The input of CalculiX, with `material` behind the ABAQUS_ of the material's name.

    A *STEP for each leg of the cycle, in increments of `dt` that failures may cut. The tolerances
    on residual and correction are tight, so that what differs is not their work. Numbers have 13
    digits, since CalculiX reads at most 20 characters of each.
    """
    name = f"ABAQUS_{material}"
    lines = ["*NODE, NSET=ALL"]
    lines += [f"{i}, {x:.13g}, {y:.13g}, {z:.13g}" for i, (x, y, z) in enumerate(mesh.points, 1)]
    lines += [f"*ELEMENT, TYPE={element}, ELSET=PLATE"]
    for i, nodes in enumerate(mesh.cells[0].connectivity + 1, 1):
        lines += _wrapped([i, *nodes])
    for set_name, nodes in mesh.node_sets.items():
        lines += [f"*NSET, NSET={set_name.upper()}", *_wrapped(nodes + 1)]
    lines += [f"*MATERIAL, NAME={name}", f"*USER MATERIAL, CONSTANTS={len(properties)}"]
    lines += [*_wrapped([f"{p:.13g}" for p in properties], 8)]
    lines += ["*DEPVAR", f"{max(state_variables, 1)}"]
    lines += [f"*SOLID SECTION, ELSET=PLATE, MATERIAL={name}"]
    lines += ["*BOUNDARY", "BOTTOM, 2, 2", "CORNER, 1, 1", "BACK, 3, 3"]
    for duration, height in zip(np.diff(CYCLE.times), CYCLE.values[1:], strict=True):
        first = f"{min(dt, duration):.13g}"
        lines += ["*STEP, INC=10000", "*STATIC", f"{first}, {duration:.13g}, 1e-4, {first}"]
        lines += ["*CONTROLS, PARAMETERS=FIELD", "1e-9, 1e-6"]
        lines += ["*BOUNDARY", f"TOP, 2, 2, {height:.13g}"]
        lines += ["*NODE PRINT, NSET=TOP, TOTALS=ONLY", "RF", "*NODE PRINT, NSET=HOLE", "U"]
        lines += ["*END STEP"]
    return "\n".join([*lines, ""])


def read_dat(path: Path) -> dict[str, Series]:
    """What CalculiX printed, by its heading (`displacements`, `total force`): for each increment
    its time and the rows."""
    found: dict[str, list[tuple[float, list[list[float]]]]] = {}
    rows: list[list[float]] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if words and words[0].isalpha():
            rows = []
            found.setdefault(line.split("(")[0].strip(), []).append((float(words[-1]), rows))
        elif words:
            rows.append([float(word) for word in words])
    return {name: [(t, np.array(v)) for t, v in series] for name, series in found.items()}


def simulate(
    material: PointMaterial, mesh: fem.Mesh, element: str, times: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same test in neml2fe with steps that end at `times`: after each the force on the top in y
    (steps,) and the displacements of the hole (steps, nodes, 3)."""
    holders = [("bottom", "y"), ("corner", "x"), ("back", "z")]
    problem = fem.Problem(
        mesh,
        material,
        [*(fem.Dirichlet(*held) for held in holders), fem.Dirichlet("top", "y", CYCLE)],
        quadrature_degree=ELEMENTS[element][1],
    )
    observed = {"force": fem.Reaction("top_y"), "hole": fem.NodalDisplacements("hole")}
    run = problem.solve(times, observed, times, record=False)
    return run["force"].numpy(), run["hole"].numpy()


def compare(
    dat: Path, material: PointMaterial, mesh: fem.Mesh, element: str
) -> tuple[float, float]:
    """The largest difference of forces and that of displacements, over the largest of each, to
    `simulate` with the increments that CalculiX took."""
    printed = read_dat(dat)
    times = [t for t, _ in printed["total force"]]
    force = np.array([rows[0, 1] for _, rows in printed["total force"]])
    hole = np.array([rows[:, 1:] for _, rows in printed["displacements"]])
    own_force, own_hole = simulate(material, mesh, element, times)
    return _apart(force, own_force), _apart(hole, own_hole)


def _apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(abs(a - b).max() / abs(b).max())


def _wrapped(items: Iterable[object], per_line: int = 10) -> Iterator[str]:
    """Lines of a card, each but the last with a comma at its end."""
    words = [str(item) for item in items]
    for i in range(0, len(words), per_line):
        yield ", ".join(words[i : i + per_line]) + ("," if i + per_line < len(words) else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    todo = parser.add_subparsers(dest="todo", required=True)
    write, check = todo.add_parser("write"), todo.add_parser("compare")
    write.add_argument("inp", type=Path)
    write.add_argument("--material", required=True, help="what the UMAT finds the law by")
    write.add_argument("--state-variables", type=int, required=True)
    write.add_argument("--properties", type=float, nargs="*", default=[0.0])
    write.add_argument("--dt", type=float, default=DT, help="largest increment of time")
    check.add_argument("dat", type=Path)
    check.add_argument("deck")
    check.add_argument("model")
    for command in (write, check):
        command.add_argument("--element", choices=ELEMENTS, default="C3D8")
    given = parser.parse_args()
    mesh, element = plate(given.element), given.element
    if given.todo == "write":
        text = deck(
            mesh, element, given.material, given.state_variables, given.properties, given.dt
        )
        given.inp.write_text(text)
    else:
        material = Material(load_model(given.deck, given.model))
        force, hole = compare(given.dat, material, mesh, element)
        print(f"largest relative difference: force {force:.1e}, displacements {hole:.1e}")


if __name__ == "__main__":
    main()
