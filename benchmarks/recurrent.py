"""Times whole histories and their adjoints against pyzag with NEML2 and prints the ratios.

    python benchmarks/recurrent.py [--peer PYTHON] [--out results/NAME.json] [--quick]

Strain-driven Perzyna plasticity (7 unknowns); every run in a process of its own, one after the
other, from the same inputs. README.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import machine
import numpy as np
from recurrent_table import Run, best, memory_table, table, total
from rich.console import Console

HERE = Path(__file__).parent
DECK = HERE / "decks" / "perzyna.i"
SEED = 20240607
UNKNOWNS = 7
AGREEMENT = 1e-6  # of states and of gradients, see `differences`


@dataclass(frozen=True)
class Case:
    """`steps` steps of `specimens` specimens; chunked routes are timed with each of `chunks`."""

    kind: str  # monotonic or cyclic
    steps: int
    specimens: int
    chunks: tuple[int, ...] = (5, 10, 25, 50, 100)
    operator: str = "BidiagonalThomasFactorization"
    compiled: bool = False  # whether the peer's compiled route, minutes of compilation, is timed


CASES = {
    "long": Case("monotonic", 1000, 500),
    "cyclic": Case("cyclic", 1000, 500),
    "short": Case("monotonic", 100, 500, (5, 10, 25, 50), compiled=True),
    "single": Case("monotonic", 1000, 1, (250,), "BidiagonalPCRFactorization"),
}
MEMORY = {"steps": (100, 300, 1000, 3000, 10000), "specimens": 50, "chunks": (10, 50)}
QUICK = {
    "long": (20, 4, (5, 10)),
    "cyclic": (24, 4, (8,)),
    "short": (10, 3, (5,)),
    "single": (40, 1, (8,)),
}
QUICK_MEMORY = {"steps": (20, 40), "specimens": 2, "chunks": (5,)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--cases", type=words, default=[*CASES, "memory"], help="comma-separated")
    parser.add_argument("--routes", type=words, default=["march", "chunk", "sequential"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeat", type=int, default=3, help="runs after one that does not count")
    parser.add_argument("--chunks", type=int, nargs="+", help="instead of those of each case")
    parser.add_argument("--predictor", default="LastStepPredictor")
    parser.add_argument("--peer", type=Path, help="python of an environment with neml2 and pyzag")
    parser.add_argument("--peer-routes", type=words, default=["eager", "compiled"])
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    unknown = set(options.cases) - {*CASES, "memory"}
    if unknown:
        parser.error(f"no cases {sorted(unknown)}; there are {', '.join(CASES)} and memory")
    return options


def histories(kind: str, steps: int, specimens: int) -> dict[str, np.ndarray]:
    """Strains `(steps + 1, S, 6)` in Mandel components and times `(steps + 1, S)`.

    Each specimen has a direction, mostly deviatoric, and a rate of its own, 1e-3 to 1e-1 a unit of
    time. Monotonic: to 1 to 3 per cent. Cyclic: two triangular cycles of 0.4 to 0.8 per cent.
    """
    rng = np.random.default_rng([SEED, len(kind)])
    direction = rng.standard_normal((specimens, 6))
    direction[:, :3] -= direction[:, :3].mean(axis=1, keepdims=True)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    direction[:, :3] += 0.2 * rng.standard_normal((specimens, 1))
    rate = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), specimens))
    part = np.linspace(0.0, 1.0, steps + 1)[:, None]
    if kind == "monotonic":
        size, wave, length = rng.uniform(0.01, 0.03, specimens), part, 1.0
    else:
        wave, length = np.arcsin(np.sin(4 * np.pi * part)) / (np.pi / 2), 8.0
        size = rng.uniform(0.004, 0.008, specimens)
    return {"E": (size * wave)[:, :, None] * direction, "t": part * (length * size / rate)}


class Bench:
    """Runs jobs of both codes in `folder`."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.reference: tuple[np.ndarray, dict[str, float]] | None = None

    def give(self, case: Case) -> None:
        inputs = histories(case.kind, case.steps, case.specimens)
        np.savez(self.folder / "inputs.npz", **inputs)  # type: ignore[arg-type]
        self.reference = None

    def run(self, code: str, route: str, case: Case, chunk: int, **more: object) -> Run:
        """One run: what was measured, or `error`; the first that succeeds is the reference."""
        job = {
            "deck": str(DECK.resolve()),
            "route": route,
            "chunk": chunk,
            "operator": case.operator,
            "predictor": self.options.predictor,
            "rtol": 1e-8,
            "atol": 1e-8,  # MPa
            "threads": self.options.threads[0],
            "repeat": self.options.repeat,
            # Compiling anew for every shape, the peer's compiled route is not run on a small one.
            "tiny": route != "compiled",
            **more,
        }
        about = {"code": code, "route": route, "chunk": chunk, "threads": job["threads"]}
        (self.folder / "job.json").write_text(json.dumps(job))
        for old in ("result.json", "states.npy"):
            (self.folder / old).unlink(missing_ok=True)
        python, script = {
            "ours": (sys.executable, "own_recurrent.py"),
            "peer": (self.options.peer, "peer_recurrent.py"),
        }[code]
        done = subprocess.run(
            [python, HERE / script, self.folder],
            env=os.environ | {"OMP_NUM_THREADS": str(job["threads"])},
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            return {**about, "error": lines[-1], "agrees": False}
        found: Run = json.loads((self.folder / "result.json").read_text())
        values = (np.load(self.folder / "states.npy"), found["gradients"])
        self.reference = self.reference or values
        found["differences"] = differences(values, self.reference)
        found["agrees"] = max(found["differences"].values()) <= AGREEMENT
        return {**about, **found}

    def runs(self, case: Case) -> Iterator[Run]:
        """All routes of both codes; the peer's compiled one with its best chunk alone."""
        self.give(case)
        options = self.options
        for threads in options.threads:
            for route in options.routes:
                for chunk in case.chunks if route == "chunk" else case.chunks[-1:]:
                    yield self.run("ours", route, case, chunk, threads=threads)
            if not options.peer:
                continue
            eager = []
            if "eager" in options.peer_routes:
                for chunk in case.chunks:
                    eager.append(self.run("peer", "eager", case, chunk, threads=threads))
                    yield eager[-1]
            if case.compiled and "compiled" in options.peer_routes:
                fastest = best(eager)
                chunk = fastest["chunk"] if fastest else case.chunks[0]
                yield self.run("peer", "compiled", case, chunk, threads=threads)

    def growth(self, sizes: dict[str, Any]) -> Iterator[Run]:
        """Peak memory of single runs with more and more steps."""
        for steps in sizes["steps"]:
            case = Case("monotonic", steps, sizes["specimens"])
            self.give(case)
            about = {"steps": steps, "stored_mb": 8e-6 * steps * case.specimens * UNKNOWNS}
            for chunk in sizes["chunks"]:
                yield {**self.run("ours", "chunk", case, chunk, repeat=0), **about}
                if self.options.peer:
                    yield {**self.run("peer", "eager", case, chunk, repeat=0), **about}
            yield {**self.run("ours", "march", case, sizes["chunks"][0], repeat=0), **about}


def state(run: Run) -> str:
    if "error" in run:
        return f"failed: {run['error']}"
    return f"{total(run):.3g} s" if run["agrees"] else f"disagrees: {run['differences']}"


def differences(
    a: tuple[np.ndarray, dict[str, float]], b: tuple[np.ndarray, dict[str, float]]
) -> dict[str, float]:
    """Of states, over the specimen's largest stress or plastic strain; of gradients, relative."""

    def worst(x: np.ndarray, y: np.ndarray) -> float:
        return float((np.abs(x - y).max(axis=(0, 2)) / np.abs(y).max(axis=(0, 2))).max())

    (x, dx), (y, dy) = a, b
    return {
        "states": max(worst(x[..., :6], y[..., :6]), worst(x[..., 6:], y[..., 6:])),
        "gradients": max(abs(dx.get(name, np.inf) - g) / abs(g) for name, g in dy.items()),
    }


def main() -> None:
    options = arguments()
    settings = {"threads": options.threads, "repeat": options.repeat, "agreement": AGREEMENT}
    report: dict[str, Any] = {"machine": machine.describe(), "settings": settings, "cases": {}}
    console = Console(width=None if sys.stdout.isatty() else 170)

    def keep(runs: list[Run], new: Iterator[Run], name: str) -> None:
        for run in new:  # written after every run: what is cut off keeps what it has
            runs.append(run)
            about = {k: run[k] for k in ("code", "route", "chunk", "threads")}
            console.print(name, *about.values(), state(run), style="dim")
            if options.out:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(report, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for name in (n for n in options.cases if n in CASES):
            case = CASES[name]
            if options.quick and name in QUICK:
                steps, specimens, chunks = QUICK[name]
                case = replace(case, steps=steps, specimens=specimens, chunks=chunks)
            if options.chunks:
                case = replace(case, chunks=tuple(options.chunks))
            runs: list[Run] = []
            report["cases"][name] = {
                "kind": case.kind,
                "steps": case.steps,
                "specimens": case.specimens,
                "runs": runs,
            }
            keep(runs, bench.runs(case), name)
        if "memory" in options.cases:
            report["memory"] = []
            sizes = QUICK_MEMORY if options.quick else MEMORY
            keep(report["memory"], bench.growth(sizes), "memory")
    if report["cases"]:
        console.print(table(report))
    if "memory" in report:
        console.print(memory_table(report["memory"]))


main()
