"""Draws results of `fem.py`: time against size, ours and the peers', a panel for each case.

python benchmarks/fem_figure.py FIGURE.png RESULTS.json [MORE.json ...]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from fem_table import NAMES, seconds
from matplotlib.ticker import LogFormatter

COLOURS = {"ours": "#2a6f97", "torch-fem": "#c9a227", "calculix": "#b0562a"}
TITLES = {
    "elastic": "linear elastic, one step",
    "neo-hookean": "neo-Hookean, stretched tenfold",
    "j2": "J2, 10 increments",
    "calculix": "J2, 10 increments",
}


def main() -> None:
    figure, *results = map(Path, sys.argv[1:])
    cases = {n: c for r in results for n, c in json.loads(r.read_text())["cases"].items()}
    shown = [name for name in TITLES if name in cases]
    fig, panels = plt.subplots(
        1, len(shown), figsize=(3.4 * len(shown), 4.0), layout="constrained", squeeze=False
    )
    labels = {}
    for axes, name in zip(panels[0], shown, strict=True):
        runs = [run for run in cases[name]["runs"] if run["agrees"]]
        for code, width in dict.fromkeys((run["code"], run["width"]) for run in runs):
            same = [run for run in runs if (run["code"], run["width"]) == (code, width)]
            units = "rank" if code == "ours" else "thread"
            label = f"{NAMES.get(code, 'neml2fe')}, {width} {units}{'s' if width > 1 else ''}"
            (labels[label],) = axes.plot(
                [run["dofs"] for run in same],
                [seconds(run) for run in same],
                "-o" if width > 1 else "--s",
                color=COLOURS[code],
                ms=4,
            )
        axes.set(xscale="log", yscale="log", xlabel="dofs", title=TITLES[name])
        sizes = sorted({run["dofs"] for run in runs})
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.4)))
        axes.tick_params(labelsize=8, which="both")
        axes.title.set_fontsize(10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3, which="both")
    panels[0][0].set_ylabel("set-up and solve, s")
    fig.legend(labels.values(), labels.keys(), loc="outside upper center", ncols=3, frameon=False)
    fig.savefig(figure, dpi=130)


main()
