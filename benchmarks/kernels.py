"""Times updates of materials against NEML2 and prints the ratios.

    python benchmarks/kernels.py [--peer PYTHON] [--device cuda] [--out results/NAME.json]

Each side runs in processes of its own, one after the other, from the same inputs. README.md says
what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from cases import CASES, DECKS, sample
from rich.console import Console
from rich.table import Table

import neml2fe
from neml2fe.material import Material, lags

HERE = Path(__file__).parent
AGREEMENT = 1e-8  # of the largest component at each point
Report = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--cases", type=words, default=list(CASES), help="comma-separated")
    parser.add_argument("--points", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", choices=["auto", "kernel", "eager"], default="kernel")
    parser.add_argument("--peer", type=Path, help="python of an environment with neml2")
    parser.add_argument("--peer-routes", type=words, default=["eager", "compiled"])
    parser.add_argument(
        "--artefacts",
        type=Path,
        default=Path(tempfile.gettempdir()) / "neml2fe-peer-compiled",
        help="where the peer's compiled models are kept",
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no cases {sorted(unknown)}; there are {', '.join(CASES)}")
    return options


def inputs_of(name: str, n: int) -> dict[str, np.ndarray]:
    """All inputs of the model: the sample, zeros for the rest of the old state, times."""
    case = CASES[name]
    material = Material(neml2fe.load_model(DECKS / f"{name}.i", "model"), case.strain)
    zeros = {
        lags(state, 1): torch.zeros(n, *shape, dtype=torch.float64).numpy()
        for state, shape in material.state_shapes().items()
    }
    return {**zeros, "t": np.full(1, case.dt), "t~1": np.zeros(1), **sample(name, n)}


def worker(python: Path, script: str, folder: Path, job: Report, **more: str) -> Report:
    """What the script makes of the job in a process of its own; `error` where it fails."""
    (folder / "job.json").write_text(json.dumps(job))
    for old in ("result.json", "values.npz"):
        (folder / old).unlink(missing_ok=True)
    threads = {"OMP_NUM_THREADS": str(job["threads"])}
    done = subprocess.run(
        [python, HERE / script, folder],
        env=os.environ | threads | more,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return {"error": lines[-1]}
    result: Report = json.loads((folder / "result.json").read_text())
    return result


def values(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "values.npz"))


def differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """The worst over all points of the largest difference over the largest component."""
    found = {}
    for name in ("stress", "tangent"):
        a, b = (x[name].reshape(len(x[name]), -1) for x in (ours, theirs))
        error = np.abs(a - b).max(axis=1) / np.abs(b).max(axis=1)
        found[name] = float(np.nan_to_num(error, nan=np.inf).max())
    return found


def run_case(name: str, options: argparse.Namespace, folder: Path) -> Report:
    case = CASES[name]
    inputs = inputs_of(name, max(options.points))
    np.savez(folder / "inputs.npz", **inputs)  # type: ignore[arg-type]
    job = {
        "deck": str((DECKS / f"{name}.i").resolve()),
        "strain": case.strain,
        "plastic": case.plastic,
        "points": options.points,
        "threads": options.threads,
        "device": options.device,
        "route": options.backend,
        "cold": False,
        "artefacts": str(options.artefacts.resolve()),
    }
    own = Path(sys.executable)
    with tempfile.TemporaryDirectory() as empty:
        cold = worker(own, "own_kernels.py", folder, job | {"cold": True}, NEML2FE_CACHE=empty)
    report: Report = {"law": case.law, "unknowns": case.unknowns, "cold": cold}
    if options.device == "cpu" and options.threads > 1:
        report["one_thread"] = worker(own, "own_kernels.py", folder, job | {"threads": 1})
    report["ours"] = worker(own, "own_kernels.py", folder, job)
    if "error" in report["ours"]:
        return report
    ours = values(folder)
    report["peer"] = {}
    for route in options.peer_routes if options.peer else []:
        found = worker(options.peer, "peer_kernels.py", folder, job | {"route": route})
        if "error" not in found:
            found["differences"] = differences(ours, values(folder))
            found["agrees"] = max(found["differences"].values()) <= AGREEMENT
        report["peer"][route] = found
    return report


def best(found: Report, n: int, what: str = "update") -> float:
    return float(found["points"][str(n)][what]["best"])


def against(found: Report, n: int, ours: float) -> str:
    """The peer's microseconds a point and how many times ours they are."""
    if "error" in found:
        return "failed"
    if not found["agrees"]:
        return "disagrees"
    theirs = best(found, n)
    return f"{1e6 * theirs / n:.3g}  [bold]{theirs / ours:.1f}×[/]"


def table(report: Report, options: argparse.Namespace) -> Table:
    found = Table(
        title="stress and 6x6 tangent: µs a point; × is the peer's time over ours",
        caption=f"{options.device}, {options.threads} threads; best of repeated calls",
    )
    routes = options.peer_routes if options.peer else []
    gpu = options.device == "cuda"
    for head in ("law (unknowns)", "Newton", "plastic", "points", "ours", "no tangent", "reverse"):
        found.add_column(head, justify="left" if head.startswith("law") else "right")
    found.add_column("of bandwidth" if gpu else "scaling", justify="right")
    for route in routes:
        found.add_column(f"peer, {route}", justify="right")
    found.add_column("compilation, s", justify="right")
    for case in report["cases"].values():
        ours = case["ours"]
        law = f"{case['law']} ({case['unknowns']})"
        if "error" in ours:
            found.add_row(law, f"failed: {ours['error']}")
            continue
        failed = f", {ours['failed']} failed" if ours["failed"] else ""
        compilations = [case["cold"], *case["peer"].values()]
        for row, n in enumerate(options.points):
            time = best(ours, n)
            if gpu:
                scale = f"{ours['points'][str(n)]['bytes'] / time / ours['bandwidth']:.0%}"
            elif "points" in case.get("one_thread", {}):
                scale = f"{best(case['one_thread'], n) / time:.2f}×"
            else:
                scale = ""
            first = row == 0
            found.add_row(
                law if first else "",
                f"{ours['iterations']['mean']:.1f}{failed}" if first else "",
                f"{ours['plastic']:.0%}" if first else "",
                f"{n:,}",
                f"{1e6 * time / n:.3g}",
                f"{1e6 * best(ours, n, 'values') / n:.3g}",
                f"{1e6 * best(ours, n, 'vjp') / n:.3g}",
                scale,
                *(against(case["peer"][route], n, time) for route in routes),
                " / ".join(f"{c['compilation']:.1f}" for c in compilations if "compilation" in c)
                if first
                else "",
                end_section=n == options.points[-1],
            )
    return found


def main() -> None:
    options = arguments()
    report: Report = {
        "machine": machine.describe(),
        "settings": {
            "device": options.device,
            "threads": options.threads,
            "points": options.points,
            "backend": options.backend,
            "agreement": AGREEMENT,
        },
        "cases": {},
    }
    console = Console(width=None if sys.stdout.isatty() else 170)
    for name in options.cases:
        console.print(f"{name} ...", style="dim")
        with tempfile.TemporaryDirectory() as folder:
            report["cases"][name] = run_case(name, options, Path(folder))
        if options.out:  # after every case: a long run that is cut off keeps what it has
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(report, indent=1) + "\n")
    console.print(table(report, options))
    for name, case in report["cases"].items():
        for route, found in case.get("peer", {}).items():
            about = found.get("error") or ", ".join(
                f"{k} {v:.1e}" for k, v in found["differences"].items()
            )
            console.print(f"{name}, {route}: {about}", style="dim")


main()
