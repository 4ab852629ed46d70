"""Draws results of `recurrent.py`: times of histories, and peak memory against their length.

python benchmarks/recurrent_figure.py TIMES.png MEMORY.png RESULTS.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from recurrent_table import Run, best, total

ROUTES = {
    ("ours", "march"): ("neml2fe, march", "#1b4965"),
    ("ours", "sequential"): ("neml2fe, sequential", "#5fa8d3"),
    ("ours", "chunk"): ("neml2fe, chunk", "#2a6f97"),
    ("peer", "eager"): ("pyzag + NEML2, eager", "#c9a227"),
    ("peer", "compiled"): ("pyzag + NEML2, compiled", "#b0562a"),
}


def times(report: dict[str, Any], figure: Path) -> None:
    """Bars of forward and adjoint of the best run of each route, adjoint hatched."""
    threads = report["settings"]["threads"][0]
    cases = report["cases"].values()
    fig, axes = plt.subplots(figsize=(8.0, 1.05 * len(cases) + 1.6), layout="constrained")
    names = []
    for row, case in enumerate(cases):
        plural = "s" if case["specimens"] > 1 else ""
        names.append(
            f"{case['steps']:,} steps\n{case['specimens']} specimen{plural}\n{case['kind']}"
        )
        found = [best(case["runs"], code=c, route=r, threads=threads) for c, r in ROUTES]
        bars = [run for run in found if run]
        fastest = min(map(total, bars))
        for k, run in enumerate(bars):
            _, colour = ROUTES[run["code"], run["route"]]
            y = row + 0.17 * (k - (len(bars) - 1) / 2)
            axes.barh(y, total(run), 0.155, color=colour)
            chunk = f", chunk {run['chunk']}" if run["route"] not in ("march", "sequential") else ""
            share = run["adjoint"]["median"] / total(run)
            text = f"  {total(run):.3g} s ({share:.0%} adjoint{chunk})"
            if run["code"] == "peer":
                text += f", {total(run) / fastest:.0f}×"
            axes.text(total(run), y, text, va="center", fontsize=7.5)
    for label, colour in ROUTES.values():
        axes.barh(0, 0, color=colour, label=label)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    thread = "one thread" if threads == 1 else f"{threads} threads"
    axes.set(xscale="log", xlabel=f"seconds of forward and adjoint, {thread}")
    axes.invert_yaxis()
    axes.set_xlim(right=30 * axes.get_xlim()[1])
    axes.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside upper center", ncols=3, frameon=False)
    fig.savefig(figure, dpi=130)


def memory(runs: list[Run], figure: Path) -> None:
    fig, axes = plt.subplots(figsize=(7.0, 4.6), layout="constrained")
    fine = [run for run in runs if "error" not in run]
    keys = dict.fromkeys((run["code"], run["route"], run["chunk"]) for run in fine)
    styles = dict(
        zip(dict.fromkeys(chunk for *_, chunk in keys), ("-o", "--s", ":^"), strict=False)
    )
    for code, route, chunk in keys:
        label, colour = ROUTES[code, route]
        same = [r for r in fine if (r["code"], r["route"], r["chunk"]) == (code, route, chunk)]
        if route == "march":
            style = "-D"
        else:
            style, label = styles[chunk], f"{label.removesuffix(', chunk')}, chunk {chunk}"
        steps = [run["steps"] for run in same]
        axes.plot(steps, [r["memory_mb"] for r in same], style, color=colour, label=label, ms=4)
    stored = sorted({(run["steps"], run["stored_mb"]) for run in fine})
    axes.plot(*np.transpose(stored), color="0.4", lw=3, alpha=0.5, label="stored states")
    axes.set(xscale="log", yscale="log", xlabel="steps N", ylabel="peak memory over the base, MB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    fig.savefig(figure, dpi=130)


def main() -> None:
    *figures, results = map(Path, sys.argv[1:])
    report = json.loads(results.read_text())
    times(report, figures[0])
    memory(report["memory"], figures[1])


main()
