"""What `fem.py` prints of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fem_cases import CASES, MEMORY, SCALING
from rich.table import Table

Run = dict[str, Any]
Cases = dict[str, dict[str, Any]]
COLUMNS = ("dofs", "cores", "set-up", "solve", "peer set-up", "peer solve")
NAMES = {"torch-fem": "torch-fem", "calculix": "CalculiX"}


def seconds(run: Run) -> float:
    """Of the best solve, with its set-up."""
    return float(min(a + b for a, b in zip(run["setup"], run["solve"], strict=False)))


def solving(run: Run) -> float:
    return float(min(run["solve"]))


def verdict(value: float, target: float | None, at_most: bool = False) -> str:
    if target is None:
        return ""
    met = value <= target if at_most else value >= target
    return f"{'≤' if at_most else '≥'} {target:g}: " + ("met" if met else "missed")


def made(title: str, left: list[str], right: list[str]) -> Table:
    table = Table(title=title)
    for head in left:
        table.add_column(head)
    for head in right:
        table.add_column(head, justify="right")
    return table


def sizes(case: dict[str, Any]) -> Iterator[list[Run]]:
    """The runs of each size that have worked."""
    fine = [run for run in case["runs"] if "error" not in run]
    for nodes in dict.fromkeys(run["nodes"] for run in fine):
        yield [run for run in fine if run["nodes"] == nodes]


def one(runs: list[Run], code: str, width: int) -> Run | None:
    return next((r for r in runs if r["code"] == code and r["width"] == width), None)


def ratio_table(cases: Cases) -> Table:
    """Times against the peers, on as many cores."""
    found = made(
        "times faster than the peer: ranks of ours, threads of the peer; seconds",
        ["case", "peer"],
        [*COLUMNS, "difference", "solve ×", "whole ×", "target"],
    )
    for name, case in cases.items():
        for runs in sizes(case):
            for peer in (run for run in runs if run["code"] != "ours"):
                ours = one(runs, "ours", peer["width"])
                if ours is None:
                    continue
                fair = peer["agrees"] and ours["agrees"]
                whole = seconds(peer) / seconds(ours)
                most = peer["width"] == max(run["width"] for run in runs)
                target = CASES[name].target(ours["dofs"]) if most else None
                found.add_row(
                    name,
                    NAMES[peer["code"]],
                    f"{ours['dofs']:,}",
                    str(peer["width"]),
                    *(f"{min(r[k]):.3g}" for r in (ours, peer) for k in ("setup", "solve")),
                    f"{max(peer['differences'].values()):.0e}",
                    f"{solving(peer) / solving(ours):.2f}" if fair else "disagrees",
                    f"{whole:.2f}" if fair else "disagrees",
                    verdict(whole, target) if fair else "missed",
                )
        found.add_section()
    return found


def efficiency_table(cases: Cases) -> Table:
    """Two ranks against one, phase by phase."""
    phases = list(
        dict.fromkeys(p for c in cases.values() for r in c["runs"] for p in r.get("phases", ()))
    )
    found = made(
        "ours: seconds of each phase of the best solve, mean of the ranks",
        ["case"],
        ["dofs", "ranks", "set-up", *phases, "Newton", "linear", "whole", "× one rank", "target"],
    )
    for name, case in cases.items():
        for runs in sizes(case):
            alone = one(runs, "ours", 1)
            for run in (run for run in runs if run["code"] == "ours"):
                times = seconds(alone) / seconds(run) if alone else float("nan")
                target = SCALING[1] if run["width"] == 2 and run["dofs"] >= SCALING[0] else None
                found.add_row(
                    name,
                    f"{run['dofs']:,}",
                    str(run["width"]),
                    f"{min(run['setup']):.3g}",
                    *(f"{run['phases'][phase]:.3g}" for phase in phases),
                    str(sum(run["iterations"])),
                    str(sum(run["linear_iterations"])),
                    f"{seconds(run):.3g}",
                    f"{times:.2f}",
                    verdict(times, target),
                )
        found.add_section()
    return found


def memory_table(cases: Cases) -> Table:
    """Peak memory over that of a process that has imported everything."""
    found = made(
        "peak memory over a base taken after imports, all ranks together",
        ["case", "code"],
        ["elements", "cores", "MB", "kB an element", "target"],
    )
    for name, case in cases.items():
        for runs in sizes(case):
            for run in runs:
                each = 1e3 * run["memory_mb"] / run["elements"]
                large = run["code"] == "ours" and run["elements"] >= MEMORY[0]
                found.add_row(
                    name,
                    NAMES.get(run["code"], "ours"),
                    f"{run['elements']:,}",
                    str(run["width"]),
                    f"{run['memory_mb']:,.0f}",
                    f"{each:.1f}",
                    verdict(each, MEMORY[1] if large else None, at_most=True),
                )
        found.add_section()
    return found
