"""Times the finite-element solver against torch-fem and CalculiX and prints the ratios.

    python benchmarks/fem.py [--torch-fem PYTHON] [--calculix] [--out results/NAME.json] [--quick]

Cubes of bricks; every run in a process of its own, one after the other: ours on one and on two
ranks, the peers with as many threads. README.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import calculix
import machine
from fem_cases import CASES, Case
from fem_job import enough
from fem_table import Run, efficiency_table, memory_table, ratio_table, seconds
from rich.console import Console

HERE = Path(__file__).parent
WARM_UP = 7  # nodes along an edge of the run before: enough points for compiled kernels
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # in a container


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--cases", type=words, default=list(CASES), help="comma-separated")
    parser.add_argument("--sizes", type=int, nargs="+", help="nodes along an edge, in all cases")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 1], help="and threads of peers")
    parser.add_argument("--torch-fem", type=Path, help="python of an environment with torch-fem")
    parser.add_argument("--calculix", action="store_true", help="ccx is installed: run it")
    parser.add_argument("--petsc", nargs="+", default=[], metavar="NAME=VALUE", help="options")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no cases {sorted(unknown)}; there are {', '.join(CASES)}")
    return options


class Bench:
    """Runs jobs of all codes in `folder`."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.petsc = dict(option.partition("=")[::2] for option in options.petsc)

    def job(self, case: Case, nodes: int, threads: int) -> dict[str, Any]:
        return {
            "law": case.law,
            "parameters": dict(case.parameters),
            "nodes": nodes,
            "warm_up": min(WARM_UP, nodes),
            "pull": case.pull,
            "clamped": case.clamped,
            "increments": case.increments,
            "fixed": case.fixed,
            "tolerance": case.tolerance,
            "petsc": self.petsc,
            "threads": threads,
        }

    def processes(self, command: list[Any], job: dict[str, Any]) -> Run:
        """What a job in processes of its own writes; raises `RuntimeError` where one fails."""
        (self.folder / "job.json").write_text(json.dumps(job))
        (self.folder / "result.json").unlink(missing_ok=True)
        done = subprocess.run(
            [*command, self.folder],
            env=os.environ | MPI | {"OMP_NUM_THREADS": str(job["threads"])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "Error" in line]
            raise RuntimeError(lines[-1] if lines else f"ended with {done.returncode}")
        found: Run = json.loads((self.folder / "result.json").read_text())
        return found

    def ours(self, case: Case, nodes: int, ranks: int) -> Run:
        launch = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
        command = [*launch, sys.executable, HERE / "own_fem_job.py"]
        return self.processes(command, self.job(case, nodes, threads=1))

    def torch_fem(self, case: Case, nodes: int, threads: int) -> Run:
        command = [self.options.torch_fem, HERE / "peer_torchfem.py"]
        return self.processes(command, self.job(case, nodes, threads))

    def calculix(self, case: Case, nodes: int, threads: int) -> Run:
        runs: list[Run] = []
        while not enough([run["solve"] for run in runs]):
            runs.append(calculix.run(self.folder, self.job(case, nodes, threads)))
        return {**runs[0], "setup": [0.0], "solve": [run["solve"] for run in runs]}

    def runs(self, case: Case, nodes: int) -> Iterator[Run]:
        """All codes; each run's results are compared with those of our first."""
        codes: dict[str, Callable[[Case, int, int], Run]] = {"ours": self.ours}
        if case.peer == "torch-fem" and self.options.torch_fem:
            codes["torch-fem"] = self.torch_fem
        if case.peer == "calculix" and self.options.calculix:
            codes["calculix"] = self.calculix
        reference: dict[str, float] | None = None
        for code, run in codes.items():
            # A direct solver on one thread would take an hour and says nothing more.
            for width in self.options.ranks[:1] if code == "calculix" else self.options.ranks:
                about = {"code": code, "width": width, "nodes": nodes}
                try:
                    found = run(case, nodes, width)
                except (RuntimeError, OSError) as error:
                    yield {**about, "error": str(error), "agrees": False}
                    continue
                reference = reference or found["results"]
                found["differences"] = {
                    name: abs(value / reference[name] - 1.0)
                    for name, value in found["results"].items()
                }
                # Not finite is no agreement either.
                found["agrees"] = all(d <= case.agreement for d in found["differences"].values())
                yield {**about, **found}


def state(run: Run) -> str:
    if "error" in run:
        return f"failed: {run['error']}"
    return f"{seconds(run):.3g} s" if run["agrees"] else f"disagrees: {run['differences']}"


def main() -> None:
    options = arguments()
    report: dict[str, Any] = {"machine": machine.describe(), "cases": {}}
    console = Console(width=None if sys.stdout.isatty() else 170)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for name in options.cases:
            case = CASES[name]
            runs: list[Run] = []
            report["cases"][name] = {"law": case.law, "increments": case.increments, "runs": runs}
            for nodes in options.sizes or ((case.quick,) if options.quick else case.nodes):
                for run in bench.runs(case, nodes):
                    runs.append(run)
                    about = (name, f"{3 * nodes**3:,} dofs", run["code"], run["width"])
                    console.print(*about, state(run), style="dim")
                    if options.out:  # after every run: what is cut off keeps what it has
                        options.out.parent.mkdir(parents=True, exist_ok=True)
                        options.out.write_text(json.dumps(report, indent=1) + "\n")
    for table in (ratio_table, efficiency_table, memory_table):
        console.print(table(report["cases"]))


main()
