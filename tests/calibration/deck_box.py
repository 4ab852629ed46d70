"""What tests of decks share: the command line in this process, and decks with data of their own."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from neml2fe.cli.main import main
from neml2fe.fem.observations import DisplacementsAt, Reaction
from neml2fe.input import load_input

Array = NDArray[np.float64]

GRIPS = """
[BoundaryConditions]
  [hold_x]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
  []
  [hold_y]
    type = Dirichlet
    boundary = 'left'
    component = 'y'
  []
  [pull]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 'stroke'
  []
[]
"""


@dataclass
class Ended:
    code: int
    out: str
    err: str

    def refused(self, *words: str) -> None:
        """With one line that says what was wrong, and where in the deck."""
        assert self.code == 2, self
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("neml2fe: error: "), self.err
        for word in ("fit.i:", *words):
            assert word in self.err, (word, self.err)


@dataclass
class Cli:
    """`neml2fe calibrate fit.i` in a folder."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *overrides: str, report: bool = False) -> Ended:
        words = [word for text in overrides for word in ("--set", text)]
        words += [] if report else ["--no-report"]
        self.capsys.readouterr()
        code = main(["calibrate", str(self.folder / "fit.i"), *words])
        said = self.capsys.readouterr()
        return Ended(code, said.out, said.err)

    def table(self) -> dict[str, dict[str, str]]:
        """`parameters.csv` by parameter."""
        with (self.folder / "results/fit/parameters.csv").open(newline="") as file:
            return {row["parameter"]: row for row in csv.DictReader(file)}

    def values(self) -> dict[str, float]:
        """The best of the last fit, by parameter."""
        lines = (self.folder / "results/fit/progress.jsonl").read_text().splitlines()[1:]
        best = min(map(json.loads, lines), key=lambda row: row["loss"])
        return dict(best["values"])

    @property
    def report(self) -> str:
        return (self.folder / "results/fit/report.md").read_text()


def write_test(
    folder: Path,
    deck: str,
    points: Array,
    times: list[float],
    noise: Mapping[str, float],
    load: str = "pull",
) -> None:
    """`load.csv` and `camera.csv` as the driver of a deck at its own parameters has them, with
    noise of the load and of displacements."""
    (folder / "truth.i").write_text(deck)
    source = load_input(folder / "truth.i")
    driver = source.get_driver(source.drivers[0])
    problem = driver.make_problem()
    found = problem.solve(
        driver.stepping, {"u": DisplacementsAt(points), "F": Reaction(load)}, times
    )
    problem.close()
    random = np.random.default_rng(3)
    u, force = found["u"].detach().numpy(), found["F"].detach().numpy()
    u = u + noise["u"] * random.standard_normal(u.shape)
    force = force + noise["F"] * random.standard_normal(force.shape)
    save(folder / "load.csv", "t,F", np.stack([[0.0, *times], [0.0, *force]], 1))
    rows = [
        np.column_stack([np.full(len(points), t), points, v]) for t, v in zip(times, u, strict=True)
    ]
    save(folder / "camera.csv", "t,x,y,u,v", np.concatenate(rows))


def save(path: Path, header: str, rows: Array) -> None:
    np.savetxt(path, rows, "%.10g", ",", header=header, comments="")
