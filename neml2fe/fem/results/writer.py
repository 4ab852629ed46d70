"""`FieldWriter`: the fields of a problem at some times, each rank writing its own elements."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe import io
from neml2fe.errors import InputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.problem import Problem
from neml2fe.fem.results.fields import (
    BODY,
    DISPLACEMENT,
    MISES,
    REACTION,
    STRESS,
    nodal_vector,
    point_fields,
    values_at_points,
)
from neml2fe.fem.results.nodal import Averages

Array = NDArray[np.float64]

FORMATS: dict[str, type[io.FieldSeries]] = {"vtu": io.VtuSeries, "xdmf": io.XdmfSeries}
OUTPUTS = ("cells", "nodes", "bodies", "points")


class FieldWriter:
    """Writes fields as series under `directory/stem` and `directory/stem_points`.

    Displacements and reaction forces are always written at the nodes. `output` says, as words
    in any order, where strain, stress and state variables are:

    - "cells": averages over elements;
    - "nodes": averages around nodes (see `nodal`);
    - "bodies": averages around nodes in each body that has the field, `<field>_<body>`, so that
      stresses are not mixed across an interface;
    - "points": the values at the quadrature points, a cloud of points in a series of its own.

    The mesh of a rank has its own elements and their nodes; nodes that ranks share are in the
    piece of each. Raises `InputError` for unknown words or an unknown `format`. Collective.
    """

    def __init__(
        self,
        problem: Problem,
        averages: Averages,
        directory: str | os.PathLike[str],
        stem: str,
        format: str,
        output: str,
    ) -> None:
        if format not in FORMATS:
            raise InputError(f"output: no format '{format}'{suggest(format, FORMATS)}")
        self._words = output.split()
        for word in self._words:
            if word not in OUTPUTS:
                raise InputError(f"output: '{word}' is no place of fields{suggest(word, OUTPUTS)}")
        self.problem, self._averages = problem, averages
        self.series = FORMATS[format](Path(directory), stem)
        self.cloud = FORMATS[format](Path(directory), f"{stem}_points")

    def paths(self) -> list[tuple[Path, str]]:
        """The files to open, and what they are."""
        found = [(self.series.path, "fields for ParaView")]
        if "points" in self._words:
            found.append((self.cloud.path, "fields at quadrature points"))
        return found

    def remove_earlier(self) -> None:
        """Remove what a run of the same stem wrote, in any format; on rank 0 only."""
        for kind in FORMATS.values():
            for series in (self.series, self.cloud):
                kind.remove(series.directory, series.stem)

    def resume(self) -> None:
        """Go on after `problem.time`; on rank 0 only."""
        self.series.resume(self.problem.time)
        if "points" in self._words:
            self.cloud.resume(self.problem.time)

    def write(self) -> None:
        """Write the present fields. Raises `OutputError` on every rank when one cannot."""
        self._write(self.series, self._on_mesh())
        if "points" in self._words:
            self._write(self.cloud, self._at_points())

    def _write(self, series: io.FieldSeries, fields: io.Fields) -> None:
        """The list of the series is renewed when all ranks have written their pieces."""
        comm, time = self.problem.comm, self.problem.time
        several = comm is not None and comm.size > 1
        name = collectively(comm, lambda: series.next_name(time))
        rank = self.problem.local.rank if several else None
        piece = collectively(comm, lambda: series.write_piece(name, fields, rank), every_rank=True)
        pieces: Sequence[io.Piece] = comm.gather(piece) if comm is not None else [piece]
        collectively(comm, lambda: series.complete(time, name, pieces))

    def _on_mesh(self) -> io.Fields:
        problem, averages = self.problem, self._averages
        local = problem.local
        at_nodes = {name: nodal_vector(problem, name) for name in (DISPLACEMENT, REACTION)}
        in_cells: dict[str, list[Array]] = {}
        bodies = list(dict.fromkeys(solid.name for solid in problem.solids))
        for info in point_fields(problem).values():
            if "cells" in self._words:
                in_cells[info.name] = averages.cells(info)
            if "nodes" in self._words:
                at_nodes[info.name] = averages.nodes(info)
            if "bodies" in self._words:
                for body in dict.fromkeys(problem.solids[k].name for k in info.sources):
                    at_nodes[f"{info.name}_{body}"] = values = averages.nodes(info, body)
                    if info.name == STRESS:
                        at_nodes[f"{MISES}_{body}"] = io.mises(values)
        if STRESS in in_cells:
            in_cells[MISES] = [io.mises(stress) for stress in in_cells[STRESS]]
        if STRESS in at_nodes:
            at_nodes[MISES] = io.mises(at_nodes[STRESS])
        numbers: dict[str, list[NDArray]] = {}
        if len(bodies) > 1:
            numbers[BODY] = [np.zeros(len(c.connectivity), np.int64) for c in local.cells]
            for solid in problem.solids:
                numbers[BODY][solid.cells][solid.local_elements] = bodies.index(solid.name)
        cells = [(block.cell_type, block.connectivity) for block in local.cells]
        return io.Fields(local.points, cells, at_nodes, {**numbers, **in_cells})

    def _at_points(self) -> io.Fields:
        problem = self.problem
        solids = problem.solids
        starts = np.cumsum([0, *(solid.block.n_points for solid in solids)])
        n, dim = int(starts[-1]), problem.local.dim
        positions = np.concatenate([s.block.positions().reshape(-1, dim).cpu() for s in solids])
        u = torch.as_tensor(problem.u, device=problem.device).reshape(-1, dim)
        moved = np.concatenate([solid.block.at_points(u).cpu() for solid in solids])
        fields = {DISPLACEMENT: moved}
        for info in point_fields(problem).values():
            values = np.full((n, *info.shape), np.nan)
            for k in info.sources:
                values[starts[k] : starts[k + 1]] = values_at_points(problem, info, k).cpu().numpy()
            fields[info.name] = values
        if STRESS in fields:
            fields[MISES] = io.mises(fields[STRESS])
        return io.Fields(positions, [("vertex", np.arange(n)[:, None])], fields, {})
