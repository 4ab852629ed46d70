"""Draws results of `kernels.py`: time of a point, ours and the peer's, for every law.

python benchmarks/figure.py FIGURE.png RESULTS.json [RESULTS.json ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

ROUTES = {"eager": ("NEML2, eager", "#c9a227"), "compiled": ("NEML2, compiled", "#b0562a")}


def main() -> None:
    figure, *results = map(Path, sys.argv[1:])
    cases = [c for path in results for c in json.loads(path.read_text())["cases"].values()]
    settings = json.loads(results[0].read_text())["settings"]
    cases.sort(key=lambda case: case["unknowns"])
    fig, axes = plt.subplots(figsize=(8.0, 0.75 * len(cases) + 1.4), layout="constrained")
    for row, case in enumerate(cases):
        n = max(map(int, case["ours"]["points"]))
        ours = time_of(case["ours"], n)
        bars = [("neml2fe", "#2a6f97", ours)]
        for route, (label, colour) in ROUTES.items():
            found = case["peer"].get(route, {})
            if found.get("agrees"):
                bars.append((label, colour, time_of(found, n)))
        for k, (label, colour, time) in enumerate(bars):
            y = row + 0.27 * (k - 1)
            axes.barh(y, time, 0.25, color=colour, label=label if row == 0 else None)
            shown = f"{time:,.0f}" if time >= 1e3 else f"{time:.3g}"
            times = f"  {shown} µs" + (f", {time / ours:.0f}×" if k else "")
            axes.text(time, y, times, va="center", fontsize=8)
    names = [
        f"{c['law']} ({c['unknowns']})\n{max(map(int, c['ours']['points'])):,} points"
        for c in cases
    ]
    axes.set_yticks(range(len(cases)), names, fontsize=9)
    axes.set(
        xscale="log", xlabel=f"µs a point: stress and 6x6 tangent, {settings['threads']} threads"
    )
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    fig.legend(loc="outside upper center", ncols=3, frameon=False)
    fig.savefig(figure, dpi=130)


def time_of(found: dict, n: int) -> float:
    """Microseconds a point."""
    return 1e6 * found["points"][str(n)]["update"]["best"] / n


main()
