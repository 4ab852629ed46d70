"""`Recorder`: the files of a finite-element run, gathered to rank 0 and written there."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neml2fe import io
from neml2fe.errors import InputError, OutputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import Dirichlet
from neml2fe.fem.mesh.distribution import (
    gather_elements,
    gather_nodes,
    scatter_elements,
    scatter_nodes,
)
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.io.paths import cannot_write

Blocks = list[NDArray[Any]]

EQUIVALENT_PLASTIC_STRAIN = "equivalent_plastic_strain"
MISES = "stress_mises"


class Recorder:
    """Writes `<stem>.pvd` with its `.vtu` fields, `<stem>.csv`, `<stem>.checkpoint` and, at the
    end, figures, into `directory`. Every method is collective.

    - `every`: steps between field outputs (the first and last are always written).
    - `checkpoint_every`: steps between checkpoints; 0 for only one at the end.
    """

    def __init__(
        self,
        problem: Problem,
        directory: str | os.PathLike[str],
        stem: str,
        every: int = 1,
        checkpoint_every: int = 10,
    ) -> None:
        if every < 1 or checkpoint_every < 0:
            raise InputError("output: 'every' must be at least 1, 'checkpoint_every' at least 0")
        self.problem, self.every, self.checkpoint_every = problem, every, checkpoint_every
        self.directory, self.stem = Path(directory), stem
        self._root = problem.local.rank == 0
        self._cells = self._gather_cells()
        self._points = gather_nodes(problem.local, problem.local.points[: problem.local.n_owned])
        self._series = io.VtuSeries(self.directory, stem)
        self._table: io.TableWriter | None = None
        self._last: dict[str, Blocks] | None = None
        self._figure: str | None = None
        self._written = self._saved = -math.inf  # times of the last fields and checkpoint
        self.files: list[tuple[Path, str]] = []

    def _gather_cells(self) -> list[tuple[str, NDArray[np.int64]]]:
        local = self.problem.local
        original = [local.nodes[block.connectivity] for block in local.cells]
        gathered = gather_elements(local, original) or []
        return [
            (block.cell_type, nodes)
            for block, nodes in zip(local.cells, gathered, strict=bool(gathered))
        ]

    @property
    def checkpoint_path(self) -> Path:
        return self.directory / f"{self.stem}.checkpoint"

    @property
    def picture_path(self) -> Path:
        return self.directory / f"{self.stem}.png"

    @property
    def curve_path(self) -> Path:
        return self.directory / f"{self.stem}_load.png"

    # --- during the run ----------------------------------------------------------------
    def start(self, resumed: bool, figure: str | None = None) -> None:
        """Open the table and the series: anew with the initial state, or where `Problem.time`
        says that a checkpoint was taken.

        A new run removes the checkpoint and figures of an earlier one, which would not fit it.
        `figure` is the scalar field to draw at the end; by default the equivalent plastic
        strain, or else the von Mises stress. Raises `InputError` if there is no such field.
        """
        problem = self.problem
        row = problem.load_row()
        scalars = [n for n, v in problem.point_fields()[0].items() if v.ndim == 1]
        scalars.append(MISES)
        if figure is not None and figure not in scalars:
            raise InputError(f"no scalar field '{figure}' to draw{suggest(figure, scalars)}")
        usual = EQUIVALENT_PLASTIC_STRAIN if EQUIVALENT_PLASTIC_STRAIN in scalars else MISES
        self._figure = figure or usual
        if resumed:
            self._written = self._saved = problem.time

        def open_files() -> None:
            if not resumed:
                self._remove_earlier()
            columns = ["step", "time", "dt", "newton_iterations", *row]
            resume_at = problem.time if resumed else None
            self._table = io.TableWriter(
                self.directory / f"{self.stem}.csv", columns, resume_at=resume_at
            )
            if resumed:
                self._series.resume(problem.time)

        collectively(problem.comm, self._on_root(open_files), every_rank=True)
        if not resumed:
            self._write_row(0, 0.0, 0, row)
            self._write_fields()

    def _remove_earlier(self) -> None:
        replay = self.directory / f"{self.stem}_failed_point.i"
        for path in (self.checkpoint_path, self.picture_path, self.curve_path, replay):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(path, error) from error

    def record(self, step: int, dt: float, result: StepResult, last: bool, next_dt: float) -> None:
        """Write what is due after step number `step`; `next_dt` goes into the checkpoint."""
        self._write_row(step, dt, result.iterations, self.problem.load_row())
        if last or step % self.every == 0:
            self._write_fields()
        if last or (self.checkpoint_every and step % self.checkpoint_every == 0):
            self.save_checkpoint(step, next_dt)

    def save_last(self, step: int, next_dt: float) -> None:
        """Write fields and checkpoint of the last good step, number `step`, where not yet done."""
        if self._written < self.problem.time:
            self._write_fields()
        if self._saved < self.problem.time and step > 0:
            self.save_checkpoint(step, next_dt)

    def _on_root(self, action: Any) -> Any:
        return action if self._root else (lambda: None)

    def _write_row(self, step: int, dt: float, iterations: int, row: dict[str, float]) -> None:
        head = {"step": step, "time": self.problem.time, "dt": dt, "newton_iterations": iterations}

        def write() -> None:
            assert self._table is not None
            self._table.write({**head, **row})

        collectively(self.problem.comm, self._on_root(write), every_rank=True)

    def _write_fields(self) -> None:
        problem = self.problem
        local = problem.local
        self._written = problem.time
        u = gather_nodes(local, problem.u.reshape(-1, local.dim)[: local.n_owned])
        fields: dict[str, Blocks] = {}
        at_points = problem.point_fields()
        for name in at_points[0]:
            per_block = [
                block.cell_average(values[name]).cpu().numpy()
                for block, values in zip(problem.blocks, at_points, strict=True)
            ]
            fields[name] = gather_elements(local, per_block) or []
            if name == "stress":
                fields[MISES] = [io.mises(s) for s in fields[name]]

        def write() -> None:
            assert u is not None and self._points is not None
            self._series.write(problem.time, self._points, self._cells, {"displacement": u}, fields)
            self._last = {"displacement": [u], **fields}

        collectively(problem.comm, self._on_root(write), every_rank=True)

    # --- checkpoints -------------------------------------------------------------------
    def _shape_of_states(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "mesh": problem.digest,
            "cells": [b.cell_type for b in problem.blocks],
            "quadrature": [b.n_quadrature for b in problem.blocks],
            "states": {n: k.__name__ for n, k in problem.material.state_spec.items()},
        }

    def save_checkpoint(self, step: int, next_dt: float) -> None:
        """Displacements and states in the order of the mesh file, so that a run on any number
        of ranks can go on from it."""
        problem = self.problem
        local = problem.local
        self._saved = problem.time
        arrays: dict[str, Any] = {
            "displacement": gather_nodes(local, problem.u.reshape(-1, local.dim)[: local.n_owned])
        }
        for name in problem.material.state_spec:
            per_block = [
                state[name]
                .reshape(block.n_elements, block.n_quadrature, *state[name].shape[1:])
                .cpu()
                .numpy()
                for block, state in zip(problem.blocks, problem.states, strict=True)
            ]
            gathered = gather_elements(local, per_block) or []
            arrays.update({f"{name}/{k}": a for k, a in enumerate(gathered)})
        meta = {
            **self._shape_of_states(),
            "time": problem.time,
            "step": step,
            "next_dt": next_dt,
        }
        collectively(
            problem.comm,
            self._on_root(lambda: io.checkpoint.save(self.checkpoint_path, arrays, meta)),
            every_rank=True,
        )

    def restore(self, path: str | os.PathLike[str]) -> tuple[int, float]:
        """Put the problem into the state of a checkpoint; the step number and next step size.

        Raises `OutputError` when the checkpoint is damaged or of another mesh or material.
        """
        problem = self.problem
        local = problem.local
        expected = self._shape_of_states()

        def read() -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
            if not self._root:
                return None
            arrays, meta = io.checkpoint.load(path)
            for key, value in expected.items():
                if meta.get(key) != value:
                    raise OutputError(
                        f"checkpoint '{os.fspath(path)}' is of another run: its {key} differ "
                        "from those of this deck"
                    )
            return arrays, meta

        loaded = collectively(problem.comm, read, every_rank=True)
        arrays, meta = loaded if loaded is not None else ({}, {})
        if problem.comm is not None:
            meta = problem.comm.bcast(meta)
        u = scatter_nodes(local, arrays.get("displacement"))
        problem.u = np.ascontiguousarray(u.reshape(-1))
        problem.time = float(meta["time"])
        for name, kind in problem.material.state_spec.items():
            whole = [arrays[f"{name}/{k}"] for k in range(len(problem.blocks))] if arrays else None
            for k, values in enumerate(scatter_elements(local, whole)):
                block, state = problem.blocks[k], problem.states[k]
                state[name] = (
                    state[name].new_tensor(values).reshape(block.n_points, *kind.BASE_SHAPE)
                )
        return int(meta["step"]), float(meta["next_dt"])

    # --- the end -----------------------------------------------------------------------
    def finish(self) -> list[tuple[Path, str]]:
        """Close the files, draw the figures, and list what was written (on rank 0)."""

        def close() -> None:
            assert self._table is not None
            self._table.close()
            files = [
                (self._series.path, "fields for ParaView"),
                (self._table.path, "load table"),
                (self.checkpoint_path, "checkpoint to continue from"),
            ]
            self.files = [(path, what) for path, what in files if path.exists()]
            try:
                self.files += self._figures()
            except ImportError:
                self.files.append((Path("-"), "no figures: pip install 'neml2fe[figures]'"))

        collectively(self.problem.comm, self._on_root(close), every_rank=True)
        return self.files

    def _figures(self) -> list[tuple[Path, str]]:
        drawn = []
        assert self._figure is not None and self._points is not None
        label = self._figure.replace("_", " ")
        if self._last is not None:  # nothing new after a resumed run that was at its end
            path = io.figures.field(
                self.picture_path,
                self._points,
                self._cells,
                self._last[self._figure],
                displacement=self._last["displacement"][0],
                label=label,
                title=f"{self.stem}, time {self.problem.time:g}",
            )
            drawn.append((path, f"figure of the {label}"))
        watched = self.watched()
        if watched is not None:
            rows = io.read_table(self.directory / f"{self.stem}.csv")
            x, y = rows[f"{watched}_displacement"], rows[f"{watched}_reaction"]
            path = io.figures.load_curve(
                self.curve_path, x, y, f"displacement of {watched}", f"reaction of {watched}"
            )
            drawn.append((path, "load curve"))
        return drawn

    def watched(self) -> str | None:
        """The first displacement that is driven in time: its reaction is shown and drawn."""
        for condition in self.problem.conditions:
            if isinstance(condition, Dirichlet) and callable(condition.value):
                return condition.name
        return None
