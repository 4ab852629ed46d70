"""Histories for `driver.f90`, and what it answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from umat_components import COMPONENTS


@dataclass
class History:
    """What the driver is to run. Steps: dt, temperature, fields, control, values or gradient."""

    name: str
    ntens: int
    nstatv: int
    steps: list[list[float]]
    props: Sequence[float] = ()
    start: Sequence[float] = (293.0,)
    kind: str = "strain"

    def write(self, path: Path) -> Path:
        ndi, nshr = COMPONENTS[self.ntens]
        rows = [
            f"'{self.name}'",
            f"{ndi} {nshr} {self.nstatv}",
            " ".join(map(repr, [len(self.props), *map(float, self.props)])),
            " ".join(map(repr, [len(self.start) - 1, *map(float, self.start)])),
            self.kind,
            str(len(self.steps)),
            *(" ".join(map(str, step)) for step in self.steps),
        ]
        path.write_text("\n".join(rows) + "\n")
        return path


@dataclass
class Result:
    """Of every increment."""

    time: np.ndarray
    strain: np.ndarray
    stress: np.ndarray
    statev: np.ndarray


def call(
    driver: Path, folder: Path, histories: Sequence[History], threads: int = 1, **environment: str
) -> subprocess.CompletedProcess[str]:
    arguments: list[Path] = []
    for k, history in enumerate(histories):
        arguments += [history.write(folder / f"{k}.txt"), folder / f"{k}.out"]
    given = {**os.environ, "OMP_NUM_THREADS": str(threads), **environment}
    return subprocess.run(
        [driver, *arguments], capture_output=True, text=True, timeout=120, env=given
    )


def results(
    driver: Path, folder: Path, histories: Sequence[History], threads: int = 1, **environment: str
) -> list[Result]:
    done = call(driver, folder, histories, threads, **environment)
    assert done.returncode == 0, done.stderr
    found = []
    for k, history in enumerate(histories):
        table, n = np.loadtxt(folder / f"{k}.out", ndmin=2), history.ntens
        found.append(
            Result(
                table[:, 0], table[:, 1 : n + 1], table[:, n + 1 : 2 * n + 1], table[:, 2 * n + 1 :]
            )
        )
    return found


def built(umat: Path, to: Path, *sources: Path) -> Path:
    compiler = shutil.which("gfortran")
    if compiler is None:
        pytest.skip("no Fortran compiler (gfortran) for the driver")
    given = ["-O1", "-fopenmp", "-std=f2018", f"-J{to.parent}", *map(str, sources)]
    subprocess.run([compiler, *given, "-o", str(to), str(umat)], check=True)
    return to
