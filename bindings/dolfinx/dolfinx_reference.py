"""The same test in neml2fe's own solver, which needs a newer basix than DOLFINx 0.5: it runs in
another Python, that of the environment variable NEML2FE_PYTHON or of the repository's .venv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """A body in a box with sides `held` in some components (left, bottom, back: those of smallest
    x, y, z; `corner`: where left and bottom meet), and one that is `driven` (component, times,
    values), in steps that end at `times`. `sides`: whether the mesh file leaves it to find them."""

    mesh: str
    deck: str
    model: str
    formulation: str
    degree: int
    held: list[tuple[str, str]]
    driven: tuple[str, str, list[float], list[float]]
    times: list[float]
    kinematics: str = "small"
    sides: bool = False


def python() -> str | None:
    """The interpreter that has neml2fe and a basix for its solver, if there is one."""
    found = os.environ.get("NEML2FE_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    return found if Path(found).exists() else None


def reference(case: Case, folder: Path) -> dict[str, NDArray[np.float64]]:
    """Run `case`, with files in `folder`: `points` (nodes, dim), after each step `displacements`
    (steps, nodes, dim) and `force` (steps,), that on the driven side."""
    interpreter = python()
    if interpreter is None:
        raise FileNotFoundError("set NEML2FE_PYTHON to a Python that has neml2fe installed")
    given, found = folder / "case.json", folder / "reference.npz"
    given.write_text(json.dumps(asdict(case)))
    # That Python finds its own packages, not those of this one.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "OMPI_", "PMIX_"))}
    clean["PYTHONPATH"] = str(ROOT)
    subprocess.run([interpreter, __file__, given, found], check=True, env=clean)
    with np.load(found) as arrays:
        return dict(arrays)


def run(case: Case) -> dict[str, NDArray[np.float64]]:
    """`case` in neml2fe.fem."""
    from neml2fe import fem, load_model
    from neml2fe.fem.mesh.generate import with_sides
    from neml2fe.material import Material

    side, component, at, values = case.driven
    mesh = fem.Mesh.read(case.mesh)
    held = [fem.Dirichlet(*some) for some in case.held]
    driven = fem.Dirichlet(side, component, fem.PiecewiseLinear(at, values), label="driven")
    problem = fem.Problem(
        with_sides(mesh) if case.sides else mesh,
        Material(load_model(case.deck, case.model)),
        [*held, driven],
        formulation=case.formulation,
        kinematics=case.kinematics,
        quadrature_degree=case.degree,
    )
    observed = {"force": fem.Reaction("driven"), "displacements": fem.NodalDisplacements()}
    solution = problem.solve(case.times, observed, case.times, record=False)
    return {"points": mesh.points, **{name: solution[name].numpy() for name in observed}}


if __name__ == "__main__":
    text = json.loads(Path(sys.argv[1]).read_text())
    np.savez(sys.argv[2], **run(Case(**text)))  # type: ignore[arg-type]
