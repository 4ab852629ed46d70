"""A picture of a graph: boxes in columns from left to right, arrows between them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neml2fe.io.canvas import INK, figure

_ACROSS, _DOWN = 2.3, 0.62  # inches from column to column and from box to box
_FILL = {"model": "#eef3f8", "solve": "#fbe9d7", "input": "#ffffff", "output": "#ffffff"}

Nodes = Sequence[tuple[str, str, str]]  # label, type, kind
Edges = Mapping[tuple[int, int], Sequence[str]]


def network(path: str | os.PathLike[str], nodes: Nodes, edges: Edges, title: str = "") -> Path:
    """Draw nodes (label, type, kind) and edges with their names.

    Edges from a later node to an earlier one are the way back of an iteration: dashed, below
    the others, and without influence on the columns. Raises as all figures do.
    """
    at = _columns(nodes, edges)
    joints, segments, ends = _lanes(at, edges)
    places = _places(joints, segments)
    rows = 1 + max(max(y for _, y in places) - min(y for _, y in places), 1.0)
    with figure(path, (_ACROSS * (max(at) + 1), _DOWN * rows + 0.6)) as page:
        axes = page.add_subplot()
        axes.set_axis_off()
        axes.set_title(title)
        for source, target in segments:
            names = ends.get((source, target), "")
            box = max(map(len, nodes[target][:2])) if target < len(nodes) else 0
            _arrow(axes, places[source], places[target], names, box)
        for source, target in edges:
            if target < source:
                _way_back(axes, places[source], places[target])
        for node, place in zip(nodes, places, strict=False):
            _box(axes, place, *node)
        low = min(y for _, y in places) - 1.5
        axes.set(xlim=(-0.5, max(at) + 0.5), ylim=(low, max(y for _, y in places) + 0.6))
    return Path(path)


def _columns(nodes: Nodes, edges: Edges) -> list[int]:
    """The column of each node: to the right of what leads to it, outputs rightmost."""
    at = [0] * len(nodes)
    for target in range(len(nodes)):
        at[target] = max((at[s] + 1 for s, t in edges if t == target and s < t), default=0)
    for k, (_, _, kind) in enumerate(nodes):
        if kind == "output":
            at[k] = max(at)
        elif kind == "input":  # just before the first that takes it
            at[k] = max(min((at[t] for s, t in edges if s == k), default=1) - 1, 0)
    return at


def _lanes(
    at: list[int], edges: Edges
) -> tuple[list[int], list[tuple[int, int]], dict[tuple[int, int], str]]:
    """Edges in segments from column to column, so that none passes behind a box.

    All edges of one source share a lane. Returns the columns of nodes and joints, the segments,
    and the names of the edges by the segments that end them.
    """
    joints = list(at)
    segments: dict[tuple[int, int], None] = {}
    ends = {}
    for source in range(len(at)):
        lane = {at[source]: source}
        targets = sorted((t for s, t in edges if s == source and t > s), key=lambda t: at[t])
        for target in targets:
            for column in range(at[source] + 1, at[target]):
                if column not in lane:
                    lane[column] = len(joints)
                    joints.append(column)
                    segments[lane[column - 1], lane[column]] = None
            last = lane[max(at[target] - 1, at[source])]
            segments[last, target] = None
            ends[last, target] = ", ".join(edges[source, target])
    return joints, list(segments), ends


def _places(joints: list[int], segments: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Each column is sorted by the mean height of the neighbours, forth and back a few times."""
    columns = [[k for k, c in enumerate(joints) if c == n] for n in range(max(joints) + 1)]
    near: dict[int, list[int]] = {k: [] for k in range(len(joints))}
    for source, target in segments:
        near[source].append(target)
        near[target].append(source)
    height = {k: 0.5 * (len(c) - 1) - i for c in columns for i, k in enumerate(c)}
    for sweep in range(12):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            mean = {
                k: sum(height[n] for n in near[k]) / len(near[k]) if near[k] else height[k]
                for k in column
            }
            for i, k in enumerate(sorted(column, key=lambda k: -mean[k])):
                height[k] = 0.5 * (len(column) - 1) - i
    return [(float(c), height[k]) for k, c in enumerate(joints)]


def _box(axes: Any, place: tuple[float, float], label: str, type_: str, kind: str) -> None:
    text = label if type_ in ("", label) else f"{label}\n{type_}"
    frame = {
        "boxstyle": "round,pad=0.3",
        "facecolor": _FILL.get(kind, "#ffffff"),
        "edgecolor": "#8a8a8a" if kind in ("model", "solve") else "none",
        "linewidth": 0.7,
    }
    weight = "normal" if kind in ("model", "solve") else "bold"
    axes.text(*place, text, ha="center", va="center", fontsize=6, bbox=frame, weight=weight)


def _arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], names: str, box: int
) -> None:
    """With a head in front of a box that is `box` characters wide, without one at a joint."""
    style = {"arrowstyle": "-|>" if box else "-", "color": "#8a8a8a", "linewidth": 0.7}
    shrink = {"shrinkA": 0, "shrinkB": 5 + 1.7 * box if box else 0}
    axes.annotate("", xy=end, xytext=start, arrowprops={**style, **shrink})
    if names:
        middle = (0.6 * start[0] + 0.4 * end[0], 0.6 * start[1] + 0.4 * end[1])
        frame = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        text = names.replace(", ", "\n")
        axes.text(*middle, text, ha="center", va="center", fontsize=4.5, color=INK, bbox=frame)


def _way_back(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": "#b07030", "linestyle": "--", "linewidth": 0.7}
    bent = {"connectionstyle": "arc3,rad=-0.2", "shrinkA": 10, "shrinkB": 10}
    axes.annotate("", xy=end, xytext=start, arrowprops={**style, **bent})
