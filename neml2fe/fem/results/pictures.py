"""The figures of a run: its last field on the deformed mesh, a load curve, convergence."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from neml2fe import io
from neml2fe.errors import InputError, suggest
from neml2fe.fem.mesh.distribution import gather_elements, gather_nodes
from neml2fe.fem.problem import Problem
from neml2fe.fem.results.fields import (
    EQUIVALENT_PLASTIC_STRAIN,
    MISES,
    find_scalar,
    point_fields,
    scalars,
)
from neml2fe.fem.results.nodal import Averages

Listed = list[tuple[Path, str]]
NO_FIGURES = "no figures: pip install 'neml2fe[figures]'"


def can_draw() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def choose(problem: Problem, figure: str | None) -> str:
    """The scalar field to draw: `figure`, or the equivalent plastic strain, or else the von Mises
    stress, `mises` for short. Raises `InputError` if there is no such field."""
    known = [n for info in point_fields(problem).values() for n in scalars(info.name, info.shape)]
    figure = MISES if figure == "mises" else figure
    if figure is not None and figure not in known:
        raise InputError(f"no scalar field '{figure}' to draw{suggest(figure, known)}")
    usual = EQUIVALENT_PLASTIC_STRAIN if EQUIVALENT_PLASTIC_STRAIN in known else MISES
    return figure or usual


def field_drawing(
    problem: Problem, averages: Averages, name: str, path: Path, title: str
) -> Callable[[], Listed]:
    """What draws the element averages of the scalar `name`, to be called on rank 0, to which the
    surface's data are gathered here. Collective."""
    local = problem.local
    scalar = find_scalar(problem, name, "figure", nodal=False)
    assert scalar.info is not None
    values = gather_elements(local, [scalar.take(v) for v in averages.cells(scalar.info)])
    cells = gather_elements(local, [local.nodes[block.connectivity] for block in local.cells])
    u = gather_nodes(local, problem.u.reshape(-1, local.dim)[: local.n_owned])
    points = gather_nodes(local, local.points[: local.n_owned])
    label = name.replace("_", " ")

    def draw() -> Listed:
        assert points is not None and values is not None and cells is not None
        kinds = [block.cell_type for block in local.cells]
        kept = [k for k, nodes in enumerate(cells) if len(nodes)]
        done = io.figures.field(
            path,
            points,
            [(kinds[k], cells[k]) for k in kept],
            [values[k] for k in kept],
            displacement=u,
            label=label,
            title=title,
        )
        return [(done, f"figure of the {label}")]

    return draw


def load_curve(table: Path, watched: str, path: Path) -> Listed:
    """The reaction of the condition `watched` over its displacement, from the table of a run."""
    rows = io.read_table(table, allow_nan=True)
    x, y = rows[f"{watched}_displacement"], rows[f"{watched}_reaction"]
    done = io.figures.load_curve(path, x, y, f"displacement of {watched}", f"reaction of {watched}")
    return [(done, "load curve")]


def convergence(norms: list[list[float]], path: Path) -> Listed:
    """Residual norms, where there are any."""
    if not any(norm > 0 for step in norms for norm in step):
        return []
    return [(io.figures.convergence(path, norms), "convergence of Newton's method")]
