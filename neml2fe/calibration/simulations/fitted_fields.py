"""Parameter fields that a fit has found: values of elements or nodes, with their mesh, in files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import meshio
import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.calibration.simulations.problem import SimulationProblem
from neml2fe.calibration.tables import write_csv
from neml2fe.fem.conditions.fields import ElementField, FieldLike, NodalField
from neml2fe.fem.mesh.distribution import gather_elements, gather_nodes
from neml2fe.fem.problem import Problem
from neml2fe.io import figures
from neml2fe.io.arrays import Fields
from neml2fe.io.document import Picture
from neml2fe.io.paths import replacing

Array = NDArray[np.float64]
Cells = list[tuple[str, NDArray[np.int64]]]
_DRAWN = 3  # components of a field, at most


@dataclass(frozen=True, eq=False)
class FittedField:
    """Values `(n, *base)` of all elements (`nodal` False) or nodes of a mesh with `points`
    `(n_nodes, dim)` and blocks of `cells`. On ranks that do not write, only the values."""

    values: Array
    nodal: bool
    points: Array
    cells: Cells

    @property
    def places(self) -> Array:
        """Where the values are, `(n, dim)`: nodes, or centres of elements."""
        if self.nodal:
            return self.points
        return np.concatenate([self.points[nodes].mean(axis=1) for _, nodes in self.cells])


def fitted_fields(problem: SimulationProblem, names: Sequence[str]) -> dict[str, FittedField]:
    """Those among what is fitted, as they are now, under the `names` of the fit, which are in the
    order of the parameters. Collective."""
    simulation = problem.simulation
    every = [
        field
        for field in _fields(simulation)
        if isinstance(field, (ElementField, NodalField)) and isinstance(field.values, torch.Tensor)
    ]
    found = {}
    for name, tensor in zip(names, problem.fitted.values(), strict=True):
        field = next((f for f in every if f.values is tensor), None)
        if field is not None:
            values = tensor.detach().cpu().double().numpy().copy()
            nodal = isinstance(field, NodalField)
            found[name] = FittedField(values, nodal, *_mesh_of(simulation))
    return found


def _fields(problem: Problem) -> Iterator[FieldLike]:
    groups: list[Mapping[str, FieldLike]] = [problem.fields]
    for body in problem.bodies:
        groups += [body.fields, body.initial_state]
    for group in groups:
        yield from group.values()


def _mesh_of(problem: Problem) -> tuple[Array, Cells]:
    """Points and cells of the whole mesh, on the first rank; empty on others. Collective."""
    local = problem.local
    points = gather_nodes(local, local.points[: local.n_owned])
    cells = gather_elements(local, [local.nodes[block.connectivity] for block in local.cells])
    if points is None or cells is None:
        return np.zeros((0, local.dim)), []
    kinds = [block.cell_type for block in local.cells]
    return points, list(zip(kinds, cells, strict=True))


def write_field(stem: Path, field: FittedField, more: Mapping[str, Array]) -> list[Path]:
    """Write the values, and `more` of the same shape by name (standard error, start), as
    `<stem>.vtu` and `<stem>.csv`, a row for each element or node."""
    columns = {"value": field.values, **more}
    blocks = np.cumsum([len(nodes) for _, nodes in field.cells])[:-1]
    # What nothing is known of is a gap in a file.
    clean = {n: np.where(np.isfinite(v), v, np.nan) for n, v in columns.items()}
    nodal = clean if field.nodal else {}
    of_cells = {} if field.nodal else {n: np.split(v, blocks) for n, v in clean.items()}
    mesh = Fields(field.points, field.cells, nodal, of_cells).mesh()
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("vtu", "csv")]
    with replacing(files[0]) as temporary:
        meshio.vtu.write(str(temporary), mesh, binary=True, compression="zlib")
    rows = [v.reshape(len(v), -1) for v in columns.values()]
    header = ["node" if field.nodal else "element", *"xyz"[: field.points.shape[1]]]
    for name in columns:
        header += [name + at for at in _components(field)]
    table = np.concatenate([field.places, *rows], axis=1).tolist()
    write_csv(files[1], header, ([k, *row] for k, row in enumerate(table)))
    return files


def draw_field(stem: Path, name: str, field: FittedField, error: Array | None) -> list[Picture]:
    """Pictures of the values on the mesh, and of the standard `error` where it is known."""
    shown = [(stem.name, "fitted", field.values)]
    if error is not None and np.isfinite(error).all():
        shown.append((f"{stem.name}_error", "standard error of", error))
    blocks = np.cumsum([len(nodes) for _, nodes in field.cells])[:-1]
    pictures = []
    for file, what, values in shown:
        columns = values.reshape(len(values), -1).T
        for k, (at, column) in enumerate(zip(_components(field), columns[:_DRAWN], strict=False)):
            path = stem.with_name(file + (f"_{k + 1}" if at else "") + ".png")
            data = column if field.nodal else np.split(column, blocks)
            figures.field(path, field.points, field.cells, data, label=f"{name}{at}")
            pictures.append(Picture(path, f"{what.capitalize()} {name}{at}."))
    return pictures


def _components(field: FittedField) -> list[str]:
    """What stands behind the name of each component of the values: "" of a scalar."""
    base = field.values.shape[1:]
    places = itertools.product(*(range(n) for n in base))
    return ["".join(f"[{','.join(map(str, at))}]" if at else "") for at in places]
