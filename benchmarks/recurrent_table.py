"""What `recurrent.py` prints of its runs, and which of them are the best."""

from __future__ import annotations

from typing import Any

from rich.table import Table

Run = dict[str, Any]
CHUNKED = ("chunk", "eager", "compiled")


def total(run: Run) -> float:
    """Seconds of forward and adjoint, medians."""
    return float(run["forward"]["median"] + run["adjoint"]["median"])


def best(runs: list[Run], **about: object) -> Run | None:
    """The fastest run of this description whose results agree."""
    fit = [r for r in runs if r["agrees"] and all(r[k] == v for k, v in about.items())]
    return min(fit, key=total, default=None)


def table(report: dict[str, Any]) -> Table:
    found = Table(
        title="forward and adjoint of histories, seconds; × is the peer's time over ours",
        caption="best chunk of each route; medians of repeated runs",
    )
    heads = "case threads route chunk forward adjoint MB eager compiled states gradients"
    for head in heads.split():
        found.add_column(head, justify="left" if head in ("case", "route") else "right")
    for name, case in report["cases"].items():
        title = f"{name}: {case['steps']:,} × {case['specimens']}, {case['kind']}"
        for threads in report["settings"]["threads"]:
            peers = [
                best(case["runs"], code="peer", route=route, threads=threads)
                for route in ("eager", "compiled")
            ]
            here = [r for r in case["runs"] if r["threads"] == threads]
            for code, route in dict.fromkeys((r["code"], r["route"]) for r in here):
                run = best(here, code=code, route=route)
                if run is None:
                    found.add_row(title, str(threads), f"{code}, {route}", "failed")
                else:
                    found.add_row(
                        title,
                        str(threads),
                        f"{code}, {route}",
                        str(run["chunk"]) if route in CHUNKED else "",
                        f"{run['forward']['median']:.3g}",
                        f"{run['adjoint']['median']:.3g}",
                        f"{run['memory_mb']:.0f}",
                        *(f"{total(p) / total(run):.3g}×" if p else "" for p in peers),
                        *(f"{d:.0e}" for d in run["differences"].values()),
                    )
                title = ""
            found.add_section()
    return found


def memory_table(runs: list[Run]) -> Table:
    found = Table(title="peak memory over the base, MB")
    for head in ("route", "chunk", "steps", "MB", "stored states, MB"):
        found.add_column(head, justify="left" if head == "route" else "right")
    for run in sorted(runs, key=lambda r: (r["code"], r["route"], r["chunk"], r["steps"])):
        used = "failed" if "error" in run else f"{run['memory_mb']:.1f}"
        route = f"{run['code']}, {run['route']}"
        found.add_row(
            route, str(run["chunk"]), f"{run['steps']:,}", used, f"{run['stored_mb']:.1f}"
        )
    return found
